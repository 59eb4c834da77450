/**
 * Hybrid search: full text (BM25) finds the words, lexical vectors find what is written differently. The scores are added, the
 * vector's with a fixed weight: where words match well they decide, where they match badly or not at all the vectors do.
 *
 * Measured on the 809 training queries of SciFact (5,183 abstracts in 8,656 chunks, nDCG@10): BM25 alone 0.699, vectors alone 0.475,
 * the sum 0.699 to 0.701 with any weight from 4 to 16. Fusing by rank cost quality (0.598 with equal weights, 0.698 with a tenth): a
 * rank does not tell how far apart two scores are. Ten passages taken as they come, two of one document included, reach 0.696.
 */
import type { Database } from '../../drivers/database/port.ts'
import type { Embedder } from '../../drivers/embedding/port.ts'
import type { VectorIndex } from '../../drivers/vector/port.ts'
import { toVector } from './prepare.ts'
import { type Filter, type FoundChunk, chunksWithin, listScopes, readChunks, searchText } from './store.ts'
import { queryWords } from './words.ts'

export interface SearchParts {
  database: Database
  embedder: Embedder
  vectors: VectorIndex
}

export interface Ranked {
  chunk: FoundChunk
  score: number
  text: number
  vector: number
}

const vectorWeight = 8
const fewestCandidates = 100
/** A sum of this size is shown as one half; BM25 is open upwards and shown scores are not. */
const halfway = 10

export async function search(
  { database, embedder, vectors }: SearchParts,
  filter: Filter,
  query: string,
  topK: number,
): Promise<Ranked[]> {
  const { dialect } = database
  const candidates = Math.max(fewestCandidates, 2 * topK)
  const words = queryWords(query)
  const textHits = words.length === 0 ? [] : await searchText(database, dialect, filter, words, candidates)
  const [asked] = await embedder.embed([query])
  const wanted = asked?.some((value) => value !== 0) ? asked : undefined
  const textScores = new Map(textHits.map(({ id, score }) => [id, score]))
  const ids = new Set(textScores.keys())
  if (wanted) for (const id of await nearest({ database, vectors }, filter, wanted, candidates)) ids.add(id)
  const found = await readChunks(database, dialect, filter, [...ids])
  const ranked = found.map((chunk): Ranked => {
    const text = textScores.get(chunk.id) ?? 0
    const vector = wanted && chunk.embedder === embedder.id ? dot(wanted, toVector(chunk.vector)) : 0
    const sum = Math.max(0, text + vectorWeight * vector)
    return { chunk, text, vector, score: sum / (sum + halfway) }
  })
  return ranked
    .filter(({ score }) => score > 0)
    .toSorted((a, b) => b.score - a.score || a.chunk.id - b.chunk.id)
    .slice(0, topK)
}

/** Ids of the closest chunks in all scopes the filter reaches. */
async function nearest(
  { database, vectors }: Pick<SearchParts, 'database' | 'vectors'>,
  filter: Filter,
  query: Float32Array,
  limit: number,
) {
  // Scopes carry what everybody is asked about; tags and owners of shared documents are looked up.
  const narrowed = filter.owner !== undefined || (filter.tags?.length ?? 0) > 0
  const within = narrowed ? await chunksWithin(database, database.dialect, filter) : undefined
  if (within?.size === 0) return []
  const accept = within && ((id: number) => within.has(id))
  const hits = []
  for (const scope of await listScopes(database, filter)) {
    hits.push(...(await vectors.search(`${filter.tenant}:${scope}`, query, limit, accept)))
    if (hits.length > 4 * limit) hits.sort((a, b) => b.score - a.score).splice(limit)
  }
  return hits
    .sort((a, b) => b.score - a.score)
    .slice(0, limit)
    .map(({ id }) => id)
}

function dot(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) return 0
  let sum = 0
  for (let at = 0; at < a.length; at++) sum += (a[at] as number) * (b[at] as number)
  return sum
}
