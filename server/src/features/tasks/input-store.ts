/** What tasks ask for, as it is stored. */
import type { Database, Reader, Tx } from '../../drivers/database/port.ts'
import { sql } from '../../drivers/database/sql.ts'

export interface InputRow {
  tenant: number
  id: string
  task: string
  key: string
  kind: 'input' | 'approval' | 'outcome'
  state: 'open' | 'answered' | 'withdrawn'
  prompt: string
  schema: string | null
  action: string | null
  args: string
  step: string | null
  asked_by: number
  asked_at: number
  answer: string
  approved: number | null
  comment: string | null
  answered_by: number | null
  answered_at: number | null
  told: number
}
/** With what its task says of itself. */
export type TitledInput = InputRow & { title: string; creator: number }

const titled = sql.raw('select i.*, t.title, t.creator from task_inputs i join tasks t on t.tenant = i.tenant and t.id = i.task')

export const getInput = (reader: Reader, tenant: number, id: string): Promise<TitledInput | undefined> =>
  reader.get<TitledInput>(sql`${titled} where i.tenant = ${tenant} and i.id = ${id}`)

export const inputUnder = (reader: Reader, tenant: number, task: string, key: string): Promise<TitledInput | undefined> =>
  reader.get<TitledInput>(sql`${titled} where i.tenant = ${tenant} and i.task = ${task} and i.key = ${key}`)

/** A task waits for one answer at a time. */
export const openInput = (reader: Reader, tenant: number, task: string): Promise<TitledInput | undefined> =>
  reader.get<TitledInput>(sql`${titled} where i.tenant = ${tenant} and i.task = ${task} and i.state = 'open' limit 1`)

export async function saveInput(tx: Tx, row: InputRow): Promise<void> {
  await tx.run(sql`insert into task_inputs (tenant, id, task, key, kind, state, prompt, schema, action, args, step, asked_by, asked_at,
      answer, approved, comment, answered_by, answered_at, told)
    values (${row.tenant}, ${row.id}, ${row.task}, ${row.key}, ${row.kind}, ${row.state}, ${row.prompt}, ${row.schema}, ${row.action},
      ${row.args}, ${row.step}, ${row.asked_by}, ${row.asked_at}, ${row.answer}, ${row.approved}, ${row.comment}, ${row.answered_by},
      ${row.answered_at}, ${row.told})
    on conflict (tenant, id) do update set state = excluded.state, answer = excluded.answer, approved = excluded.approved,
      comment = excluded.comment, answered_by = excluded.answered_by, answered_at = excluded.answered_at, told = excluded.told`)
}

/** The task ended: nobody needs the answer any more. */
export async function withdrawInputs(tx: Tx, tenant: number, task: string): Promise<void> {
  await tx.run(sql`update task_inputs set state = 'withdrawn' where tenant = ${tenant} and task = ${task} and state = 'open'`)
}

export const untoldInputs = (reader: Reader, limit: number): Promise<TitledInput[]> =>
  reader.all<TitledInput>(sql`${titled} where i.told = 0 order by i.tenant, i.id limit ${limit}`)

export async function markTold(tx: Tx, tenant: number, id: string): Promise<void> {
  await tx.run(sql`update task_inputs set told = 1 where tenant = ${tenant} and id = ${id}`)
}

export interface InputFilter {
  tenant: number
  kind?: string | undefined
  state?: string | undefined
  task?: string | undefined
  before?: string | undefined
}

/** Newest first. */
export const listInputs = (database: Database, filter: InputFilter, limit: number): Promise<TitledInput[]> =>
  database.all<TitledInput>(
    sql`${titled} ${sql.where([
      sql`i.tenant = ${filter.tenant}`,
      filter.kind === undefined ? undefined : sql`i.kind = ${filter.kind}`,
      // Written out, so that the index of open ones is seen to fit.
      filter.state === 'open' ? sql`i.state = 'open'` : filter.state === undefined ? undefined : sql`i.state = ${filter.state}`,
      filter.task === undefined ? undefined : sql`i.task = ${filter.task}`,
      filter.before === undefined ? undefined : sql`i.id < ${filter.before}`,
    ])} order by i.id desc limit ${limit}`,
  )
