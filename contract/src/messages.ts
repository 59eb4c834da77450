import { z } from 'zod'
import { event, lifecycle, operation } from './define.ts'
import { messageIntent, route, routingFields } from './routing.ts'
import { taskOperations } from './tasks.ts'
import { agentRef, cursor, duration, id, json, limit, metadata, page, priority, receipt, time } from './values.ts'

/** One recipient's copy of a message. */
export const deliveryLifecycle = lifecycle('delivery', ['ready'], {
  ready: ['leased', 'expired', 'dead'],
  leased: ['ready', 'acknowledged', 'dead', 'expired'],
  acknowledged: [],
  dead: ['ready'],
  expired: [],
})
export const deliveryState = z.enum(['ready', 'leased', 'acknowledged', 'dead', 'expired'])

export const messageKind = z.enum(['request', 'response', 'broadcast', 'system', 'event'])
const group = z
  .string()
  .min(1)
  .max(128)
  .regex(/^[\w.:/-]+$/)
export const topicName = z
  .string()
  .min(1)
  .max(256)
  .regex(
    /^[\w:/-]+(\.[\w:/-]+)*$/,
    'Words of letters, digits and _ : / -, with single dots between them; * and # are for subscriptions.',
  )
  .meta({ description: 'Dotted topic.' })
export const topicPattern = z
  .string()
  .min(1)
  .max(256)
  .regex(/^([\w:/-]+|[*#])(\.([\w:/-]+|[*#]))*$/, 'Words with single dots between them; * stands for one word, # for any number.')
  .meta({ description: 'Dotted topic, where `*` stands for one word and `#` for any number of words, none included.' })

export const message = z.object({
  id,
  message_id: id,
  sender_id: id,
  sender: z.string(),
  recipients: z
    .array(z.string())
    .meta({ description: 'Names of the agents it went to, at most 100; recipient_count has the number.' }),
  recipient_count: z.number().int(),
  topic: z.string().nullable(),
  kind: messageKind,
  type: z.string(),
  message_type: z.string(),
  priority: z.number().int(),
  content: json,
  metadata,
  conversation_id: id,
  sender_seq: z.number().int(),
  reply_to: id.nullable(),
  task_id: id.nullable(),
  artifacts: z.array(z.string()),
  intent: messageIntent.optional(),
  context: metadata.optional(),
  expected_response: z.string().optional(),
  route,
  status: z.enum(['stored', 'delivered', 'acknowledged', 'dead', 'expired', 'unroutable']),
  late: z.boolean().meta({ description: 'A reply that came after its deadline.' }),
  created_at: time,
  expires_at: time.nullable(),
})
export type Message = z.infer<typeof message>

/** What an agent receives: the message with its delivery. */
export const delivery = message.omit({ status: true, recipients: true, recipient_count: true }).extend({
  route: route.optional().meta({ description: 'Absent for one that was sent to you by name, to all or to a topic of yours.' }),
  receipt: z.string().meta({ description: 'Opaque; echo it to acknowledge, reject or extend.' }),
  attempt: z.number().int(),
  lease_until: time,
  replay: z.boolean(),
})
export type Delivery = z.infer<typeof delivery>

/** What a delegation says of its task beside the content. */
const delegatedTask = taskOperations.create.input
  .pick({ title: true, description: true, type: true, input: true, requirements: true, due_date: true, metadata: true })
  .partial()
  .extend({
    max_retries: z.number().int().min(0).max(100).optional(),
    lease_ms: z.number().int().min(200).max(86_400_000).optional(),
  })

const envelope = {
  content: json,
  return: z.enum(['representation', 'minimal']).optional().meta({
    description:
      '`minimal` answers id, conversation_id, sender_seq, status and receipt; `representation`, the usual, the whole message.',
  }),
  kind: messageKind.optional(),
  type: z.string().min(1).max(128).optional(),
  priority: priority.optional(),
  conversation_id: id.optional().meta({ description: 'Deliveries of one sender in one conversation keep strict order.' }),
  task_id: id.optional(),
  lease: z.string().max(256).optional().meta({ description: 'Lease of task_id when the message is sent in its name.' }),
  reply_to: id.optional(),
  artifacts: z.array(z.string().max(128)).max(64).optional(),
  metadata: metadata.optional(),
  intent: messageIntent.optional().meta({
    description:
      '`delegate` makes a task for the recipient in the same commit; `escalate` reaches the inbox of the operator too.',
  }),
  context: metadata.optional().meta({ description: 'What the recipient has to know to act on it.' }),
  expected_response: z.string().max(4000).optional().meta({ description: 'What the sender wants back.' }),
  task: z
    .union([z.string().min(1).max(500), delegatedTask])
    .optional()
    .meta({
      description: 'With the intent `delegate`: the title of its task, or title and more; without a title the content gives it.',
    }),
  ttl: duration.optional().meta({ description: 'Milliseconds until an undelivered copy expires.' }),
  sender_id: agentRef.optional().meta({ description: 'May be left out; anything but yourself is refused.' }),
}
const envelopeAliases = {
  message_type: 'type',
  sender: 'sender_id',
  from: 'sender_id',
  in_reply_to: 'reply_to',
  body: 'content',
  message: 'content',
}
const sentWhole = message.extend({ receipt })
const sentMinimal = z.object({
  id,
  conversation_id: id,
  sender_seq: message.shape.sender_seq,
  status: message.shape.status,
  receipt,
})
/** Typed as the whole: who asks for `minimal` knows what is left out. */
const sent = z.union([sentWhole, sentMinimal]) as unknown as typeof sentWhole
export type SentMinimal = z.infer<typeof sentMinimal>

export const messageOperations = {
  send: operation({
    name: 'messages.send',
    kind: 'command',
    summary: 'Send a message',
    description:
      'To one agent (`to`), several (`recipients`), or by what an agent is (`agent_type`, `capabilities`, with a `strategy`). With none of them the first routing rule that matches decides, and without one it goes to everyone (broadcast). Durable once answered; nobody matching is stored as unroutable and said so. `route` tells why it went where it did.',
    permission: 'messages:write',
    routes: [{ method: 'POST', path: '/messages' }],
    status: 201,
    frames: ['message:send'],
    idempotent: false,
    destructive: false,
    refs: { to: 'agent', recipients: 'agent', task_id: 'task' },
    aliases: { ...envelopeAliases, recipient: 'to', recipient_id: 'to', receiver: 'to', receiver_id: 'to' },
    input: z.looseObject({
      ...envelope,
      ...routingFields,
      to: z.union([agentRef, z.array(agentRef).max(1000)]).optional(),
      recipients: z.array(agentRef).max(1000).optional(),
      broadcast: z.boolean().optional(),
    }),
    output: sent,
  }),
  ask: operation({
    name: 'messages.ask',
    kind: 'command',
    summary: 'Send a request and wait for the reply',
    description: 'Answers the reply, or deadline_exceeded; exactly one of them. A late reply goes to the inbox, flagged late.',
    permission: 'messages:write',
    routes: [{ method: 'POST', path: '/messages/ask' }],
    frames: ['message:ask'],
    idempotent: false,
    destructive: false,
    refs: { to: 'agent', task_id: 'task' },
    aliases: { ...envelopeAliases, recipient: 'to', recipient_id: 'to', receiver: 'to' },
    input: z.looseObject({
      ...envelope,
      ...routingFields,
      to: agentRef.optional().meta({ description: 'Agent id or name; or name what it is by agent_type or capabilities.' }),
      timeout_ms: z.number().int().min(1).max(600_000).default(30_000),
    }),
    output: z.object({ request_id: id, reply: message }),
  }),
  reply: operation({
    name: 'messages.reply',
    kind: 'command',
    summary: 'Answer a message',
    description:
      'Goes to the sender of `reply_to` in the same conversation; with `receipt` the request is acknowledged in the same commit.',
    permission: 'messages:write',
    routes: [{ method: 'POST', path: '/messages/{reply_to}/reply' }],
    status: 201,
    frames: ['message:reply'],
    idempotent: false,
    destructive: false,
    refs: { reply_to: 'message' },
    aliases: { message_type: 'type', id: 'reply_to', message_id: 'reply_to' },
    input: z.looseObject({ ...envelope, reply_to: id, receipt: z.string().max(256).optional() }),
    output: sent,
  }),
  publish: operation({
    name: 'messages.publish',
    kind: 'command',
    summary: 'Publish to a topic',
    description: 'Goes to those subscribed at commit, not to the publisher.',
    permission: 'messages:write',
    routes: [{ method: 'POST', path: '/topics/{topic}/publish' }],
    status: 201,
    frames: ['topic:publish'],
    idempotent: false,
    destructive: false,
    aliases: { ...envelopeAliases, data: 'content' },
    input: z.looseObject({ ...envelope, topic: topicName }),
    output: sent,
  }),
  subscribe: operation({
    name: 'messages.subscribe',
    kind: 'command',
    summary: 'Subscribe an agent to topics',
    description:
      'Of the agents that subscribe under one `group` name one gets each message, in turn, connected ones first; those without a group get every message. Subscribing to the same pattern again moves the subscription to the group given now.',
    permission: 'messages:write',
    routes: [{ method: 'POST', path: '/subscriptions' }],
    frames: ['topic:subscribe'],
    idempotent: true,
    destructive: false,
    refs: { agent: 'agent' },
    aliases: { pattern: 'topic', agent_id: 'agent' },
    input: z.object({ topic: topicPattern, agent: agentRef.optional(), group: group.optional() }),
    output: z.object({ agent_id: id, topic: z.string(), group: z.string().nullable() }),
  }),
  subscriptions: operation({
    name: 'messages.subscriptions',
    kind: 'query',
    summary: 'List subscriptions',
    description: 'An operator sees those of every agent, an agent its own. By agent, then topic.',
    permission: 'messages:read',
    routes: [{ method: 'GET', path: '/subscriptions' }],
    idempotent: true,
    destructive: false,
    refs: { agent: 'agent' },
    aliases: { agent_id: 'agent' },
    input: z.object({ agent: agentRef.optional(), group: group.optional(), limit, cursor }),
    output: page(z.object({ agent_id: id, agent: z.string(), topic: z.string(), group: z.string().nullable() })),
  }),
  unsubscribe: operation({
    name: 'messages.unsubscribe',
    kind: 'command',
    summary: 'End a subscription',
    permission: 'messages:write',
    routes: [{ method: 'DELETE', path: '/subscriptions' }],
    frames: ['topic:unsubscribe'],
    idempotent: true,
    destructive: true,
    refs: { agent: 'agent' },
    aliases: { pattern: 'topic', agent_id: 'agent' },
    input: z.object({ topic: topicPattern, agent: agentRef.optional() }),
    output: z.object({ agent_id: id, topic: z.string() }),
  }),
  list: operation({
    name: 'messages.list',
    kind: 'query',
    summary: 'List messages',
    description: 'An operator sees every message of the tenant, an agent those it sent or received. Newest first.',
    permission: 'messages:read',
    routes: [{ method: 'GET', path: '/messages' }],
    idempotent: true,
    destructive: false,
    refs: { sender: 'agent', recipient: 'agent', task_id: 'task' },
    aliases: {
      sender_id: 'sender',
      from: 'sender',
      recipient_id: 'recipient',
      to: 'recipient',
      message_type: 'type',
      conversation: 'conversation_id',
    },
    input: z.object({
      sender: agentRef.optional(),
      recipient: agentRef.optional(),
      task_id: id.optional(),
      conversation_id: id.optional(),
      topic: z.string().max(256).optional(),
      type: z.string().max(128).optional(),
      kind: messageKind.optional(),
      intent: messageIntent.optional(),
      since: time.optional(),
      until: time.optional(),
      limit,
      cursor,
    }),
    output: page(message),
  }),
  get: operation({
    name: 'messages.get',
    kind: 'query',
    summary: 'Read one message',
    permission: 'messages:read',
    routes: [{ method: 'GET', path: '/messages/{id}' }],
    idempotent: true,
    destructive: false,
    refs: { id: 'message' },
    aliases: { message_id: 'id' },
    input: z.object({ id }),
    output: message,
  }),
  receive: operation({
    name: 'messages.receive',
    kind: 'command',
    summary: 'Lease messages from an inbox',
    description:
      'For clients without a socket: waits up to `wait_ms` for the first message; each must be acknowledged before its lease ends.',
    permission: 'messages:write',
    routes: [{ method: 'POST', path: '/agents/{agent}/inbox/receive' }],
    idempotent: false,
    destructive: false,
    refs: { agent: 'agent' },
    aliases: { id: 'agent', agent_id: 'agent' },
    input: z.object({
      agent: agentRef.optional(),
      limit: z.number().int().min(1).max(256).default(16),
      lease_ms: z.number().int().min(100).max(3_600_000).optional(),
      wait_ms: z.number().int().min(0).max(30_000).default(0),
    }),
    output: z.object({ items: z.array(delivery) }),
  }),
  acknowledge: operation({
    name: 'messages.acknowledge',
    kind: 'command',
    summary: 'Acknowledge deliveries',
    description: 'Only the current receipt counts; the same acknowledgement again is fine.',
    permission: 'messages:write',
    routes: [{ method: 'POST', path: '/messages/acknowledge' }],
    frames: ['message:ack'],
    idempotent: true,
    destructive: false,
    aliases: { receipt: 'receipts' },
    input: z.object({ receipts: z.union([z.string().max(256), z.array(z.string().max(256)).max(1000)]) }),
    output: z.object({ acknowledged: z.number().int(), already: z.number().int() }),
  }),
  reject: operation({
    name: 'messages.reject',
    kind: 'command',
    summary: 'Give a delivery back',
    description: 'It comes again after the back-off, or after `delay_ms`; after five attempts it is dead.',
    permission: 'messages:write',
    routes: [{ method: 'POST', path: '/messages/reject' }],
    frames: ['message:reject'],
    idempotent: false,
    destructive: false,
    input: z.object({
      receipt: z.string().max(256),
      reason: z.string().max(4000).default('rejected'),
      delay_ms: duration.optional(),
      dead: z.boolean().default(false).meta({ description: 'Do not try again.' }),
    }),
    output: z.object({ state: deliveryState, attempt: z.number().int(), available_at: time.nullable() }),
  }),
  extend: operation({
    name: 'messages.extend',
    kind: 'command',
    summary: 'Extend the lease of a delivery',
    permission: 'messages:write',
    routes: [{ method: 'POST', path: '/messages/extend' }],
    frames: ['message:extend'],
    idempotent: true,
    destructive: false,
    input: z.object({ receipt: z.string().max(256), lease_ms: z.number().int().min(100).max(3_600_000).default(30_000) }),
    output: z.object({ lease_until: time }),
  }),
  deadLetters: operation({
    name: 'messages.dead_letters',
    kind: 'query',
    summary: 'List dead letters',
    permission: 'messages:read',
    routes: [{ method: 'GET', path: '/dead-letters' }],
    idempotent: true,
    destructive: false,
    refs: { agent: 'agent' },
    aliases: { agent_id: 'agent' },
    input: z.object({ agent: agentRef.optional(), limit, cursor }),
    output: page(
      z.object({
        id,
        agent_id: id,
        agent: z.string(),
        message,
        attempts: z.number().int(),
        reason: z.string(),
        errors: z.array(z.object({ attempt: z.number().int(), error: z.string(), at: time })),
        dead_at: time,
      }),
    ),
  }),
  redrive: operation({
    name: 'messages.redrive',
    kind: 'command',
    summary: 'Deliver a dead letter again',
    permission: 'messages:write',
    routes: [{ method: 'POST', path: '/dead-letters/{id}/redrive' }],
    idempotent: true,
    destructive: false,
    refs: { id: 'message' },
    input: z.object({ id }),
    output: z.object({ id, message_id: id, receipt }),
  }),
  purge: operation({
    name: 'messages.purge',
    kind: 'command',
    summary: 'Remove a dead letter for good',
    description: 'It is listed no more and cannot be delivered again. Its message stays in the log, with the status dead.',
    permission: 'messages:write',
    routes: [{ method: 'DELETE', path: '/dead-letters/{id}' }],
    idempotent: false,
    destructive: true,
    refs: { id: 'message' },
    input: z.object({ id }),
    output: z.object({ id, message_id: id, receipt }),
  }),
} as const

export const messageEvents = {
  sent: event({
    name: 'message.sent',
    schema_version: 1,
    summary: 'A message was stored; it is its own log entry',
    topic: 'agent.communication',
    data: message,
  }),
  dead: event({
    name: 'message.dead',
    schema_version: 1,
    summary: 'A delivery died; the reason and every attempt are kept',
    topic: 'dead.letter',
    data: z.object({ message_id: id, agent_id: id, agent: z.string(), reason: z.string(), attempts: z.number().int() }),
  }),
  redelivered: event({
    name: 'message.redelivered',
    schema_version: 1,
    summary: 'A delivery went back to its inbox and comes again',
    topic: 'agent.communication',
    data: z.object({ message_id: id, agent_id: id, agent: z.string(), attempt: z.number().int(), reason: z.string() }),
  }),
  purged: event({
    name: 'message.purged',
    schema_version: 1,
    summary: 'A dead letter was removed for good',
    topic: 'dead.letter',
    data: z.object({ message_id: id, agent_id: id, agent: z.string() }),
  }),
  subscribed: event({
    name: 'topic.subscribed',
    schema_version: 1,
    summary: 'An agent subscribed to topics',
    topic: 'agent.communication',
    data: z.object({ agent_id: id, agent: z.string(), topic: z.string(), group: z.string().nullable() }),
  }),
  unsubscribed: event({
    name: 'topic.unsubscribed',
    schema_version: 1,
    summary: 'An agent ended a subscription',
    topic: 'agent.communication',
    data: z.object({ agent_id: id, agent: z.string(), topic: z.string() }),
  }),
  settled: event({
    name: 'message.settled',
    schema_version: 1,
    summary: 'Deliveries were taken or acknowledged; not durable, for live views',
    topic: 'agent.communication',
    data: z.object({ message_ids: z.array(id), agent_id: id, state: deliveryState }),
  }),
} as const
