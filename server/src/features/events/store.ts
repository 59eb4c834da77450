/** The log and the places of its groups in SQL. */
import { boundedRows } from '../../core/paging.ts'
import type { Database, Reader, Tx } from '../../drivers/database/port.ts'
import { sql } from '../../drivers/database/sql.ts'

export interface LogRow {
  seq: number
  tenant: number
  type: string
  schema_version: number
  at: number
  actor: number
  subject: string | null
  trace: string | null
  body: string
  kind: string | null
  meta: string | null
}

/**
 * Positions that one statement walks at most. The types of most topics stand far apart in the log, and an index over types would cost
 * every message a write: so a reader walks, in steps of about 4 ms (500,000 entries in 110 ms) between which others have their turn.
 */
const span = 20_000
const enoughChars = 2 * 1024 * 1024

export interface LogQuery {
  tenant: number
  after: number
  upTo: number
  /** Undefined: all. */
  types: readonly string[] | undefined
  limit: number
}

/** Whole rows, oldest first, and the position through which nothing of the kind was left out. */
export async function readLog(database: Database, query: LogQuery): Promise<{ rows: LogRow[]; through: number }> {
  const { tenant, upTo, types, limit } = query
  const rows: LogRow[] = []
  let { after } = query
  let chars = 0
  if (types?.length === 0) return { rows, through: Math.max(after, upTo) }
  while (after < upTo) {
    const end = types === undefined ? upTo : Math.min(upTo, after + span)
    const part = await boundedRows<LogRow>(
      limit - rows.length,
      (last, count) =>
        database.all<LogRow>(
          sql`select * from log ${sql.where([
            sql`seq > ${last?.seq ?? after}`,
            sql`seq <= ${end}`,
            sql`tenant = ${tenant}`,
            types === undefined ? undefined : sql`type in ${database.dialect.values(JSON.stringify(types))}`,
          ])} order by seq limit ${count}`,
        ),
      sizeOf,
    )
    rows.push(...part.rows)
    after = part.more ? (part.rows.at(-1)?.seq ?? end) : end
    for (const row of part.rows) chars += sizeOf(row)
    if (part.more || rows.length === limit || chars > enoughChars) return { rows, through: after }
    if (after < upTo) await nextTurn()
  }
  return { rows, through: after }
}

const sizeOf = (row: LogRow) => row.body.length + (row.meta?.length ?? 0)

/** Entries by type in a part of the log. */
export async function countLog(database: Database, tenant: number, after: number, upTo: number): Promise<Map<string, number>> {
  const counts = new Map<string, number>()
  for (let start = after; start < upTo; start += span) {
    if (start > after) await nextTurn()
    const rows = await database.all<{ type: string; count: number }>(
      sql`select type, count(*) as count from log where seq > ${start} and seq <= ${Math.min(upTo, start + span)} and tenant = ${tenant} group by type`,
    )
    for (const { type, count } of rows) counts.set(type, (counts.get(type) ?? 0) + count)
  }
  return counts
}

/** The newest position of each type in a part of the log; `enough` ends the walk back. */
export async function newestOf(
  database: Database,
  tenant: number,
  upTo: number,
  enough: (found: ReadonlyMap<string, number>) => boolean,
): Promise<Map<string, number>> {
  const newest = new Map<string, number>()
  for (let end = upTo; end > 0 && !enough(newest); end -= span) {
    if (end < upTo) await nextTurn()
    const rows = await database.all<{ type: string; seq: number }>(
      sql`select type, max(seq) as seq from log where seq > ${end - span} and seq <= ${end} and tenant = ${tenant} group by type`,
    )
    for (const { type, seq } of rows) if (!newest.has(type)) newest.set(type, seq)
  }
  return newest
}

/** Position of the last entry before a time; entries are in the order of their times as long as the machine's clock was. */
export async function positionAt(reader: Reader, head: number, time: number): Promise<number> {
  let [low, high] = [0, head]
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    // Positions may be missing: the nearest one below stands for them.
    const row = await reader.get<{ seq: number; at: number }>(
      sql`select seq, at from log where seq <= ${middle} and seq > ${low} order by seq desc limit 1`,
    )
    if (!row) low = middle
    else if (row.at < time) low = middle
    else high = row.seq - 1
  }
  return low
}

const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve))

export interface GroupRow {
  tenant: number
  name: string
  id: string
  /** JSON array of names. */
  topics: string
  generation: number
  created_by: number
  created_at: number
}

export interface CursorRow {
  group_id: string
  topic: string
  partition_number: number
  seq: number
}

export async function loadGroups(reader: Reader): Promise<{ groups: GroupRow[]; cursors: CursorRow[] }> {
  return {
    groups: await reader.all<GroupRow>(sql`select * from consumer_groups order by tenant, name`),
    cursors: await reader.all<CursorRow>(sql`select group_id, topic, partition_number, seq from consumer_cursors`),
  }
}

/** False when the name is taken. */
export async function insertGroup(tx: Tx, row: GroupRow): Promise<boolean> {
  return (
    (await tx.run(sql`insert into consumer_groups (tenant, name, id, topics, generation, created_by, created_at)
      values (${row.tenant}, ${row.name}, ${row.id}, ${row.topics}, ${row.generation}, ${row.created_by}, ${row.created_at})
      on conflict do nothing`)) === 1
  )
}

interface Cursor {
  topic: string
  partition: number
  seq: number
}

export async function setCursors(tx: Tx, tenant: number, group: string, cursors: readonly Cursor[]): Promise<void> {
  await tx.runMany(
    `insert into consumer_cursors (tenant, group_id, topic, partition_number, seq) values (?, ?, ?, ?, ?)
     on conflict (tenant, group_id, topic, partition_number) do update set seq = excluded.seq`,
    cursors.map(({ topic, partition, seq }) => [tenant, group, topic, partition, seq]),
  )
}

/** Only forwards. */
export async function advanceCursors(tx: Tx, tenant: number, group: string, cursors: readonly Cursor[]): Promise<void> {
  await tx.runMany(
    'update consumer_cursors set seq = ? where tenant = ? and group_id = ? and topic = ? and partition_number = ? and seq < ?',
    cursors.map(({ topic, partition, seq }) => [seq, tenant, group, topic, partition, seq]),
  )
}

/** Is that still the group, at the place it was read from? */
export async function isCurrent(tx: Tx, tenant: number, id: string, generation: number): Promise<boolean> {
  const row = await tx.get(
    sql`select id from consumer_groups where tenant = ${tenant} and id = ${id} and generation = ${generation}`,
  )
  return row !== undefined
}

export async function nextGeneration(tx: Tx, tenant: number, id: string): Promise<boolean> {
  return (await tx.run(sql`update consumer_groups set generation = generation + 1 where tenant = ${tenant} and id = ${id}`)) === 1
}

export async function removeGroup(tx: Tx, tenant: number, id: string): Promise<boolean> {
  await tx.run(sql`delete from consumer_cursors where tenant = ${tenant} and group_id = ${id}`)
  return (await tx.run(sql`delete from consumer_groups where tenant = ${tenant} and id = ${id}`)) === 1
}
