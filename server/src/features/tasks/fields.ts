/** The fields of a task that callers set: of a new one, and of one they change. */
import { CadreError, type ParsedInputOf, toPriority } from '@cadre/contract'
import { serialise } from '../../core/limits.ts'
import { type MoveParts, requirePresent } from './moves.ts'
import { placementText } from './placement.ts'
import type { TaskRow } from './store.ts'

export type Body = ParsedInputOf<'tasks.dag'>['tasks'][number]
/** In whose name a task is made. */
export interface Author {
  tenant: number
  caller: { readonly id: number; readonly name: string }
}
/** What a new task gets from its place in a graph, and from where it comes. */
export type Place = Pick<TaskRow, 'depends_on' | 'parent' | 'run' | 'run_name' | 'key' | 'waiting_for'> &
  Partial<Pick<TaskRow, 'join_rule' | 'fail_fast' | 'run_paused' | 'retry_of' | 'schedule' | 'deadline'>>

const maxResultBytes = 1024 * 1024
const maxMetadataBytes = 64 * 1024

/** The result of a task as it is stored. */
export const resultText = (result: unknown): string => serialise(result ?? null, 'result', maxResultBytes)

/** A new task as it is stored. Throws `conflict` when it names an agent that ended. */
export function newRow(
  parts: MoveParts,
  context: Author,
  id: string,
  input: Omit<Body, 'key' | 'depends_on'>,
  rest: Place,
): TaskRow {
  const now = parts.clock.now()
  return {
    tenant: context.tenant,
    id,
    title: input.title ?? firstLine(input.description) ?? 'Untitled task',
    description: input.description ?? '',
    type: input.type,
    state: rest.waiting_for > 0 ? 'pending' : input.delay_ms ? 'scheduled' : 'ready',
    priority: toPriority(input.priority),
    progress: 0,
    progress_note: null,
    creator: context.caller.id,
    agent_type: input.agent_type ?? null,
    capabilities: JSON.stringify(input.capabilities ?? []),
    assign_to: input.assign_to === undefined ? null : assignable(parts, context, input.assign_to),
    assignee: null,
    input: serialise(input.input ?? null, 'input', maxResultBytes),
    requirements: serialise(input.requirements ?? {}, 'requirements', maxMetadataBytes),
    result: 'null',
    error: null,
    attempt: 0,
    max_retries: input.max_retries,
    token: 0,
    lease_ms: input.lease_ms ?? null,
    lease_until: null,
    available_at: input.delay_ms ? now + input.delay_ms : null,
    taken_at: null,
    due_date: input.due_date === undefined ? null : toMs(input.due_date, 'due_date'),
    created_at: now,
    started_at: null,
    updated_at: now,
    completed_at: null,
    artifacts: JSON.stringify(input.artifacts ?? []),
    metadata: serialise(input.metadata ?? {}, 'metadata', maxMetadataBytes),
    join_rule: input.join ?? 'all_success',
    fail_fast: 0,
    run_paused: 0,
    retry_of: null,
    schedule: null,
    timeout_ms: input.timeout_ms ?? null,
    attempt_until: null,
    placement: placementText(parts, context.tenant, context.caller.id, input),
    fallback_at: 0,
    ...rest,
    deadline: earliest(
      rest.deadline,
      input.deadline === undefined ? null : toMs(input.deadline, 'deadline'),
      input.deadline_ms === undefined ? null : now + input.deadline_ms,
    ),
  }
}

/** A deadline only ever comes nearer. */
export function earliest(...times: readonly (number | null | undefined)[]): number | null {
  const given = times.filter((time) => time !== null && time !== undefined)
  return given.length === 0 ? null : Math.min(...given)
}

/** What an update changes beside the state. */
export function changesOf(input: ParsedInputOf<'tasks.update'>): Partial<TaskRow> {
  return {
    ...(input.title !== undefined && { title: input.title }),
    ...(input.description !== undefined && { description: input.description }),
    ...(input.priority !== undefined && { priority: toPriority(input.priority) }),
    ...(input.due_date !== undefined && { due_date: input.due_date === null ? null : toMs(input.due_date, 'due_date') }),
    ...(input.progress !== undefined && { progress: input.progress, progress_note: input.note ?? null }),
    ...(input.metadata !== undefined && { metadata: serialise(input.metadata, 'metadata', maxMetadataBytes) }),
  }
}

function assignable(parts: MoveParts, context: Author, reference: string): number {
  const { id } = parts.directory.agent(context.tenant, reference)
  requirePresent(parts, id)
  return id
}

function firstLine(text: string | undefined): string | undefined {
  const line = text?.trim().split('\n', 1)[0]
  return line === undefined || line === '' ? undefined : line.length > 120 ? `${line.slice(0, 117)}...` : line
}

function toMs(value: string, field: string): number {
  const ms = Date.parse(value)
  if (Number.isNaN(ms))
    throw new CadreError('invalid_request', {}, { fields: [{ pointer: `/${field}`, detail: 'Give an ISO 8601 time.' }] })
  return ms
}
