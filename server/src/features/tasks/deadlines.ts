/** What ends because its time is over: tasks past their deadline, attempts past their limit. */
import type { WriteTx } from '../../core/context.ts'
import type { Reader } from '../../drivers/database/port.ts'
import { sql } from '../../drivers/database/sql.ts'
import { cancel, failAttempt } from './attempts.ts'
import { type MoveParts, move } from './moves.ts'
import { tellStop } from './stopping.ts'
import { type TaskRow, childrenOf, endAttempt, getTask } from './store.ts'
import { isFinal, isHeld } from './view.ts'

/** The last ones made come first: a child ends before its parent, what waits before what it waits for, each by its own deadline. */
export const pastDeadline = async (reader: Reader, now: number, limit: number): Promise<TaskRow[]> =>
  (
    await reader.all<TaskRow>(sql`select * from tasks where deadline is not null and completed_at is null and deadline <= ${now}
      order by deadline, id desc limit ${limit}`)
  ).toSorted((a, b) => (a.id < b.id ? 1 : -1))

export const pastAttempt = (reader: Reader, now: number, limit: number): Promise<TaskRow[]> =>
  reader.all<TaskRow>(sql`select * from tasks where attempt_until is not null and attempt_until <= ${now}
    order by attempt_until limit ${limit}`)

/** Ends the task whatever its state, and its children. */
export async function endOverdue(parts: MoveParts, tx: WriteTx, row: TaskRow, now: number): Promise<void> {
  if (isFinal(row.state) || row.deadline === null || row.deadline > now) return
  const message = `its deadline passed while it was ${row.state}`
  if (isHeld(row.state)) {
    await endAttempt(tx, row, 'failed', message, now)
    if (row.assignee !== null) tellStop(parts, tx, row, row.assignee, message)
  }
  const error = JSON.stringify({ code: 'deadline_exceeded', message, attempts: row.attempt })
  await move(parts, tx, row, 'failed', 'task.failed', { error, token: row.token + 1 }, message)
  for (const { id } of await childrenOf(tx, row.tenant, row.id)) {
    const child = await getTask(tx, row.tenant, id)
    if (child && !isFinal(child.state)) await cancel(parts, tx, child, `the deadline of its parent passed`)
  }
}

/** Fails the attempt that takes too long; its lease is void from then on. */
export async function endLongAttempt(parts: MoveParts, tx: WriteTx, row: TaskRow, now: number): Promise<void> {
  if (row.state !== 'running' || row.attempt_until === null || row.attempt_until > now) return
  const message = `the attempt took more than ${row.timeout_ms} ms`
  if (row.assignee !== null) tellStop(parts, tx, row, row.assignee, message)
  await failAttempt(parts, tx, row, { code: 'attempt_timeout', message, retryable: true })
}
