/**
 * Tasks this agent holds: takes them, runs their handlers, keeps their leases alive, reports how they ended, and stops what it lost.
 * Vocabulary: held: a task with a lease the server gave us. waiting: held, and not begun because every place is taken.
 */
import type { Assignment } from '@cadre/contract'
import type { Call, CallOptions } from './calls.ts'
import type { Clock } from './clock.ts'
import { CadreClientError, Reject, Retry, hasCode, messageOf } from './errors.ts'
import { Idle } from './idle.ts'
import type { NewTask, TaskHandle, Tasks } from './tasks.ts'
import { type TaskHandler, makeTaskContext } from './work-context.ts'

export type { Approval, StepOptions, TaskContext, TaskHandler } from './work-context.ts'

const usualLease = 30_000
const reportLimit = 86_400_000

/** Errors of our own calls that another attempt would only meet again. */
const hopeless: ReadonlySet<string> = new Set([
  'invalid_request',
  'malformed',
  'unknown_operation',
  'unauthenticated',
  'forbidden',
  'unsupported',
  'too_large',
  'idempotency_conflict',
  'outcome_unknown',
])

export interface TaskHandlerOptions {
  /** Only tasks that ask for this capability, or are of this type. */
  capability?: string | undefined
  /** Tasks of this handler at once; within the connection's `concurrency`. */
  concurrency?: number | undefined
  /** Milliseconds one attempt may take. */
  timeout?: number | undefined
}

interface Entry extends TaskHandlerOptions {
  handler: TaskHandler
  running: number
}

interface Held {
  task: Assignment
  entry: Entry | undefined
  abort: AbortController
  /** Length of the lease and when it was last known to be ours, by the local clock. */
  lease: number
  renewedAt: number
  /** Ended, or reported by somebody else than the handler: what the handler says no longer counts. */
  over: boolean
}

export interface WorkParts {
  clock: Clock
  serverNow: () => number | undefined
  call: Call
  create: (task: NewTask & CallOptions) => Promise<TaskHandle>
  /** A lease was added: the heartbeat may have to come sooner. */
  onLease: () => void
  onError: (error: unknown) => void
  concurrency: number
}

export class Work {
  readonly #parts: WorkParts
  readonly #entries = new Set<Entry>()
  readonly #held = new Map<string, Held>()
  readonly #idle = new Idle()
  #running = 0
  #draining = false

  constructor(parts: WorkParts) {
    this.#parts = parts
  }

  handle(handler: TaskHandler, options: TaskHandlerOptions): () => void {
    const entry: Entry = { ...options, handler, running: 0 }
    this.#entries.add(entry)
    this.#start()
    return () => void this.#entries.delete(entry)
  }

  assigned(task: Assignment): void {
    if (this.#held.has(task.lease)) return
    const now = this.#parts.clock.now()
    const serverNow = this.#parts.serverNow()
    const lease = Date.parse(task.lease_until ?? '') - (serverNow ?? Date.parse(task.updated_at))
    this.#held.set(task.lease, {
      task,
      entry: undefined,
      abort: new AbortController(),
      lease: Number.isFinite(lease) ? Math.max(100, lease) : usualLease,
      renewedAt: now,
      over: false,
    })
    this.#parts.onLease()
    this.#start()
  }

  /** `task:cancelled`. */
  cancelled(id: string, reason: string): void {
    for (const held of this.#held.values()) if (held.task.id === id) this.#lose(held, cancelledError(id, reason))
  }

  /** After a reconnect: what the server still has as ours. What it no longer lists is lost; what nobody began may be begun. */
  resume(leases: readonly Assignment[]): void {
    const current = new Set(leases.map((task) => task.lease))
    const now = this.#parts.clock.now()
    for (const held of this.#held.values()) {
      if (current.has(held.task.lease)) held.renewedAt = now
      else this.#lose(held, lostError(held.task.id))
    }
    for (const task of leases) if (task.state === 'assigned') this.assigned(task)
  }

  /** Leases to name in a heartbeat. A task that no handler takes is not kept from others. */
  leases(): string[] {
    return [...this.#held.values()].filter((held) => held.entry || this.#entryFor(held.task)).map((held) => held.task.lease)
  }

  renewed(leases: readonly string[], lost: readonly string[], sentAt: number): void {
    const gone = new Set(lost)
    for (const lease of leases) {
      const held = this.#held.get(lease)
      if (!held) continue
      if (gone.has(lease)) this.#lose(held, lostError(held.task.id))
      else held.renewedAt = Math.max(held.renewedAt, sentAt)
    }
  }

  shortestLease(): number {
    let shortest = Infinity
    for (const held of this.#held.values()) shortest = Math.min(shortest, held.lease)
    return shortest
  }

  /** Stops what was not renewed in time: by now somebody else may have it. The margin covers the way back to the server. */
  stopUnrenewed(): void {
    const now = this.#parts.clock.now()
    for (const held of this.#held.values()) {
      if (now - held.renewedAt > held.lease - Math.min(5000, held.lease / 4)) this.#lose(held, lostError(held.task.id))
    }
  }

  /** Takes nothing new and gives back what was not begun. */
  drain(): void {
    this.#draining = true
    for (const held of this.#held.values()) if (!held.entry) void this.#giveBack(held)
  }

  idle(): Promise<void> {
    return this.#idle.when(this.#held.size)
  }

  /** Stops every handler; with a connection left, its tasks go back at once instead of when their leases run out. */
  async stop(error: CadreClientError, giveBack: boolean): Promise<void> {
    this.#draining = true
    const all = [...this.#held.values()]
    for (const held of all) held.abort.abort(error)
    if (giveBack) await Promise.all(all.map((held) => this.#giveBack(held)))
    for (const held of all) this.#drop(held)
  }

  /** `tasks.complete` and `tasks.fail` by id, for those who end a task outside of its handler's return. */
  ending(): Pick<Tasks, 'complete' | 'fail'> {
    const end = async (name: 'tasks.complete' | 'tasks.fail', id: string, fields: object, options?: CallOptions) => {
      const held = [...this.#held.values()].find((each) => each.task.id === id && !each.over)
      await this.#parts.call(name, { id, lease: held?.task.lease, ...fields }, options)
      if (held) this.#drop(held)
    }
    return {
      complete: (id, result, options) => end('tasks.complete', id, { result }, options),
      fail: (id, error, { code, retryable, ...options } = {}) => end('tasks.fail', id, { error, code, retryable }, options),
    }
  }

  #entryFor(task: Assignment): Entry | undefined {
    const all = [...this.#entries]
    const special = all.find(
      ({ capability }) => capability !== undefined && (task.capabilities.includes(capability) || task.type === capability),
    )
    return special ?? all.find(({ capability }) => capability === undefined)
  }

  #start(): void {
    if (this.#draining) return
    for (const held of this.#held.values()) {
      if (this.#running >= this.#parts.concurrency) return
      if (held.entry || held.over) continue
      const entry = this.#entryFor(held.task)
      if (!entry || entry.running >= (entry.concurrency ?? Infinity)) continue
      held.entry = entry
      entry.running += 1
      this.#running += 1
      void this.#run(held, entry).finally(() => {
        entry.running -= 1
        this.#running -= 1
        this.#drop(held)
        this.#start()
      })
    }
  }

  async #run(held: Held, entry: Entry): Promise<void> {
    const { id, lease, due_date } = held.task
    const { call, clock, create } = this.#parts
    const { signal } = held.abort
    // An answer is waited for as long as the lease is ours; losing it aborts the signal.
    const reporting: CallOptions = { signal, timeout: reportLimit }
    let cancelTimeout = (): void => {}
    try {
      await call('tasks.accept', { id, lease }, reporting)
      held.renewedAt = clock.now()
      const due = due_date === null ? Infinity : Date.parse(due_date)
      const deadline = Math.min(due, clock.now() + (entry.timeout ?? Infinity))
      const context = makeTaskContext(held.task, {
        call,
        create,
        signal,
        patient: reporting,
        deadline: Number.isFinite(deadline) ? new Date(deadline) : undefined,
        renewed: () => (held.renewedAt = clock.now()),
        lost: (error = lostError(id)) => this.#lose(held, error),
      })
      const tooLong = new Promise<never>((_, reject) => {
        if (entry.timeout === undefined) return
        const { timeout } = entry
        cancelTimeout = clock.after(timeout, () => {
          const error = new CadreClientError('timeout', `The handler took longer than ${timeout} ms.`, { retryable: true })
          reject(error)
          held.abort.abort(error)
        })
      })
      const result = await Promise.race([tooLong, (async () => entry.handler(held.task, context))()])
      if (!held.over) await call('tasks.complete', { id, lease, result }, reporting)
    } catch (error) {
      if (!held.over && !hasCode(error, 'stale_lease') && !hasCode(error, 'closed')) await this.#fail(held, error)
    } finally {
      cancelTimeout()
    }
  }

  async #fail(held: Held, error: unknown): Promise<void> {
    const { id, lease } = held.task
    const known = error instanceof CadreClientError ? String(error.code) : undefined
    const code = error instanceof Reject ? 'rejected' : error instanceof Retry ? 'retry' : (known ?? 'task_error')
    const retryable = !(error instanceof Reject || (known !== undefined && hopeless.has(known)))
    const after = error instanceof Retry ? error.after : undefined
    const failure = { error: messageOf(error).slice(0, 10_000), code: code.slice(0, 128), retryable }
    try {
      await this.#parts.call('tasks.fail', { id, lease, ...failure, retry_after_ms: after }, { timeout: held.lease })
    } catch (cause) {
      if (!hasCode(cause, 'stale_lease') && !hasCode(cause, 'closed')) this.#parts.onError(cause)
    }
  }

  async #giveBack(held: Held): Promise<void> {
    this.#drop(held)
    try {
      await this.#parts.call('tasks.release', { id: held.task.id, lease: held.task.lease, reason: 'the agent stops' })
    } catch {
      // Its lease runs out instead.
    }
  }

  #lose(held: Held, error: CadreClientError): void {
    this.#drop(held)
    held.abort.abort(error)
  }

  #drop(held: Held): void {
    held.over = true
    if (this.#held.get(held.task.lease) === held) this.#held.delete(held.task.lease)
    if (this.#held.size === 0) this.#idle.wake()
  }
}

const lostError = (id: string): CadreClientError =>
  new CadreClientError('lease_lost', `Task ${id} is no longer held here.`, { parameters: { id } })
const cancelledError = (id: string, reason: string): CadreClientError =>
  new CadreClientError('cancelled', `Task ${id} was cancelled: ${reason}`, { status: 499, parameters: { id, reason } })
