/**
 * Moves tasks. Every move is one compare-and-set on state and token, with its event, in one transaction; what follows from it (waiters
 * released, the next assignment, frames to agents) starts after the commit.
 */
import { type Assignment, CadreError, type Task, type TaskState, canMove, canonical, taskLifecycle } from '@cadre/contract'
import type { Clock } from '../../core/clock.ts'
import type { Caller, Context, WriteTx } from '../../core/context.ts'
import type { Directory } from '../../core/directory.ts'
import type { Logger } from '../../core/logger.ts'
import type { Sessions } from '../../core/sessions.ts'
import type { Database, Tx } from '../../drivers/database/port.ts'
import type { Agents, Known } from '../agents/service.ts'
import { decodeLease, encodeLease, isFinal, isHeld, moved, toTask } from './view.ts'
import { ReadyQueue, type Waiting, type Wanted } from './ready-queue.ts'
import {
  type ReadyPlace,
  type ReadyRow,
  type TaskRow,
  beforeAllReady,
  childrenOf,
  countByState,
  dependentsOf,
  dueToWake,
  endAttempt,
  getTask,
  hasHeld,
  heldBy,
  loadsByAgent,
  openAttempt,
  overdueLeases,
  readyAfter,
  renewLease,
  saveTask,
  startAttempt,
  wasAlerted,
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
  logger: Logger
}

/** A write in the name of a task. */
export interface TaskWrite {
  task: string
  lease: string | undefined
  caller: Caller
  /** The session keeps leases: an agent then names the one of a task it holds or held. */
  strict?: boolean | undefined
  /** Naming the task is no mere reference: only who holds it may. */
  mustHold?: boolean | undefined
}

interface Choice {
  waiting: Waiting
  agent: number
  candidates: number
}

/** A task whose write failed is left alone until then. */
interface Ailing {
  tenant: number
  until: number
  failures: number
  queued: boolean
}

const sweepMs = 250
const batchSize = 256
const rescanMs = 15_000
const rescanPage = 1_000
const alertEveryMs = 5_000
const alertAfterMs = 30_000
const maxAiling = 1_000
const maxAilingMs = 30_000
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
  readonly #counts = new Map<number, Map<string, number>>()
  readonly #ailing = new Map<string, Ailing>()
  #rescanning = false
  #rescanAt: number
  #rescanFrom: ReadyPlace = beforeAllReady
  #alertAt: number
  #given = 0
  #assigning = false
  #again = false
  #closed = false
  #cancelSweep: () => void

  constructor(parts: EngineParts) {
    this.#parts = parts
    this.#rescanAt = parts.clock.now() + rescanMs
    this.#alertAt = parts.clock.now() + alertEveryMs
    this.#cancelSweep = parts.clock.after(sweepMs, () => this.#sweep())
    parts.agents.onAvailable(() => this.kick())
    parts.agents.onEnding((agent) => this.#run(this.#letGo(agent)))
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
    for (const { tenant, state, count } of await countByState(this.#parts.database)) this.#count(tenant, state, count)
    for (let last = beforeAllReady; ; ) {
      const rows = await readyAfter(this.#parts.database, last, rescanPage)
      for (const row of rows) this.#enqueue(row)
      const end = rows.at(-1)
      if (!end) break
      last = end
    }
    // Terminations that the last process did not finish.
    for (const agent of this.#parts.agents.registry.all()) {
      if (agent.status !== 'stopping' && agent.status !== 'terminated') continue
      const load = this.#loads.get(agent.id) ?? 0
      if (load > 0) this.#run(this.#letGo(agent))
      else if (agent.status === 'stopping') this.#parts.agents.setLoad(agent.id, 0)
    }
    this.kick()
  }

  /** Tasks of the tenant in each state, without asking the store. */
  counts(tenant: number): Record<string, number> {
    return Object.fromEntries([...(this.#counts.get(tenant) ?? [])].filter(([, count]) => count > 0))
  }

  /** Ids of ready tasks that ask for what the agent is, most urgent first. A hint: the store decides. */
  claimable(agent: Known, limit: number): string[] {
    const may = ({ tenant, type, capabilities }: Wanted) =>
      tenant === agent.tenant &&
      (type === null || type === agent.type_key) &&
      capabilities.every((capability) => agent.capabilityKeys.has(capability))
    return [...new Set(this.#queue.first(may, limit).map((entry) => entry.id))]
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

  /**
   * What every write in the name of a task goes through. A lease must be the current one. Without one: operators may always; an agent
   * that never had the task only refers to it; one that has it, or had it, must name the lease when its session keeps leases (`strict`).
   * Throws `not_found`, `stale_lease`, `lease_required` or, with `mustHold`, `forbidden`.
   */
  async checkLease(tx: Tx, { task, lease, caller, strict = false, mustHold = false }: TaskWrite): Promise<void> {
    const row = await getTask(tx, caller.tenant, task)
    if (!row) throw new CadreError('not_found', { entity: 'task', id: task })
    if (lease !== undefined || mustHold) return this.requireHolder(row, lease, caller, strict)
    if (caller.role !== 'agent') return
    if (row.assignee === caller.id && isHeld(row.state)) return this.requireHolder(row, lease, caller, strict)
    if (strict && (row.assignee === caller.id || (await hasHeld(tx, caller.tenant, task, caller.id))))
      throw new CadreError('stale_lease', { id: row.id })
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
    if (!isHeld(row.state)) throw stale()
    if (strict) throw new CadreError('lease_required', { id: row.id })
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

  /** New tasks, as they were stored; their moves in the same commit are told by themselves. */
  created(rows: readonly TaskRow[]): void {
    for (const row of rows) {
      this.#count(row.tenant, row.state, 1)
      if (row.state === 'ready') this.#enqueue(row)
    }
    this.kick()
  }

  /** Throws `conflict` when the agent ended: nobody would ever do what is named for it. */
  requirePresent(agent: number): void {
    if (this.#isGone(agent))
      throw new CadreError('conflict', {
        reason: `${this.#parts.directory.nameOf(agent)} is ${this.#parts.agents.registry.get(agent)?.status}; name another agent.`,
      })
  }

  #isGone(agent: number): boolean {
    const status = this.#parts.agents.registry.get(agent)?.status
    return status === 'stopping' || status === 'terminated'
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
      // Its session is sent the assignment with the commit.
      taken_at: this.#parts.sessions.forAgent(agent) === undefined ? null : this.#parts.clock.now(),
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
    const now = this.#parts.clock.now()
    const leaseUntil = now + this.leaseOf(row)
    if (row.lease_until === leaseUntil && row.taken_at !== null) return row
    const after = { ...row, lease_until: leaseUntil, taken_at: row.taken_at ?? now }
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

  /** The task may run: named agents get it at once, others are found by the engine or claim it. A named agent that ended is forgotten. */
  async settleReady(tx: WriteTx, row: TaskRow, reason: string | null): Promise<TaskRow> {
    const ready = await this.move(
      tx,
      row,
      'ready',
      isHeld(row.state) ? 'task.released' : 'task.ready',
      {
        lease_until: null,
        available_at: null,
        token: row.token + 1,
        assign_to: row.assign_to !== null && this.#isGone(row.assign_to) ? null : row.assign_to,
      },
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
    const chosen: Choice[] = []
    const planned = new Map<number, number>()
    const groups = this.#queue.groups()
    while (chosen.length < batchSize) {
      const group = groups.pop()
      if (!group) break
      const { tenant, type, capabilities } = group.wanted
      const candidates = this.#parts.agents.registry
        .candidates(tenant, type, capabilities)
        .filter((agent) => agent.load + (planned.get(agent.id) ?? 0) < agent.concurrency)
      const waiting = candidates.length === 0 ? undefined : this.#queue.take(group)
      if (!waiting) continue
      this.#queue.replace(groups, group)
      const agent = this.#choose(candidates, planned, waiting.lastHolder)
      planned.set(agent.id, (planned.get(agent.id) ?? 0) + 1)
      this.#given += 1
      this.#lastGiven.set(agent.id, this.#given)
      chosen.push({ waiting, agent: agent.id, candidates: candidates.length })
    }
    if (chosen.length === 0) return
    try {
      await this.#give(chosen)
    } catch (cause) {
      // One task that cannot be written must not keep the others from their agents.
      if (chosen.length === 1) this.#ail(chosen[0]?.waiting.group.wanted.tenant ?? 0, chosen[0]?.waiting.id ?? '', cause)
      else
        await Promise.all(
          chosen.map((choice) =>
            this.#give([choice]).catch((alone: unknown) =>
              this.#ail(choice.waiting.group.wanted.tenant, choice.waiting.id, alone),
            ),
          ),
        )
    }
    if (this.#queue.size > 0) this.#again = true
  }

  async #give(chosen: readonly Choice[]): Promise<void> {
    await this.#parts.engine().write(async (tx) => {
      for (const { waiting, agent, candidates } of chosen) {
        const row = await getTask(tx, waiting.group.wanted.tenant, waiting.id)
        if (row?.state !== 'ready') continue
        // Its agent began to stop meanwhile.
        if (this.#isGone(agent)) tx.afterCommit(() => this.#enqueue(row))
        else await this.assign(tx, row, agent, `least busy of ${candidates} able ${candidates === 1 ? 'agent' : 'agents'}`)
      }
      return {}
    })
  }

  #ail(tenant: number, id: string, cause: unknown): void {
    const failures = (this.#ailing.get(id)?.failures ?? 0) + 1
    const oldest = this.#ailing.keys().next().value
    if (this.#ailing.size >= maxAiling && oldest !== undefined && !this.#ailing.has(id)) this.#ailing.delete(oldest)
    const until = this.#parts.clock.now() + Math.min(1_000 * 2 ** (failures - 1), maxAilingMs)
    this.#ailing.set(id, { tenant, until, failures, queued: false })
    this.#report('a task could not be moved; it is tried again', cause, id)
  }

  #report(message: string, cause: unknown, task?: string): void {
    if (cause instanceof CadreError && cause.code === 'draining') return
    this.#parts.logger.error(message, { cause, ...(task !== undefined && { task }) })
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
    if (before.state !== after.state) {
      this.#count(before.tenant, before.state, -1)
      this.#count(after.tenant, after.state, 1)
    }
    this.#ailing.delete(after.id)
    if (after.state === 'ready') {
      this.#enqueue(after)
      this.kick()
    } else if (before.state === 'ready') this.#queue.remove(after.id)
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

  #count(tenant: number, state: TaskState, change: number): void {
    let counts = this.#counts.get(tenant)
    if (!counts) this.#counts.set(tenant, (counts = new Map()))
    counts.set(state, (counts.get(state) ?? 0) + change)
  }

  #enqueue(row: ReadyRow): void {
    const wanted = wantedBy(row)
    if (wanted) this.#queue.add(wanted, row.priority, row.id, row.assignee, this.#parts.clock.now())
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
    const limit = batchSize + this.#ailing.size
    const overdue = await overdueLeases(database, now, limit)
    const due = await dueToWake(database, now, limit)
    await Promise.all([
      ...overdue.map((stale) =>
        this.#moveAlone(stale, async (tx, row) => {
          if (isHeld(row.state) && row.lease_until !== null && row.lease_until <= now) await this.#expire(tx, row)
        }),
      ),
      ...due.map((stale) =>
        this.#moveAlone(stale, async (tx, row) => {
          if (row.state === 'scheduled' && (row.available_at ?? 0) <= now) await this.settleReady(tx, row, 'its wait is over')
        }),
      ),
    ])
    await this.#retryAiling(now)
    await this.#rescan(now)
    if (now >= this.#alertAt) {
      this.#alertAt = now + alertEveryMs
      await this.#alert(now)
    }
  }

  /** In a transaction of its own, so that a task that cannot be moved stops no other; these transactions share their commit. */
  async #moveAlone(stale: TaskRow, move: (tx: WriteTx, row: TaskRow) => Promise<void>): Promise<void> {
    if ((this.#ailing.get(stale.id)?.until ?? 0) > this.#parts.clock.now()) return
    try {
      await this.#parts.engine().write(async (tx) => {
        const row = await getTask(tx, stale.tenant, stale.id)
        if (row) await move(tx, row)
        return {}
      })
    } catch (cause) {
      this.#ail(stale.tenant, stale.id, cause)
    }
  }

  /** Ready tasks whose assignment failed are offered again. */
  async #retryAiling(now: number): Promise<void> {
    const over = [...this.#ailing].filter(([, ailing]) => !ailing.queued && ailing.until <= now)
    for (const [id, ailing] of over) {
      ailing.queued = true
      const row = await getTask(this.#parts.database, ailing.tenant, id)
      if (row?.state === 'ready') this.#enqueue(row)
      else if (!row || isFinal(row.state)) this.#ailing.delete(id)
    }
    if (over.length > 0) this.kick()
  }

  /** The queue is a hint: now and then it is compared with the store, a page at a time. */
  async #rescan(now: number): Promise<void> {
    if (this.#rescanning || now < this.#rescanAt) return
    this.#rescanning = true
    try {
      const rows = await readyAfter(this.#parts.database, this.#rescanFrom, rescanPage)
      for (const row of rows) if ((this.#ailing.get(row.id)?.until ?? 0) <= now) this.#enqueue(row)
      this.#rescanFrom = rows.length < rescanPage ? beforeAllReady : (rows.at(-1) as ReadyRow)
      if (rows.length < rescanPage) this.#rescanAt = now + rescanMs
    } finally {
      this.#rescanning = false
    }
    this.kick()
  }

  /** Says once for each time a task waits that nobody who is there can do it. */
  async #alert(now: number): Promise<void> {
    const { agents } = this.#parts
    const alone = ({ tenant, type, capabilities }: Wanted) => agents.registry.able(tenant, type, capabilities).length === 0
    const unserved = this.#queue.unserved(now - alertAfterMs, alone, batchSize)
    if (unserved.length === 0) return
    await this.#parts.engine().write(async (tx) => {
      for (const { id, group } of unserved) {
        const row = await getTask(tx, group.wanted.tenant, id)
        if (row?.state !== 'ready' || (await wasAlerted(tx, row.tenant, id))) continue
        const data = moved(row, row, this.#parts.directory, 'no agent that is present is able to do it')
        tx.emit({ type: 'task.unassignable', subject: id, task: id, data })
      }
      return {}
    })
    for (const waiting of unserved) waiting.alerted = true
  }

  /** An agent that stops keeps what it works on; what never reached it goes elsewhere. */
  async #letGo(agent: Known): Promise<void> {
    for (let left = true; left; ) {
      const { released } = await this.#parts.engine().write(async (tx) => {
        const unseen = (await heldBy(tx, agent.tenant, agent.id)).filter(
          (row) => row.lease_until === null || row.taken_at === null,
        )
        for (const row of unseen) await this.release(tx, row, `${this.#parts.directory.nameOf(agent.id)} is ${agent.status}`)
        return { released: unseen.length }
      })
      left = released > 0
    }
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
    const guarded = work
      .catch((cause: unknown) => this.#report('the task engine failed', cause))
      .finally(() => this.#background.delete(guarded))
    this.#background.add(guarded)
  }
}

/** Null for a task that names nobody: such a task waits to be claimed or assigned. */
function wantedBy(row: ReadyRow): Wanted | null {
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
