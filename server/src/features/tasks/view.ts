/** Between a task row and what clients see, and the fencing token as clients carry it. */
import { type JoinRule, type Task, type TaskState, statusOf, taskLifecycle } from '@cadre/contract'
import { iso, isoOrNull } from '../../core/clock.ts'
import type { Directory } from '../../core/directory.ts'
import { viewPlacement } from './placement.ts'
import type { TaskRow } from './store.ts'

/** Under a lease. A task that waits for an answer is nobody's until it is answered. */
const held: readonly TaskState[] = ['assigned', 'running']
export const isHeld = (state: TaskState): boolean => held.includes(state)
export const isFinal = (state: TaskState): boolean => taskLifecycle.terminal.includes(state)

const parse = <T>(text: string): T => JSON.parse(text) as T

export function toTask(row: TaskRow, directory: Directory): Task {
  const creator = directory.byId(row.creator)
  return {
    id: row.id,
    task_id: row.id,
    title: row.title,
    description: row.description,
    type: row.type,
    state: row.state,
    status: statusOf[row.state],
    priority: row.priority,
    progress: row.progress,
    progress_note: row.progress_note,
    creator_id: creator.publicId,
    creator: creator.name,
    agent_type: row.agent_type,
    capabilities: parse(row.capabilities),
    assign_to: directory.nameOf(row.assign_to),
    assigned_to: directory.nameOf(row.assignee),
    assigned_agent_id: directory.publicIdOf(row.assignee),
    depends_on: parse(row.depends_on),
    parent_id: row.parent,
    run_id: row.run,
    run_name: row.run_name,
    retry_of: row.retry_of,
    schedule_id: row.schedule,
    join: row.join_rule as JoinRule,
    key: row.key,
    input: parse(row.input),
    requirements: parse(row.requirements),
    result: parse(row.result),
    error: row.error === null ? null : parse(row.error),
    attempt: row.attempt,
    max_retries: row.max_retries,
    lease_until: isoOrNull(row.lease_until),
    due_date: isoOrNull(row.due_date),
    deadline: isoOrNull(row.deadline),
    timeout_ms: row.timeout_ms,
    scheduled_at: isoOrNull(row.available_at),
    created_at: iso(row.created_at),
    started_at: isoOrNull(row.started_at),
    updated_at: iso(row.updated_at),
    completed_at: isoOrNull(row.completed_at),
    artifacts: parse(row.artifacts),
    metadata: parse(row.metadata),
    ...(row.placement !== null && viewPlacement(row)),
    ...(isPartial(row) && { partial: true }),
  }
}

/** It completed without all that it was to bring, or failed with what an attempt got done. */
const isPartial = ({ state, error, result }: TaskRow): boolean =>
  error !== null && (state === 'completed' || (state === 'failed' && result !== 'null'))

/** Data of the task events. */
export function moved(before: TaskRow | null, after: TaskRow, directory: Directory, reason: string | null) {
  return {
    task_id: after.id,
    title: after.title,
    from: before?.state ?? null,
    to: after.state,
    status: statusOf[after.state],
    agent: directory.nameOf(after.assignee),
    attempt: after.attempt,
    reason,
  }
}

export const encodeLease = (row: Pick<TaskRow, 'id' | 'token'>, epoch: string): string => `lse_${row.id}_${row.token}_${epoch}`

export function decodeLease(lease: string): { id: string; token: number; epoch: string } | undefined {
  const match = /^lse_(tsk_[0-9a-z]+)_(\d{1,15})_(\w+)$/.exec(lease)
  return match ? { id: match[1] as string, token: Number(match[2]), epoch: match[3] as string } : undefined
}
