import { z } from 'zod'
import { decision, fallback, placementFields } from './assignment.ts'
import { event, lifecycle, operation } from './define.ts'
import { agentRef, capability, cursor, duration, id, json, limit, metadata, page, priority, receipt, time } from './values.ts'

/** The thirteen states; the last five are final. */
export const taskLifecycle = lifecycle('task', ['pending', 'scheduled', 'ready', 'assigned'], {
  pending: ['ready', 'scheduled', 'assigned', 'paused', 'cancelled', 'skipped', 'failed'],
  scheduled: ['ready', 'assigned', 'paused', 'cancelled', 'failed'],
  ready: ['assigned', 'scheduled', 'paused', 'cancelled', 'failed', 'skipped'],
  assigned: ['running', 'ready', 'scheduled', 'assigned', 'paused', 'completed', 'failed', 'cancelled', 'rejected'],
  running: [
    'completed',
    'failed',
    'cancelled',
    'rejected',
    'ready',
    'scheduled',
    'assigned',
    'input_required',
    'auth_required',
    'paused',
  ],
  input_required: ['running', 'ready', 'paused', 'cancelled', 'failed'],
  auth_required: ['running', 'ready', 'paused', 'cancelled', 'failed'],
  paused: ['ready', 'pending', 'scheduled', 'cancelled', 'failed'],
  completed: [],
  failed: [],
  cancelled: [],
  rejected: [],
  skipped: [],
})
export type TaskState = (typeof taskLifecycle.states)[number]
export const taskState = z.enum([
  'pending',
  'scheduled',
  'ready',
  'assigned',
  'running',
  'input_required',
  'auth_required',
  'paused',
  'completed',
  'failed',
  'cancelled',
  'rejected',
  'skipped',
])

/** The source documents' six words, projected from the thirteen states. */
export const taskStatus = z.enum(['pending', 'assigned', 'running', 'completed', 'failed', 'cancelled'])
export type TaskStatus = z.infer<typeof taskStatus>
export const statusOf: Readonly<Record<TaskState, TaskStatus>> = {
  pending: 'pending',
  scheduled: 'pending',
  ready: 'pending',
  assigned: 'assigned',
  running: 'running',
  input_required: 'running',
  auth_required: 'running',
  paused: 'pending',
  completed: 'completed',
  failed: 'failed',
  cancelled: 'cancelled',
  rejected: 'failed',
  skipped: 'cancelled',
}

/** When a task that depends on others may run. */
export const joinRule = z.enum(['all_success', 'all_done', 'any_success']).meta({
  description:
    'all_success: every dependency completed, skipped as soon as one did not. all_done: every dependency ended, however. any_success: the first one completed, skipped when none did.',
})
/** What a task that failed does to the others of its run. */
export const failurePolicy = z.enum(['skip_downstream', 'continue', 'fail_fast']).meta({
  description:
    'skip_downstream: what depends on it is skipped, by the join rules, and the rest goes on. continue: tasks that name no join rule run once their dependencies have ended, however. fail_fast: the first task that fails for good cancels all others of the run.',
})
export type JoinRule = z.infer<typeof joinRule>
export type FailurePolicy = z.infer<typeof failurePolicy>

const partialError = z.object({
  source: z.string().max(256).meta({ description: 'What could not be had: an agent, a service, a part of the work.' }),
  code: z.string().max(128).default('task_error'),
  message: z.string().max(2000),
})
const attempted = z.object({
  attempt: z.number().int(),
  agent: z.string(),
  outcome: z.string(),
  code: z.string().nullable(),
  error: z.string().nullable(),
})
const taskError = z
  .object({
    code: z.string(),
    message: z.string(),
    attempts: z.number().int().optional(),
    attempted: z.array(attempted).optional().meta({ description: 'Who tried and how it ended, oldest first; the last 50.' }),
    errors: z.array(partialError).optional().meta({ description: 'What a partial result lacks.' }),
  })
  .nullable()
export const attempt = z.object({
  attempt: z.number().int(),
  agent_id: id,
  agent: z.string(),
  assigned_at: time,
  started_at: time.nullable(),
  ended_at: time.nullable(),
  outcome: z.enum(['open', 'completed', 'failed', 'lease_expired', 'released', 'cancelled', 'reassigned']),
  error: z.string().nullable(),
  code: z.string().nullable().meta({ description: 'Code of the error.' }),
  wait_ms: z.number().int().nullable().meta({ description: 'How long the task rested after this attempt before the next.' }),
  reason: z.string().nullable().meta({ description: 'Why this agent.' }),
  decision: decision.nullable().meta({ description: 'How it was chosen; null when somebody named it or it claimed the task.' }),
  partial: json.optional().meta({ description: 'What a failed attempt got done.' }),
})

export const task = z.object({
  id,
  task_id: id,
  title: z.string(),
  description: z.string(),
  type: z.string(),
  state: taskState,
  status: taskStatus,
  priority: z.number().int(),
  progress: z.number().meta({ description: '0 to 1.' }),
  progress_note: z.string().nullable(),
  creator_id: id,
  creator: z.string(),
  agent_type: z.string().nullable(),
  capabilities: z.array(z.string()),
  assign_to: z.string().nullable(),
  assigned_to: z.string().nullable().meta({ description: 'Name of the agent that holds it or held it last.' }),
  assigned_agent_id: id.nullable(),
  depends_on: z.array(id),
  parent_id: id.nullable(),
  run_id: id.nullable().meta({ description: 'Tasks submitted together share a run.' }),
  run_name: z.string().nullable(),
  retry_of: id.nullable().meta({ description: 'The task that ended and is done again by this one.' }),
  schedule_id: id.nullable().meta({ description: 'The schedule that made it.' }),
  join: joinRule,
  key: z.string().nullable().meta({ description: 'Name of the task within its graph.' }),
  input: json,
  requirements: metadata,
  result: json,
  error: taskError,
  attempt: z.number().int(),
  max_retries: z.number().int(),
  lease_until: time.nullable(),
  due_date: time.nullable(),
  deadline: time.nullable().meta({ description: 'When it ends as failed with `deadline_exceeded`, whatever its state.' }),
  timeout_ms: z.number().int().nullable().meta({ description: 'Longest time of one attempt.' }),
  scheduled_at: time.nullable(),
  created_at: time,
  started_at: time.nullable(),
  updated_at: time,
  completed_at: time.nullable(),
  artifacts: z.array(z.string()),
  metadata,
  strategy: z.string().optional(),
  affinity: z.string().optional(),
  backoff_factor: z.number().optional(),
  fallback: z.array(fallback).optional(),
  partial: z.boolean().optional().meta({ description: 'True when the result is only a part; `error` says what is missing.' }),
})
export type Task = z.infer<typeof task>

/** A child as its parent shows it. */
export const childTask = task.pick({ id: true, key: true, title: true, state: true, status: true, assigned_to: true }).extend({
  result: json.meta({
    description: 'Of a completed child; null for results that are more than 1 MiB together with those before.',
  }),
})

/** What the assignee receives: the task and its lease. */
export const assignment = task.extend({
  lease: z.string().meta({ description: 'Fencing token; echo it with every write in the name of the task.' }),
})
export type Assignment = z.infer<typeof assignment>

const body = {
  title: z.string().min(1).max(500).optional(),
  description: z.string().max(100_000).optional(),
  type: z.string().max(128).default('task'),
  priority: priority.optional(),
  agent_type: z.string().min(1).max(64).optional(),
  capabilities: z.array(capability).max(64).optional(),
  assign_to: agentRef.optional(),
  input: json.optional(),
  requirements: metadata.optional(),
  max_retries: z.number().int().min(0).max(100).default(3),
  lease_ms: z
    .number()
    .int()
    .min(200)
    .max(86_400_000)
    .optional()
    .meta({ description: 'Length of one lease; the server default is 30 s.' }),
  ...placementFields,
  due_date: time.optional(),
  delay_ms: duration.optional(),
  join: joinRule.optional().meta({ description: 'all_success unless given.' }),
  deadline: time.optional().meta({ description: 'Never later than the deadline of its parent.' }),
  deadline_ms: duration.min(1).optional().meta({ description: 'The deadline counted from now.' }),
  timeout_ms: duration.min(1).optional().meta({
    description:
      'Longest time of one attempt, from its begin; one that takes longer fails as `attempt_timeout`, and is tried again.',
  }),
  artifacts: z.array(z.string().max(128)).max(64).optional(),
  metadata: metadata.optional(),
}
const bodyAliases = {
  assigned_to: 'assign_to',
  assignee: 'assign_to',
  required_capabilities: 'capabilities',
  task_type: 'type',
  payload: 'input',
  dependencies: 'depends_on',
}
const idAliases = { task_id: 'id' }
const lease = z.string().max(256).optional()
const changed = task.extend({ receipt: receipt.nullable(), already: z.boolean().optional() })

/** A task as `tasks.create` takes it. */
export const newTask = z.object({ ...body, depends_on: z.array(id).max(1000).default([]), parent_id: id.optional() })
/** A graph as `tasks.dag` takes it. */
export const taskGraph = z.object({
  name: z.string().min(1).max(500),
  parent_id: id.optional(),
  on_failure: failurePolicy.default('skip_downstream'),
  deadline_ms: duration.min(1).optional().meta({ description: 'Counted from now; no task of the run has a later one.' }),
  tasks: z
    .array(
      z.object({ ...body, key: z.string().min(1).max(128), depends_on: z.array(z.string().max(128)).max(10_000).default([]) }),
    )
    .min(1)
    .max(10_000),
})

export const taskOperations = {
  create: operation({
    name: 'tasks.create',
    kind: 'command',
    summary: 'Create a task',
    description:
      'A task that names agent_type, capabilities or assign_to is assigned by the engine once its dependencies have completed; any other waits to be claimed or assigned.',
    permission: 'tasks:write',
    routes: [
      { method: 'POST', path: '/tasks' },
      { method: 'POST', path: '/tasks/submit' },
    ],
    status: 201,
    frames: ['task:create'],
    idempotent: false,
    destructive: false,
    refs: { assign_to: 'agent', depends_on: 'task', parent_id: 'task' },
    aliases: bodyAliases,
    input: newTask,
    output: task.extend({ receipt }),
  }),
  dag: operation({
    name: 'tasks.dag',
    kind: 'command',
    summary: 'Submit a graph of tasks at once',
    description:
      'All or nothing; dependencies are keys within the graph or ids of existing tasks; a cycle is refused and named. Over HTTP the same graph may be YAML, sent as application/yaml.',
    permission: 'tasks:write',
    routes: [{ method: 'POST', path: '/tasks/dag' }],
    status: 201,
    idempotent: false,
    destructive: false,
    input: taskGraph,
    output: z.object({ run_id: id, name: z.string(), tasks: z.array(task), receipt }),
  }),
  list: operation({
    name: 'tasks.list',
    kind: 'query',
    summary: 'List tasks',
    permission: 'tasks:read',
    routes: [{ method: 'GET', path: '/tasks' }],
    idempotent: true,
    destructive: false,
    refs: { agent: 'agent', parent_id: 'task' },
    aliases: { assigned_to: 'agent', agent_id: 'agent', assignee: 'agent', creator_id: 'creator' },
    input: z.object({
      status: taskStatus.optional(),
      state: taskState.optional(),
      agent: agentRef.optional(),
      creator: agentRef.optional(),
      priority: priority.optional(),
      type: z.string().max(128).optional(),
      run_id: id.optional(),
      parent_id: id.optional(),
      limit,
      cursor,
    }),
    output: page(task),
  }),
  get: operation({
    name: 'tasks.get',
    kind: 'query',
    summary: 'Read one task',
    permission: 'tasks:read',
    routes: [{ method: 'GET', path: '/tasks/{id}' }],
    idempotent: true,
    destructive: false,
    refs: { id: 'task' },
    aliases: idAliases,
    input: z.object({ id }),
    output: task.extend({
      attempts: z.array(attempt),
      children: z.array(childTask).meta({ description: 'The first 200 by age; `tasks.list` with parent_id has all.' }),
      merged_result: json.meta({
        description: 'Results of the completed children by key, or by id where there is none; null without children.',
      }),
    }),
  }),
  status: operation({
    name: 'tasks.status',
    kind: 'query',
    summary: 'Read status and result of a task',
    permission: 'tasks:read',
    routes: [{ method: 'GET', path: '/tasks/{id}/status' }],
    idempotent: true,
    destructive: false,
    refs: { id: 'task' },
    aliases: idAliases,
    input: z.object({ id }),
    output: task.pick({
      id: true,
      task_id: true,
      state: true,
      status: true,
      progress: true,
      result: true,
      error: true,
      assigned_to: true,
      attempt: true,
      updated_at: true,
      completed_at: true,
    }),
  }),
  update: operation({
    name: 'tasks.update',
    kind: 'command',
    summary: 'Change a task',
    description:
      'Fields of a task that has not ended, or a legal move by `status`. `completed` from `assigned` passes through `running`. The current status again answers 200.',
    permission: 'tasks:write',
    routes: [{ method: 'PUT', path: '/tasks/{id}' }],
    frames: ['task:update'],
    idempotent: true,
    destructive: false,
    refs: { id: 'task' },
    aliases: idAliases,
    input: z.object({
      id,
      lease,
      status: z.union([taskStatus, taskState]).optional(),
      title: z.string().min(1).max(500).optional(),
      description: z.string().max(100_000).optional(),
      priority: priority.optional(),
      due_date: time.nullable().optional(),
      progress: z.number().min(0).max(1).optional(),
      note: z.string().max(2000).optional(),
      result: json.optional(),
      error: z.string().max(10_000).optional(),
      metadata: metadata.optional(),
    }),
    output: changed,
  }),
  assign: operation({
    name: 'tasks.assign',
    kind: 'command',
    summary: 'Assign a task to an agent',
    description: 'An offline agent is accepted: its lease starts when it takes the task. The same agent again answers 200.',
    permission: 'tasks:write',
    routes: [{ method: 'POST', path: '/tasks/{id}/assign' }],
    frames: ['task:assign'],
    idempotent: true,
    destructive: false,
    refs: { id: 'task', agent: 'agent' },
    aliases: { ...idAliases, agent_id: 'agent', assign_to: 'agent', assigned_to: 'agent', agent_name: 'agent' },
    input: z.object({ id, agent: agentRef, reason: z.string().max(1000).optional() }),
    output: changed,
  }),
  claim: operation({
    name: 'tasks.claim',
    kind: 'command',
    summary: 'Claim tasks that are ready',
    description:
      'For agents that pull: those assigned to the agent first, then ready ones it is able to do. Each claim has exactly one winner.',
    permission: 'tasks:write',
    routes: [{ method: 'POST', path: '/tasks/claim' }],
    idempotent: false,
    destructive: false,
    refs: { agent: 'agent' },
    aliases: { agent_id: 'agent' },
    input: z.object({
      agent: agentRef.optional(),
      id: id.optional().meta({ description: 'Claim this one task.' }),
      limit: z.number().int().min(1).max(256).default(1),
    }),
    output: z.object({ items: z.array(assignment) }),
  }),
  accept: operation({
    name: 'tasks.accept',
    kind: 'command',
    summary: 'Begin an assigned task',
    permission: 'tasks:write',
    routes: [{ method: 'POST', path: '/tasks/{id}/accept' }],
    frames: ['task:accept'],
    idempotent: true,
    destructive: false,
    refs: { id: 'task' },
    aliases: idAliases,
    input: z.object({ id, lease }),
    output: changed,
  }),
  progress: operation({
    name: 'tasks.progress',
    kind: 'command',
    summary: 'Report progress and renew the lease',
    permission: 'tasks:write',
    routes: [{ method: 'POST', path: '/tasks/{id}/progress' }],
    frames: ['task:progress'],
    idempotent: true,
    destructive: false,
    refs: { id: 'task' },
    aliases: idAliases,
    input: z.object({ id, lease, progress: z.number().min(0).max(1), note: z.string().max(2000).optional() }),
    output: changed,
  }),
  complete: operation({
    name: 'tasks.complete',
    kind: 'command',
    summary: 'Complete a task with its result',
    permission: 'tasks:write',
    routes: [{ method: 'POST', path: '/tasks/{id}/complete' }],
    frames: ['task:complete'],
    idempotent: true,
    destructive: false,
    refs: { id: 'task' },
    aliases: { ...idAliases, output: 'result' },
    input: z.object({
      id,
      lease,
      result: json.optional(),
      artifacts: z.array(z.string().max(128)).max(64).optional(),
      partial: z.boolean().optional().meta({ description: 'The result is only a part; `errors` says what is missing.' }),
      errors: z.array(partialError).max(100).optional(),
    }),
    output: changed,
  }),
  fail: operation({
    name: 'tasks.fail',
    kind: 'command',
    summary: 'Report that an attempt failed',
    description:
      'Tried again after the back-off while retries are left and the error is retryable; then by its fallbacks, in order; then the task fails with all who tried.',
    permission: 'tasks:write',
    routes: [{ method: 'POST', path: '/tasks/{id}/fail' }],
    frames: ['task:fail'],
    idempotent: false,
    destructive: false,
    refs: { id: 'task' },
    aliases: idAliases,
    input: z.object({
      id,
      lease,
      error: z.string().min(1).max(10_000),
      code: z.string().max(128).default('task_error'),
      retryable: z.boolean().optional().meta({ description: 'By the code unless given.' }),
      retry_after_ms: duration.optional(),
      partial: json
        .optional()
        .meta({ description: 'What the attempt got done; kept with it, and the result when no other gets further.' }),
    }),
    output: changed,
  }),
  release: operation({
    name: 'tasks.release',
    kind: 'command',
    summary: 'Give a task back unfinished',
    description: 'The attempt does not count; another agent may take it at once.',
    permission: 'tasks:write',
    routes: [{ method: 'POST', path: '/tasks/{id}/release' }],
    frames: ['task:release'],
    idempotent: false,
    destructive: false,
    refs: { id: 'task' },
    aliases: idAliases,
    input: z.object({ id, lease, reason: z.string().max(1000).optional() }),
    output: changed,
  }),
  cancel: operation({
    name: 'tasks.cancel',
    kind: 'command',
    summary: 'Cancel a task and its children',
    permission: 'tasks:write',
    routes: [{ method: 'POST', path: '/tasks/{id}/cancel' }],
    frames: ['task:cancel'],
    idempotent: true,
    destructive: true,
    refs: { id: 'task' },
    aliases: idAliases,
    input: z.object({ id, reason: z.string().max(1000).optional() }),
    output: changed,
  }),
  retry: operation({
    name: 'tasks.retry',
    kind: 'command',
    summary: 'Do a task again that ended',
    description:
      'Makes a new task with the same fields and `retry_of`; what ended stays as it is. The new one waits for nothing; run, key and deadline are not taken over.',
    permission: 'tasks:write',
    routes: [{ method: 'POST', path: '/tasks/{id}/retry' }],
    status: 201,
    idempotent: false,
    destructive: false,
    refs: { id: 'task' },
    aliases: idAliases,
    input: z.object({ id }),
    output: task.extend({ receipt }),
  }),
  history: operation({
    name: 'tasks.history',
    kind: 'query',
    summary: 'Read what happened to a task, in order',
    description: 'Every move with its reason, who caused it, who held the task, and how long it had been in the state before.',
    permission: 'tasks:read',
    routes: [{ method: 'GET', path: '/tasks/{id}/history' }],
    idempotent: true,
    destructive: false,
    refs: { id: 'task' },
    aliases: idAliases,
    input: z.object({ id, limit, cursor }),
    output: page(
      z.object({
        seq: z.number().int(),
        at: time,
        type: z.string(),
        by: z.string().meta({ description: 'Who caused it; the engine acts as the system.' }),
        from: taskState.nullable(),
        to: taskState,
        agent: z.string().nullable().meta({ description: 'Who holds the task from then on, or held it last.' }),
        attempt: z.number().int(),
        reason: z.string().nullable(),
        after_ms: z.number().int().nullable().meta({ description: 'Time since the move before; null for the first of a page.' }),
      }),
    ),
  }),
} as const

const moved = z.object({
  task_id: id,
  title: z.string(),
  from: taskState.nullable(),
  to: taskState,
  status: taskStatus,
  agent: z.string().nullable(),
  attempt: z.number().int(),
  reason: z.string().nullable(),
})
export const taskEvent = <const N extends string>(name: N, summary: string, frame?: string) =>
  event({ name, schema_version: 1, summary, topic: 'agent.tasks', ...(frame !== undefined && { frame }), data: moved })

export const taskEvents = {
  created: taskEvent('task.created', 'A task was created'),
  ready: taskEvent('task.ready', 'A task may run: its dependencies have ended, or its wait is over', 'task:updated'),
  assigned: event({
    name: 'task.assigned',
    schema_version: 1,
    summary: 'A task was assigned to an agent',
    topic: 'agent.tasks',
    frame: 'task:updated',
    data: moved.extend({ decision: decision.optional() }),
  }),
  started: taskEvent('task.started', 'The agent began the task', 'task:updated'),
  progress: event({
    name: 'task.progress',
    schema_version: 1,
    summary: 'The agent reported progress',
    topic: 'agent.tasks',
    frame: 'task:updated',
    data: moved.extend({ progress: z.number(), note: z.string().nullable() }),
  }),
  updated: taskEvent('task.updated', 'Fields of a task changed', 'task:updated'),
  released: taskEvent('task.released', 'An attempt ended without a result; the task goes on', 'task:updated'),
  completed: taskEvent('task.completed', 'A task completed', 'task:updated'),
  failed: taskEvent('task.failed', 'A task failed for good', 'task:updated'),
  cancelled: taskEvent('task.cancelled', 'A task was cancelled', 'task:updated'),
  unassignable: taskEvent(
    'task.unassignable',
    'A task has been ready for a while and no agent that is present is able to do it; said once for each wait',
  ),
  paused: taskEvent('task.paused', 'A task will not begin before its run is resumed', 'task:updated'),
  skipped: taskEvent('task.skipped', 'A task will not run: something it depends on did not complete', 'task:updated'),
} as const
