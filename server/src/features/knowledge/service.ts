/**
 * Knowledge: texts in collections, cut into chunks and searchable by words and by likeness. A document is shared in the tenant unless
 * private; a private one exists for its owner and for operators only. The chunks of a long text are written over several
 * transactions and appear together with the last one, so no commit of others waits for twenty megabytes.
 */
import { CadreError, type Hit, type OutputOf, type ParsedInputOf } from '@cadre/contract'
import { type Clock, iso } from '../../core/clock.ts'
import type { Context, WriteTx } from '../../core/context.ts'
import type { Directory } from '../../core/directory.ts'
import type { Handlers } from '../../core/invoke.ts'
import { serialise } from '../../core/limits.ts'
import { decodeCursor, numberCursor, toPage } from '../../core/paging.ts'
import type { Database } from '../../drivers/database/port.ts'
import type { Embedder } from '../../drivers/embedding/port.ts'
import type { VectorIndex, VectorRow, VectorSource } from '../../drivers/vector/port.ts'
import { chunksPerSlice, passageOf, toVector } from './prepare.ts'
import { type Ranked, search } from './search.ts'
import { type Staged, stage } from './stage.ts'
import {
  type CollectionRow,
  type DocumentRow,
  type Filter,
  abandonUnfinished,
  chunkIds,
  countAll,
  countByCollection,
  findCollection,
  findDocument,
  findDocuments,
  holdsPrivateOfOthers,
  insertCollection,
  listChunks,
  listCollections,
  listDocuments,
  readContent,
  readVectors,
  removeCollection,
  scopeOf,
  setDocumentState,
  sweepOnce,
} from './store.ts'

export { isStopWord } from './words.ts'

export interface KnowledgeParts {
  database: Database
  directory: Directory
  clock: Clock
  newId: (prefix: string) => string
  embedder: Embedder
  /** Makes the index over the vectors that this feature stores. */
  makeIndex: (source: VectorSource) => VectorIndex
  /** The bytes of an artifact as text; throws not_found. */
  readArtifact: (tenant: number, id: string) => Promise<string>
  /** A failure of background work, which no caller hears of. */
  report: (message: string, cause: unknown) => void
}

export interface Knowledge {
  handlers: Pick<
    Handlers,
    | 'knowledge.add'
    | 'knowledge.search'
    | 'knowledge.list'
    | 'knowledge.get'
    | 'knowledge.chunks'
    | 'knowledge.delete'
    | 'knowledge.collections'
    | 'knowledge.create_collection'
    | 'knowledge.delete_collection'
  >
  vectors: VectorIndex
  /** Documents and chunks of a tenant, private ones included. */
  counts(tenant: number): Promise<{ documents: number; chunks: number }>
  /** Resolves when what was deleted is gone from the disk too. */
  settled(): Promise<void>
  close(): Promise<void>
}

const maxMetadataBytes = 64 * 1024
const maxTextLength = 20_000_000
const titleLength = 80
const vectorsPerRead = 1000

/** Also clears away what a crash left half added or half removed. */
export async function makeKnowledge(parts: KnowledgeParts): Promise<Knowledge> {
  const { database, directory, clock, newId, embedder } = parts
  const { dialect } = database
  const vectors = parts.makeIndex(readScope)
  let sweeping: Promise<void> | undefined
  let wanted = false
  let closed = false

  async function* readScope(name: string): AsyncGenerator<VectorRow[]> {
    const separator = name.indexOf(':')
    const tenant = Number(name.slice(0, separator))
    let after = 0
    for (;;) {
      const rows = await readVectors(database, tenant, name.slice(separator + 1), embedder.id, after, vectorsPerRead)
      yield rows.filter(({ usable }) => usable === 1).map(({ id, vector }) => ({ id, vector: toVector(vector) }))
      const last = rows.at(-1)
      if (!last || rows.length < vectorsPerRead) return
      after = last.id
      await new Promise((done) => setImmediate(done))
    }
  }

  function sweep(): void {
    if (closed) return
    wanted = true
    sweeping ??= clear()
  }

  // A removal may commit together with the look that found nothing more to clear: then it is looked for once more.
  async function clear(): Promise<void> {
    try {
      while (wanted && !closed) {
        wanted = false
        while (!closed && (await sweepOnce(database, chunksPerSlice)));
      }
    } catch (cause) {
      parts.report('removed knowledge could not be cleared away; it is tried again at the next removal or start', cause)
    } finally {
      sweeping = undefined
    }
  }

  const viewer = (context: Context) => (context.caller.role === 'agent' ? context.caller.id : undefined)
  const seenBy = (context: Context): Filter => ({ tenant: context.tenant, viewer: viewer(context) })
  const indexName = (row: DocumentRow) => `${row.tenant}:${scopeOf(row.collection, row.private === 1 ? row.owner : null)}`

  const view = (row: DocumentRow): OutputOf<'knowledge.list'>['items'][number] => ({
    id: row.id,
    collection: row.collection,
    title: row.title,
    source: row.source,
    tags: JSON.parse(row.tags),
    private: row.private === 1,
    owner: directory.nameOf(row.owner) ?? 'unknown',
    chunks: row.chunks,
    length: row.length,
    artifact: row.artifact,
    metadata: JSON.parse(row.metadata),
    created_at: iso(row.created_at),
  })

  async function viewCollections(context: Context, rows: readonly CollectionRow[]) {
    const names = rows.map((row) => row.name)
    const counts = new Map(
      (await countByCollection(database, dialect, seenBy(context), names)).map((count) => [count.collection, count]),
    )
    return rows.map(({ name, description, created_at }) => ({
      name,
      description,
      documents: counts.get(name)?.documents ?? 0,
      chunks: counts.get(name)?.chunks ?? 0,
      created_at: iso(created_at),
    }))
  }

  async function ensureCollection(tx: WriteTx, tenant: number, name: string, description: string | null): Promise<boolean> {
    const created = await insertCollection(tx, tenant, { name, description, created_at: clock.now() })
    if (created) tx.emit({ type: 'knowledge.collection_created', subject: name, data: { collection: name } })
    return created
  }

  async function textOf(context: Context, { content, artifact }: ParsedInputOf<'knowledge.add'>): Promise<string> {
    if (content !== undefined) return content
    const text = artifact === undefined ? '' : await parts.readArtifact(context.tenant, artifact)
    if (text.length > 0 && text.length <= maxTextLength) return text
    const detail =
      artifact === undefined
        ? 'Give the text, or the artifact that holds it.'
        : `The artifact must hold 1 to ${maxTextLength} characters.`
    throw new CadreError(
      'invalid_request',
      {},
      { fields: [{ pointer: artifact === undefined ? '/content' : '/artifact', detail }] },
    )
  }

  async function add(context: Context, input: ParsedInputOf<'knowledge.add'>): Promise<OutputOf<'knowledge.add'>> {
    // Half a surrogate pair cannot be stored; its replacement has the same length, so offsets stay true.
    const content = (await textOf(context, input)).toWellFormed()
    const title = (input.title ?? firstLine(content)).toWellFormed()
    const draft: DocumentRow = {
      id: newId('doc'),
      tenant: context.tenant,
      collection: input.collection,
      title,
      source: input.source ?? null,
      tags: JSON.stringify([...new Set(input.tags)]),
      private: input.private ? 1 : 0,
      owner: context.caller.id,
      chunks: 0,
      length: content.length,
      artifact: input.artifact ?? null,
      metadata: serialise(input.metadata ?? {}, 'metadata', maxMetadataBytes),
      embedder: embedder.id,
      state: 'adding',
      created_at: clock.now(),
    }
    const staged = await stage({ database, embedder }, draft, content, context.signal).catch((error: unknown) => {
      sweep()
      throw error
    })
    const { document } = staged
    try {
      const answer = await context.write(async (tx) => {
        await ensureCollection(tx, context.tenant, document.collection, null)
        const rows = await staged.finish(tx)
        tx.afterCommit(() => vectors.add(indexName(document), rows))
        // The log is read by all; the title of a private text is not.
        const data = {
          document_id: document.id,
          collection: document.collection,
          title: input.private ? '' : title,
          chunks: document.chunks,
        }
        tx.emit({ type: 'knowledge.added', subject: document.id, data })
        return view(document)
      })
      // A repeated request is answered from its first time; what was prepared for this one is not needed.
      if (answer.id !== document.id) await giveUp(staged)
      return answer as OutputOf<'knowledge.add'>
    } catch (error) {
      await giveUp(staged)
      throw error
    }
  }

  async function giveUp(staged: Staged): Promise<void> {
    try {
      await staged.abandon()
      sweep()
    } catch (cause) {
      parts.report('knowledge that was not wanted could not be given up; it goes at the next start', cause)
    }
  }

  function toHit(documents: ReadonlyMap<string, DocumentRow>, { chunk, score, text, vector }: Ranked): Hit[] {
    const document = documents.get(chunk.document)
    const passage = passageOf(chunk.start_at, chunk.text)
    if (!document || passage.text === '') return []
    return [
      {
        document_id: document.id,
        collection: document.collection,
        title: document.title,
        source: document.source,
        chunk: chunk.number,
        start: passage.start,
        end: passage.end,
        text: passage.text,
        content: passage.text,
        score,
        parts: { text, vector },
        tags: JSON.parse(document.tags),
        metadata: JSON.parse(document.metadata),
      },
    ]
  }

  async function visible(context: Context, id: string): Promise<DocumentRow> {
    const row = await findDocument(database, dialect, seenBy(context), id)
    if (!row) throw missing(id)
    return row
  }

  const handlers: Knowledge['handlers'] = {
    'knowledge.add': add,

    'knowledge.search': async (context, { query, collection, top_k, tags, agent }) => {
      const owner = agent === undefined ? undefined : directory.agent(context.tenant, agent).id
      const filter = { ...seenBy(context), collection, owner, tags }
      const ranked = await search({ database, embedder, vectors }, filter, query, top_k)
      const rows = await findDocuments(database, dialect, [...new Set(ranked.map(({ chunk }) => chunk.document))])
      const documents = new Map(rows.map((row) => [row.id, row]))
      return { items: ranked.flatMap((each) => toHit(documents, each)), query }
    },

    'knowledge.list': async (context, { collection, limit, cursor }) => {
      const before = decodeCursor(cursor)
      const filter = { ...seenBy(context), collection }
      const rows = await listDocuments(database, dialect, filter, before === undefined ? undefined : String(before), limit + 1)
      return toPage(rows, limit, (row) => row.id, view)
    },

    'knowledge.get': async (context, { id }) => {
      const row = await visible(context, id)
      return { ...view(row), content: await readContent(database, context.tenant, id) }
    },

    'knowledge.chunks': async (context, { id, limit, cursor }) => {
      await visible(context, id)
      const rows = await listChunks(database, context.tenant, id, numberCursor(cursor) ?? -1, limit + 1)
      return toPage(
        rows,
        limit,
        (row) => row.number,
        (row) => ({ chunk: row.number, ...passageOf(row.start_at, row.text) }),
      )
    },

    'knowledge.delete': async (context, { id }) => {
      const answer = await context.write(async (tx) => {
        const row = await findDocument(tx, dialect, seenBy(context), id)
        if (!row) throw missing(id)
        const ids = await chunkIds(tx, context.tenant, id)
        await setDocumentState(tx, id, 'removing')
        tx.afterCommit(() => {
          vectors.remove(indexName(row), ids)
          sweep()
        })
        tx.emit({ type: 'knowledge.removed', subject: id, data: { collection: row.collection, document_id: id } })
        return { id, deleted: true as const }
      })
      return answer as OutputOf<'knowledge.delete'>
    },

    'knowledge.collections': async (context, { limit, cursor }) => {
      const rows = await listCollections(database, context.tenant, collectionAt(cursor), limit + 1)
      const page = toPage(
        rows,
        limit,
        (row) => `${row.created_at}/${row.name}`,
        (row) => row,
      )
      return { items: await viewCollections(context, page.items), next: page.next }
    },

    'knowledge.create_collection': async (context, { name, description }) => {
      const created = await context.write(async (tx) => {
        await ensureCollection(tx, context.tenant, name, description ?? null)
        return { name }
      })
      const row = await findCollection(database, context.tenant, name)
      if (!row) throw new CadreError('not_found', { entity: 'collection', id: name })
      const [view] = await viewCollections(context, [row])
      return { ...(view as NonNullable<typeof view>), receipt: created.receipt }
    },

    'knowledge.delete_collection': async (context, { name }) => {
      const answer = await context.write(async (tx) => {
        if (!(await findCollection(tx, context.tenant, name)))
          throw new CadreError('not_found', { entity: 'collection', id: name })
        if (context.caller.role === 'agent' && (await holdsPrivateOfOthers(tx, context.tenant, name, context.caller.id)))
          throw new CadreError('forbidden', {
            reason: `${name} holds private documents of other agents; an operator may delete it.`,
          })
        const { documents, scopes } = await removeCollection(tx, context.tenant, name)
        tx.afterCommit(() => {
          for (const scope of scopes) vectors.drop(`${context.tenant}:${scope}`)
          sweep()
        })
        tx.emit({ type: 'knowledge.removed', subject: name, data: { collection: name, document_id: null } })
        return { name, deleted: true as const, documents }
      })
      return answer as OutputOf<'knowledge.delete_collection'>
    },
  }

  await database.transaction(abandonUnfinished)
  sweep()

  return {
    handlers,
    vectors,
    counts: (tenant) => countAll(database, tenant),
    async settled() {
      await sweeping
    },
    async close() {
      closed = true
      await sweeping
    },
  }
}

const missing = (id: string) => new CadreError('not_found', { entity: 'document', id })

/** The first line with content, without the marks of a heading; about 80 characters of it. */
function firstLine(content: string): string {
  const line = /\S[^\r\n]{0,500}/.exec(content.slice(0, 10_000))?.[0] ?? ''
  const text = line.replace(/^#+\s*/, '').trim()
  if (text === '') return 'Untitled'
  return text.length <= titleLength
    ? text
    : `${text
        .slice(0, titleLength - 1)
        .toWellFormed()
        .replace(/\ufffd$/, '')}…`
}

function collectionAt(cursor: string | undefined): CollectionRow | undefined {
  const key = decodeCursor(cursor)
  if (key === undefined) return undefined
  const parts = /^(\d+)\/([\w.-]+)$/.exec(String(key))
  if (parts) return { created_at: Number(parts[1]), name: parts[2] as string, description: null }
  throw new CadreError(
    'invalid_request',
    {},
    { fields: [{ pointer: '/cursor', detail: 'Pass the `next` of an earlier page unchanged.' }] },
  )
}
