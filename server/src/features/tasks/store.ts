import type { TaskState } from '@cadre/contract'
import type { Database, Reader, Tx } from '../../drivers/database/port.ts'
import { type Sql, sql } from '../../drivers/database/sql.ts'

export interface TaskRow {
  tenant: number
  id: string
  title: string
  description: string
  type: string
  state: TaskState
  /** 1 runs first. */
  priority: number
  progress: number
  progress_note: string | null
  creator: number
  agent_type: string | null
  /** JSON array of capability names. */
  capabilities: string
  assign_to: number | null
  assignee: number | null
  /** Dependencies that have not completed. */
  waiting_for: number
  depends_on: string
  parent: string | null
  run: string | null
  run_name: string | null
  key: string | null
  input: string
  requirements: string
  result: string
  error: string | null
  /** Starts so far, this one included. */
  attempt: number
  max_retries: number
  /** Fencing token: rises with every assignment. */
  token: number
  lease_ms: number | null
  lease_until: number | null
  available_at: number | null
  /** When this assignment reached its agent: pushed to its session, or handed out by a claim. */
  taken_at: number | null
  due_date: number | null
  created_at: number
  started_at: number | null
  updated_at: number
  completed_at: number | null
  artifacts: string
  metadata: string
  /** When it may run, of what it depends on: a `JoinRule`. */
  join_rule: string
  /** Its failure ends its run. */
  fail_fast: number
  /** Nothing of it begins; written for whole runs at once, never by `saveTask`. */
  run_paused: number
  retry_of: string | null
  schedule: string | null
  deadline: number | null
  timeout_ms: number | null
  /** End of the attempt that runs. */
  attempt_until: number | null
  /** JSON of a `Placement`; never by `saveTask`, as the next. */
  placement: string | null
  /** Which of its fallbacks was tried last, from 1. */
  fallback_at: number
}

export interface AttemptRow {
  tenant: number
  task: string
  number: number
  token: number
  agent: number
  assigned_at: number
  started_at: number | null
  ended_at: number | null
  outcome: string
  error: string | null
  /** Why this agent. */
  reason: string | null
  /** A `Card`, encoded. */
  card: string | null
  code: string | null
  /** When the next attempt was to be made, where a wait followed. */
  retry_at: number | null
  /** JSON of what a failed attempt got done. */
  partial: string | null
}

const columns = [
  'tenant',
  'id',
  'title',
  'description',
  'type',
  'state',
  'priority',
  'progress',
  'progress_note',
  'creator',
  'agent_type',
  'capabilities',
  'assign_to',
  'assignee',
  'waiting_for',
  'depends_on',
  'parent',
  'run',
  'run_name',
  'key',
  'input',
  'requirements',
  'result',
  'error',
  'attempt',
  'max_retries',
  'token',
  'lease_ms',
  'lease_until',
  'available_at',
  'taken_at',
  'due_date',
  'created_at',
  'started_at',
  'updated_at',
  'completed_at',
  'artifacts',
  'metadata',
  'join_rule',
  'fail_fast',
  'run_paused',
  'retry_of',
  'schedule',
  'deadline',
  'timeout_ms',
  'attempt_until',
  'placement',
] as const satisfies readonly (keyof TaskRow)[]

const insertTask = `insert into tasks (${columns.join(', ')}) values (${columns.map(() => '?').join(', ')})`

export async function insertTasks(tx: Tx, rows: readonly TaskRow[]): Promise<void> {
  await tx.runMany(
    insertTask,
    rows.map((row) => columns.map((column) => row[column])),
  )
  await tx.runMany(
    'insert into task_dependencies (tenant, task, depends_on) values (?, ?, ?) on conflict do nothing',
    rows.flatMap((row) => (JSON.parse(row.depends_on) as string[]).map((dependency) => [row.tenant, row.id, dependency])),
  )
}

const mutable = [
  'title',
  'description',
  'state',
  'priority',
  'progress',
  'progress_note',
  'assign_to',
  'assignee',
  'waiting_for',
  'result',
  'error',
  'attempt',
  'token',
  'lease_until',
  'available_at',
  'taken_at',
  'due_date',
  'started_at',
  'updated_at',
  'completed_at',
  'artifacts',
  'metadata',
  'attempt_until',
] as const satisfies readonly (keyof TaskRow)[]
const updateTask = `update tasks set ${mutable.map((column) => `${column} = ?`).join(', ')} where tenant = ? and id = ? and state = ? and token = ?`

/** Compare-and-set on state and token: false when somebody else moved the task first. */
export async function saveTask(tx: Tx, before: TaskRow, after: TaskRow): Promise<boolean> {
  const values = [...mutable.map((column) => after[column]), before.tenant, before.id, before.state, before.token]
  return (await tx.run({ text: updateTask, values })) === 1
}

export const getTask = (reader: Reader, tenant: number, id: string): Promise<TaskRow | undefined> =>
  reader.get<TaskRow>(sql`select * from tasks where tenant = ${tenant} and id = ${id}`)

export const getTasks = (
  reader: Reader,
  values: (json: string) => Sql,
  tenant: number,
  ids: readonly string[],
): Promise<TaskRow[]> =>
  reader.all<TaskRow>(sql`select * from tasks where tenant = ${tenant} and id in ${values(JSON.stringify(ids))}`)

export interface TaskFilter {
  tenant: number
  states?: readonly TaskState[] | undefined
  assignee?: number | undefined
  creator?: number | undefined
  priority?: number | undefined
  type?: string | undefined
  run?: string | undefined
  parent?: string | undefined
  before?: string | undefined
}

export async function listTasks(database: Database, filter: TaskFilter, limit: number): Promise<TaskRow[]> {
  const conditions: (Sql | undefined)[] = [
    sql`tenant = ${filter.tenant}`,
    filter.assignee === undefined ? undefined : sql`assignee = ${filter.assignee}`,
    filter.creator === undefined ? undefined : sql`creator = ${filter.creator}`,
    filter.priority === undefined ? undefined : sql`priority = ${filter.priority}`,
    filter.type === undefined ? undefined : sql`type = ${filter.type}`,
    filter.run === undefined ? undefined : sql`run = ${filter.run}`,
    filter.parent === undefined ? undefined : sql`parent = ${filter.parent}`,
    filter.before === undefined ? undefined : sql`id < ${filter.before}`,
  ]
  const newest = (more: readonly (Sql | undefined)[]) =>
    database.all<TaskRow>(sql`select * from tasks ${sql.where([...conditions, ...more])} order by id desc limit ${limit}`)
  if (filter.states === undefined) return newest([])
  // One state after another: each comes in order from the index, a list of states would be sorted as a whole.
  const pages: TaskRow[][] = []
  for (const state of filter.states) pages.push(await newest([sql`state = ${state}`]))
  return pages
    .flat()
    .toSorted((a, b) => (a.id < b.id ? 1 : -1))
    .slice(0, limit)
}

/** Ready tasks that ask for nobody: any agent may claim them. Most urgent first. */
export const openTasks = (reader: Reader, tenant: number, limit: number): Promise<TaskRow[]> =>
  reader.all<TaskRow>(sql`select * from tasks where tenant = ${tenant} and state = 'ready' and assign_to is null
    and agent_type is null and capabilities = '[]' order by priority, id limit ${limit}`)

/** What the queue of the engine has to know about a ready task. */
export type ReadyRow = Pick<
  TaskRow,
  'tenant' | 'id' | 'priority' | 'type' | 'agent_type' | 'capabilities' | 'assign_to' | 'assignee' | 'placement' | 'fallback_at'
>
export type ReadyPlace = Pick<TaskRow, 'tenant' | 'priority' | 'id'>
export const beforeAllReady: ReadyPlace = { tenant: 0, priority: 0, id: '' }

/** Everything ready, one page after another in the order of the index. */
export const readyAfter = (reader: Reader, { tenant, priority, id }: ReadyPlace, limit: number): Promise<ReadyRow[]> =>
  reader.all<ReadyRow>(sql`select tenant, id, priority, type, agent_type, capabilities, assign_to, assignee, placement, fallback_at from tasks
    where state = 'ready' and (tenant, priority, id) > (${tenant}, ${priority}, ${id}) order by tenant, priority, id limit ${limit}`)

export const overdueLeases = (reader: Reader, now: number, limit: number): Promise<TaskRow[]> =>
  reader.all<TaskRow>(
    sql`select * from tasks where lease_until is not null and lease_until <= ${now} order by lease_until limit ${limit}`,
  )

export const dueToWake = (reader: Reader, now: number, limit: number): Promise<TaskRow[]> =>
  reader.all<TaskRow>(
    sql`select * from tasks where state = 'scheduled' and available_at <= ${now} order by available_at limit ${limit}`,
  )

/** Tasks an agent holds. The longer list of states is the one of the index. */
export const heldBy = (reader: Reader, tenant: number, agent: number): Promise<TaskRow[]> =>
  reader.all<TaskRow>(sql`select * from tasks where tenant = ${tenant} and assignee = ${agent}
    and state in ('assigned', 'running', 'input_required', 'auth_required') and state in ('assigned', 'running')
    order by priority, id limit 1000`)

/** Tasks that wait, since before `before`, for an agent that was named and has not taken them; on from one place in that order. */
export const untaken = (
  reader: Reader,
  after: Pick<TaskRow, 'updated_at' | 'id'>,
  before: number,
  limit: number,
): Promise<TaskRow[]> =>
  reader.all<TaskRow>(sql`select * from tasks where state = 'assigned' and lease_until is null and updated_at < ${before}
    and (updated_at, id) > (${after.updated_at}, ${after.id}) order by updated_at, id limit ${limit}`)

export const loadsByAgent = (reader: Reader): Promise<{ assignee: number; count: number }[]> =>
  reader.all(sql`select assignee, count(*) as count from tasks
    where assignee is not null and state in ('assigned', 'running') group by assignee`)

export async function renewLease(
  tx: Tx,
  tenant: number,
  id: string,
  token: number,
  agent: number,
  until: number,
): Promise<boolean> {
  return (
    (await tx.run(sql`update tasks set lease_until = ${until} where tenant = ${tenant} and id = ${id} and token = ${token}
      and assignee = ${agent} and state in ('assigned', 'running')`)) === 1
  )
}

/** In the order in which they were made. */
export const dependentsOf = async (reader: Reader, tenant: number, id: string): Promise<string[]> =>
  (
    await reader.all<{ task: string }>(
      sql`select task from task_dependencies where tenant = ${tenant} and depends_on = ${id} order by task`,
    )
  ).map((row) => row.task)

export const childrenOf = (reader: Reader, tenant: number, id: string): Promise<TaskRow[]> =>
  reader.all<TaskRow>(sql`select * from tasks where tenant = ${tenant} and parent = ${id}
    and state not in ('completed', 'failed', 'cancelled', 'rejected', 'skipped')`)

export async function openAttempt(
  tx: Tx,
  row: Omit<AttemptRow, 'ended_at' | 'outcome' | 'error' | 'code' | 'retry_at' | 'partial'>,
): Promise<void> {
  await tx.run(sql`insert into task_attempts (tenant, task, number, token, agent, assigned_at, started_at, outcome, reason, card)
    values (${row.tenant}, ${row.task}, ${row.number}, ${row.token}, ${row.agent}, ${row.assigned_at}, ${row.started_at}, 'open',
      ${row.reason}, ${row.card})`)
}

export async function startAttempt(tx: Tx, task: TaskRow, at: number): Promise<void> {
  await tx.run(
    sql`update task_attempts set started_at = ${at} where tenant = ${task.tenant} and task = ${task.id} and token = ${task.token}`,
  )
}

export async function endAttempt(tx: Tx, task: TaskRow, outcome: string, error: string | null, at: number): Promise<void> {
  await tx.run(sql`update task_attempts set ended_at = ${at}, outcome = ${outcome}, error = ${error}
    where tenant = ${task.tenant} and task = ${task.id} and token = ${task.token} and outcome = 'open'`)
}

/** What more there is to say of an attempt that failed. */
export async function noteFailure(
  tx: Tx,
  task: TaskRow,
  failed: Pick<AttemptRow, 'code' | 'retry_at' | 'partial'>,
): Promise<void> {
  await tx.run(sql`update task_attempts set code = ${failed.code}, retry_at = ${failed.retry_at}, partial = ${failed.partial}
    where tenant = ${task.tenant} and task = ${task.id} and token = ${task.token}`)
}

/** Whom the task asks for from now on; the move that follows checks that it is the same task still. */
export async function retarget(tx: Tx, task: TaskRow): Promise<void> {
  await tx.run(sql`update tasks set placement = ${task.placement}, fallback_at = ${task.fallback_at}, agent_type = ${task.agent_type},
    capabilities = ${task.capabilities} where tenant = ${task.tenant} and id = ${task.id}`)
}

export const attemptsOf = (reader: Reader, tenant: number, id: string): Promise<AttemptRow[]> =>
  reader.all<AttemptRow>(sql`select * from task_attempts where tenant = ${tenant} and task = ${id} order by token limit 200`)

export const hasHeld = async (reader: Reader, tenant: number, id: string, agent: number): Promise<boolean> =>
  (await reader.get(sql`select 1 from task_attempts where tenant = ${tenant} and task = ${id} and agent = ${agent} limit 1`)) !==
  undefined

export const countByState = (reader: Reader): Promise<{ tenant: number; state: TaskState; count: number }[]> =>
  reader.all(sql`select tenant, state, count(*) as count from tasks group by tenant, state`)

/** Whether the log has said already that nobody can do this task, since it became ready. */
export async function wasAlerted(reader: Reader, tenant: number, id: string): Promise<boolean> {
  const last = await reader.get<{ type: string }>(sql`select type from log where tenant = ${tenant} and task = ${id}
    and type in ('task.created', 'task.ready', 'task.released', 'task.assigned', 'task.unassignable') order by seq desc limit 1`)
  return last?.type === 'task.unassignable'
}
