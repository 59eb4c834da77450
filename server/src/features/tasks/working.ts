/** What holders of a task report: begun, progress, how it ended. */
import type { Context, WriteTx } from '../../core/context.ts'
import type { Handlers } from '../../core/invoke.ts'
import { complete, failAttempt, release, start } from './attempts.ts'
import type { Engine } from './engine.ts'
import { repeats, requireHolder } from './fencing.ts'
import { resultText } from './fields.ts'
import { findTask } from './listing.ts'
import { type MoveParts, amend, assign, illegal, leaseOf } from './moves.ts'
import type { TaskRow } from './store.ts'
import { isHeld } from './view.ts'

type Names = 'tasks.accept' | 'tasks.progress' | 'tasks.complete' | 'tasks.fail' | 'tasks.release'

export function makeWorking(engine: Engine): Pick<Handlers, Names> {
  const { parts } = engine

  /** Reads the task, checks that the caller holds it, and runs the move. */
  async function held(
    context: Context,
    input: { id: string; lease?: string | undefined },
    work: (tx: WriteTx, row: TaskRow) => Promise<TaskRow>,
  ) {
    const { receipt, row, already } = await context.write(async (tx) => {
      const before = await findTask(tx, context, input.id)
      requireHolder(parts, before, input.lease, context)
      const row = await work(tx, before)
      return { id: row.id, row, already: row === before }
    })
    return { ...engine.view(row), receipt, ...(already && { already }) }
  }

  return {
    'tasks.accept': (context, input) =>
      held(context, input, async (tx, row) => (row.state === 'running' ? row : start(parts, tx, row))),

    'tasks.progress': (context, input) =>
      held(context, input, async (tx, row) => {
        const running = row.state === 'assigned' ? await start(parts, tx, row) : row
        if (running.state !== 'running') throw illegal(running, 'running')
        const { progress, note = null } = input
        const changes = { progress, progress_note: note, lease_until: parts.clock.now() + leaseOf(parts, row) }
        return amend(parts, tx, running, changes, 'task.progress', null, { progress, note })
      }),

    'tasks.complete': async (context, input) => {
      const result = resultText(input.result)
      const { row, receipt, already } = await context.write(async (tx) => {
        const before = await findTask(tx, context, input.id)
        if (before.state === 'completed' && repeats(before, input.lease, context))
          return { id: before.id, row: before, already: true }
        requireHolder(parts, before, input.lease, context)
        const taken = await takenByOperator(parts, tx, context, before)
        const missing = input.errors ?? (input.partial === true ? [] : undefined)
        const row = await complete(parts, tx, taken, result, input.artifacts ?? [], missing)
        return { id: row.id, row, already: false }
      })
      return { ...engine.view(row), receipt, ...(already && { already }) }
    },

    'tasks.fail': (context, input) =>
      held(context, input, (tx, row) => {
        if (!isHeld(row.state)) throw illegal(row, 'failed')
        return failAttempt(parts, tx, row, {
          code: input.code,
          message: input.error,
          retryable: input.retryable,
          afterMs: input.retry_after_ms,
          partial: input.partial === undefined ? undefined : resultText(input.partial),
        })
      }),

    'tasks.release': (context, input) =>
      held(context, input, (tx, row) => {
        if (!isHeld(row.state)) throw illegal(row, 'ready')
        return release(parts, tx, row, input.reason ?? 'given back')
      }),
  }
}

/** A person may complete a task that nobody took: it passes through the person's hands. */
export async function takenByOperator(parts: MoveParts, tx: WriteTx, { caller }: Context, row: TaskRow): Promise<TaskRow> {
  if (row.state !== 'ready' || caller.role === 'agent') return row
  return assign(parts, tx, row, caller.id, `completed by ${caller.name}`)
}
