/** How an attempt at a task begins and ends. */
import { type OutputOf, type TaskState, isRetryableTaskError } from '@cadre/contract'
import type { WriteTx } from '../../core/context.ts'
import { fallBack, nextFallback } from './fallback.ts'
import { type MoveParts, leaseOf, move, settleReady } from './moves.ts'
import { placementOf } from './placement.ts'
import { type TaskRow, attemptsOf, childrenOf, endAttempt, getTask, noteFailure, saveTask, startAttempt } from './store.ts'
import { isFinal, isHeld } from './view.ts'

interface Failure {
  code: string
  message: string
  /** By the code unless given. */
  retryable?: boolean | undefined
  /** Nobody stands in. */
  isLast?: boolean
  /** JSON text of what the attempt got done. */
  partial?: string | undefined
  /** Wait before the next attempt, instead of the back-off. */
  afterMs?: number | undefined
}

const firstRetryMs = 1_000
const maxRetryMs = 3_600_000
const maxAttempted = 50

type TaskError = NonNullable<OutputOf<'tasks.get'>['error']>

export async function start(parts: MoveParts, tx: WriteTx, row: TaskRow): Promise<TaskRow> {
  const now = parts.clock.now()
  await startAttempt(tx, row, now)
  return move(parts, tx, row, 'running', 'task.started', { started_at: now, lease_until: now + leaseOf(parts, row) }, null)
}

/** `result` as JSON text; `artifacts` are added to those the task has; `missing` is given for a partial result. */
export async function complete(
  parts: MoveParts,
  tx: WriteTx,
  row: TaskRow,
  result: string,
  artifacts: readonly string[],
  missing?: NonNullable<TaskError['errors']>,
): Promise<TaskRow> {
  const running = row.state === 'assigned' ? await start(parts, tx, row) : row
  await endAttempt(tx, running, 'completed', null, parts.clock.now())
  const all = [...new Set([...(JSON.parse(row.artifacts) as string[]), ...artifacts])]
  const error = missing === undefined ? null : JSON.stringify(await partialFailure(parts, tx, running, missing))
  const changes = { result, progress: 1, artifacts: JSON.stringify(all), error }
  tx.afterCommit(() => parts.attempted(running, 'completed'))
  return move(parts, tx, running, 'completed', 'task.completed', changes, null)
}

/** Ends an attempt. Tried again after the back-off while retries are left, then by each fallback once, otherwise failed for good. */
export async function failAttempt(
  parts: MoveParts,
  tx: WriteTx,
  row: TaskRow,
  error: Failure,
  outcome = 'failed',
): Promise<TaskRow> {
  const now = parts.clock.now()
  const retryable = error.retryable ?? isRetryableTaskError(error.code)
  const again = retryable && row.fallback_at === 0 && row.attempt <= row.max_retries
  // A lost worker is no reason to wait: the work itself did not fail.
  const wait = again && outcome !== 'lease_expired' ? (error.afterMs ?? backOff(parts, row)) : null
  await endAttempt(tx, row, outcome, error.message, now)
  const retryAt = wait === null ? null : now + wait
  await noteFailure(tx, row, { code: error.code, retry_at: retryAt, partial: error.partial ?? null })
  if (row.state !== 'assigned') tx.afterCommit(() => parts.attempted(row, 'failed'))
  const token = row.token + 1
  if (again && wait === null) return settleReady(parts, tx, row, error.message)
  if (again)
    return move(parts, tx, row, 'scheduled', 'task.released', { available_at: retryAt, lease_until: null, token }, error.message)
  const standIn = error.isLast === true ? undefined : nextFallback(parts, row)
  if (standIn) return fallBack(parts, tx, row, standIn, error.message)
  const code = retryable && row.max_retries > 0 ? 'max_retries_exceeded' : error.code
  const state: TaskState = error.code === 'rejected' ? 'rejected' : 'failed'
  const { attempted, partial } = await tried(parts, tx, row)
  const record: TaskError = { code, message: error.message, attempts: row.attempt, attempted }
  const changes = { error: JSON.stringify(record), token, ...(partial !== null && { result: partial }) }
  return move(parts, tx, row, state, 'task.failed', changes, error.message)
}

function backOff(parts: MoveParts, row: TaskRow): number {
  const { backoff_factor: factor = 2 } = placementOf(row)
  const wait = Math.min(firstRetryMs * factor ** (row.attempt - 1), maxRetryMs)
  return Math.round(wait * (1 + parts.random() * 0.2))
}

/** Who tried it, and the newest of what they got done. */
async function tried(parts: MoveParts, tx: WriteTx, row: TaskRow) {
  const attempts = await attemptsOf(tx, row.tenant, row.id)
  const attempted = attempts.slice(-maxAttempted).map(({ number, agent, outcome, code, error }) => ({
    attempt: number,
    agent: parts.directory.byId(agent).name,
    outcome,
    code,
    error,
  }))
  return { attempted, partial: attempts.findLast((each) => each.partial !== null)?.partial ?? null }
}

async function partialFailure(
  parts: MoveParts,
  tx: WriteTx,
  row: TaskRow,
  missing: NonNullable<TaskError['errors']>,
): Promise<TaskError> {
  const { attempted } = await tried(parts, tx, row)
  const names = missing.map(({ source }) => source).join(', ')
  const message = names === '' ? 'The result is only a part.' : `Missing: ${names}.`
  return { code: 'partial_failure', message, attempts: row.attempt, attempted, errors: missing }
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
  if (row.state === 'assigned' && row.fallback_at === 0) {
    await endAttempt(tx, row, 'lease_expired', 'never begun', parts.clock.now())
    const uncounted = { ...row, attempt: row.attempt - 1 }
    if (!(await saveTask(tx, row, uncounted))) return
    await settleReady(parts, tx, uncounted, 'the lease ran out before the task began')
    return
  }
  const failure = { code: 'lease_expired', message: 'the lease ran out', retryable: true }
  await failAttempt(parts, tx, row, failure, 'lease_expired')
}
