/** What a task handler works with. */
import type { Assignment, OutputOf } from '@cadre/contract'
import type { Call, CallOptions } from './calls.ts'
import { CadreClientError, Retry, hasCode } from './errors.ts'
import type { NewTask, TaskHandle } from './tasks.ts'

export interface TaskContext {
  readonly task: Assignment
  /** Aborted when the task is cancelled, its lease is lost, its time is over or the connection closes for good: stop. */
  readonly signal: AbortSignal
  /** 1 at the first attempt. */
  readonly attempt: number
  /** The earlier of the due date and the time-out of the handler. */
  readonly deadline: Date | undefined
  /** Fencing token; everything this context does carries it. */
  readonly lease: string
  /** `{ task_id, lease }`, to spread into messages, memory writes, tool and model calls made in the name of the task. */
  readonly proof: { readonly task_id: string; readonly lease: string }
  /** Reports 0..1 and renews the lease. Never rejects: a lost lease aborts `signal` instead. */
  readonly progress: (fraction: number, note?: string) => Promise<void>
  /** Creates a child task; cancelling this one reaches it. */
  readonly spawn: (task: NewTask & CallOptions) => Promise<TaskHandle>
  /**
   * Calls a tool in the name of the task. The effect is named `<task>/<tool>/<key>`, the same in every attempt, so that a tool
   * registered as `once` runs once; without `key` the calls of a tool are counted, which asks for the same order in every attempt.
   */
  readonly tool: (
    name: string,
    args?: Record<string, unknown>,
    options?: CallOptions & { key?: string },
  ) => Promise<OutputOf<'tools.call'>>
  /** The stable name of an effect of this task, for idempotency keys of other systems. */
  readonly effectKey: (name: string) => string
  /**
   * Does `work` once for the task: its result, JSON of 1 MiB at most, is kept, and every later attempt gets it instead of doing the work
   * again. A step whose process died in it is done again under the same effect key; with `effect: 'once'` it is not: the task waits until
   * a person says whether it happened, unless it ended by throwing `Retry`, which says that it did not. Each step of an attempt has a name of its own.
   */
  readonly step: <T>(name: string, work: (effectKey: string) => T | Promise<T>, options?: StepOptions) => Promise<T>
  /**
   * What somebody answers, once the answer is there. Until then the task waits without a lease and this attempt ends here: let what this
   * throws pass. Afterwards the handler runs again from its beginning, in this process or another. Without `key` questions are counted.
   */
  readonly input: <T = unknown>(question: Question & { schema?: Record<string, unknown> }) => Promise<T>
  /** Whether a person lets the task do `action` with these arguments; waits as `input` does. Others need an approval of their own. */
  readonly approve: (approval: Partial<Question> & { action: string; args?: unknown }) => Promise<Approval>
}

export interface StepOptions {
  effect?: 'repeat' | 'once'
}

interface Question {
  prompt: string
  key?: string
}

export interface Approval {
  approved: boolean
  comment?: string
  /** Who decided. */
  by: string
}

/** The return value is the result. `Retry` says when to try again, `Reject` never; any other throw is retried while retries are left. */
export type TaskHandler = (task: Assignment, context: TaskContext) => unknown

export interface TaskContextParts {
  call: Call
  create: (task: NewTask & CallOptions) => Promise<TaskHandle>
  signal: AbortSignal
  /** For calls whose answer is waited for as long as the lease is ours. */
  patient: CallOptions
  deadline: Date | undefined
  renewed: () => void
  lost: (error?: CadreClientError) => void
}

export function makeTaskContext(task: Assignment, parts: TaskContextParts): TaskContext {
  const { call, signal, patient } = parts
  const counts = new Map<string, number>()
  const count = (name: string) => {
    const next = (counts.get(name) ?? 0) + 1
    counts.set(name, next)
    return next
  }
  const { id, lease } = task
  const own = { id, lease }
  const proof = { task_id: id, lease }
  // Any answer may be the first to know that the task went to somebody else.
  const watched = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work
    } catch (error) {
      if (hasCode(error, 'stale_lease')) parts.lost()
      throw error
    }
  }
  const effectKey = (name: string) => `${id}/${name}`
  const suspend = (): never => {
    const error = new CadreClientError('input_required', `Task ${id} waits for an answer.`)
    parts.lost(error)
    throw error
  }
  const ask = async (question: Partial<Question>, of: string) => {
    const key = question.key ?? String(count(`${of}/`))
    const { state, request } = await watched(call('tasks.request_input', { ...question, ...own, key }, patient))
    return state === 'waiting' ? suspend() : request
  }
  return {
    task,
    signal,
    attempt: task.attempt,
    deadline: parts.deadline,
    lease,
    proof,
    async progress(fraction, note) {
      const progress = Math.min(1, Math.max(0, fraction))
      try {
        await watched(call('tasks.progress', { ...own, progress, note: note?.slice(0, 2000) }))
        parts.renewed()
      } catch {
        // Advice only; the heartbeat keeps the lease.
      }
    },
    spawn: (child) => watched(parts.create({ signal, ...child, parent_id: id })),
    tool(name, args = {}, options = {}) {
      const { key, ...callOptions } = options
      const effect = `${id}/${name}/${key ?? count(name)}`
      return watched(
        call('tools.call', { name, arguments: args, key: effect, ...proof }, { signal, timeout: 65_000, ...callOptions }),
      )
    },
    effectKey,
    async step<T>(name: string, work: (effectKey: string) => T | Promise<T>, { effect }: StepOptions = {}) {
      if (count(`/${name}`) > 1) throw new RangeError(`This attempt had a step ${name} already.`)
      const begun = await watched(call('steps.begin', { ...proof, name, effect }, patient))
      if (begun.state === 'done') return begun.result as T
      if (begun.request_id !== undefined) return suspend()
      const finish = (outcome: object) => watched(call('steps.finish', { ...proof, name, ...outcome }, patient))
      try {
        const result = await work(effectKey(name))
        await finish({ result })
        return result
      } catch (error) {
        if (effect && error instanceof Retry) await finish({ void: true })
        throw error
      }
    },
    input: async <T>(question: Question) => (await ask(question, '?')).input as T,
    async approve(approval) {
      const { input, by } = await ask(approval, approval.action)
      return { ...(input as Approval), by: by ?? '' }
    },
  }
}
