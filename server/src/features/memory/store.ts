/** Shared memory in SQL: one row a key, one row a version. A deleted key keeps its row, so that versions never repeat. */
import type { Dialect, Reader, Tx } from '../../drivers/database/port.ts'
import { sql } from '../../drivers/database/sql.ts'

export interface MemoryRow {
  tenant: number
  key: string
  id: string
  version: number
  /** JSON. */
  value: string
  description: string | null
  deleted: number
  created_by: number
  updated_by: number
  task: string | null
  /** JSON arrays of principals; null means everyone. */
  readers: string | null
  writers: string | null
  metadata: string
  created_at: number
  updated_at: number
  expires_at: number | null
}

export type VersionRow = Pick<MemoryRow, 'key' | 'version' | 'value' | 'deleted' | 'updated_by' | 'task' | 'updated_at'>

const columns = sql.raw(
  'tenant, key, id, version, value, deleted, created_by, updated_by, task, readers, writers, metadata, created_at, updated_at, expires_at, description',
)
const versionColumns = sql.raw('key, version, value, deleted, updated_by, task, updated_at')

export function findMemory(reader: Reader, tenant: number, key: string): Promise<MemoryRow | undefined> {
  return reader.get<MemoryRow>(sql`select ${columns} from memory where tenant = ${tenant} and key = ${key}`)
}

/** Writes the row as it now is together with its version, and forgets versions older than `keep`. */
export async function saveMemory(tx: Tx, row: MemoryRow, keep: number): Promise<void> {
  await tx.run(sql`insert into memory (${columns})
    values (${row.tenant}, ${row.key}, ${row.id}, ${row.version}, ${row.value}, ${row.deleted}, ${row.created_by}, ${row.updated_by},
      ${row.task}, ${row.readers}, ${row.writers}, ${row.metadata}, ${row.created_at}, ${row.updated_at}, ${row.expires_at}, ${row.description})
    on conflict (tenant, key) do update set id = excluded.id, version = excluded.version, value = excluded.value,
      deleted = excluded.deleted, created_by = excluded.created_by, updated_by = excluded.updated_by, task = excluded.task,
      readers = excluded.readers, writers = excluded.writers, metadata = excluded.metadata, created_at = excluded.created_at,
      updated_at = excluded.updated_at, expires_at = excluded.expires_at, description = excluded.description`)
  await tx.run(sql`insert into memory_versions (tenant, ${versionColumns})
    values (${row.tenant}, ${row.key}, ${row.version}, ${row.value}, ${row.deleted}, ${row.updated_by}, ${row.task}, ${row.updated_at})`)
  if (row.version > keep)
    await tx.run(
      sql`delete from memory_versions where tenant = ${row.tenant} and key = ${row.key} and version <= ${row.version - keep}`,
    )
}

export interface ListQuery {
  tenant: number
  prefix: string | undefined
  /** Id of the last entry of the page before. */
  before: string | undefined
  /** Only what this principal may read; undefined for everything. */
  reader: number | undefined
  now: number
  limit: number
}

// Sorts after every text that begins with the same letters.
const last = '\u{10ffff}'

export interface Sized {
  /** What a cursor names. */
  at: string | number
  /** Characters of the value. */
  size: number
}

export interface Named extends Sized {
  at: string
  key: string
  description: string | null
}

/** Ids of the keys that exist, the newest first. Values can be large, so they are read only once it is known how many fit a page. */
export function listMemory(reader: Reader, dialect: Dialect, query: ListQuery): Promise<Named[]> {
  const { tenant, prefix, before, now } = query
  const conditions = [
    sql`tenant = ${tenant}`,
    sql`deleted = 0`,
    sql`(expires_at is null or expires_at > ${now})`,
    prefix ? sql`key >= ${prefix} and key < ${prefix + last}` : undefined,
    before === undefined ? undefined : sql`id < ${before}`,
    query.reader === undefined
      ? undefined
      : sql`(readers is null or created_by = ${query.reader} or ${dialect.jsonArrayHas('readers', query.reader)})`,
  ]
  return reader.all<Named>(
    sql`select id as at, length(value) as size, key, description from memory ${sql.where(conditions)} order by id desc limit ${query.limit}`,
  )
}

export function readMemory(
  reader: Reader,
  dialect: Dialect,
  tenant: number,
  ids: readonly (string | number)[],
): Promise<MemoryRow[]> {
  return reader.all<MemoryRow>(sql`select ${columns} from memory
    where tenant = ${tenant} and id in ${dialect.values(JSON.stringify(ids))} order by id desc`)
}

export function findVersion(reader: Reader, tenant: number, key: string, version: number): Promise<VersionRow | undefined> {
  return reader.get<VersionRow>(sql`select ${versionColumns} from memory_versions
    where tenant = ${tenant} and key = ${key} and version = ${version}`)
}

/** Versions of a key, newest first, with their sizes. */
export function listVersions(
  reader: Reader,
  tenant: number,
  key: string,
  before: number | undefined,
  limit: number,
): Promise<Sized[]> {
  const conditions = [sql`tenant = ${tenant}`, sql`key = ${key}`, before === undefined ? undefined : sql`version < ${before}`]
  return reader.all<Sized>(
    sql`select version as at, length(value) as size from memory_versions ${sql.where(conditions)} order by version desc limit ${limit}`,
  )
}

export function readVersions(
  reader: Reader,
  dialect: Dialect,
  tenant: number,
  key: string,
  versions: readonly (string | number)[],
) {
  return reader.all<VersionRow>(sql`select ${versionColumns} from memory_versions
    where tenant = ${tenant} and key = ${key} and version in ${dialect.values(JSON.stringify(versions))} order by version desc`)
}

/** Keys whose time is over, the longest first. */
export function findExpired(reader: Reader, tenant: number, now: number, limit: number): Promise<{ key: string }[]> {
  return reader.all<{ key: string }>(sql`select key from memory
    where expires_at is not null and expires_at <= ${now} and tenant = ${tenant} order by expires_at limit ${limit}`)
}

export async function countMemory(reader: Reader, tenant: number, now: number): Promise<number> {
  const row = await reader.get<{ n: number }>(sql`select count(*) as n from memory
    where tenant = ${tenant} and deleted = 0 and (expires_at is null or expires_at > ${now})`)
  return row?.n ?? 0
}
