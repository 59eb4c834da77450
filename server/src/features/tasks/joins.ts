/** What the end of a task does to those that depend on it and to its run, in the transaction that ends it. */
import { type JoinRule, canMove, taskLifecycle } from '@cadre/contract'
import type { WriteTx } from '../../core/context.ts'
import { cancel } from './attempts.ts'
import { type MoveParts, move, settleReady, skip } from './moves.ts'
import { countEnded, openTasksOf } from './run-store.ts'
import { type TaskRow, dependentsOf, getTask, saveTask } from './store.ts'
import { isFinal } from './view.ts'

/** How a task stands that waits for others: it may run, can never run, or waits for `waiting` more. */
export type Standing = 'runs' | 'skipped' | { waiting: number }

/** By its join rule, of its dependencies: how many are open, how many completed, how many ended otherwise. */
export function standing(rule: JoinRule, open: number, completed: number, failed: number): Standing {
  if (rule === 'all_success') return failed > 0 ? 'skipped' : open > 0 ? { waiting: open } : 'runs'
  if (rule === 'any_success' && completed + failed + open > 0 && completed === 0) return open > 0 ? { waiting: open } : 'skipped'
  return rule === 'all_done' && open > 0 ? { waiting: open } : 'runs'
}

/** Down the graph, and once for each task: what waited is released or skipped, and the run is counted. */
export async function followEnd(parts: MoveParts, tx: WriteTx, ended: TaskRow): Promise<void> {
  if (ended.fail_fast === 1 && ended.run !== null && (ended.state === 'failed' || ended.state === 'rejected'))
    await failFast(parts, tx, ended, ended.run)
  for (const id of await dependentsOf(tx, ended.tenant, ended.id)) {
    // Read now: what happened to another dependent may have ended this one too.
    const dependent = await getTask(tx, ended.tenant, id)
    if (dependent && dependent.waiting_for > 0 && !isFinal(dependent.state)) await tellDependent(parts, tx, dependent, ended)
  }
  const { run } = ended
  if (run !== null) await countEnded(tx, ended, run, parts.clock.now(), () => parts.runEnded(run))
}

async function tellDependent(parts: MoveParts, tx: WriteTx, dependent: TaskRow, ended: TaskRow): Promise<void> {
  const open = dependent.waiting_for - 1
  const succeeded = ended.state === 'completed'
  // A task that still waits has, under all_success, none that failed, and under any_success none that completed.
  const stands = standing(dependent.join_rule as JoinRule, open, succeeded ? 1 : 0, succeeded ? 0 : 1)
  if (stands === 'skipped') {
    if (canMove(taskLifecycle, dependent.state, 'skipped')) await skip(parts, tx, dependent, ended)
    return
  }
  const next = { ...dependent, waiting_for: stands === 'runs' ? 0 : stands.waiting }
  if (!(await saveTask(tx, dependent, next)) || stands !== 'runs' || next.state !== 'pending') return
  if (next.available_at !== null && next.available_at > parts.clock.now())
    await move(parts, tx, next, 'scheduled', 'task.updated', {}, 'waits for its time')
  else
    await settleReady(parts, tx, next, next.join_rule === 'any_success' ? 'one it waits for completed' : 'its dependencies ended')
}

/** The last ones first: a dependent that has ended is not released by what it waited for. */
async function failFast(parts: MoveParts, tx: WriteTx, failed: TaskRow, run: string): Promise<void> {
  for (const { id } of await openTasksOf(tx, failed.tenant, run)) {
    const row = await getTask(tx, failed.tenant, id)
    if (row && !isFinal(row.state)) await cancel(parts, tx, row, `${failed.title} failed, and its run fails fast`)
  }
}
