/** Tasks: create, graph, list, assign, claim, and the writes of those who hold them. */
import {
  type AttemptRow,
  type TaskRow,
  attemptsOf,
  getTask,
  getTasks,
  heldBy,
  insertTasks,
  listTasks,
  openTasks,
} from './store.ts'
import {
  type Assignment,
  CadreError,
  type ParsedInputOf,
  type Receipt,
  type TaskState,
  type TaskStatus,
  canonical,
  statusOf,
  taskLifecycle,
  toPriority,
} from '@cadre/contract'
import { iso, isoOrNull } from '../../core/clock.ts'
import type { Caller, Context, WriteTx } from '../../core/context.ts'
import type { Handlers } from '../../core/invoke.ts'
import { serialise } from '../../core/limits.ts'
import { decodeCursor, toPage } from '../../core/paging.ts'
import type { Known } from '../agents/service.ts'
import { Engine, type EngineParts, illegal } from './engine.ts'
import { inOrder } from './graph.ts'
import { decodeLease, isFinal, isHeld, moved } from './view.ts'

export interface TasksParts extends EngineParts {
  newId: (prefix: string) => string
}

type Names =
  | 'tasks.create'
  | 'tasks.dag'
  | 'tasks.list'
  | 'tasks.get'
  | 'tasks.status'
  | 'tasks.update'
  | 'tasks.assign'
  | 'tasks.claim'
  | 'tasks.accept'
  | 'tasks.progress'
  | 'tasks.complete'
  | 'tasks.fail'
  | 'tasks.release'
  | 'tasks.cancel'

export interface Tasks {
  handlers: Pick<Handlers, Names>
  engine: Engine
  counts(tenant: number): Promise<Record<string, number>>
  /** What an agent holds under a live lease, for one that returns. */
  heldBy(caller: Caller): Promise<Assignment[]>
  close(): Promise<void>
}

export type { TaskWrite } from './engine.ts'

type Body = ParsedInputOf<'tasks.dag'>['tasks'][number]
const maxResultBytes = 1024 * 1024
const maxMetadataBytes = 64 * 1024

export async function makeTasks(parts: TasksParts): Promise<Tasks> {
  const { database, directory, clock } = parts
  const engine = new Engine(parts)
  await engine.load()

  const find = async (tx: Parameters<typeof getTask>[0], context: Context, id: string): Promise<TaskRow> => {
    const row = await getTask(tx, context.tenant, id)
    if (!row) throw new CadreError('not_found', { entity: 'task', id })
    return row
  }

  function assignable(context: Context, reference: string): number {
    const { id } = directory.agent(context.tenant, reference)
    engine.requirePresent(id)
    return id
  }

  function newRow(
    context: Context,
    input: Omit<Body, 'key' | 'depends_on'>,
    rest: Pick<TaskRow, 'depends_on' | 'parent' | 'run' | 'run_name' | 'key' | 'waiting_for'>,
  ): TaskRow {
    const now = clock.now()
    const title = input.title ?? firstLine(input.description) ?? 'Untitled task'
    return {
      tenant: context.tenant,
      id: parts.newId('tsk'),
      title,
      description: input.description ?? '',
      type: input.type,
      state: rest.waiting_for > 0 ? 'pending' : input.delay_ms ? 'scheduled' : 'ready',
      priority: toPriority(input.priority),
      progress: 0,
      progress_note: null,
      creator: context.caller.id,
      agent_type: input.agent_type ?? null,
      capabilities: JSON.stringify(input.capabilities ?? []),
      assign_to: input.assign_to === undefined ? null : assignable(context, input.assign_to),
      assignee: null,
      input: serialise(input.input ?? null, 'input', maxResultBytes),
      requirements: serialise(input.requirements ?? {}, 'requirements', maxMetadataBytes),
      result: 'null',
      error: null,
      attempt: 0,
      max_retries: input.max_retries,
      token: 0,
      lease_ms: input.lease_ms ?? null,
      lease_until: null,
      available_at: input.delay_ms ? now + input.delay_ms : null,
      taken_at: null,
      due_date: input.due_date === undefined ? null : toMs(input.due_date, 'due_date'),
      created_at: now,
      started_at: null,
      updated_at: now,
      completed_at: null,
      artifacts: JSON.stringify(input.artifacts ?? []),
      metadata: serialise(input.metadata ?? {}, 'metadata', maxMetadataBytes),
      ...rest,
    }
  }

  /** Stores new tasks and moves those on that need not wait: named agents get theirs, impossible ones are skipped. */
  async function store(tx: WriteTx, rows: readonly TaskRow[], failed: ReadonlyMap<string, TaskRow>): Promise<TaskRow[]> {
    await insertTasks(tx, rows)
    for (const row of rows)
      tx.emit({ type: 'task.created', subject: row.id, task: row.id, data: moved(null, row, directory, null) })
    tx.afterCommit(() => engine.created(rows))
    const assigned = new Map<string, TaskRow>()
    let skipped = false
    for (const row of rows) {
      const blocker = (JSON.parse(row.depends_on) as string[])
        .map((id) => failed.get(id))
        .find((dependency) => dependency !== undefined)
      if (blocker) {
        const reason = `${blocker.title} ended as ${blocker.state}`
        // One that was skipped before may have skipped this one with it.
        const now = skipped ? await getTask(tx, row.tenant, row.id) : row
        if (!now || isFinal(now.state)) continue
        skipped = true
        await engine.move(
          tx,
          now,
          'skipped',
          'task.skipped',
          { error: JSON.stringify({ code: 'dependency_failed', message: reason }) },
          reason,
        )
      } else if (row.state === 'ready' && row.assign_to !== null)
        assigned.set(row.id, await engine.assign(tx, row, row.assign_to, 'named in the task'))
    }
    if (!skipped) return rows.map((row) => assigned.get(row.id) ?? row)
    const ids = rows.map((row) => row.id)
    const stored = await getTasks(tx, database.dialect.values, (rows[0] as TaskRow).tenant, ids)
    const byId = new Map(stored.map((row) => [row.id, row]))
    return rows.map((row) => byId.get(row.id) as TaskRow)
  }

  async function dependencies(
    tx: WriteTx,
    context: Context,
    ids: readonly string[],
  ): Promise<{ open: Set<string>; failed: Map<string, TaskRow> }> {
    const found = new Map((await getTasks(tx, database.dialect.values, context.tenant, ids)).map((row) => [row.id, row]))
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

  /** Reads the task, checks that the caller holds it, and runs the move. */
  async function held(
    context: Context,
    input: { id: string; lease?: string | undefined },
    work: (tx: WriteTx, row: TaskRow) => Promise<TaskRow>,
  ) {
    const { receipt, row, already } = await context.write(async (tx) => {
      const before = await find(tx, context, input.id)
      engine.requireHolder(before, input.lease, context.caller, context.session?.mode === 'leased')
      const row = await work(tx, before)
      return { id: row.id, row, already: row === before }
    })
    return { ...engine.view(row), receipt, ...(already && { already }) }
  }

  /** Ready tasks that the agent may do, most urgent first: those that ask for what it is, and those that ask for nobody. */
  async function claimable(
    tx: WriteTx,
    tenant: number,
    profile: Known | undefined,
    input: ParsedInputOf<'tasks.claim'>,
  ): Promise<TaskRow[]> {
    const may = (row: TaskRow | undefined): row is TaskRow => row?.state === 'ready' && able(profile, row)
    if (input.id !== undefined) return [await getTask(tx, tenant, input.id)].filter(may)
    const open = await openTasks(tx, tenant, input.limit)
    if (!profile) return open
    // Others that claim in the same turn were given the first of these already.
    for (let count = input.limit + 64; ; count *= 4) {
      const ids = engine.claimable(profile, count)
      const asking = (await getTasks(tx, database.dialect.values, tenant, ids)).filter(may)
      if (asking.length < input.limit && ids.length === count) continue
      return [...open, ...asking].toSorted((a, b) => a.priority - b.priority || (a.id < b.id ? -1 : 1)).slice(0, input.limit)
    }
  }

  const ownAgent = (context: Context, reference: string | undefined): number => {
    if (context.caller.role !== 'agent') {
      if (reference === undefined)
        throw new CadreError('invalid_request', {}, { fields: [{ pointer: '/agent', detail: 'Name the agent that claims.' }] })
      return directory.agent(context.tenant, reference).id
    }
    if (reference !== undefined && directory.find(context.tenant, reference)?.id !== context.caller.id) {
      throw new CadreError('forbidden', { reason: `You act as ${context.caller.name}; claim for yourself.` })
    }
    return context.caller.id
  }

  const holds = (context: Context, row: TaskRow) => row.assignee === context.caller.id && isHeld(row.state)
  const mayEdit = (context: Context, row: TaskRow) =>
    context.caller.role !== 'agent' || row.creator === context.caller.id || holds(context, row)

  /** `tasks.update` speaks in statuses; each is one of the moves below. */
  async function moveTo(
    tx: WriteTx,
    context: Context,
    row: TaskRow,
    wanted: TaskState | TaskStatus,
    input: ParsedInputOf<'tasks.update'>,
  ): Promise<TaskRow> {
    const holder = () => engine.requireHolder(row, input.lease, context.caller, context.session?.mode === 'leased')
    if (wanted === row.state || (wanted === statusOf[row.state] && !taskLifecycle.moves[row.state].includes(wanted as TaskState)))
      return row
    if (wanted === 'cancelled') {
      if (!mayEdit(context, row))
        throw new CadreError('forbidden', { reason: 'Only its creator, its assignee or an operator cancels a task.' })
      return engine.cancel(tx, row, input.note ?? `cancelled by ${context.caller.name}`)
    }
    holder()
    if (wanted === 'running' && row.state === 'assigned') return engine.start(tx, row)
    if (wanted === 'completed')
      return engine.complete(
        tx,
        await claimedForOperator(tx, context, row),
        serialise(input.result ?? null, 'result', maxResultBytes),
        [],
      )
    if ((wanted === 'failed' || wanted === 'rejected') && isHeld(row.state)) {
      return engine.failAttempt(tx, row, {
        code: wanted === 'rejected' ? 'rejected' : 'task_error',
        message: input.error ?? input.note ?? 'reported as failed',
        retryable: false,
      })
    }
    if ((wanted === 'pending' || wanted === 'ready') && isHeld(row.state))
      return engine.release(tx, row, input.note ?? 'given back')
    throw illegal(row, wanted)
  }

  // A person may complete a task that nobody took: it passes through the person's hands.
  async function claimedForOperator(tx: WriteTx, context: Context, row: TaskRow): Promise<TaskRow> {
    if (row.state !== 'ready' || context.caller.role === 'agent') return row
    return engine.assign(tx, row, context.caller.id, `completed by ${context.caller.name}`)
  }

  const handlers: Tasks['handlers'] = {
    'tasks.create': async (context, input) => {
      if (input.title === undefined && input.description === undefined) {
        throw new CadreError('invalid_request', {}, { fields: [{ pointer: '/title', detail: 'Give a title or a description.' }] })
      }
      const { row, receipt } = await context.write(async (tx) => {
        if (input.parent_id !== undefined) await find(tx, context, input.parent_id)
        const ids = [...new Set(input.depends_on)]
        const { open, failed } = await dependencies(tx, context, ids)
        const fresh = newRow(context, input, {
          depends_on: JSON.stringify(ids),
          parent: input.parent_id ?? null,
          run: null,
          run_name: null,
          key: null,
          waiting_for: open.size + failed.size,
        })
        const [row] = await store(tx, [fresh], failed)
        return { id: (row as TaskRow).id, row: row as TaskRow }
      })
      return { ...engine.view(row), receipt: receipt as Receipt }
    },

    'tasks.dag': async (context, input) => {
      const order = inOrder(input.tasks)
      const { runId, rows, receipt } = await context.write(async (tx) => {
        if (input.parent_id !== undefined) await find(tx, context, input.parent_id)
        const byKey = new Map(input.tasks.map((task) => [task.key, task]))
        const outside = [...new Set(input.tasks.flatMap((task) => task.depends_on.filter((key) => !byKey.has(key))))]
        const { open, failed } = await dependencies(tx, context, outside)
        const runId = parts.newId('run')
        const ids = new Map<string, string>()
        const rows = order.map((key) => {
          const { key: _, depends_on, ...body } = byKey.get(key) as Body
          const waiting = [...new Set(depends_on)]
          const unmet = waiting.filter((name) => byKey.has(name) || open.has(name) || failed.has(name))
          const row = newRow(context, body, {
            depends_on: JSON.stringify(waiting.map((name) => ids.get(name) ?? name)),
            parent: input.parent_id ?? null,
            run: runId,
            run_name: input.name,
            key,
            waiting_for: unmet.length,
          })
          ids.set(key, row.id)
          return { ...row, title: body.title ?? key }
        })
        return { id: runId, runId, rows: await store(tx, rows, failed) }
      })
      return { run_id: runId, name: input.name, tasks: rows.map((row) => engine.view(row)), receipt: receipt as Receipt }
    },

    'tasks.list': async (context, input) => {
      const states =
        input.state !== undefined
          ? [input.state]
          : input.status === undefined
            ? undefined
            : taskLifecycle.states.filter((state) => statusOf[state] === input.status)
      const before = decodeCursor(input.cursor)
      const agentId = (reference: string | undefined) =>
        reference === undefined ? undefined : directory.agent(context.tenant, reference).id
      const rows = await listTasks(
        database,
        {
          tenant: context.tenant,
          states,
          assignee: agentId(input.agent),
          creator: agentId(input.creator),
          priority: input.priority === undefined ? undefined : toPriority(input.priority),
          type: input.type,
          run: input.run_id,
          parent: input.parent_id,
          before: before === undefined ? undefined : String(before),
        },
        input.limit + 1,
      )
      return toPage(
        rows,
        input.limit,
        (row) => row.id,
        (row) => engine.view(row),
      )
    },

    'tasks.get': async (context, input) => {
      const row = await find(database, context, input.id)
      const attempts = await attemptsOf(database, context.tenant, input.id)
      return { ...engine.view(row), attempts: attempts.map((attempt) => viewAttempt(attempt)) }
    },

    'tasks.status': async (context, input) => {
      const task = engine.view(await find(database, context, input.id))
      const { id, task_id, state, status, progress, result, error, assigned_to, attempt, updated_at, completed_at } = task
      return { id, task_id, state, status, progress, result, error, assigned_to, attempt, updated_at, completed_at }
    },

    'tasks.update': async (context, input) => {
      const { row, receipt, already } = await context.write(async (tx) => {
        const before = await find(tx, context, input.id)
        const changes = changesOf(input)
        let row = before
        if (Object.keys(changes).length > 0) {
          // Progress is the holder's to report; other fields are the creator's too. Who holds the task proves it either way.
          if (input.lease !== undefined || input.progress !== undefined || holds(context, before))
            engine.requireHolder(before, input.lease, context.caller, context.session?.mode === 'leased')
          if (isFinal(before.state)) throw illegal(before, 'changed')
          if (!mayEdit(context, before))
            throw new CadreError('forbidden', { reason: 'Only its creator, its assignee or an operator changes a task.' })
          row = await engine.amend(
            tx,
            before,
            changes,
            input.progress === undefined ? 'task.updated' : 'task.progress',
            input.note ?? null,
            input.progress === undefined ? {} : { progress: input.progress, note: input.note ?? null },
          )
        }
        if (input.status !== undefined) row = await moveTo(tx, context, row, input.status, input)
        return { id: row.id, row, already: row === before }
      })
      return { ...engine.view(row), receipt, ...(already && { already }) }
    },

    'tasks.assign': async (context, input) => {
      const agent = directory.agent(context.tenant, input.agent)
      const { row, receipt, already } = await context.write(async (tx) => {
        const before = await find(tx, context, input.id)
        if (!mayEdit(context, before))
          throw new CadreError('forbidden', { reason: 'Only its creator, its assignee or an operator assigns a task.' })
        if (before.assignee === agent.id && isHeld(before.state)) return { id: before.id, row: before, already: true }
        if (isFinal(before.state) || before.state === 'paused') throw illegal(before, 'assigned')
        engine.requirePresent(agent.id)
        const named = { ...before, assign_to: agent.id }
        // A task whose dependencies are open keeps the name and is assigned when they have completed.
        const row =
          before.state === 'pending'
            ? await engine.amend(tx, before, { assign_to: agent.id }, 'task.updated', `will go to ${agent.name}`)
            : await engine.assign(tx, named, agent.id, input.reason ?? `assigned by ${context.caller.name}`)
        return { id: row.id, row, already: false }
      })
      return { ...engine.view(row), receipt, ...(already && { already }) }
    },

    'tasks.claim': async (context, input) => {
      const agent = ownAgent(context, input.agent)
      const profile = parts.agents.registry.get(agent)
      const { rows } = await context.write(async (tx) => {
        const rows: TaskRow[] = []
        for (const row of await heldBy(tx, context.tenant, agent)) {
          // What was handed out already is worked on by whoever got it; another process of the agent has to ask for it by its id.
          if (input.id === undefined ? row.taken_at !== null : row.id !== input.id) continue
          if (rows.length < input.limit && row.state === 'assigned') rows.push(await engine.take(tx, row))
        }
        if (rows.length < input.limit && !stopping(profile)) {
          for (const row of await claimable(tx, context.tenant, profile, input)) {
            if (rows.length >= input.limit) break
            rows.push(await engine.take(tx, await engine.assign(tx, row, agent, 'claimed')))
          }
        }
        if (input.id !== undefined && rows.length === 0) throw illegal(await find(tx, context, input.id), 'assigned')
        return { rows }
      })
      return { items: rows.map((row) => engine.assignment(row)) }
    },

    'tasks.accept': (context, input) =>
      held(context, input, async (tx, row) => (row.state === 'running' ? row : engine.start(tx, row))),

    'tasks.progress': (context, input) =>
      held(context, input, async (tx, row) => {
        const running = row.state === 'assigned' ? await engine.start(tx, row) : row
        if (running.state !== 'running') throw illegal(running, 'running')
        const changes = {
          progress: input.progress,
          progress_note: input.note ?? null,
          lease_until: clock.now() + engine.leaseOf(row),
        }
        return engine.amend(tx, running, changes, 'task.progress', null, { progress: input.progress, note: input.note ?? null })
      }),

    'tasks.complete': async (context, input) => {
      const result = serialise(input.result ?? null, 'result', maxResultBytes)
      const { row, receipt, already } = await context.write(async (tx) => {
        const before = await find(tx, context, input.id)
        if (before.state === 'completed' && repeats(before, input.lease, context))
          return { id: before.id, row: before, already: true }
        engine.requireHolder(before, input.lease, context.caller, context.session?.mode === 'leased')
        const row = await engine.complete(tx, await claimedForOperator(tx, context, before), result, input.artifacts ?? [])
        return { id: row.id, row, already: false }
      })
      return { ...engine.view(row), receipt, ...(already && { already }) }
    },

    'tasks.fail': (context, input) =>
      held(context, input, (tx, row) => {
        if (!isHeld(row.state)) throw illegal(row, 'failed')
        return engine.failAttempt(tx, row, {
          code: input.code,
          message: input.error,
          retryable: input.retryable,
          afterMs: input.retry_after_ms,
        })
      }),

    'tasks.release': (context, input) =>
      held(context, input, (tx, row) => {
        if (!isHeld(row.state)) throw illegal(row, 'ready')
        return engine.release(tx, row, input.reason ?? 'given back')
      }),

    'tasks.cancel': async (context, input) => {
      const { row, receipt, already } = await context.write(async (tx) => {
        const before = await find(tx, context, input.id)
        if (!mayEdit(context, before))
          throw new CadreError('forbidden', { reason: 'Only its creator, its assignee or an operator cancels a task.' })
        if (before.state === 'cancelled') return { id: before.id, row: before, already: true }
        const row = await engine.cancel(tx, before, input.reason ?? `cancelled by ${context.caller.name}`)
        return { id: row.id, row, already: false }
      })
      return { ...engine.view(row), receipt, ...(already && { already }) }
    },
  }

  const viewAttempt = (attempt: AttemptRow) => {
    const agent = directory.byId(attempt.agent)
    return {
      attempt: attempt.number,
      agent_id: agent.publicId,
      agent: agent.name,
      assigned_at: iso(attempt.assigned_at),
      started_at: isoOrNull(attempt.started_at),
      ended_at: isoOrNull(attempt.ended_at),
      outcome: attempt.outcome as 'open',
      error: attempt.error,
    }
  }

  return {
    handlers,
    engine,
    counts: async (tenant) => engine.counts(tenant),
    heldBy: async (caller) =>
      (await heldBy(database, caller.tenant, caller.id))
        .filter((row) => row.lease_until !== null)
        .map((row) => engine.assignment(row)),
    close: () => engine.close(),
  }
}

/** The same completion again: by the attempt that completed it, or by an operator. */
function repeats(row: TaskRow, lease: string | undefined, context: Context): boolean {
  if (lease === undefined) return context.caller.role !== 'agent' || row.assignee === context.caller.id
  return decodeLease(lease)?.token === row.token
}

/** A stopping agent takes nothing new. */
const stopping = (agent: Known | undefined): boolean => agent?.status === 'stopping' || agent?.status === 'terminated'

function able(agent: Known | undefined, row: TaskRow): boolean {
  if (row.assign_to !== null) return false
  if (row.agent_type !== null && canonical(row.agent_type) !== agent?.type_key) return false
  return (JSON.parse(row.capabilities) as string[]).every((capability) => agent?.capabilityKeys.has(canonical(capability)))
}

function changesOf(input: ParsedInputOf<'tasks.update'>): Partial<TaskRow> {
  return {
    ...(input.title !== undefined && { title: input.title }),
    ...(input.description !== undefined && { description: input.description }),
    ...(input.priority !== undefined && { priority: toPriority(input.priority) }),
    ...(input.due_date !== undefined && { due_date: input.due_date === null ? null : toMs(input.due_date, 'due_date') }),
    ...(input.progress !== undefined && { progress: input.progress, progress_note: input.note ?? null }),
    ...(input.metadata !== undefined && { metadata: serialise(input.metadata, 'metadata', maxMetadataBytes) }),
  }
}

function firstLine(text: string | undefined): string | undefined {
  const line = text?.trim().split('\n', 1)[0]
  return line === undefined || line === '' ? undefined : line.length > 120 ? `${line.slice(0, 117)}...` : line
}

function toMs(value: string, field: string): number {
  const ms = Date.parse(value)
  if (Number.isNaN(ms))
    throw new CadreError('invalid_request', {}, { fields: [{ pointer: `/${field}`, detail: 'Give an ISO 8601 time.' }] })
  return ms
}
