/** Tasks one gave away: create them, wait for their results, follow them. */
import type { InputOf, LogEntry, OutputOf, Task } from '@cadre/contract'
import { type Call, type CallOptions, splitOptions } from './calls.ts'
import type { Clock } from './clock.ts'
import { CadreClientError } from './errors.ts'
import { forwards } from './forwarding.ts'
import { iterate } from './iteration.ts'
import { single } from './single.ts'

const final: ReadonlySet<string> = new Set(['completed', 'failed', 'cancelled', 'rejected', 'skipped'])
const hasEnded = (task: Pick<Task, 'state'>): boolean => final.has(task.state)

/** Names of the log entries that move a task; the feed of those who are no agent. */
const taskEvents = [
  'ready',
  'assigned',
  'started',
  'progress',
  'input_required',
  'updated',
  'released',
  'completed',
  'failed',
  'cancelled',
  'skipped',
].map((verb) => `task.${verb}`)

/** Pushes are hints; what they lost is found this late at worst. */
const safetyNet = 15_000
const checksPerRound = 64

export type NewTask = InputOf<'tasks.create'>
export type TaskStatusAnswer = OutputOf<'tasks.status'>

export interface TaskHandle {
  readonly id: string
  /** Resolves to the result once completed; rejects with the task's error once it failed, was cancelled, rejected or skipped. */
  result<R = unknown>(options?: CallOptions): Promise<R>
  status(options?: CallOptions): Promise<TaskStatusAnswer>
  /** Each state and progress that is seen, ending with the final one. A slow reader gets the newest of what it missed. */
  events(options?: { signal?: AbortSignal }): AsyncIterableIterator<Task>
  cancel(reason?: string, options?: CallOptions): Promise<void>
  /** Answers what the task waits for (`input_required`), as its creator or an operator. */
  provideInput(input: unknown, options?: CallOptions): Promise<OutputOf<'tasks.provide_input'>>
}

type Listener = (task: Task) => void
interface Followed {
  listeners: Set<Listener>
  last: Task | undefined
  check: () => void
}

export interface TaskFeedParts {
  call: Call
  clock: Clock
  /** `task:updated` frames arrive here; otherwise the log is watched. */
  isAgent: boolean
  watchLog: (types: readonly string[], handler: (entry: LogEntry) => void) => () => void
}

/** Tells the newest state of the tasks somebody waits for. */
export class TaskFeed {
  readonly #parts: TaskFeedParts
  readonly #followed = new Map<string, Followed>()
  #stopWatch: (() => void) | undefined
  #cancelNet: (() => void) | undefined

  constructor(parts: TaskFeedParts) {
    this.#parts = parts
  }

  /** A `task:updated` frame. */
  updated(task: Task): void {
    const followed = this.#followed.get(task.id)
    if (followed) tell(followed, task)
  }

  /** Pushes may have been missed: asks again for everything that is followed. */
  recheck(): void {
    for (const id of this.#followed.keys()) this.#check(id)
  }

  /** `own`: created here, so that its updates are pushed to an agent. */
  follow(id: string, own: boolean, listener: Listener): () => void {
    const followed = this.#followed.get(id) ?? this.#newly(id)
    this.#followed.set(id, followed)
    followed.listeners.add(listener)
    if (!(own && this.#parts.isAgent)) this.#watch()
    if (followed.last) listener(followed.last)
    if (!followed.last || !hasEnded(followed.last)) this.#check(id)
    this.#armNet()
    return () => {
      followed.listeners.delete(listener)
      if (followed.listeners.size === 0 && this.#followed.get(id) === followed) this.#followed.delete(id)
      if (this.#followed.size === 0) this.#rest()
    }
  }

  /** Nothing will be heard any more: whoever waits is told so. */
  end(error: CadreClientError): void {
    for (const [id, followed] of this.#followed) fail(followed, id, error)
    this.#rest()
  }

  #rest(): void {
    this.#stopWatch?.()
    this.#stopWatch = undefined
    this.#cancelNet?.()
    this.#cancelNet = undefined
  }

  #watch(): void {
    this.#stopWatch ??= this.#parts.watchLog(taskEvents, (entry) => {
      const id = (entry.data as { task_id?: unknown } | null)?.task_id
      if (typeof id === 'string' && this.#followed.has(id)) this.#check(id)
    })
  }

  #check(id: string): void {
    this.#followed.get(id)?.check()
  }

  #newly(id: string): Followed {
    const followed: Followed = {
      listeners: new Set(),
      last: undefined,
      check: single(async () => {
        if (this.#followed.get(id) !== followed) return
        try {
          tell(followed, await this.#parts.call('tasks.get', { id }))
        } catch (error) {
          if (error instanceof CadreClientError && !error.retryable) fail(followed, id, error)
        }
      }),
    }
    return followed
  }

  #armNet(): void {
    this.#cancelNet ??= this.#parts.clock.after(safetyNet, () => {
      this.#cancelNet = undefined
      // Those asked for go to the end, so that each has its turn.
      for (const [id, followed] of [...this.#followed].slice(0, checksPerRound)) {
        this.#followed.delete(id)
        this.#followed.set(id, followed)
        this.#check(id)
      }
      if (this.#followed.size > 0) this.#armNet()
    })
  }
}

// An answer may be older than a push that overtook it.
function tell(followed: Followed, task: Task): void {
  if (followed.last && (hasEnded(followed.last) || task.updated_at < followed.last.updated_at)) return
  followed.last = task
  for (const listener of followed.listeners) listener(task)
}

/** A task that cannot be read ends for those who wait. */
function fail(followed: Followed, id: string, error: CadreClientError): void {
  const unreadable = { id, state: 'failed', error: { code: String(error.code), message: error.message } }
  tell(followed, { ...followed.last, ...unreadable, updated_at: '9999' } as Task)
}

/** The error of a task that ended without a result. */
function taskError(task: Task): CadreClientError {
  const message = task.error?.message ?? `The task was ${task.state}.`
  const parameters = { id: task.id, state: task.state, attempts: task.attempt }
  return new CadreClientError(task.error?.code ?? `task_${task.state}`, message, { parameters })
}

export function makeHandle(id: string, own: boolean, call: Call, feed: TaskFeed, clock: Clock): TaskHandle {
  return {
    id,
    async result<R>({ signal, timeout }: CallOptions = {}) {
      const states = iterate<Task>(
        (push, end) => {
          const cancel = timeout === undefined ? undefined : clock.after(timeout, end)
          const stop = feed.follow(id, own, push)
          return () => {
            cancel?.()
            stop()
          }
        },
        { signal, newest: true },
      )
      for await (const task of states) {
        if (task.state === 'completed') return task.result as R
        if (hasEnded(task)) throw taskError(task)
      }
      throw new CadreClientError('timeout', `Task ${id} did not end within ${timeout} ms; it goes on.`, { retryable: true })
    },
    status: (options) => call('tasks.status', { id }, options),
    events: ({ signal } = {}) =>
      iterate<Task>(
        (push, end) =>
          feed.follow(id, own, (task) => {
            push(task)
            if (hasEnded(task)) end()
          }),
        { signal, newest: true },
      ),
    async cancel(reason, options) {
      await call('tasks.cancel', { id, reason }, options)
    },
    provideInput: (input, options) => call('tasks.provide_input', { id, input }, options),
  }
}

export interface Tasks {
  create(task: NewTask & CallOptions): Promise<TaskHandle & { task: OutputOf<'tasks.create'> }>
  /** A handle on a task that exists. */
  handle(id: string): TaskHandle
  get(id: string, options?: CallOptions): Promise<OutputOf<'tasks.get'>>
  list(query?: InputOf<'tasks.list'> & CallOptions): Promise<OutputOf<'tasks.list'>>
  assign(id: string, agent: string, options?: CallOptions): Promise<OutputOf<'tasks.assign'>>
  cancel(id: string, reason?: string, options?: CallOptions): Promise<OutputOf<'tasks.cancel'>>
  /** Ends a task this agent holds, or any task as an operator. The handler's own return value is then ignored. */
  complete(id: string, result?: unknown, options?: CallOptions): Promise<void>
  fail(id: string, error: string, options?: CallOptions & { code?: string; retryable?: boolean }): Promise<void>
}

export function makeTasks(call: Call, feed: TaskFeed, clock: Clock, ending: Pick<Tasks, 'complete' | 'fail'>): Tasks {
  return {
    ...ending,
    async create(given) {
      const [options, fields] = splitOptions(given)
      const task = await call('tasks.create', fields, options)
      return { ...makeHandle(task.id, true, call, feed, clock), task }
    },
    handle: (id) => makeHandle(id, false, call, feed, clock),
    ...forwards<Pick<Tasks, 'get' | 'list' | 'assign' | 'cancel'>>(call, {
      get: 'tasks.get id',
      list: 'tasks.list',
      assign: 'tasks.assign id agent',
      cancel: 'tasks.cancel id reason',
    }),
  }
}
