/** Runs: tasks that were submitted together, followed, paused and ended as one. */
import { z } from 'zod'
import { event, operation } from './define.ts'
import { failurePolicy, task } from './tasks.ts'
import { cursor, id, json, limit, page, receipt, time } from './values.ts'

export const runState = z.enum(['running', 'paused', 'completed', 'failed', 'cancelled'])
export type RunState = z.infer<typeof runState>

const count = z.number().int()
export const run = z.object({
  id,
  run_id: id,
  name: z.string(),
  state: runState.meta({
    description: 'completed: every task did. failed: one failed for good. cancelled: none failed, but not all completed.',
  }),
  on_failure: failurePolicy,
  creator: z.string(),
  parent_id: id.nullable(),
  schedule_id: id.nullable(),
  deadline: time.nullable(),
  counts: z
    .object({ total: count, open: count, completed: count, failed: count, cancelled: count, skipped: count })
    .meta({ description: 'Rejected tasks count as failed.' }),
  created_at: time,
  updated_at: time,
  ended_at: time.nullable(),
})
export type Run = z.infer<typeof run>

const node = task
  .pick({
    id: true,
    key: true,
    title: true,
    type: true,
    state: true,
    status: true,
    progress: true,
    assigned_to: true,
    attempt: true,
    depends_on: true,
    result: true,
    error: true,
    started_at: true,
    completed_at: true,
  })
  .extend({
    merged_result: json.meta({ description: 'Results of its completed children, by key or id; null without children.' }),
  })

const summary = run.extend({
  states: z.record(z.string(), count).meta({ description: 'Tasks in each of the thirteen states that occurs.' }),
  agents: z
    .array(
      z.object({
        agent_id: id,
        agent: z.string(),
        role: z.string().meta({ description: 'The type of the agent.' }),
        tasks: count,
        completed: count,
        failed: count,
        message_count: count.meta({ description: 'Messages it sent in the name of tasks of the run.' }),
        memory_writes: count.meta({ description: 'Writes to the shared memory in the name of tasks of the run.' }),
        results: z.record(z.string(), z.unknown()).meta({ description: 'Of its tasks on this page, by key or id.' }),
      }),
    )
    .meta({ description: 'Who held a task of the run, or of what is below it, or held it last.' }),
  nodes: z.array(node).meta({ description: 'In the order of the graph.' }),
  next: z.string().nullable().meta({ description: 'Cursor of the nodes that follow.' }),
})

const aliases = { run_id: 'id' }
const reason = z.string().max(1000).optional()
const changed = run.extend({ receipt: receipt.nullable(), already: z.boolean().optional() })

export const runOperations = {
  list: operation({
    name: 'runs.list',
    kind: 'query',
    summary: 'List runs',
    permission: 'tasks:read',
    routes: [{ method: 'GET', path: '/runs' }],
    idempotent: true,
    destructive: false,
    input: z.object({ state: runState.optional(), schedule_id: id.optional(), limit, cursor }),
    output: page(run),
  }),
  get: operation({
    name: 'runs.get',
    kind: 'query',
    summary: 'Read a run with its tasks and what each agent did',
    permission: 'tasks:read',
    routes: [{ method: 'GET', path: '/runs/{id}' }],
    idempotent: true,
    destructive: false,
    aliases,
    input: z.object({ id, limit, cursor }),
    output: summary,
  }),
  wait: operation({
    name: 'runs.wait',
    kind: 'query',
    summary: 'Wait until a run has ended',
    description:
      'Answers the same as runs.get as soon as the run has ended, and with `timed_out` when it has not within the time.',
    permission: 'tasks:read',
    routes: [{ method: 'GET', path: '/runs/{id}/wait' }],
    idempotent: true,
    destructive: false,
    aliases,
    input: z.object({
      id,
      timeout_ms: z.number().int().min(0).max(600_000).default(60_000).meta({ description: 'Milliseconds.' }),
      limit,
    }),
    output: summary.extend({ timed_out: z.boolean() }),
  }),
  pause: operation({
    name: 'runs.pause',
    kind: 'command',
    summary: 'Pause a run',
    description:
      'Nothing of it begins any more, children and graphs below it included, also after a restart. What an agent has begun it may finish; what was assigned and not begun is taken back.',
    permission: 'tasks:write',
    routes: [{ method: 'POST', path: '/runs/{id}/pause' }],
    idempotent: true,
    destructive: false,
    aliases,
    input: z.object({ id, reason }),
    output: changed,
  }),
  resume: operation({
    name: 'runs.resume',
    kind: 'command',
    summary: 'Go on with a paused run',
    permission: 'tasks:write',
    routes: [{ method: 'POST', path: '/runs/{id}/resume' }],
    idempotent: true,
    destructive: false,
    aliases,
    input: z.object({ id, reason }),
    output: changed,
  }),
  cancel: operation({
    name: 'runs.cancel',
    kind: 'command',
    summary: 'Cancel every task of a run that has not ended, and their children',
    permission: 'tasks:write',
    routes: [{ method: 'POST', path: '/runs/{id}/cancel' }],
    idempotent: true,
    destructive: true,
    aliases,
    input: z.object({ id, reason }),
    output: changed,
  }),
} as const

const runEvent = <const N extends string>(name: N, summary: string) =>
  event({
    name,
    schema_version: 1,
    summary,
    topic: 'agent.tasks',
    data: z.object({ run_id: id, name: z.string(), from: runState, to: runState, reason: z.string().nullable() }),
  })

export const runEvents = {
  paused: runEvent('run.paused', 'A run was paused'),
  resumed: runEvent('run.resumed', 'A paused run goes on'),
  ended: runEvent('run.ended', 'Every task of a run has ended'),
} as const
