/** Knowledge in SQL: collections, documents, and chunks with their full-text rows and vectors. */
import type { Database, Dialect, Reader, Tx } from '../../drivers/database/port.ts'
import { type Sql, sql } from '../../drivers/database/sql.ts'

export interface CollectionRow {
  name: string
  description: string | null
  created_at: number
}

export interface DocumentRow {
  id: string
  tenant: number
  collection: string
  title: string
  source: string | null
  /** JSON. */
  tags: string
  private: number
  owner: number
  chunks: number
  length: number
  artifact: string | null
  /** JSON. */
  metadata: string
  /** Who made the vectors of its chunks. */
  embedder: string
  state: 'adding' | 'ready' | 'removing'
  created_at: number
}

export interface ChunkRow {
  number: number
  start: number
  text: string
  /** What full text indexes: the title stands with every chunk. */
  indexed: string
  vector: Uint8Array
}

/** Whose documents are meant: what this principal may see (everything, when undefined), narrowed further. */
export interface Filter {
  tenant: number
  viewer: number | undefined
  collection?: string | undefined
  owner?: number | undefined
  tags?: readonly string[] | undefined
}

const index = 'chunks_text'
const columns = sql.raw(
  'id, tenant, collection, title, source, tags, private, owner, chunks, length, artifact, metadata, embedder, state, created_at',
)

/** Chunks that are searched together: the shared ones of a collection, or the private ones of one owner in it. */
export const scopeOf = (collection: string, owner: number | null): string =>
  owner === null ? collection : `${collection}/${owner}`

const conditionsOf = (dialect: Dialect, { tenant, viewer, collection, owner, tags = [] }: Filter): (Sql | undefined)[] => [
  sql`documents.tenant = ${tenant}`,
  sql`documents.state = 'ready'`,
  viewer === undefined ? undefined : sql`(documents.private = 0 or documents.owner = ${viewer})`,
  collection === undefined ? undefined : sql`documents.collection = ${collection}`,
  owner === undefined ? undefined : sql`documents.owner = ${owner}`,
  ...tags.map((tag) => dialect.jsonArrayHas('documents.tags', tag)),
]

// ------------------------------------------------------------------------------------------------------------------ documents

export async function insertDocument(tx: Tx, row: DocumentRow): Promise<void> {
  await tx.run(sql`insert into documents (${columns}) values (${row.id}, ${row.tenant}, ${row.collection}, ${row.title}, ${row.source},
    ${row.tags}, ${row.private}, ${row.owner}, ${row.chunks}, ${row.length}, ${row.artifact}, ${row.metadata}, ${row.embedder},
    ${row.state}, ${row.created_at})`)
}

export async function setDocumentState(tx: Tx, id: string, state: DocumentRow['state']): Promise<void> {
  await tx.run(sql`update documents set state = ${state} where id = ${id}`)
}

/** Shows a document whose chunks were written ahead. */
export async function showDocument(tx: Tx, row: DocumentRow): Promise<void> {
  await tx.run(sql`update documents set state = 'ready', chunks = ${row.chunks} where id = ${row.id}`)
}

/** Answers the ids it gave, in order. */
export async function insertChunks(
  tx: Tx,
  dialect: Dialect,
  document: DocumentRow,
  chunks: readonly ChunkRow[],
): Promise<number[]> {
  const highest = await tx.get<{ id: number | null }>(sql`select max(id) as id from chunks`)
  const first = (highest?.id ?? 0) + 1
  const scope = scopeOf(document.collection, document.private === 1 ? document.owner : null)
  await tx.runMany(
    'insert into chunks (id, tenant, document, scope, number, start_at, text, vector) values (?, ?, ?, ?, ?, ?, ?, ?)',
    chunks.map((row, at) => [first + at, document.tenant, document.id, scope, row.number, row.start, row.text, row.vector]),
  )
  for (const [at, row] of chunks.entries()) await tx.run(dialect.fullTextAdd(index, first + at, row.indexed))
  return chunks.map((_, at) => first + at)
}

export function findDocument(reader: Reader, dialect: Dialect, filter: Filter, id: string): Promise<DocumentRow | undefined> {
  return reader.get<DocumentRow>(
    sql`select ${columns} from documents ${sql.where([...conditionsOf(dialect, filter), sql`documents.id = ${id}`])}`,
  )
}

export function findDocuments(reader: Reader, dialect: Dialect, ids: readonly string[]): Promise<DocumentRow[]> {
  return reader.all<DocumentRow>(sql`select ${columns} from documents where id in ${dialect.values(JSON.stringify(ids))}`)
}

/** Newest first. */
export function listDocuments(reader: Reader, dialect: Dialect, filter: Filter, before: string | undefined, limit: number) {
  const conditions = [...conditionsOf(dialect, filter), before === undefined ? undefined : sql`documents.id < ${before}`]
  return reader.all<DocumentRow>(sql`select ${columns} from documents ${sql.where(conditions)} order by id desc limit ${limit}`)
}

export async function readContent(reader: Reader, tenant: number, id: string): Promise<string> {
  const rows = await reader.all<{ text: string }>(
    sql`select text from chunks where tenant = ${tenant} and document = ${id} order by number`,
  )
  return rows.map((row) => row.text).join('')
}

export const listChunks = (reader: Reader, tenant: number, document: string, after: number, limit: number) =>
  reader.all<{ number: number; start_at: number; text: string }>(sql`select number, start_at, text from chunks
    where tenant = ${tenant} and document = ${document} and number > ${after} order by number limit ${limit}`)

export async function chunkIds(reader: Reader, tenant: number, document: string): Promise<number[]> {
  const rows = await reader.all<{ id: number }>(sql`select id from chunks where tenant = ${tenant} and document = ${document}`)
  return rows.map((row) => row.id)
}

// ---------------------------------------------------------------------------------------------------------------- collections

export async function insertCollection(tx: Tx, tenant: number, row: CollectionRow): Promise<boolean> {
  const inserted = await tx.run(sql`insert into collections (tenant, name, description, created_at)
    values (${tenant}, ${row.name}, ${row.description}, ${row.created_at}) on conflict (tenant, name) do nothing`)
  return inserted === 1
}

export function findCollection(reader: Reader, tenant: number, name: string): Promise<CollectionRow | undefined> {
  return reader.get<CollectionRow>(
    sql`select name, description, created_at from collections where tenant = ${tenant} and name = ${name}`,
  )
}

/** Newest first. */
export function listCollections(reader: Reader, tenant: number, before: CollectionRow | undefined, limit: number) {
  const conditions = [
    sql`tenant = ${tenant}`,
    before && sql`(created_at < ${before.created_at} or (created_at = ${before.created_at} and name > ${before.name}))`,
  ]
  return reader.all<CollectionRow>(sql`select name, description, created_at from collections ${sql.where(conditions)}
    order by created_at desc, name limit ${limit}`)
}

export interface Count {
  collection: string
  documents: number
  chunks: number
}

export function countByCollection(reader: Reader, dialect: Dialect, filter: Filter, names: readonly string[]): Promise<Count[]> {
  const conditions = [...conditionsOf(dialect, filter), sql`documents.collection in ${dialect.values(JSON.stringify(names))}`]
  return reader.all<Count>(sql`select collection, count(*) as documents, sum(chunks) as chunks from documents
    ${sql.where(conditions)} group by collection`)
}

export async function countAll(reader: Reader, tenant: number): Promise<{ documents: number; chunks: number }> {
  const row = await reader.get<{
    documents: number
    chunks: number | null
  }>(sql`select count(*) as documents, sum(chunks) as chunks
    from documents where tenant = ${tenant} and state = 'ready'`)
  return { documents: row?.documents ?? 0, chunks: row?.chunks ?? 0 }
}

/** Hides a collection and its documents; the chunks go later. Answers the scopes that were in it. */
export async function removeCollection(tx: Tx, tenant: number, name: string): Promise<{ documents: number; scopes: string[] }> {
  const owners = await tx.all<{ owner: number | null }>(sql`select distinct case when private = 1 then owner end as owner
    from documents where tenant = ${tenant} and collection = ${name}`)
  const documents = await tx.run(sql`update documents set state = 'removing'
    where tenant = ${tenant} and collection = ${name} and state = 'ready'`)
  await tx.run(sql`delete from collections where tenant = ${tenant} and name = ${name}`)
  return { documents, scopes: owners.map(({ owner }) => scopeOf(name, owner)) }
}

export function holdsPrivateOfOthers(reader: Reader, tenant: number, name: string, owner: number) {
  return reader.get<{ id: string }>(sql`select id from documents
    where tenant = ${tenant} and collection = ${name} and private = 1 and owner <> ${owner} and state = 'ready' limit 1`)
}

// --------------------------------------------------------------------------------------------------------------------- search

/** The scopes that hold what the filter lets through. */
export async function listScopes(reader: Reader, { tenant, viewer, collection, owner }: Filter): Promise<string[]> {
  const conditions = [
    sql`tenant = ${tenant}`,
    viewer === undefined ? undefined : sql`(private = 0 or owner = ${viewer})`,
    collection === undefined ? undefined : sql`collection = ${collection}`,
    owner === undefined ? undefined : sql`owner = ${owner}`,
  ]
  const rows = await reader.all<{ collection: string; owner: number | null }>(sql`select distinct collection,
    case when private = 1 then owner end as owner from documents ${sql.where(conditions)}`)
  return rows.map((row) => scopeOf(row.collection, row.owner))
}

export interface TextHit {
  id: number
  score: number
}

/**
 * The chunks that hold any of the words, best first. The best of the whole index are filtered; only when too few remain are all that
 * match. Joining every match reads a page for each: over 8,656 chunks the slowest hundredth of questions took 46 ms, and takes 17 this way.
 */
export async function searchText(
  reader: Reader,
  dialect: Dialect,
  filter: Filter,
  words: readonly string[],
  limit: number,
): Promise<TextHit[]> {
  const matches = dialect.fullText(index, words)
  const most = 4 * limit
  const best = await reader.all<TextHit>(
    sql`select chunk_id as id, score from ${matches} as found order by score desc, chunk_id limit ${most}`,
  )
  const allowed = new Set(await filterChunks(reader, dialect, filter, best))
  const kept = best.filter(({ id }) => allowed.has(id))
  if (best.length < most || kept.length >= limit) return kept.slice(0, limit)
  return reader.all<TextHit>(sql`select chunks.id as id, found.score as score from ${matches} as found
    join chunks on chunks.id = found.chunk_id join documents on documents.id = chunks.document
    ${sql.where(conditionsOf(dialect, filter))} order by found.score desc, chunks.id limit ${limit}`)
}

async function filterChunks(reader: Reader, dialect: Dialect, filter: Filter, hits: readonly TextHit[]): Promise<number[]> {
  const ids = dialect.values(JSON.stringify(hits.map(({ id }) => id)))
  const rows = await reader.all<{
    id: number
  }>(sql`select chunks.id as id from chunks join documents on documents.id = chunks.document
    ${sql.where([...conditionsOf(dialect, filter), sql`chunks.id in ${ids}`])}`)
  return rows.map(({ id }) => id)
}

/** Ids of all chunks that the filter lets through. */
export async function chunksWithin(reader: Reader, dialect: Dialect, filter: Filter): Promise<Set<number>> {
  const rows = await reader.all<{ id: number }>(sql`select chunks.id as id from documents
    join chunks on chunks.tenant = documents.tenant and chunks.document = documents.id
    ${sql.where(conditionsOf(dialect, filter))}`)
  return new Set(rows.map((row) => row.id))
}

export interface FoundChunk {
  id: number
  document: string
  number: number
  start_at: number
  text: string
  vector: Uint8Array
  embedder: string
}

/** The named chunks, as far as they are there and the filter lets them through. */
export function readChunks(reader: Reader, dialect: Dialect, filter: Filter, ids: readonly number[]): Promise<FoundChunk[]> {
  const conditions = [...conditionsOf(dialect, filter), sql`chunks.id in ${dialect.values(JSON.stringify(ids))}`]
  return reader.all<FoundChunk>(sql`select chunks.id as id, chunks.document as document, chunks.number as number,
    chunks.start_at as start_at, chunks.text as text, chunks.vector as vector, documents.embedder as embedder
    from chunks join documents on documents.id = chunks.document ${sql.where(conditions)}`)
}

/** The vectors of a scope in the order of their ids. */
export function readVectors(reader: Reader, tenant: number, scope: string, embedder: string, after: number, limit: number) {
  return reader.all<{ id: number; vector: Uint8Array; usable: number }>(sql`select chunks.id as id, chunks.vector as vector,
    (documents.state = 'ready' and documents.embedder = ${embedder}) as usable
    from chunks join documents on documents.id = chunks.document
    where chunks.tenant = ${tenant} and chunks.scope = ${scope} and chunks.id > ${after} order by chunks.id limit ${limit}`)
}

// -------------------------------------------------------------------------------------------------------------------- sweeping

/** What a crash left half added goes. */
export async function abandonUnfinished(tx: Tx): Promise<void> {
  await tx.run(sql`update documents set state = 'removing' where state = 'adding'`)
}

/** Removes up to `limit` chunks of a document that is being removed, then the document. False when none is left. */
export async function sweepOnce(database: Database, limit: number): Promise<boolean> {
  return database.transaction(async (tx) => {
    const document = await tx.get<{ id: string; tenant: number }>(
      sql`select id, tenant from documents where state <> 'ready' and state = 'removing' limit 1`,
    )
    if (!document) return false
    const rows = await tx.all<{ id: number }>(sql`select id from chunks
      where tenant = ${document.tenant} and document = ${document.id} order by number limit ${limit}`)
    for (const { id } of rows) await tx.run(database.dialect.fullTextRemove(index, id))
    await tx.runMany(
      'delete from chunks where id = ?',
      rows.map(({ id }) => [id]),
    )
    if (rows.length < limit) await tx.run(sql`delete from documents where id = ${document.id}`)
    return true
  })
}
