/** Holders told to stop, and beginnings refused. */
import { CadreError } from '@cadre/contract'
import type { WriteTx } from '../../core/context.ts'
import type { MoveParts } from './moves.ts'
import type { TaskRow } from './store.ts'
import { isFinal } from './view.ts'

/** Tells who holds the task to stop, once that is committed. */
export function tellStop(parts: Pick<MoveParts, 'sessions'>, tx: WriteTx, row: TaskRow, holder: number, reason: string): void {
  const data = { id: row.id, task_id: row.id, reason }
  tx.afterCommit(() => parts.sessions.forAgent(holder)?.send(JSON.stringify({ type: 'task:cancelled', data })))
}

/** Throws `conflict` for a task that may not begin: a run it belongs to is paused. */
export function requireRunning(row: TaskRow): void {
  if (row.run_paused === 0 || isFinal(row.state) || row.state === 'pending') return
  throw new CadreError('conflict', { reason: `The run of task ${row.id} is paused; resume it first.` })
}
