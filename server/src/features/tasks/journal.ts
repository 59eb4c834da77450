/** Steps of tasks as they are stored. */
import type { Reader, Tx } from '../../drivers/database/port.ts'
import { sql } from '../../drivers/database/sql.ts'

export interface StepRow {
  tenant: number
  task: string
  name: string
  /** From 1, in the order in which they began first. */
  position: number
  state: 'begun' | 'finished' | 'void'
  effect: 'repeat' | 'once'
  /** The lease it began under last. */
  token: number
  attempt: number
  agent: number
  input_hash: string | null
  /** JSON; `null` where an artifact holds it. */
  result: string
  /** Bytes of the result. */
  size: number
  artifact: string | null
  begun_at: number
  finished_at: number | null
}

export const getStep = (reader: Reader, tenant: number, task: string, name: string): Promise<StepRow | undefined> =>
  reader.get<StepRow>(sql`select * from task_steps where tenant = ${tenant} and task = ${task} and name = ${name}`)

/** 0 when the task has no steps. */
export async function lastPosition(reader: Reader, tenant: number, task: string): Promise<number> {
  const last = await reader.get<{ position: number }>(
    sql`select position from task_steps where tenant = ${tenant} and task = ${task} order by position desc limit 1`,
  )
  return last?.position ?? 0
}

export async function saveStep(tx: Tx, row: StepRow): Promise<void> {
  await tx.run(sql`insert into task_steps (tenant, task, name, position, state, effect, token, attempt, agent, input_hash, result, size,
      artifact, begun_at, finished_at)
    values (${row.tenant}, ${row.task}, ${row.name}, ${row.position}, ${row.state}, ${row.effect}, ${row.token}, ${row.attempt},
      ${row.agent}, ${row.input_hash}, ${row.result}, ${row.size}, ${row.artifact}, ${row.begun_at}, ${row.finished_at})
    on conflict (tenant, task, name) do update set state = excluded.state, effect = excluded.effect, token = excluded.token,
      attempt = excluded.attempt, agent = excluded.agent, input_hash = excluded.input_hash, result = excluded.result,
      size = excluded.size, artifact = excluded.artifact, begun_at = excluded.begun_at, finished_at = excluded.finished_at`)
}

/** In the order in which they began first. */
export const listSteps = (reader: Reader, tenant: number, task: string, after: number, limit: number): Promise<StepRow[]> =>
  reader.all<StepRow>(sql`select * from task_steps
    where tenant = ${tenant} and task = ${task} and position > ${after} order by position limit ${limit}`)
