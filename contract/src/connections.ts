import { z } from 'zod'
import { operation } from './define.ts'
import { agentRef, cursor, id, limit, page, time } from './values.ts'

export const connectionOperations = {
  connections: operation({
    name: 'system.connections',
    kind: 'query',
    summary: 'List the connections of this process',
    description: 'Oldest first. Who has not said yet who it is has no name.',
    // Shows what others do, so it is for those who may read the log.
    permission: 'events:read',
    routes: [{ method: 'GET', path: '/connections' }],
    idempotent: true,
    destructive: false,
    refs: { agent: 'agent' },
    aliases: { agent_id: 'agent' },
    input: z.object({ agent: agentRef.optional(), limit, cursor }),
    output: page(
      z.object({
        id,
        name: z.string().nullable(),
        agent_id: id.nullable().meta({ description: 'The agent it speaks for, once it has registered.' }),
        since: time.nullable(),
        mode: z.enum(['plain', 'leased']),
        credits: z.number().int(),
        buffered_bytes: z.number().int().meta({ description: 'Handed to the line and not yet taken by the client.' }),
        in_flight: z.number().int().meta({ description: 'Requests not yet answered.' }),
      }),
    ),
  }),
} as const
