/** Steps of a task that are not done twice: their results are kept, and come back to whoever does the task after a crash. */
import { z } from 'zod'
import { event, operation } from './define.ts'
import { id, json, receipt, time } from './values.ts'

const name = z.string().min(1).max(256).meta({ description: 'Names the step within its task.' })
const lease = z.string().max(256).optional()
const effect = z.enum(['repeat', 'once']).meta({
  description:
    'What to do about a step that began and never reported back: `repeat` does it again, `once` asks a person what came of it.',
})
const stepState = z.enum(['begun', 'finished', 'void'])
const aliases = { id: 'task_id' }

export const step = z.object({
  name,
  state: stepState.meta({ description: '`void`: it did not happen, and may begin again.' }),
  effect,
  input_hash: z.string().nullable(),
  attempt: z.number().int().meta({ description: 'The attempt of the task that began it last.' }),
  agent: z.string(),
  size: z.number().int().meta({ description: 'Bytes of the result as JSON.' }),
  artifact_id: z.string().nullable().meta({ description: 'Where a result over 64 KiB is kept.' }),
  result: json.meta({ description: 'Null where the result is an artifact.' }),
  begun_at: time,
  finished_at: time.nullable(),
})
export type Step = z.infer<typeof step>

export const journalOperations = {
  begin: operation({
    name: 'steps.begin',
    kind: 'command',
    summary: 'Begin a step of a task, or get back what came of it',
    description:
      '`new`: do it, then report it with steps.finish. `done`: it was done before, its result is in the answer. `unknown`: it began under an earlier lease and never reported back. A step whose effect is `repeat` is then yours to do again, under the same name for what it does outside; one whose effect is `once` is not: the task waits for a person, `request_id` is the question, and the lease is released.',
    permission: 'tasks:write',
    routes: [{ method: 'POST', path: '/tasks/{task_id}/steps/begin' }],
    idempotent: true,
    destructive: false,
    refs: { task_id: 'task' },
    aliases,
    input: z.object({
      task_id: id,
      lease,
      name,
      effect: effect.default('repeat'),
      input_hash: z
        .string()
        .max(128)
        .optional()
        .meta({ description: 'A digest of what the step works on: the result of another input is refused instead of given.' }),
    }),
    output: z.object({
      state: z.enum(['new', 'done', 'unknown']),
      result: json.optional(),
      request_id: id.optional(),
      receipt: receipt.nullable(),
    }),
  }),
  finish: operation({
    name: 'steps.finish',
    kind: 'command',
    summary: 'Record the result of a step',
    description:
      'Kept for every later attempt of the task. Over 64 KiB it is stored as an artifact; 1 MiB at most. With `void` there is none: the step did not happen, and may begin again.',
    permission: 'tasks:write',
    routes: [{ method: 'POST', path: '/tasks/{task_id}/steps/finish' }],
    idempotent: true,
    destructive: false,
    refs: { task_id: 'task' },
    aliases,
    input: z.object({ task_id: id, lease, name, result: json.optional(), void: z.boolean().optional() }),
    output: z.object({ state: z.enum(['done', 'void']), already: z.boolean().optional(), receipt: receipt.nullable() }),
  }),
  list: operation({
    name: 'steps.list',
    kind: 'query',
    summary: 'List the steps of a task in the order in which they began',
    permission: 'tasks:read',
    routes: [{ method: 'GET', path: '/tasks/{task_id}/steps' }],
    idempotent: true,
    destructive: false,
    refs: { task_id: 'task' },
    aliases,
    input: z.object({
      task_id: id,
      limit: z.number().int().min(1).max(500).default(100),
      cursor: z.string().max(512).optional().meta({ description: 'The `next` of the page before.' }),
    }),
    output: z.object({ items: z.array(step), next: z.string().nullable() }),
  }),
} as const

const told = z.object({ task_id: id, step: name, attempt: z.number().int(), agent: z.string() })

export const journalEvents = {
  begun: event({
    name: 'step.begun',
    schema_version: 1,
    summary: 'A step of a task began',
    topic: 'agent.tasks',
    data: told.extend({ again: z.boolean().meta({ description: 'It began before and never reported back.' }) }),
  }),
  voided: event({
    name: 'step.voided',
    schema_version: 1,
    summary: 'A step that began did not happen; it may begin again',
    topic: 'agent.tasks',
    data: told,
  }),
  finished: event({
    name: 'step.finished',
    schema_version: 1,
    summary: 'A step of a task was done and its result kept',
    topic: 'agent.tasks',
    data: told.extend({ size: z.number().int(), artifact_id: z.string().nullable() }),
  }),
} as const
