/** New tasks: one, or a graph of them, with what they wait for. */
import { CadreError, type JoinRule, type ParsedInputOf, type Receipt } from '@cadre/contract'
import type { WriteTx } from '../../core/context.ts'
import type { Handlers } from '../../core/invoke.ts'
import type { Engine } from './engine.ts'
import { type Author, type Body, type Place, earliest, newRow } from './fields.ts'
import { inOrder } from './graph.ts'
import { standing } from './joins.ts'
import { findTask } from './listing.ts'
import { assign, settleReady, skip } from './moves.ts'
import { firstAsked, viewPlacement } from './placement.ts'
import { insertRun } from './run-store.ts'
import { type TaskRow, getTask, getTasks, insertTasks } from './store.ts'
import { isFinal, moved } from './view.ts'

interface Dependencies {
  open: Set<string>
  /** Ended, and not completed. */
  failed: Map<string, TaskRow>
}
interface New {
  row: TaskRow
  /** What it depends on that did not complete, when it can therefore never run. */
  blocker: TaskRow | undefined
}
type Origin = Pick<Place, 'retry_of' | 'schedule'>

/** A new task in the caller's transaction; it becomes known when that commits. Throws what `tasks.create` refuses. */
export async function createTask(
  engine: Engine,
  tx: WriteTx,
  author: Author,
  id: string,
  input: ParsedInputOf<'tasks.create'>,
  origin: Origin = {},
): Promise<TaskRow> {
  const parent = input.parent_id === undefined ? undefined : await findTask(tx, author, input.parent_id)
  const ids = [...new Set(input.depends_on)]
  const known = await dependencies(engine, tx, author, ids)
  const rule = input.join ?? 'all_success'
  const { waiting, blocker } = waitOf(rule, ids, known, new Set())
  const row = newRow(engine.parts, author, id, input, {
    depends_on: JSON.stringify(ids),
    run: null,
    run_name: null,
    key: null,
    waiting_for: waiting,
    ...from(parent),
    ...origin,
  })
  const [stored] = await store(engine, tx, [{ row, blocker }])
  return stored as TaskRow
}

export interface NewGraph {
  runId: string
  rows: TaskRow[]
}

/** A graph in the caller's transaction. Throws what `tasks.dag` refuses. */
export async function createGraph(
  engine: Engine,
  tx: WriteTx,
  author: Author,
  newId: (prefix: string) => string,
  input: ParsedInputOf<'tasks.dag'>,
  origin: Origin = {},
): Promise<NewGraph> {
  const order = inOrder(input.tasks)
  const parent = input.parent_id === undefined ? undefined : await findTask(tx, author, input.parent_id)
  const byKey = new Map(input.tasks.map((task) => [task.key, task]))
  const outside = [...new Set(input.tasks.flatMap((task) => task.depends_on.filter((key) => !byKey.has(key))))]
  const known = await dependencies(engine, tx, author, outside)
  const runId = newId('run')
  const now = engine.parts.clock.now()
  const deadline = earliest(parent?.deadline, input.deadline_ms === undefined ? null : now + input.deadline_ms)
  const place = {
    ...from(parent),
    run: runId,
    run_name: input.name,
    fail_fast: input.on_failure === 'fail_fast' ? 1 : 0,
    deadline,
  }
  const ids = new Map<string, string>()
  const fresh = order.map((key): New => {
    const { key: _, depends_on, ...body } = byKey.get(key) as Body
    const join = body.join ?? (input.on_failure === 'continue' ? 'all_done' : 'all_success')
    const names = [...new Set(depends_on)]
    const { waiting, blocker } = waitOf(join, names, known, byKey)
    const row = newRow(
      engine.parts,
      author,
      newId('tsk'),
      { ...body, join },
      {
        ...place,
        ...origin,
        depends_on: JSON.stringify(names.map((name) => ids.get(name) ?? name)),
        key,
        waiting_for: waiting,
      },
    )
    ids.set(key, row.id)
    return { row: { ...row, title: body.title ?? key }, blocker }
  })
  await insertRun(tx, {
    tenant: author.tenant,
    id: runId,
    name: input.name,
    creator: author.caller.id,
    parent: parent?.id ?? null,
    schedule: origin.schedule ?? null,
    on_failure: input.on_failure,
    state: 'running',
    deadline,
    total: fresh.length,
    open: fresh.length,
    completed: 0,
    failed: 0,
    cancelled: 0,
    skipped: 0,
    created_at: now,
    updated_at: now,
    ended_at: null,
  })
  return { runId, rows: await store(engine, tx, fresh) }
}

type Names = 'tasks.create' | 'tasks.dag' | 'tasks.retry'

export function makeCreating(engine: Engine, newId: (prefix: string) => string): Pick<Handlers, Names> {
  return {
    'tasks.create': async (context, input) => {
      requireText(input)
      const { row, receipt } = await context.write(async (tx) => {
        const row = await createTask(engine, tx, context, newId('tsk'), input)
        return { id: row.id, row }
      })
      return { ...engine.view(row), receipt: receipt as Receipt }
    },

    'tasks.dag': async (context, input) => {
      const { runId, rows, receipt } = await context.write(async (tx) => {
        const graph = await createGraph(engine, tx, context, newId, input)
        return { id: graph.runId, ...graph }
      })
      return { run_id: runId, name: input.name, tasks: rows.map((row) => engine.view(row)), receipt: receipt as Receipt }
    },

    'tasks.retry': async (context, input) => {
      const { row, receipt } = await context.write(async (tx) => {
        const ended = await findTask(tx, context, input.id)
        if (!isFinal(ended.state)) {
          const reason = `Task ${ended.id} is ${ended.state}; only a task that has ended is done again.`
          throw new CadreError('conflict', { reason })
        }
        const row = await createTask(engine, tx, context, newId('tsk'), again(engine, ended), { retry_of: ended.id })
        return { id: row.id, row }
      })
      return { ...engine.view(row), receipt: receipt as Receipt }
    },
  }
}

/** Throws `invalid_request` for a task that says nothing of what is to be done. */
export function requireText(input: { title?: string | undefined; description?: string | undefined }): void {
  if (input.title === undefined && input.description === undefined)
    throw new CadreError('invalid_request', {}, { fields: [{ pointer: '/title', detail: 'Give a title or a description.' }] })
}

/** What an ended task asked for, as a new one asks for it. It runs now: what it waited for has ended. */
function again(engine: Engine, ended: TaskRow): ParsedInputOf<'tasks.create'> {
  const { title, description, type, priority, input, requirements, max_retries, metadata } = engine.view(ended)
  const { agent_type, capabilities, assign_to } = firstAsked(ended)
  const named = engine.parts.directory.nameOf(assign_to)
  return {
    title,
    description,
    type,
    priority,
    capabilities,
    input,
    requirements,
    max_retries,
    metadata,
    depends_on: [],
    ...(agent_type !== null && { agent_type }),
    ...(named !== null && { assign_to: named }),
    ...viewPlacement(ended),
    ...(ended.parent !== null && { parent_id: ended.parent }),
    ...(ended.lease_ms !== null && { lease_ms: ended.lease_ms }),
    ...(ended.timeout_ms !== null && { timeout_ms: ended.timeout_ms }),
  }
}

const from = (parent: TaskRow | undefined) => ({
  parent: parent?.id ?? null,
  deadline: parent?.deadline ?? null,
  run_paused: parent?.run_paused ?? 0,
})

/** How many of its dependencies a new task waits for. `inside`: keys of its own graph, which are all open. */
function waitOf(
  rule: JoinRule,
  names: readonly string[],
  { open, failed }: Dependencies,
  inside: { has(name: string): boolean },
): { waiting: number; blocker: TaskRow | undefined } {
  const blockers = names.map((name) => failed.get(name)).filter((row) => row !== undefined)
  const unmet = names.filter((name) => inside.has(name) || open.has(name)).length
  const stands = standing(rule, unmet, names.length - unmet - blockers.length, blockers.length)
  if (stands === 'skipped') return { waiting: Math.max(1, unmet), blocker: blockers[0] }
  return { waiting: stands === 'runs' ? 0 : stands.waiting, blocker: undefined }
}

async function dependencies(engine: Engine, tx: WriteTx, author: Author, ids: readonly string[]): Promise<Dependencies> {
  const rows = await getTasks(tx, engine.parts.database.dialect.values, author.tenant, ids)
  const found = new Map(rows.map((row) => [row.id, row]))
  const open = new Set<string>()
  const failed = new Map<string, TaskRow>()
  for (const id of ids) {
    const row = found.get(id)
    if (!row) throw new CadreError('not_found', { entity: 'task', id })
    if (row.state === 'completed') continue
    if (isFinal(row.state)) failed.set(id, row)
    else open.add(id)
  }
  return { open, failed }
}

/** Stores new tasks and moves those on that need not wait: named agents get theirs, impossible ones are skipped. */
async function store(engine: Engine, tx: WriteTx, fresh: readonly New[]): Promise<TaskRow[]> {
  const { parts } = engine
  const rows = fresh.map(({ row }) => row)
  await insertTasks(tx, rows)
  for (const row of rows)
    tx.emit({ type: 'task.created', subject: row.id, task: row.id, data: moved(null, row, parts.directory, null) })
  tx.afterCommit(() => engine.created(rows))
  const changed = new Map<string, TaskRow>()
  let skipped = false
  for (const { row, blocker } of fresh) {
    if (blocker) {
      // One that was skipped before may have skipped this one with it.
      const now = skipped ? await getTask(tx, row.tenant, row.id) : row
      if (!now || isFinal(now.state)) continue
      skipped = true
      await skip(parts, tx, now, blocker)
    } else if (row.state === 'ready' && row.run_paused === 1) changed.set(row.id, await settleReady(parts, tx, row, null))
    else if (row.state === 'ready' && row.assign_to !== null)
      changed.set(row.id, await assign(parts, tx, row, row.assign_to, 'named in the task'))
  }
  if (!skipped) return rows.map((row) => changed.get(row.id) ?? row)
  const ids = rows.map((row) => row.id)
  const stored = await getTasks(tx, parts.database.dialect.values, (rows[0] as TaskRow).tenant, ids)
  const byId = new Map(stored.map((row) => [row.id, row]))
  return rows.map((row) => byId.get(row.id) as TaskRow)
}
