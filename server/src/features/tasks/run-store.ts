import type { FailurePolicy, RunState } from '@cadre/contract'
import type { WriteTx } from '../../core/context.ts'
import type { Database, Reader, Tx } from '../../drivers/database/port.ts'
import { type Sql, sql } from '../../drivers/database/sql.ts'
import type { TaskRow } from './store.ts'

export interface RunRow {
  tenant: number
  id: string
  name: string
  creator: number
  /** The task its tasks are children of. */
  parent: string | null
  schedule: string | null
  on_failure: FailurePolicy
  state: RunState
  deadline: number | null
  total: number
  open: number
  completed: number
  /** Failed and rejected. */
  failed: number
  cancelled: number
  skipped: number
  created_at: number
  updated_at: number
  ended_at: number | null
}

const columns = [
  'tenant',
  'id',
  'name',
  'creator',
  'parent',
  'schedule',
  'on_failure',
  'state',
  'deadline',
  'total',
  'open',
  'completed',
  'failed',
  'cancelled',
  'skipped',
  'created_at',
  'updated_at',
  'ended_at',
] as const satisfies readonly (keyof RunRow)[]
const insertText = `insert into runs (${columns.join(', ')}) values (${columns.map(() => '?').join(', ')})`

export const insertRun = (tx: Tx, row: RunRow): Promise<number> =>
  tx.run({ text: insertText, values: columns.map((column) => row[column]) })

export const getRun = (reader: Reader, tenant: number, id: string): Promise<RunRow | undefined> =>
  reader.get<RunRow>(sql`select * from runs where tenant = ${tenant} and id = ${id}`)

export interface RunFilter {
  tenant: number
  state: RunState | undefined
  schedule: string | undefined
  before: string | undefined
}

export const listRuns = (database: Database, filter: RunFilter, limit: number): Promise<RunRow[]> =>
  database.all<RunRow>(
    sql`select * from runs ${sql.where([
      sql`tenant = ${filter.tenant}`,
      filter.state === undefined ? undefined : sql`state = ${filter.state}`,
      filter.schedule === undefined ? undefined : sql`schedule = ${filter.schedule}`,
      filter.before === undefined ? undefined : sql`id < ${filter.before}`,
    ])} order by id desc limit ${limit}`,
  )

/** Whether the run was in one of those states, and is now in the other. */
export const setRunState = async (tx: Tx, row: RunRow, state: RunState, at: number): Promise<boolean> =>
  (await tx.run(sql`update runs set state = ${state}, updated_at = ${at}
    where tenant = ${row.tenant} and id = ${row.id} and state = ${row.state}`)) === 1

/** Counts the end of a task of the run; the last one ends the run, with its event. */
export async function countEnded(tx: WriteTx, task: TaskRow, id: string, at: number, told: () => void): Promise<void> {
  const is = (...states: readonly string[]) => (states.includes(task.state) ? 1 : 0)
  await tx.run(sql`update runs set open = open - 1, completed = completed + ${is('completed')},
    failed = failed + ${is('failed', 'rejected')}, cancelled = cancelled + ${is('cancelled')}, skipped = skipped + ${is('skipped')},
    updated_at = ${at} where tenant = ${task.tenant} and id = ${id}`)
  const run = await getRun(tx, task.tenant, id)
  if (!run || run.open > 0 || run.ended_at !== null) return
  const state: RunState =
    run.state === 'cancelled'
      ? 'cancelled'
      : run.failed > 0
        ? 'failed'
        : run.cancelled + run.skipped > 0
          ? 'cancelled'
          : 'completed'
  await tx.run(sql`update runs set state = ${state}, ended_at = ${at} where tenant = ${task.tenant} and id = ${id}`)
  tx.afterCommit(told)
  tx.emit({ type: 'run.ended', subject: id, data: { run_id: id, name: run.name, from: run.state, to: state, reason: null } })
}

/** Those that have not ended, the last ones of the graph first. */
export const openTasksOf = (reader: Reader, tenant: number, run: string): Promise<{ id: string }[]> =>
  reader.all(sql`select id from tasks where tenant = ${tenant} and run = ${run} and completed_at is null order by id desc`)

/** Tasks of the run and all below them, by id. A cross join keeps the order: the other way round, every child of the store is read. */
const tree = (tenant: number, run: string): Sql => sql`with recursive tree (id) as (
  select id from tasks where tenant = ${tenant} and run = ${run}
  union select t.id from tree cross join tasks t where t.tenant = ${tenant} and t.parent = tree.id) select id from tree`

/** Nothing of the run, and of what is below its tasks, begins from now on; or may again, unless a run below is paused by itself. */
export const holdBack = (tx: Tx, tenant: number, run: string, held: boolean): Promise<number> =>
  tx.run(sql`update tasks set run_paused = ${held} where tenant = ${tenant} and completed_at is null and id in (${tree(tenant, run)})
    and (run is null or run = ${run} or run not in (select id from runs where tenant = ${tenant} and state = 'paused'))`)

export const inTree = (reader: Reader, tenant: number, run: string, states: Sql): Promise<{ id: string }[]> =>
  reader.all(sql`select id from tasks where tenant = ${tenant} and completed_at is null and state in (${states})
    and id in (${tree(tenant, run)}) order by priority, id`)

export const countsOf = (reader: Reader, tenant: number, run: string): Promise<{ state: string; count: number }[]> =>
  reader.all(sql`select state, count(*) as count from tasks where tenant = ${tenant} and run = ${run} group by state`)

export const nodesAfter = (
  reader: Reader,
  tenant: number,
  run: string,
  after: string | undefined,
  limit: number,
): Promise<TaskRow[]> =>
  reader.all<TaskRow>(
    sql`select * from tasks ${sql.where([
      sql`tenant = ${tenant}`,
      sql`run = ${run}`,
      after === undefined ? undefined : sql`id > ${after}`,
    ])} order by id limit ${limit}`,
  )

/** What each agent had of the run and of what is below it, by the last holder of each task. */
export const workByAgent = (
  reader: Reader,
  tenant: number,
  run: string,
): Promise<{ agent: number; tasks: number; completed: number; failed: number }[]> =>
  reader.all(sql`select assignee as agent, count(*) as tasks, sum(case when state = 'completed' then 1 else 0 end) as completed,
    sum(case when state in ('failed', 'rejected') then 1 else 0 end) as failed from tasks
    where tenant = ${tenant} and assignee is not null and id in (${tree(tenant, run)}) group by assignee order by assignee limit 1000`)

/** Messages an agent sent, and writes to the shared memory it made, in the name of a task of the run or below it. */
export const noticesByAgent = (
  reader: Reader,
  tenant: number,
  run: string,
): Promise<{ agent: number; messages: number; memory_writes: number }[]> =>
  reader.all(sql`select actor as agent, sum(case when kind is not null then 1 else 0 end) as messages,
    sum(case when type = 'memory.updated' then 1 else 0 end) as memory_writes from log
    where tenant = ${tenant} and task in (${tree(tenant, run)}) and (kind is not null or type = 'memory.updated') group by actor`)
