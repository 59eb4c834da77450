import { z } from 'zod'
import { event, operation } from './define.ts'
import { deliveryState, message, topicPattern } from './messages.ts'
import { agentRef, cursor, id, receipt, time } from './values.ts'

const count = z.number().int().min(0)

/** What became of one recipient's copy. */
export const deliveryFate = z.object({
  agent_id: id,
  agent: z.string(),
  state: deliveryState,
  attempt: count.nullable().meta({ description: 'How often the agent was handed it; null once it is acknowledged.' }),
  at: time.nullable().meta({ description: 'When it died or expired.' }),
  reason: z.string().nullable().meta({ description: 'Why it died or expired, or came back the last time.' }),
})
export type DeliveryFate = z.infer<typeof deliveryFate>

export const messageReceipt = z.object({
  message_id: id,
  status: message.shape.status,
  recipient_count: count,
  counts: z.object({ ready: count, leased: count, acknowledged: count, dead: count, expired: count }),
  deliveries: z.array(deliveryFate).meta({ description: 'At most 100, unsettled and lost ones first; `counts` are of all.' }),
})
export type MessageReceipt = z.infer<typeof messageReceipt>

/** Content of a `system` message of type `message.bounced`. */
export const bounce = z.object({
  message_id: id,
  recipient: z.string(),
  recipient_id: id,
  reason: z.string(),
  attempts: count,
  status: z.enum(['dead', 'expired']),
  suppressed: count.optional().meta({ description: 'Bounces to this sender that were left out before this one.' }),
})
export type Bounce = z.infer<typeof bounce>

const retention = z.object({
  messages_days: z.number().int().min(1).max(36_500).nullable().meta({ description: 'Null keeps them for ever.' }),
  messages_max: z.number().int().min(1).max(1_000_000_000).nullable().meta({ description: 'Null sets no number.' }),
})

export const receiptOperations = {
  receipt: operation({
    name: 'messages.receipt',
    kind: 'query',
    summary: 'Tell what became of a message',
    description:
      'State of every copy: ready, leased (the agent took it), acknowledged, dead or expired. For the sender and for operators; recipients do not learn of each other.',
    permission: 'messages:read',
    routes: [{ method: 'GET', path: '/messages/{id}/receipt' }],
    idempotent: true,
    destructive: false,
    refs: { id: 'message' },
    aliases: { message_id: 'id' },
    input: z.object({ id }),
    output: messageReceipt,
  }),
  wait: operation({
    name: 'messages.wait',
    kind: 'query',
    summary: 'Wait until a message is delivered or acknowledged',
    description:
      'Answers as soon as every copy has reached the state, or one never can: it died, expired, or there was nobody to send to. Otherwise after `timeout_ms`, as it is then. Delivered means that the agent took it, whatever it did with it afterwards.',
    permission: 'messages:read',
    routes: [
      { method: 'GET', path: '/messages/{id}/wait' },
      { method: 'POST', path: '/messages/{id}/wait' },
    ],
    frames: ['message:wait'],
    idempotent: true,
    destructive: false,
    refs: { id: 'message' },
    aliases: { message_id: 'id' },
    input: z.object({
      id,
      state: z.enum(['delivered', 'acknowledged']).default('acknowledged'),
      timeout_ms: z.number().int().min(0).max(30_000).default(30_000).meta({ description: '0 looks and does not wait.' }),
    }),
    output: messageReceipt.extend({ reached: z.boolean() }),
  }),
  inbox: operation({
    name: 'messages.inbox',
    kind: 'query',
    summary: 'Tell how full an inbox is',
    permission: 'messages:read',
    routes: [{ method: 'GET', path: '/agents/{agent}/inbox' }],
    idempotent: true,
    destructive: false,
    refs: { agent: 'agent' },
    aliases: { id: 'agent', agent_id: 'agent' },
    input: z.object({ agent: agentRef.optional() }),
    output: z.object({
      agent_id: id,
      agent: z.string(),
      depth: count.meta({ description: 'All that is not settled: ready, delayed, behind and leased.' }),
      ready: count,
      delayed: count.meta({ description: 'In its back-off.' }),
      behind: count.meta({ description: 'Waiting for an earlier message of its sender in its conversation.' }),
      leased: count,
      oldest_at: time.nullable().meta({ description: 'When the oldest message that is not settled was sent.' }),
      oldest_age_ms: count.nullable(),
      dead: count,
    }),
  }),
  replay: operation({
    name: 'messages.replay',
    kind: 'command',
    summary: 'Receive old messages again',
    description:
      'From a position of the log, a time, or a conversation, in order, each marked `replay`. With `deliver` copies go into the inbox and come as any delivery does; otherwise the page holds them. What became of the messages when they were new stays as it is. Agents get what they sent or received and the topics they subscribe to; operators any message, for any agent. Call again with `next` until it is null: a page may be empty before that. `gap` says that retention removed messages after the start.',
    permission: 'messages:write',
    routes: [{ method: 'POST', path: '/messages/replay' }],
    frames: ['message:replay'],
    idempotent: false,
    destructive: false,
    refs: { agent: 'agent', sender: 'agent' },
    aliases: { agent_id: 'agent', from_seq: 'after', from_time: 'since', sender_id: 'sender' },
    input: z.object({
      agent: agentRef.optional(),
      after: count.optional().meta({ description: 'Position in the log: messages after it.' }),
      since: time.optional(),
      until: time.optional(),
      conversation_id: id.optional(),
      topic: topicPattern.optional().meta({ description: 'A topic, or a pattern of topics as in a subscription.' }),
      sender: agentRef.optional(),
      deliver: z.boolean().default(false),
      limit: z.number().int().min(1).max(500).default(100),
      cursor,
    }),
    output: z.object({
      items: z.array(message.extend({ replay: z.literal(true) })).meta({ description: 'Empty with `deliver`.' }),
      queued: count.meta({ description: 'Copies put into the inbox.' }),
      skipped: count.meta({ description: 'Left out because the inbox still holds the message, or a copy of it.' }),
      gap: z.boolean(),
      trimmed_to: count,
      next: z.string().nullable(),
    }),
  }),
  retention: operation({
    name: 'retention.get',
    kind: 'query',
    summary: 'Read how long messages are kept',
    permission: 'system:read',
    routes: [{ method: 'GET', path: '/retention' }],
    idempotent: true,
    destructive: false,
    input: z.object({}),
    output: retention.extend({
      trimmed_to: count.meta({ description: 'Position in the log up to which settled messages may be gone.' }),
      removed: count,
    }),
  }),
  setRetention: operation({
    name: 'retention.set',
    kind: 'command',
    summary: 'Set how long messages are kept',
    description:
      'Settled messages older than `messages_days`, and the oldest beyond `messages_max`, are removed in the background. Unsettled ones and dead letters stay, and every message stays a day at least, as long as its idempotency key holds. A field that is left out stays as it is.',
    permission: 'keys:admin',
    routes: [{ method: 'PUT', path: '/retention' }],
    idempotent: true,
    destructive: true,
    input: retention
      .partial()
      .refine(
        (given) => given.messages_days !== undefined || given.messages_max !== undefined,
        'Give messages_days or messages_max.',
      ),
    output: retention.extend({ receipt: receipt.nullable() }),
  }),
} as const

export const receiptEvents = {
  expired: event({
    name: 'message.expired',
    schema_version: 1,
    summary: 'A copy of a message was not taken in its time',
    topic: 'dead.letter',
    data: z.object({ message_id: id, agent_id: id, agent: z.string(), attempts: count, expires_at: time }),
  }),
  replayed: event({
    name: 'message.replayed',
    schema_version: 1,
    summary: 'Copies of old messages were put into an inbox',
    topic: 'agent.communication',
    data: z.object({ agent_id: id, agent: z.string(), message_ids: z.array(id) }),
  }),
  replayDropped: event({
    name: 'message.replay_dropped',
    schema_version: 1,
    summary: 'A replayed copy failed too often and was taken out; what became of its message stays as it was',
    topic: 'agent.communication',
    data: z.object({ message_id: id, agent_id: id, agent: z.string(), reason: z.string(), attempts: count }),
  }),
  trimmed: event({
    name: 'message.trimmed',
    schema_version: 1,
    summary:
      'In place of a message that retention removed: the last of its sender in its conversation, whose count goes on from it',
    topic: 'agent.communication',
    data: z.object({}),
  }),
  retentionChanged: event({
    name: 'retention.changed',
    schema_version: 1,
    summary: 'How long messages are kept was set',
    topic: 'system.events',
    data: retention,
  }),
  compacted: event({
    name: 'retention.compacted',
    schema_version: 1,
    summary: 'Settled messages were removed; whoever read the log up to an earlier position may have missed some',
    topic: 'system.events',
    data: z.object({ removed: count, trimmed_to: count }),
  }),
} as const
