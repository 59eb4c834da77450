/** From a text to the rows that make it searchable, in slices, so that a long text leaves room for other work. */
import type { Embedder } from '../../drivers/embedding/port.ts'
import { chunk } from './chunks.ts'
import type { ChunkRow } from './store.ts'

/** Written in one transaction: about 15 ms of work. */
export const chunksPerSlice = 64

interface Piece {
  number: number
  start: number
  text: string
}

/**
 * Rows of the text in slices. Each row holds its chunk and the blanks after it (the first also those before), so that the rows
 * joined are the text again.
 */
export async function* prepare(title: string, content: string, embedder: Embedder): AsyncGenerator<ChunkRow[]> {
  let slice: Piece[] = []
  for (const piece of pieces(content)) {
    slice.push(piece)
    if (slice.length < chunksPerSlice) continue
    yield embedAll(title, slice, embedder)
    slice = []
  }
  if (slice.length > 0) yield embedAll(title, slice, embedder)
}

function* pieces(content: string): Generator<Piece> {
  let from = 0
  let number = 0
  let open = false
  for (const { start } of chunk(content)) {
    if (open) {
      yield { number, start: from, text: content.slice(from, start) }
      number += 1
      from = start
    }
    open = true
  }
  yield { number, start: from, text: content.slice(from) }
}

async function embedAll(title: string, slice: readonly Piece[], embedder: Embedder): Promise<ChunkRow[]> {
  const indexed = slice.map(({ text }) => `${title}\n${text}`)
  const vectors = await embedder.embed(indexed)
  await new Promise((done) => setImmediate(done))
  return slice.map((piece, at) => ({ ...piece, indexed: indexed[at] as string, vector: toBytes(vectors[at] as Float32Array) }))
}

/** The passage within a stored piece: what remains without the blanks around it. */
export function passageOf(start: number, text: string): { start: number; end: number; text: string } {
  const lead = text.length - text.trimStart().length
  const passage = text.trim()
  return { start: start + lead, end: start + lead + passage.length, text: passage }
}

/** Little-endian numbers of four bytes, as every machine that runs Node has them. */
const toBytes = (vector: Float32Array): Uint8Array => new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength)

export function toVector(bytes: Uint8Array): Float32Array {
  const copy = new Uint8Array(bytes)
  return new Float32Array(copy.buffer, 0, copy.byteLength >> 2)
}
