/** Socket frames of `cadre.v1` that are not operations. Operations travel as `{type: <frame or operation name>, id, key?, data}`. */
import { z } from 'zod'
import { assignment } from './tasks.ts'

export const clientFrame = z.looseObject({
  type: z.string().min(1).max(128),
  id: z.union([z.string().max(128), z.number()]).optional(),
  key: z.string().max(256).optional(),
  data: z.unknown().optional(),
  trace: z.string().max(256).optional(),
})
export type ClientFrame = z.infer<typeof clientFrame>

/** What `agent:register` adds to the input of agents.register. `credits` present: leased delivery with acknowledgements. Absent: plain mode, acknowledged on write. */
export const registerFrame = z.looseObject({
  token: z.string().max(256).optional(),
  last_seq: z.number().int().min(0).optional(),
  credits: z.number().int().min(0).max(10_000).optional(),
  presence: z.boolean().optional().meta({
    description: 'False: agent:joined and agent:left come only after agents.watch. Among thousands they are most of the traffic.',
  }),
  short: z.boolean().optional().meta({
    description: 'Deliveries leave out what is null, empty, false, an attempt of 1, and what another field says already.',
  }),
})

/** What its acknowledgement says beside the agent. */
export const registeredFrame = z.object({
  session: z.string(),
  resumed: z.boolean(),
  head: z.number().int().meta({ description: 'Number of the last delivery to this agent.' }),
  gap: z
    .boolean()
    .meta({ description: 'True: what the client saw before cannot be matched to what is stored; start from the inbox.' }),
  heartbeat_ms: z.number().int(),
  max_frame: z.number().int().meta({ description: 'Bytes.' }),
  leases: z.array(assignment),
})

export const authFrame = z.object({ token: z.string().max(256) })

export const flowFrame = z.object({
  ack: z.number().int().min(0).optional(),
  credits: z.number().int().min(0).max(10_000).optional(),
})

export const closeCodes = {
  bad_frame: 4400,
  unauthorised: 4401,
  forbidden: 4403,
  idle: 4408,
  replaced: 4409,
  too_large: 4413,
  rate_limited: 4429,
  internal: 4500,
  draining: 4503,
  slow_consumer: 4008,
} as const
