/** What creators and operators decide about a task, beside its holder: its fields, its state, who does it, that it is not done. */
import { type ParsedInputOf, type TaskState, type TaskStatus, statusOf, taskLifecycle } from '@cadre/contract'
import type { Context, WriteTx } from '../../core/context.ts'
import type { Handlers } from '../../core/invoke.ts'
import { cancel, complete, failAttempt, release, start } from './attempts.ts'
import type { Engine } from './engine.ts'
import { holds, requireEditor, requireHolder } from './fencing.ts'
import { changesOf, resultText } from './fields.ts'
import { findTask } from './listing.ts'
import { type MoveParts, amend, assign, illegal, requirePresent } from './moves.ts'
import { requireRunning } from './stopping.ts'
import { requireDelegation } from './placement.ts'
import type { TaskRow } from './store.ts'
import { isFinal, isHeld } from './view.ts'
import { takenByOperator } from './working.ts'

type Update = ParsedInputOf<'tasks.update'>

export function makeUpdating(engine: Engine): Pick<Handlers, 'tasks.update' | 'tasks.assign' | 'tasks.cancel'> {
  const { parts } = engine
  return {
    'tasks.update': async (context, input) => {
      const { row, receipt, already } = await context.write(async (tx) => {
        const before = await findTask(tx, context, input.id)
        let row = await changeFields(parts, tx, context, before, input)
        if (input.status !== undefined) row = await moveTo(parts, tx, context, row, input.status, input)
        return { id: row.id, row, already: row === before }
      })
      return { ...engine.view(row), receipt, ...(already && { already }) }
    },

    'tasks.assign': async (context, input) => {
      const agent = parts.directory.agent(context.tenant, input.agent)
      const { row, receipt, already } = await context.write(async (tx) => {
        const before = await findTask(tx, context, input.id)
        requireEditor(context, before, 'assigns')
        requireDelegation(parts, context.caller.id, agent.id)
        if (before.assignee === agent.id && isHeld(before.state)) return { id: before.id, row: before, already: true }
        if (isFinal(before.state) || before.state === 'paused') throw illegal(before, 'assigned')
        requirePresent(parts, agent.id)
        requireRunning(before)
        const named = { ...before, assign_to: agent.id }
        // A task whose dependencies are open keeps the name and is assigned when they have completed.
        const row =
          before.state === 'pending'
            ? await amend(parts, tx, before, { assign_to: agent.id }, 'task.updated', `will go to ${agent.name}`)
            : await assign(parts, tx, named, agent.id, input.reason ?? `assigned by ${context.caller.name}`)
        return { id: row.id, row, already: false }
      })
      return { ...engine.view(row), receipt, ...(already && { already }) }
    },

    'tasks.cancel': async (context, input) => {
      const { row, receipt, already } = await context.write(async (tx) => {
        const before = await findTask(tx, context, input.id)
        requireEditor(context, before, 'cancels')
        if (before.state === 'cancelled') return { id: before.id, row: before, already: true }
        const row = await cancel(parts, tx, before, input.reason ?? `cancelled by ${context.caller.name}`)
        return { id: row.id, row, already: false }
      })
      return { ...engine.view(row), receipt, ...(already && { already }) }
    },
  }
}

/** Answers the row itself when the update names no fields. */
async function changeFields(parts: MoveParts, tx: WriteTx, context: Context, row: TaskRow, input: Update): Promise<TaskRow> {
  const changes = changesOf(input)
  if (Object.keys(changes).length === 0) return row
  const { progress, note = null } = input
  // Progress is the holder's to report; other fields are the creator's too. Who holds the task proves it either way.
  if (input.lease !== undefined || progress !== undefined || holds(context, row)) requireHolder(parts, row, input.lease, context)
  if (isFinal(row.state)) throw illegal(row, 'changed')
  requireEditor(context, row, 'changes')
  const [event, extra] = progress === undefined ? ['task.updated', {}] : ['task.progress', { progress, note }]
  return amend(parts, tx, row, changes, event, note, extra)
}

/** `tasks.update` speaks in statuses; each is one of the moves below. */
async function moveTo(
  parts: MoveParts,
  tx: WriteTx,
  context: Context,
  row: TaskRow,
  wanted: TaskState | TaskStatus,
  input: Update,
): Promise<TaskRow> {
  if (wanted === row.state || (wanted === statusOf[row.state] && !taskLifecycle.moves[row.state].includes(wanted))) return row
  if (wanted === 'cancelled') {
    requireEditor(context, row, 'cancels')
    return cancel(parts, tx, row, input.note ?? `cancelled by ${context.caller.name}`)
  }
  requireHolder(parts, row, input.lease, context)
  if (wanted === 'running' && row.state === 'assigned') return start(parts, tx, row)
  if (wanted === 'completed') {
    const taken = await takenByOperator(parts, tx, context, row)
    return complete(parts, tx, taken, resultText(input.result), [])
  }
  if ((wanted === 'failed' || wanted === 'rejected') && isHeld(row.state)) {
    return failAttempt(parts, tx, row, {
      code: wanted === 'rejected' ? 'rejected' : 'task_error',
      message: input.error ?? input.note ?? 'reported as failed',
      retryable: false,
      // Who runs the place says how it ends.
      isLast: context.caller.role !== 'agent',
    })
  }
  if ((wanted === 'pending' || wanted === 'ready') && isHeld(row.state))
    return release(parts, tx, row, input.note ?? 'given back')
  throw illegal(row, wanted)
}
