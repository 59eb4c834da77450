/**
 * Moves tasks. Every move is one compare-and-set on state and token, with its event, in one transaction; what follows from it (waiters
 * released, the next assignment, frames to agents) starts after the commit.
 */
import { type Assignment, CadreError, type Task, type TaskState, canMove, canonical, taskLifecycle } from '@cadre/contract'
import type { Clock } from '../../core/clock.ts'
import type { Caller, Context, WriteTx } from '../../core/context.ts'
import type { Directory } from '../../core/directory.ts'
import type { Sessions } from '../../core/sessions.ts'
import type { Database, Tx } from '../../drivers/database/port.ts'
import type { Agents, Known } from '../agents/service.ts'
import { decodeLease, encodeLease, isFinal, isHeld, moved, toTask } from './view.ts'
import { ReadyQueue, type Wanted } from './ready-queue.ts'
import {
  type TaskRow,
  childrenOf,
  dependentsOf,
  dueToWake,
  endAttempt,
  getTask,
  heldBy,
  loadsByAgent,
  openAttempt,
  overdueLeases,
  readyAfter,
  renewLease,
  saveTask,
  startAttempt,
} from './store.ts'

export interface EngineParts {
  database: Database
  directory: Directory
  clock: Clock
  sessions: Sessions
  agents: Agents
  epoch: string
  random: () => number
  engine: () => Context
  leaseMs: number
}

const sweepMs = 250
const batchSize = 256
const firstRetryMs = 1_000

export type Changes = Partial<TaskRow>

export class Engine {
  readonly #parts: EngineParts
  readonly #queue = new ReadyQueue()
  readonly #loads = new Map<number, number>()
  /** When an agent was last given work, for fair turns among equals. */
  readonly #lastGiven = new Map<number, number>()
  readonly #background = new Set<Promise<unknown>>()
  readonly #watchers = new Map<string, Set<() => void>>()
  #given = 0
  #assigning = false
  #again = false
  #closed = false
  #cancelSweep: () => void

  constructor(parts: EngineParts) {
    this.#parts = parts
    this.#cancelSweep = parts.clock.after(sweepMs, () => this.#sweep())
    parts.agents.onAvailable(() => this.kick())
    parts.sessions.onBound((session) => {
      if (session.agent !== undefined) this.#run(this.#deliverWaiting(session.agent))
    })
  }

  /** Takes up where the last process ended: counts, and what is ready. */
  async load(): Promise<void> {
    for (const { assignee, count } of await loadsByAgent(this.#parts.database)) {
      this.#loads.set(assignee, count)
      this.#parts.agents.setLoad(assignee, count)
    }
    for (let last = ''; ; ) {
      const rows = await readyAfter(this.#parts.database, last, 1000)
      for (const row of rows) this.#enqueue(row)
      const end = rows.at(-1)
      if (!end) break
      last = end.id
    }
    this.kick()
  }

  view(row: TaskRow): Task {
    return toTask(row, this.#parts.directory)
  }

  assignment(row: TaskRow): Assignment {
    return { ...this.view(row), lease: encodeLease(row, this.#parts.epoch) }
  }

  /** Length of one lease of this task. */
  leaseOf(row: TaskRow): number {
    return row.lease_ms ?? this.#parts.leaseMs
  }

  /** Checks that `lease` is the current one of the task; what every write in the name of a task goes through. */
  async checkLease(tx: Tx, write: { task: string; lease: string | undefined; caller: Caller }): Promise<void> {
    const row = await getTask(tx, write.caller.tenant, write.task)
    if (!row) throw new CadreError('not_found', { entity: 'task', id: write.task })
    this.requireHolder(row, write.lease, write.caller, false)
  }

  /**
   * The caller may write in the name of this attempt. With a lease: it must be the current one. Without: operators may always; an agent
   * must be the assignee and speak the plain protocol, where its single lease is implied.
   */
  requireHolder(row: TaskRow, lease: string | undefined, caller: Caller, strict: boolean): void {
    const stale = () => new CadreError('stale_lease', { id: row.id })
    if (lease !== undefined) {
      const named = decodeLease(lease)
      if (!named || named.id !== row.id || named.epoch !== this.#parts.epoch || named.token !== row.token || !isHeld(row.state))
        throw stale()
      if (caller.role === 'agent' && row.assignee !== caller.id) throw stale()
      if (row.lease_until !== null && row.lease_until <= this.#parts.clock.now()) throw stale()
      return
    }
    if (caller.role !== 'agent') return
    if (row.assignee !== caller.id) throw new CadreError('forbidden', { reason: `Task ${row.id} is not assigned to you.` })
    if (strict) throw new CadreError('lease_required', { id: row.id })
    if (!isHeld(row.state)) throw stale()
  }

  /** One legal move with its event. Answers the row as it is now. */
  async move(
    tx: WriteTx,
    row: TaskRow,
    to: TaskState,
    event: string,
    changes: Changes,
    reason: string | null,
    extra: object = {},
  ): Promise<TaskRow> {
    if (!canMove(taskLifecycle, row.state, to)) throw illegal(row, to)
    const now = this.#parts.clock.now()
    const after: TaskRow = { ...row, ...changes, state: to, updated_at: now }
    if (isFinal(to)) Object.assign(after, { completed_at: now, lease_until: null, available_at: null })
    if (!(await saveTask(tx, row, after)))
      throw new CadreError('conflict', { reason: `Task ${row.id} changed meanwhile; read it and try again.` })
    tx.emit({
      type: event,
      subject: row.id,
      task: row.id,
      data: { ...moved(row, after, this.#parts.directory, reason), ...extra },
    })
    tx.afterCommit(() => this.#committed(row, after))
    if (isFinal(to)) await this.#releaseWaiters(tx, after)
    return after
  }

  /** Changes fields without a move. */
  async amend(
    tx: WriteTx,
    row: TaskRow,
    changes: Changes,
    event: string,
    reason: string | null,
    extra: object = {},
  ): Promise<TaskRow> {
    const after: TaskRow = { ...row, ...changes, updated_at: this.#parts.clock.now() }
    if (!(await saveTask(tx, row, after)))
      throw new CadreError('conflict', { reason: `Task ${row.id} changed meanwhile; read it and try again.` })
    tx.emit({
      type: event,
      subject: row.id,
      task: row.id,
      data: { ...moved(row, after, this.#parts.directory, reason), ...extra },
    })
    tx.afterCommit(() => this.#committed(row, after))
    return after
  }

  /** New tasks that were just stored. */
  created(rows: readonly TaskRow[]): void {
    for (const row of rows) {
      if (row.state === 'ready') this.#enqueue(row)
      if (row.state === 'assigned') this.#committed({ ...row, state: 'ready', assignee: null }, row)
    }
    this.kick()
  }

  /**
   * Gives the task to the agent. The lease starts now; only a task that names an agent which is away waits for it, and its lease starts
   * when the agent takes it.
   */
  async assign(tx: WriteTx, row: TaskRow, agent: number, reason: string): Promise<TaskRow> {
    const now = this.#parts.clock.now()
    if (isHeld(row.state)) await endAttempt(tx, row, 'reassigned', reason, now)
    const waits = row.assign_to === agent && this.#parts.sessions.forAgent(agent) === undefined
    const after = await this.move(
      tx,
      row,
      'assigned',
      'task.assigned',
      this.#held(row, agent, waits ? null : now + this.leaseOf(row)),
      reason,
    )
    await openAttempt(tx, this.#attempt(after, agent))
    return after
  }

  #held(row: TaskRow, agent: number, leaseUntil: number | null): Changes {
    return {
      assignee: agent,
      token: row.token + 1,
      attempt: row.attempt + 1,
      lease_until: leaseUntil,
      available_at: null,
      started_at: null,
      progress: 0,
      progress_note: null,
    }
  }

  #attempt(row: TaskRow, agent: number) {
    const now = this.#parts.clock.now()
    return {
      tenant: row.tenant,
      task: row.id,
      number: row.attempt,
      token: row.token,
      agent,
      assigned_at: now,
      started_at: null,
      ended_at: null,
      outcome: 'open',
      error: null,
    }
  }

  /** Starts the lease of a task that its agent now takes. */
  async take(tx: WriteTx, row: TaskRow): Promise<TaskRow> {
    const leaseUntil = this.#parts.clock.now() + this.leaseOf(row)
    if (row.lease_until === leaseUntil) return row
    const after = { ...row, lease_until: leaseUntil }
    if (!(await saveTask(tx, row, after)))
      throw new CadreError('conflict', { reason: `Task ${row.id} changed meanwhile; read it and try again.` })
    return after
  }

  async start(tx: WriteTx, row: TaskRow): Promise<TaskRow> {
    const now = this.#parts.clock.now()
    await startAttempt(tx, row, now)
    return this.move(tx, row, 'running', 'task.started', { started_at: now, lease_until: now + this.leaseOf(row) }, null)
  }

  async complete(tx: WriteTx, row: TaskRow, result: string, artifacts: readonly string[]): Promise<TaskRow> {
    const running = row.state === 'assigned' ? await this.start(tx, row) : row
    await endAttempt(tx, running, 'completed', null, this.#parts.clock.now())
    const all = [...new Set([...(JSON.parse(row.artifacts) as string[]), ...artifacts])]
    return this.move(
      tx,
      running,
      'completed',
      'task.completed',
      { result, progress: 1, artifacts: JSON.stringify(all), error: null },
      null,
    )
  }

  /** Ends an attempt. Tried again after the back-off while retries are left, otherwise failed for good. */
  async failAttempt(
    tx: WriteTx,
    row: TaskRow,
    error: { code: string; message: string; retryable: boolean; afterMs?: number | undefined },
    outcome = 'failed',
  ): Promise<TaskRow> {
    const now = this.#parts.clock.now()
    await endAttempt(tx, row, outcome, error.message, now)
    if (error.retryable && row.attempt <= row.max_retries) {
      // A lost worker is no reason to wait: the work itself did not fail.
      if (outcome === 'lease_expired') return this.settleReady(tx, row, error.message)
      const backoff = firstRetryMs * 2 ** (row.attempt - 1)
      const wait = error.afterMs ?? Math.round(backoff * (1 + this.#parts.random() * 0.2))
      return this.move(
        tx,
        row,
        'scheduled',
        'task.released',
        { available_at: now + wait, lease_until: null, token: row.token + 1 },
        error.message,
      )
    }
    const code = error.retryable && row.max_retries > 0 ? 'max_retries_exceeded' : error.code
    const state: TaskState = error.code === 'rejected' ? 'rejected' : 'failed'
    const record = JSON.stringify({ code, message: error.message, attempts: row.attempt })
    return this.move(tx, row, state, 'task.failed', { error: record, token: row.token + 1 }, error.message)
  }

  /** The task may run: named agents get it at once, others are found by the engine or claim it. */
  async settleReady(tx: WriteTx, row: TaskRow, reason: string | null): Promise<TaskRow> {
    const ready = await this.move(
      tx,
      row,
      'ready',
      isHeld(row.state) ? 'task.released' : 'task.ready',
      { lease_until: null, available_at: null, token: row.token + 1 },
      reason,
    )
    return ready.assign_to === null ? ready : this.assign(tx, ready, ready.assign_to, 'named in the task')
  }

  /** Gives a task back unfinished; the attempt does not count. */
  async release(tx: WriteTx, row: TaskRow, reason: string, outcome = 'released'): Promise<TaskRow> {
    await endAttempt(tx, row, outcome, reason, this.#parts.clock.now())
    return this.settleReady(tx, { ...row, attempt: row.attempt - 1 }, reason)
  }

  async cancel(tx: WriteTx, row: TaskRow, reason: string): Promise<TaskRow> {
    if (isHeld(row.state)) await endAttempt(tx, row, 'cancelled', reason, this.#parts.clock.now())
    const after = await this.move(
      tx,
      row,
      'cancelled',
      'task.cancelled',
      { token: row.token + 1, error: JSON.stringify({ code: 'cancelled', message: reason, attempts: row.attempt }) },
      reason,
    )
    if (row.assignee !== null && isHeld(row.state)) {
      const holder = row.assignee
      tx.afterCommit(() =>
        this.#parts.sessions
          .forAgent(holder)
          ?.send(JSON.stringify({ type: 'task:cancelled', data: { id: row.id, task_id: row.id, reason } })),
      )
    }
    for (const { id } of await childrenOf(tx, row.tenant, row.id)) {
      const child = await getTask(tx, row.tenant, id)
      if (child && !isFinal(child.state)) await this.cancel(tx, child, `its parent was cancelled: ${reason}`)
    }
    return after
  }

  /** Heartbeats: renews the leases named, or all of the agent's when it speaks the plain protocol. */
  async renew(
    tenant: number,
    agent: number,
    leases: readonly string[] | 'all',
  ): Promise<{ lost: string[]; until: number | null }> {
    if (leases !== 'all' && leases.length === 0) return { lost: [], until: null }
    const now = this.#parts.clock.now()
    return this.#parts.database.transaction(async (tx) => {
      const held = new Map((await heldBy(tx, tenant, agent)).map((row) => [row.id, row]))
      const lost: string[] = []
      let until: number | null = null
      const extend = async (row: TaskRow): Promise<boolean> => {
        const end = now + this.leaseOf(row)
        until = until === null ? end : Math.min(until, end)
        return renewLease(tx, tenant, row.id, row.token, agent, end)
      }
      if (leases === 'all') for (const row of held.values()) if (row.lease_until !== null) await extend(row)
      if (leases !== 'all') {
        for (const lease of leases) {
          const named = decodeLease(lease)
          const row = named && held.get(named.id)
          const current =
            row &&
            named.token === row.token &&
            named.epoch === this.#parts.epoch &&
            (row.lease_until ?? Number.POSITIVE_INFINITY) > now
          if (!current || !(await extend(row))) lost.push(lease)
        }
      }
      return { lost, until }
    })
  }

  /** Waits until the engine has nothing to do at the moment. */
  async idle(): Promise<void> {
    while (this.#background.size > 0) await Promise.all(this.#background)
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#cancelSweep()
    await this.idle()
  }

  /** Looks for agents for ready tasks, soon. */
  kick(): void {
    if (this.#closed || this.#queue.size === 0) return
    if (this.#assigning) {
      this.#again = true
      return
    }
    this.#assigning = true
    this.#run(
      this.#assignRound().finally(() => {
        this.#assigning = false
        if (this.#again) {
          this.#again = false
          this.kick()
        }
      }),
    )
  }

  async #assignRound(): Promise<void> {
    const chosen: { id: string; tenant: number; agent: number; candidates: number }[] = []
    const planned = new Map<number, number>()
    const skip = new Set<object>()
    const lastHolder = new Map<string, number | null>()
    while (chosen.length < batchSize) {
      const group = this.#queue.groups().find((candidate) => !skip.has(candidate))
      if (!group) break
      const candidates = this.#parts.agents.registry
        .candidates(group.wanted.tenant, group.wanted.type, group.wanted.capabilities)
        .filter((agent) => agent.load + (planned.get(agent.id) ?? 0) < agent.concurrency)
      if (candidates.length === 0) {
        skip.add(group)
        continue
      }
      const entry = ReadyQueue.take(group)
      if (!entry) continue
      if (!lastHolder.has(entry.id))
        lastHolder.set(entry.id, (await getTask(this.#parts.database, group.wanted.tenant, entry.id))?.assignee ?? null)
      const agent = this.#choose(candidates, planned, lastHolder.get(entry.id) ?? null)
      planned.set(agent.id, (planned.get(agent.id) ?? 0) + 1)
      this.#given += 1
      this.#lastGiven.set(agent.id, this.#given)
      chosen.push({ id: entry.id, tenant: group.wanted.tenant, agent: agent.id, candidates: candidates.length })
    }
    if (chosen.length === 0) return
    await this.#parts.engine().write(async (tx) => {
      for (const choice of chosen) {
        const row = await getTask(tx, choice.tenant, choice.id)
        if (row?.state !== 'ready') continue
        await this.assign(
          tx,
          row,
          choice.agent,
          `least busy of ${choice.candidates} able ${choice.candidates === 1 ? 'agent' : 'agents'}`,
        )
      }
      return {}
    })
    if (this.#queue.size > 0) this.#again = true
  }

  // Connected before polling, another than the one that just lost it, least busy, longest without work.
  #choose(candidates: readonly Known[], planned: ReadonlyMap<number, number>, lastHolder: number | null): Known {
    const rank = (agent: Known): readonly number[] => [
      agent.id === lastHolder ? 1 : 0,
      agent.connected ? 0 : 1,
      (agent.load + (planned.get(agent.id) ?? 0)) / agent.concurrency,
      this.#lastGiven.get(agent.id) ?? 0,
    ]
    return candidates.reduce((best, agent) => (less(rank(agent), rank(best)) ? agent : best))
  }

  /** Dependents of a task that ended: released when it completed, skipped otherwise. In the same transaction, down the graph. */
  async #releaseWaiters(tx: WriteTx, ended: TaskRow): Promise<void> {
    for (const { id } of await dependentsOf(tx, ended.tenant, ended.id)) {
      // Read again: what happened to a dependent before it may have ended this one too.
      const dependent = await getTask(tx, ended.tenant, id)
      if (!dependent || isFinal(dependent.state)) continue
      if (ended.state === 'completed') {
        const waiting = Math.max(0, dependent.waiting_for - 1)
        const next = { ...dependent, waiting_for: waiting }
        if (!(await saveTask(tx, dependent, next))) continue
        if (waiting === 0 && next.state === 'pending') await this.#leavePending(tx, next)
      } else if (canMove(taskLifecycle, dependent.state, 'skipped')) {
        const error = JSON.stringify({ code: 'dependency_failed', message: `${ended.title} ended as ${ended.state}` })
        await this.move(tx, dependent, 'skipped', 'task.skipped', { error }, `${ended.title} ended as ${ended.state}`)
      }
    }
  }

  async #leavePending(tx: WriteTx, row: TaskRow): Promise<void> {
    const now = this.#parts.clock.now()
    if (row.available_at !== null && row.available_at > now)
      await this.move(tx, row, 'scheduled', 'task.updated', {}, 'waits for its time')
    else await this.settleReady(tx, row, 'its dependencies completed')
  }

  #committed(before: TaskRow, after: TaskRow): void {
    this.#countLoad(before, after)
    if (after.state === 'ready' && before.state !== 'ready') {
      this.#enqueue(after)
      this.kick()
    }
    const { sessions } = this.#parts
    if (
      after.state === 'assigned' &&
      (before.state !== 'assigned' || before.assignee !== after.assignee) &&
      after.assignee !== null
    ) {
      sessions.forAgent(after.assignee)?.send(JSON.stringify({ type: 'task:assigned', data: this.assignment(after) }))
    }
    const interested = new Set([after.creator, after.assignee, before.assignee])
    let frame: string | undefined
    for (const agent of interested) {
      const session = agent === null ? undefined : sessions.forAgent(agent)
      if (session) session.send((frame ??= JSON.stringify({ type: 'task:updated', data: this.view(after) })))
    }
    if (isFinal(after.state)) for (const wake of this.#watchers.get(after.id) ?? []) wake()
  }

  #countLoad(before: TaskRow, after: TaskRow): void {
    const from = isHeld(before.state) ? before.assignee : null
    const to = isHeld(after.state) ? after.assignee : null
    if (from === to) return
    for (const [agent, change] of [
      [from, -1],
      [to, 1],
    ] as const) {
      if (agent === null) continue
      const load = Math.max(0, (this.#loads.get(agent) ?? 0) + change)
      this.#loads.set(agent, load)
      this.#parts.agents.setLoad(agent, load)
    }
  }

  #enqueue(row: TaskRow): void {
    const wanted = wantedBy(row)
    if (wanted) this.#queue.add(wanted, row.priority, row.id)
  }

  /** What waited for this agent: starts its leases and sends it over. */
  async #deliverWaiting(agent: number): Promise<void> {
    const session = this.#parts.sessions.forAgent(agent)
    if (!session) return
    const tenant = session.caller.tenant
    await this.#parts.engine().write(async (tx) => {
      for (const row of await heldBy(tx, tenant, agent)) {
        // A plain client keeps no leases of its own: after a reconnect it is told again what it holds.
        const again = session.mode === 'plain'
        if (row.lease_until !== null && !again) continue
        const taken = await this.take(tx, row)
        tx.afterCommit(() => session.send(JSON.stringify({ type: 'task:assigned', data: this.assignment(taken) })))
      }
      return {}
    })
  }

  #sweep(): void {
    if (this.#closed) return
    this.#run(this.#sweepOnce())
    this.#cancelSweep = this.#parts.clock.after(sweepMs, () => this.#sweep())
  }

  async #sweepOnce(): Promise<void> {
    const now = this.#parts.clock.now()
    const { database } = this.#parts
    const overdue = await overdueLeases(database, now, batchSize)
    const due = await dueToWake(database, now, batchSize)
    if (overdue.length === 0 && due.length === 0) return this.kick()
    await this.#parts.engine().write(async (tx) => {
      for (const stale of overdue) {
        const row = await getTask(tx, stale.tenant, stale.id)
        if (row && isHeld(row.state) && row.lease_until !== null && row.lease_until <= now) await this.#expire(tx, row)
      }
      for (const stale of due) {
        const row = await getTask(tx, stale.tenant, stale.id)
        if (row?.state === 'scheduled' && (row.available_at ?? 0) <= now) await this.settleReady(tx, row, 'its wait is over')
      }
      return {}
    })
  }

  async #expire(tx: WriteTx, row: TaskRow): Promise<void> {
    const session = row.assignee === null ? undefined : this.#parts.sessions.forAgent(row.assignee)
    if (session?.mode === 'plain') {
      // A plain client cannot renew; its open connection does it for it.
      await saveTask(tx, row, { ...row, lease_until: this.#parts.clock.now() + this.leaseOf(row) })
      return
    }
    // Never begun: the assignment goes elsewhere and no attempt is lost.
    if (row.state === 'assigned') {
      await endAttempt(tx, row, 'lease_expired', 'never begun', this.#parts.clock.now())
      const uncounted = { ...row, attempt: row.attempt - 1 }
      if (!(await saveTask(tx, row, uncounted))) return
      await this.settleReady(tx, uncounted, 'the lease ran out before the task began')
      return
    }
    await this.failAttempt(tx, row, { code: 'lease_expired', message: 'the lease ran out', retryable: true }, 'lease_expired')
  }

  #run(work: Promise<unknown>): void {
    const guarded = work.catch(() => undefined).finally(() => this.#background.delete(guarded))
    this.#background.add(guarded)
  }
}

/** Null for a task that names nobody: such a task waits to be claimed or assigned. */
function wantedBy(row: TaskRow): Wanted | null {
  const capabilities = (JSON.parse(row.capabilities) as string[]).map(canonical).toSorted()
  if (row.assign_to !== null || (row.agent_type === null && capabilities.length === 0)) return null
  return { tenant: row.tenant, type: row.agent_type === null ? null : canonical(row.agent_type), capabilities }
}

export function illegal(row: TaskRow, to: string): CadreError {
  return new CadreError('illegal_transition', { entity: 'task', from: row.state, to, legal: taskLifecycle.moves[row.state] })
}

function less(a: readonly number[], b: readonly number[]): boolean {
  for (let index = 0; index < a.length; index++) {
    const difference = (a[index] as number) - (b[index] as number)
    if (difference !== 0) return difference < 0
  }
  return false
}
