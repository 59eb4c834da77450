/** How many messages agents exchange. */
import { z } from 'zod'
import { operation } from './define.ts'
import { id } from './values.ts'

const count = z.number().int().min(0)

export const trafficOperations = {
  counts: operation({
    name: 'messages.counts',
    kind: 'query',
    summary: 'Count the messages of each agent',
    description:
      'Of all messages that are kept, or of those in the name of some tasks: those of one task, or of all tasks of a run. The busiest first. A message to several counts for each that received it. Agents are told of themselves.',
    permission: 'messages:read',
    routes: [
      { method: 'GET', path: '/messages/counts' },
      { method: 'POST', path: '/messages/counts' },
    ],
    idempotent: true,
    destructive: false,
    aliases: { task_id: 'task_ids' },
    input: z.object({
      task_ids: z.array(id).max(1000).optional(),
      limit: z.number().int().min(1).max(1000).default(100),
    }),
    output: z.object({
      messages: count.meta({ description: 'All of them, however many agents are listed.' }),
      items: z.array(z.object({ agent_id: id, agent: z.string(), sent: count, received: count })),
    }),
  }),
} as const
