/** How an attempt at a task begins and ends. */
import type { TaskState } from '@cadre/contract'
import type { WriteTx } from '../../core/context.ts'
import { type MoveParts, leaseOf, move, settleReady } from './moves.ts'
import { type TaskRow, childrenOf, endAttempt, getTask, saveTask, startAttempt } from './store.ts'
import { isFinal, isHeld } from './view.ts'

interface Failure {
  code: string
  message: string
  retryable: boolean
  /** Wait before the next attempt, instead of the back-off. */
  afterMs?: number | undefined
}

const firstRetryMs = 1_000

export async function start(parts: MoveParts, tx: WriteTx, row: TaskRow): Promise<TaskRow> {
  const now = parts.clock.now()
  await startAttempt(tx, row, now)
  return move(parts, tx, row, 'running', 'task.started', { started_at: now, lease_until: now + leaseOf(parts, row) }, null)
}

/** `result` as JSON text; `artifacts` are added to those the task has. */
export async function complete(
  parts: MoveParts,
  tx: WriteTx,
  row: TaskRow,
  result: string,
  artifacts: readonly string[],
): Promise<TaskRow> {
  const running = row.state === 'assigned' ? await start(parts, tx, row) : row
  await endAttempt(tx, running, 'completed', null, parts.clock.now())
  const all = [...new Set([...(JSON.parse(row.artifacts) as string[]), ...artifacts])]
  const changes = { result, progress: 1, artifacts: JSON.stringify(all), error: null }
  return move(parts, tx, running, 'completed', 'task.completed', changes, null)
}

/** Ends an attempt. Tried again after the back-off while retries are left, otherwise failed for good. */
export async function failAttempt(
  parts: MoveParts,
  tx: WriteTx,
  row: TaskRow,
  error: Failure,
  outcome = 'failed',
): Promise<TaskRow> {
  const now = parts.clock.now()
  await endAttempt(tx, row, outcome, error.message, now)
  const token = row.token + 1
  if (error.retryable && row.attempt <= row.max_retries) {
    // A lost worker is no reason to wait: the work itself did not fail.
    if (outcome === 'lease_expired') return settleReady(parts, tx, row, error.message)
    const backoff = firstRetryMs * 2 ** (row.attempt - 1)
    const wait = error.afterMs ?? Math.round(backoff * (1 + parts.random() * 0.2))
    const changes = { available_at: now + wait, lease_until: null, token }
    return move(parts, tx, row, 'scheduled', 'task.released', changes, error.message)
  }
  const code = error.retryable && row.max_retries > 0 ? 'max_retries_exceeded' : error.code
  const state: TaskState = error.code === 'rejected' ? 'rejected' : 'failed'
  const record = JSON.stringify({ code, message: error.message, attempts: row.attempt })
  return move(parts, tx, row, state, 'task.failed', { error: record, token }, error.message)
}

/** Gives a task back unfinished; the attempt does not count. */
export async function release(parts: MoveParts, tx: WriteTx, row: TaskRow, reason: string): Promise<TaskRow> {
  await endAttempt(tx, row, 'released', reason, parts.clock.now())
  return settleReady(parts, tx, { ...row, attempt: row.attempt - 1 }, reason)
}

/** Ends the task and its children, and tells who holds them to stop. */
export async function cancel(parts: MoveParts, tx: WriteTx, row: TaskRow, reason: string): Promise<TaskRow> {
  if (isHeld(row.state)) await endAttempt(tx, row, 'cancelled', reason, parts.clock.now())
  const after = await move(
    parts,
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
      parts.sessions
        .forAgent(holder)
        ?.send(JSON.stringify({ type: 'task:cancelled', data: { id: row.id, task_id: row.id, reason } })),
    )
  }
  for (const { id } of await childrenOf(tx, row.tenant, row.id)) {
    const child = await getTask(tx, row.tenant, id)
    if (child && !isFinal(child.state)) await cancel(parts, tx, child, `its parent was cancelled: ${reason}`)
  }
  return after
}

/** The lease of a held task ran out. */
export async function expire(parts: MoveParts, tx: WriteTx, row: TaskRow): Promise<void> {
  const session = row.assignee === null ? undefined : parts.sessions.forAgent(row.assignee)
  if (session?.mode === 'plain') {
    // A plain client cannot renew; its open connection does it for it.
    await saveTask(tx, row, { ...row, lease_until: parts.clock.now() + leaseOf(parts, row) })
    return
  }
  // Never begun: the assignment goes elsewhere and no attempt is lost.
  if (row.state === 'assigned') {
    await endAttempt(tx, row, 'lease_expired', 'never begun', parts.clock.now())
    const uncounted = { ...row, attempt: row.attempt - 1 }
    if (!(await saveTask(tx, row, uncounted))) return
    await settleReady(parts, tx, uncounted, 'the lease ran out before the task began')
    return
  }
  const failure = { code: 'lease_expired', message: 'the lease ran out', retryable: true }
  await failAttempt(parts, tx, row, failure, 'lease_expired')
}
