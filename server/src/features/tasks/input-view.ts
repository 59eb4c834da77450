/** Questions of tasks, as clients and the log see them. */
import type { InputRequest } from '@cadre/contract'
import { iso, isoOrNull } from '../../core/clock.ts'
import type { Directory } from '../../core/directory.ts'
import type { TitledInput } from './input-store.ts'

/** A question as clients see it. */
export function viewInput(row: TitledInput, directory: Directory): InputRequest {
  return {
    id: row.id,
    task_id: row.task,
    task: row.title,
    kind: row.kind,
    state: row.state,
    key: row.key,
    prompt: row.prompt,
    schema: row.schema === null ? null : (JSON.parse(row.schema) as Record<string, unknown>),
    action: row.action,
    args: JSON.parse(row.args) as unknown,
    step: row.step,
    asked_by: directory.nameOf(row.asked_by) ?? 'unknown',
    asked_at: iso(row.asked_at),
    input: JSON.parse(row.answer) as unknown,
    approved: row.approved === null ? null : row.approved === 1,
    comment: row.comment,
    by: directory.nameOf(row.answered_by),
    answered_at: isoOrNull(row.answered_at),
  }
}

/** Data of the events. */
export function inputFacts(row: TitledInput, directory: Directory) {
  return {
    task_id: row.task,
    title: row.title,
    request_id: row.id,
    kind: row.kind,
    key: row.key,
    prompt: row.prompt,
    action: row.action,
    agent: directory.nameOf(row.asked_by) ?? 'unknown',
  }
}
