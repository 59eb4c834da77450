/** What a task asks of people, or of the agent that gave it away, before it can go on: answers, approvals, what came of a step. */
import { z } from 'zod'
import { event, operation } from './define.ts'
import { taskEvent } from './tasks.ts'
import { cursor, id, json, limit, metadata, page, receipt, time } from './values.ts'

const kind = z.enum(['input', 'approval', 'outcome']).meta({
  description: '`outcome`: a step with an effect began and never reported back; the answer says what came of it.',
})
const state = z.enum(['open', 'answered', 'withdrawn'])
const comment = z.string().max(10_000)
const lease = z.string().max(256).optional()
/** What an answer to an `outcome` looks like. */
export const outcome = z.object({
  outcome: z.enum(['happened', 'did_not_happen']),
  result: json.optional().meta({ description: 'What the step would have answered, where it happened.' }),
})

export const inputRequest = z.object({
  id,
  task_id: id,
  task: z.string().meta({ description: 'Title of the task.' }),
  kind,
  state,
  key: z.string(),
  prompt: z.string(),
  schema: metadata.nullable().meta({ description: 'JSON Schema of the answer.' }),
  action: z.string().nullable(),
  args: json,
  step: z.string().nullable(),
  asked_by: z.string(),
  asked_at: time,
  input: json.meta({ description: 'The answer.' }),
  approved: z.boolean().nullable(),
  comment: z.string().nullable(),
  by: z.string().nullable().meta({ description: 'Who answered.' }),
  answered_at: time.nullable(),
})
export type InputRequest = z.infer<typeof inputRequest>

const filter = { state: state.optional(), task_id: id.optional(), limit, cursor }
const answered = z.object({
  request: inputRequest,
  task_state: z.string().meta({ description: 'Where the task is now.' }),
  already: z.boolean().optional(),
  receipt: receipt.nullable(),
})

export const inputOperations = {
  request: operation({
    name: 'tasks.request_input',
    kind: 'command',
    summary: 'Ask for something a task needs before it can go on',
    description:
      'The task waits as `input_required`, for days if need be, and its lease is released: stop working. Once the question is answered the task goes to an agent again, to the one that asked first of all, and the same call then answers `answered` with what was said. With `action` it asks for an approval.',
    permission: 'tasks:write',
    routes: [{ method: 'POST', path: '/tasks/{id}/input/request' }],
    idempotent: true,
    destructive: false,
    refs: { id: 'task' },
    aliases: { task_id: 'id' },
    input: z.object({
      id,
      lease,
      key: z.string().min(1).max(256).default('input').meta({ description: 'Names the question within its task.' }),
      prompt: z.string().min(1).max(20_000).optional(),
      schema: metadata.optional().meta({ description: 'JSON Schema that an answer has to fit.' }),
      action: z.string().min(1).max(256).optional().meta({ description: 'What is to be approved.' }),
      args: json.optional(),
    }),
    output: z.object({ state: z.enum(['waiting', 'answered']), request: inputRequest, receipt: receipt.nullable() }),
  }),
  provide: operation({
    name: 'tasks.provide_input',
    kind: 'command',
    summary: 'Answer what a task waits for',
    description:
      'By whoever created the task, or an operator. The answer has to fit the schema of the question; to an `outcome` it is `{outcome: "happened" | "did_not_happen", result?}`, to an approval `{approved, comment?}`.',
    permission: 'tasks:write',
    routes: [{ method: 'POST', path: '/tasks/{id}/input' }],
    idempotent: true,
    destructive: false,
    refs: { id: 'task' },
    aliases: { task_id: 'id' },
    input: z.object({ id, input: json, request_id: id.optional().meta({ description: 'Answer only this question.' }) }),
    output: answered,
  }),
  list: operation({
    name: 'inputs.list',
    kind: 'query',
    summary: 'List what tasks ask for, newest first',
    permission: 'tasks:read',
    routes: [{ method: 'GET', path: '/inputs' }],
    idempotent: true,
    destructive: false,
    refs: { task_id: 'task' },
    input: z.object({ kind: kind.optional(), ...filter }),
    output: page(inputRequest),
  }),
  approvals: operation({
    name: 'approvals.list',
    kind: 'query',
    summary: 'List approvals, asked for and decided, newest first',
    permission: 'tasks:read',
    routes: [{ method: 'GET', path: '/approvals' }],
    idempotent: true,
    destructive: false,
    refs: { task_id: 'task' },
    input: z.object(filter),
    output: page(inputRequest),
  }),
  decide: operation({
    name: 'approvals.decide',
    kind: 'command',
    summary: 'Approve or refuse what a task wants to do',
    description: 'By whoever created the task, or an operator, and never by the agent that asks. The first decision stands.',
    permission: 'tasks:write',
    routes: [{ method: 'POST', path: '/approvals/{id}' }],
    idempotent: true,
    destructive: false,
    input: z.object({ id, approved: z.boolean(), comment: comment.optional() }),
    output: answered,
  }),
} as const

const told = z.object({
  task_id: id,
  title: z.string(),
  request_id: id,
  kind,
  key: z.string(),
  prompt: z.string(),
  action: z.string().nullable(),
  agent: z.string().meta({ description: 'Who asked.' }),
})

export const inputEvents = {
  required: taskEvent('task.input_required', 'A task waits for an answer; its lease is released', 'task:updated'),
  requested: event({
    name: 'input.requested',
    schema_version: 1,
    summary: 'A task asked for an answer or an approval',
    topic: 'agent.tasks',
    data: told,
  }),
  provided: event({
    name: 'input.provided',
    schema_version: 1,
    summary: 'What a task waited for was answered; it goes on',
    topic: 'agent.tasks',
    data: told.extend({ by: z.string(), approved: z.boolean().nullable(), comment: z.string().nullable() }),
  }),
} as const
