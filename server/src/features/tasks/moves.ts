/**
 * Moves tasks. Every move is one compare-and-set on state and token, with its event, in one transaction; what follows from it (waiters
 * released, the next assignment, frames to agents) starts after the commit.
 */
import { CadreError, type TaskState, canMove, taskLifecycle } from '@cadre/contract'
import type { Clock } from '../../core/clock.ts'
import type { Context, WriteTx } from '../../core/context.ts'
import type { Directory } from '../../core/directory.ts'
import type { Sessions } from '../../core/sessions.ts'
import type { Agents } from '../agents/service.ts'
import { type Card, encodeCard, viewCard } from './cards.ts'
import { withdrawInputs } from './input-store.ts'
import type { Strategies } from './strategies.ts'
import { type TaskRow, endAttempt, openAttempt, saveTask } from './store.ts'
import { isFinal, isHeld, moved } from './view.ts'

/** What a move asks, and whom it tells. */
export interface MoveParts {
  directory: Directory
  clock: Clock
  sessions: Sessions
  agents: Agents
  /** Leases of another epoch are void. */
  epoch: string
  random: () => number
  leaseMs: number
  /** What else follows from the end of a task, in the same transaction. */
  ended(tx: WriteTx, ended: TaskRow): Promise<void>
  strategies: Strategies
  /** An attempt ended: in success, or by its agent's failure. Called after the commit. */
  attempted(row: TaskRow, outcome: 'completed' | 'failed'): void
  /** Called after the commit that ended a run. */
  runEnded(run: string): void
  /** Called after the commit of each change. */
  committed(before: TaskRow, after: TaskRow): void
}

/** For moves that nobody called for: they need a transaction of their own. */
export interface WritingParts extends MoveParts {
  /** The context in which the engine writes. */
  engine: () => Context
}

type Changes = Partial<TaskRow>

export function illegal(row: TaskRow, to: string): CadreError {
  return new CadreError('illegal_transition', { entity: 'task', from: row.state, to, legal: taskLifecycle.moves[row.state] })
}

export const changedMeanwhile = (row: TaskRow): CadreError =>
  new CadreError('conflict', { reason: `Task ${row.id} changed meanwhile; read it and try again.` })

/** Length of one lease of this task, in milliseconds. */
export function leaseOf(parts: Pick<MoveParts, 'leaseMs'>, row: TaskRow): number {
  return row.lease_ms ?? parts.leaseMs
}

/** One legal move with its event. Answers the row as it is now. */
export async function move(
  parts: MoveParts,
  tx: WriteTx,
  row: TaskRow,
  to: TaskState,
  event: string,
  changes: Changes,
  reason: string | null,
  extra: object = {},
): Promise<TaskRow> {
  if (!canMove(taskLifecycle, row.state, to)) throw illegal(row, to)
  const now = parts.clock.now()
  const after: TaskRow = { ...row, ...changes, state: to, updated_at: now }
  // An attempt that waits for somebody's input takes no time.
  after.attempt_until = to === 'running' && row.timeout_ms !== null ? now + row.timeout_ms : null
  if (isFinal(to)) Object.assign(after, { completed_at: now, lease_until: null, available_at: null })
  await save(parts, tx, row, after, event, reason, extra)
  if (isFinal(to)) {
    if (row.state === 'input_required') await withdrawInputs(tx, row.tenant, row.id)
    await parts.ended(tx, after)
  }
  return after
}

/** Changes fields without a move. */
export async function amend(
  parts: MoveParts,
  tx: WriteTx,
  row: TaskRow,
  changes: Changes,
  event: string,
  reason: string | null,
  extra: object = {},
): Promise<TaskRow> {
  const after: TaskRow = { ...row, ...changes, updated_at: parts.clock.now() }
  await save(parts, tx, row, after, event, reason, extra)
  return after
}

async function save(
  parts: MoveParts,
  tx: WriteTx,
  row: TaskRow,
  after: TaskRow,
  event: string,
  reason: string | null,
  extra: object,
): Promise<void> {
  if (!(await saveTask(tx, row, after))) throw changedMeanwhile(row)
  tx.emit({ type: event, subject: row.id, task: row.id, data: { ...moved(row, after, parts.directory, reason), ...extra } })
  tx.afterCommit(() => parts.committed(row, after))
}

/**
 * Gives the task to the agent. The lease starts now; only a task that names an agent which is away waits for it, and its lease starts
 * when the agent takes it.
 */
export async function assign(
  parts: MoveParts,
  tx: WriteTx,
  row: TaskRow,
  agent: number,
  reason: string,
  card?: Card,
): Promise<TaskRow> {
  const now = parts.clock.now()
  if (isHeld(row.state)) await endAttempt(tx, row, 'reassigned', reason, now)
  const away = parts.sessions.forAgent(agent) === undefined
  const waits = row.assign_to === agent && away
  const changes: Changes = {
    assignee: agent,
    token: row.token + 1,
    attempt: row.attempt + 1,
    lease_until: waits ? null : now + leaseOf(parts, row),
    available_at: null,
    // Its session is sent the assignment with the commit.
    taken_at: away ? null : parts.clock.now(),
    started_at: null,
    progress: 0,
    progress_note: null,
  }
  const extra = card && { decision: viewCard(card, parts.directory) }
  const after = await move(parts, tx, row, 'assigned', 'task.assigned', changes, reason, extra)
  await openAttempt(tx, {
    tenant: after.tenant,
    task: after.id,
    number: after.attempt,
    token: after.token,
    agent,
    assigned_at: parts.clock.now(),
    started_at: null,
    reason,
    card: card ? encodeCard(card) : null,
  })
  return after
}

/**
 * The task may run: named agents get it at once, others are found by the engine or claim it. A named agent that ended is forgotten. In a
 * run that is paused it waits for the run.
 */
export async function settleReady(
  parts: MoveParts,
  tx: WriteTx,
  row: TaskRow,
  reason: string | null,
  named = 'named in the task',
): Promise<TaskRow> {
  if (row.run_paused === 1) {
    const changes = { lease_until: null, available_at: null, token: row.token + 1 }
    return move(parts, tx, row, 'paused', 'task.paused', changes, 'its run is paused')
  }
  const ready = await move(
    parts,
    tx,
    row,
    'ready',
    isHeld(row.state) ? 'task.released' : 'task.ready',
    {
      lease_until: null,
      available_at: null,
      token: row.token + 1,
      assign_to: row.assign_to !== null && isGone(parts, row.assign_to) ? null : row.assign_to,
    },
    reason,
  )
  return ready.assign_to === null ? ready : assign(parts, tx, ready, ready.assign_to, named)
}

/** Ends a task that can no longer run, because `blocker` did not complete, and nothing else does in its place. */
export async function skip(parts: MoveParts, tx: WriteTx, row: TaskRow, blocker: TaskRow): Promise<void> {
  const reason = `${blocker.title} ended as ${blocker.state}`
  const error = JSON.stringify({ code: 'dependency_failed', message: reason })
  await move(parts, tx, row, 'skipped', 'task.skipped', { error }, reason)
}

/** The agent ended or is about to: it takes nothing new. */
export function isGone({ agents }: Pick<MoveParts, 'agents'>, agent: number): boolean {
  const status = agents.registry.get(agent)?.status
  return status === 'stopping' || status === 'terminated'
}

/** Throws `conflict` when the agent ended: nobody would ever do what is named for it. */
export function requirePresent(parts: MoveParts, agent: number): void {
  if (isGone(parts, agent))
    throw new CadreError('conflict', {
      reason: `${parts.directory.nameOf(agent)} is ${parts.agents.registry.get(agent)?.status}; name another agent.`,
    })
}
