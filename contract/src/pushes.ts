/** What the server sends unasked. With the acknowledgements these are all frames from server to client. */
import { z } from 'zod'
import { agentEvents } from './agents.ts'
import { logEntry } from './events.ts'
import { memoryEvents } from './memory.ts'
import { delivery } from './messages.ts'
import { assignment, task } from './tasks.ts'
import { id, json, metadata } from './values.ts'

export interface PushSpec {
  summary: string
  data: z.ZodType
  /** Fields beside `type` and `data`. */
  beside?: Readonly<Record<string, z.ZodType>>
}

/** Frame type -> what it carries. */
export const pushes: Readonly<Record<string, PushSpec>> = {
  'message:received': {
    summary: 'A message was leased to this agent; it is acknowledged by `flow` or by its receipt',
    data: delivery,
    beside: {
      seq: z.number().int().meta({ description: 'Numbers the deliveries to this agent.' }),
      trace: z.string().optional(),
    },
  },
  'task:assigned': { summary: 'A task was leased to this agent', data: assignment },
  'task:updated': { summary: 'A task this agent made, holds or watches has moved on', data: task },
  'task:cancelled': {
    summary: 'The task this agent works on was cancelled',
    data: z.object({ id, task_id: id, reason: z.string().nullable() }),
  },
  'memory:updated': {
    summary: memoryEvents.updated.summary,
    data: memoryEvents.updated.data,
    beside: { seq: z.number().int().optional().meta({ description: 'Position in the log, after `memory:watch`.' }) },
  },
  'agent:joined': { summary: agentEvents.joined.summary, data: agentEvents.joined.data },
  'agent:left': { summary: agentEvents.left.summary, data: agentEvents.left.data },
  'tool:invoke': {
    summary: 'Another agent calls a tool that this agent registered; answered by `tool:result`',
    data: z.object({
      invocation: id,
      tool: z.string(),
      arguments: metadata,
      key: z.string(),
      caller: z.string(),
      task_id: id.nullable(),
    }),
  },
  event: { summary: 'An entry of the log, after `events:watch`', data: logEntry },
  'stream:delta': {
    summary: 'A part of an answer that is still being made; not durable',
    data: json,
    beside: { ref: z.union([z.string(), z.number()]), index: z.number().int() },
  },
  'system:draining': { summary: 'The server stops; the connection closes with 4503', data: z.object({}) },
}
