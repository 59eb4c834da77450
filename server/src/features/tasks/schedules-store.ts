import type { CatchUp } from '@cadre/contract'
import type { Reader, Tx } from '../../drivers/database/port.ts'
import { sql } from '../../drivers/database/sql.ts'

export interface ScheduleRow {
  tenant: number
  id: string
  name: string
  cron: string
  zone: string
  kind: 'task' | 'graph'
  /** What each firing makes, as JSON. */
  body: string
  catch_up: CatchUp
  enabled: number
  next_at: number | null
  last_at: number | null
  fired: number
  last_made: string | null
  last_error: string | null
  created_by: number
  created_at: number
  updated_at: number
}

const columns = [
  'tenant',
  'id',
  'name',
  'cron',
  'zone',
  'kind',
  'body',
  'catch_up',
  'enabled',
  'next_at',
  'last_at',
  'fired',
  'last_made',
  'last_error',
  'created_by',
  'created_at',
  'updated_at',
] as const satisfies readonly (keyof ScheduleRow)[]
const mutable = columns.filter((column) => !['tenant', 'id', 'created_by', 'created_at'].includes(column))
const insertText = `insert into schedules (${columns.join(', ')}) values (${columns.map(() => '?').join(', ')})`
const updateText = `update schedules set ${mutable.map((column) => `${column} = ?`).join(', ')} where tenant = ? and id = ?`

export const insertSchedule = (tx: Tx, row: ScheduleRow): Promise<number> =>
  tx.run({ text: insertText, values: columns.map((column) => row[column]) })

/** Only by who owns its next time: false when another fired or changed it first. */
export const saveSchedule = async (tx: Tx, before: ScheduleRow, after: ScheduleRow): Promise<boolean> => {
  const values = [...mutable.map((column) => after[column]), before.tenant, before.id]
  const [text, own] =
    before.next_at === null ? [`${updateText} and next_at is null`, []] : [`${updateText} and next_at = ?`, [before.next_at]]
  return (await tx.run({ text, values: [...values, ...own] })) === 1
}

export const deleteSchedule = (tx: Tx, tenant: number, id: string): Promise<number> =>
  tx.run(sql`delete from schedules where tenant = ${tenant} and id = ${id}`)

export const getSchedule = (reader: Reader, tenant: number, id: string): Promise<ScheduleRow | undefined> =>
  reader.get<ScheduleRow>(sql`select * from schedules where tenant = ${tenant} and id = ${id}`)

export const countSchedules = async (reader: Reader, tenant: number): Promise<number> =>
  (await reader.get<{ count: number }>(sql`select count(*) as count from schedules where tenant = ${tenant}`))?.count ?? 0

export const listSchedules = (
  reader: Reader,
  tenant: number,
  enabled: boolean | undefined,
  before: string | undefined,
  limit: number,
): Promise<ScheduleRow[]> =>
  reader.all<ScheduleRow>(
    sql`select * from schedules ${sql.where([
      sql`tenant = ${tenant}`,
      enabled === undefined ? undefined : sql`enabled = ${enabled}`,
      before === undefined ? undefined : sql`id < ${before}`,
    ])} order by id desc limit ${limit}`,
  )

export const dueSchedules = (reader: Reader, now: number, limit: number): Promise<ScheduleRow[]> =>
  reader.all<ScheduleRow>(sql`select * from schedules where enabled = 1 and next_at is not null and next_at <= ${now}
    order by next_at limit ${limit}`)
