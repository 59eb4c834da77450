/** What a task handler works with. */
import type { Assignment, OutputOf } from '@cadre/contract'
import type { Call, CallOptions } from './calls.ts'
import { hasCode } from './errors.ts'
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
}

/** The return value is the result. `Retry` says when to try again, `Reject` never; any other throw is retried while retries are left. */
export type TaskHandler = (task: Assignment, context: TaskContext) => unknown

export interface TaskContextParts {
  call: Call
  create: (task: NewTask & CallOptions) => Promise<TaskHandle>
  signal: AbortSignal
  deadline: Date | undefined
  renewed: () => void
  lost: () => void
}

export function makeTaskContext(task: Assignment, parts: TaskContextParts): TaskContext {
  const { call, signal } = parts
  const counts = new Map<string, number>()
  const proof = { task_id: task.id, lease: task.lease }
  // Any answer may be the first to know that the task went to somebody else.
  const watched = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work
    } catch (error) {
      if (hasCode(error, 'stale_lease')) parts.lost()
      throw error
    }
  }
  return {
    task,
    signal,
    attempt: task.attempt,
    deadline: parts.deadline,
    lease: task.lease,
    proof,
    async progress(fraction, note) {
      const progress = Math.min(1, Math.max(0, fraction))
      try {
        await watched(
          call('tasks.progress', {
            id: task.id,
            lease: task.lease,
            progress,
            note: note?.slice(0, 2000),
          }),
        )
        parts.renewed()
      } catch {
        // Advice only; the heartbeat keeps the lease.
      }
    },
    spawn: (child) => watched(parts.create({ signal, ...child, parent_id: task.id })),
    tool(name, args = {}, options = {}) {
      const { key, ...callOptions } = options
      const count = (counts.get(name) ?? 0) + 1
      counts.set(name, count)
      const effect = `${task.id}/${name}/${key ?? count}`
      return watched(
        call('tools.call', { name, arguments: args, key: effect, ...proof }, { signal, timeout: 65_000, ...callOptions }),
      )
    },
    effectKey: (name) => `${task.id}/${name}`,
  }
}
