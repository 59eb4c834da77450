/** Messages: send, ask, reply, publish, subscribe, list, and the inbox operations. */
import { CadreError, type Message, type ParsedInputOf, type Receipt, toPriority } from '@cadre/contract'
import { type Clock, iso } from '../../core/clock.ts'
import type { Caller, Context } from '../../core/context.ts'
import type { Directory } from '../../core/directory.ts'
import type { EventLog } from '../../core/events.ts'
import type { Handlers } from '../../core/invoke.ts'
import { decodeCursor, numberCursor, toPage } from '../../core/paging.ts'
import type { Sessions } from '../../core/sessions.ts'
import type { Database, Tx } from '../../drivers/database/port.ts'
import { Deliveries, leaseMs } from './delivery.ts'
import { type Place, decodeReceipt, messageId, messageSeq, metaOf, recipientsOf, requireSeq, toMessage } from './envelope.ts'
import { Requests } from './requests.ts'
import { type Outgoing, makeSender } from './sending.ts'
import {
  type MessageFilter,
  type MessageRow,
  addSubscription,
  getDead,
  getDelivery,
  getMessage,
  getReply,
  hasLine,
  insertDeliveries,
  isListed,
  listDead,
  listMessages,
  loadSubscriptions,
  purgeDead,
  removeDead,
  removeSubscription,
} from './store.ts'
import { Subscriptions } from './topics.ts'

export interface MessagesParts {
  database: Database
  directory: Directory
  clock: Clock
  log: EventLog
  sessions: Sessions
  epoch: string
  random: () => number
  engine: () => Context
  /** Interned ids of the agents a broadcast reaches. */
  everyone: (tenant: number) => number[]
  checkLease: (tx: Tx, write: { task: string; lease: string | undefined; caller: Caller }) => Promise<void>
}

type Names =
  | 'messages.send'
  | 'messages.ask'
  | 'messages.reply'
  | 'messages.publish'
  | 'messages.subscribe'
  | 'messages.unsubscribe'
  | 'messages.list'
  | 'messages.get'
  | 'messages.receive'
  | 'messages.acknowledge'
  | 'messages.reject'
  | 'messages.extend'
  | 'messages.dead_letters'
  | 'messages.redrive'
  | 'messages.purge'

export interface Messages {
  handlers: Pick<Handlers, Names>
  deliveries: Deliveries
  /** The message of a log entry as clients see it. */
  view(row: MessageRow): Message
  close(): Promise<void>
}

type Envelope =
  | ParsedInputOf<'messages.send'>
  | ParsedInputOf<'messages.ask'>
  | ParsedInputOf<'messages.reply'>
  | ParsedInputOf<'messages.publish'>

const kinds = new Set(['request', 'response', 'broadcast', 'system', 'event'])
const envelopeFields = new Set([
  'content',
  'kind',
  'type',
  'priority',
  'conversation_id',
  'task_id',
  'lease',
  'reply_to',
  'artifacts',
  'metadata',
  'ttl',
  'sender_id',
  'to',
  'recipients',
  'broadcast',
  'topic',
  'timeout_ms',
  'receipt',
  'token',
])
const maxStatusLookups = 100

export async function makeMessages(parts: MessagesParts): Promise<Messages> {
  const { database, directory, clock } = parts
  const requests = new Requests(clock)
  const deliveries = new Deliveries({ ...parts, system: () => parts.engine().caller })
  await deliveries.load()
  const subscriptions = new Subscriptions()
  for (const row of await loadSubscriptions(database)) subscriptions.add(row.tenant, row.agent, row.pattern)
  const store = makeSender({ ...parts, deliveries, requests, agentName: (id) => directory.byId(id).name })

  function outgoing(
    context: Context,
    input: Envelope,
    fields: Partial<Outgoing> & Pick<Outgoing, 'recipients' | 'kind'>,
  ): Outgoing {
    if (input.sender_id !== undefined && directory.find(context.tenant, input.sender_id)?.id !== context.caller.id) {
      throw new CadreError('sender_mismatch', { actual: context.caller.name, claimed: input.sender_id })
    }
    // Fields we do not know are kept with the message rather than dropped.
    const unknown = Object.entries(input).filter(([field]) => !envelopeFields.has(field))
    const metadata = unknown.length === 0 ? input.metadata : { ...Object.fromEntries(unknown), ...input.metadata }
    const alias = input.type === 'agent' ? 'broadcast' : input.type
    const kind = input.kind ?? (alias !== undefined && kinds.has(alias) ? alias : fields.kind)
    return {
      caller: context.caller,
      trace: context.trace,
      operation: context.operation.replace('messages.', ''),
      key: context.idempotencyKey,
      content: input.content,
      topic: null,
      type: input.type ?? 'message',
      priority: toPriority(input.priority),
      conversation: input.conversation_id ?? null,
      replyTo: input.reply_to === undefined ? null : requireSeq(input.reply_to),
      task: input.task_id ?? null,
      lease: input.lease,
      fenced: input.task_id !== undefined && context.caller.role === 'agent' && context.session?.mode === 'leased',
      ttl: input.ttl,
      late: false,
      settles: undefined,
      ...fields,
      kind,
      meta: {
        ...(metadata !== undefined && { metadata }),
        ...(input.artifacts !== undefined && { artifacts: input.artifacts }),
        ...fields.meta,
      },
    }
  }

  /** What a message answers its sender must be able to see. */
  async function checkAnswered(context: Context, input: Envelope): Promise<void> {
    if (input.reply_to !== undefined) await visible(context, input.reply_to)
  }

  async function send(message: Outgoing): Promise<Message & { receipt: Receipt }> {
    const { row, duplicate } = await store(message)
    return { ...(duplicate ? await withStatus(row) : view(row)), receipt: receiptOf(row, duplicate) }
  }

  const receiptOf = (row: MessageRow, duplicate: boolean): Receipt => ({
    id: messageId(row.seq),
    seq: row.seq,
    store_epoch: parts.epoch,
    duplicate,
  })

  const view = (row: MessageRow): Message => toMessage(row, recipientsOf(row).length === 0 ? 'unroutable' : 'stored', directory)

  async function withStatus(row: MessageRow): Promise<Message> {
    return toMessage(row, await statusOf(row), directory)
  }

  /** Worst first: as long as one copy waits the message is stored, then delivered, then acknowledged, unless copies died. */
  async function statusOf(row: MessageRow): Promise<Message['status']> {
    const recipients = recipientsOf(row)
    if (recipients.length === 0) return 'unroutable'
    let leased = false
    let dead: Message['status'] | undefined
    for (const agent of recipients.slice(0, maxStatusLookups)) {
      const delivery = await getDelivery(database, { tenant: row.tenant, agent, priority: row.priority, seq: row.seq })
      if (delivery && delivery.state !== 1) return 'stored'
      if (delivery) leased = true
      else {
        const buried = await getDead(database, row.tenant, agent, row.seq)
        if (buried) dead = buried.reason === 'expired' ? 'expired' : 'dead'
      }
    }
    return leased ? 'delivered' : (dead ?? 'acknowledged')
  }

  function resolveRecipients(context: Context, references: readonly string[]): { recipients: number[]; unknown: string[] } {
    const recipients = new Set<number>()
    const unknown: string[] = []
    for (const reference of references) {
      const principal = directory.find(context.tenant, reference)
      if (principal && (principal.kind === 'agent' || principal.kind === 'person')) recipients.add(principal.id)
      else unknown.push(reference)
    }
    return { recipients: [...recipients], unknown }
  }

  /** The inbox the caller may act on: its own, or any for operators. */
  function inboxOwner(context: Context, reference: string | undefined): number {
    if (context.caller.role !== 'agent')
      return reference === undefined ? context.caller.id : directory.agent(context.tenant, reference).id
    if (reference !== undefined && directory.find(context.tenant, reference)?.id !== context.caller.id) {
      throw new CadreError('forbidden', { reason: `You act as ${context.caller.name}; other inboxes are closed to you.` })
    }
    return context.caller.id
  }

  function ownPlace(context: Context, receipt: string): Place {
    const place = decodeReceipt(receipt, context.tenant, parts.epoch)
    if (context.caller.role === 'agent' && place.agent !== context.caller.id)
      throw new CadreError('forbidden', { reason: 'The receipt belongs to another agent.' })
    return place
  }

  async function visible(context: Context, id: string): Promise<MessageRow> {
    const row = await getMessage(database, context.tenant, requireSeq(id))
    const mine =
      row && (context.caller.role !== 'agent' || row.actor === context.caller.id || recipientsOf(row).includes(context.caller.id))
    if (!row || !mine) throw new CadreError('not_found', { entity: 'message', id })
    return row
  }

  const handlers: Messages['handlers'] = {
    'messages.send': async (context, input) => {
      await checkAnswered(context, input)
      const named = [
        ...(input.to === undefined ? [] : Array.isArray(input.to) ? input.to : [input.to]),
        ...(input.recipients ?? []),
      ]
      if (named.length === 0 || input.broadcast === true) {
        const recipients = parts.everyone(context.tenant).filter((agent) => agent !== context.caller.id)
        return send(
          outgoing(context, input, {
            recipients,
            kind: 'broadcast',
            ...(recipients.length === 0 && { meta: { unroutable: 'no other agent is registered' } }),
          }),
        )
      }
      const { recipients, unknown } = resolveRecipients(context, named)
      const meta = unknown.length > 0 ? { unroutable: `no agent is called ${unknown.slice(0, 10).join(', ')}` } : {}
      return send(outgoing(context, input, { recipients, kind: 'event', meta }))
    },

    'messages.ask': async (context, input) => {
      await checkAnswered(context, input)
      const recipient = directory.agent(context.tenant, input.to)
      const deadline = clock.now() + input.timeout_ms
      const { row, duplicate } = await store(
        outgoing(context, input, { recipients: [recipient.id], kind: 'request', meta: { deadline } }),
      )
      const id = messageId(row.seq)
      const earlier = duplicate ? await getReply(database, context.tenant, row.seq, recipient.id) : undefined
      const reply =
        earlier ??
        (await requests.wait(
          { seq: row.seq, requester: context.caller.id, asked: recipient.id },
          Math.max(1, deadline - clock.now()),
          row.conversation ?? id,
          context.signal,
        ))
      return { request_id: id, reply: await withStatus(reply) }
    },

    'messages.reply': async (context, input) => {
      const request = await visible(context, input.reply_to)
      const deadline = metaOf(request).deadline
      return send(
        outgoing(context, input, {
          recipients: [request.actor],
          kind: 'response',
          conversation: input.conversation_id ?? request.conversation ?? messageId(request.seq),
          task: input.task_id ?? request.task,
          priority: input.priority === undefined ? request.priority : toPriority(input.priority),
          late: deadline !== undefined && clock.now() > deadline,
          settles: input.receipt === undefined ? undefined : ownPlace(context, input.receipt),
        }),
      )
    },

    'messages.publish': async (context, input) => {
      await checkAnswered(context, input)
      const recipients = subscriptions.matching(context.tenant, input.topic).filter((agent) => agent !== context.caller.id)
      return send(
        outgoing(context, input, {
          recipients,
          topic: input.topic,
          kind: 'event',
          ...(recipients.length === 0 && { meta: { unroutable: 'nobody subscribes' } }),
        }),
      )
    },

    'messages.subscribe': async (context, input) => {
      const agent = directory.byId(inboxOwner(context, input.agent))
      await context.write(async (tx) => {
        if (await addSubscription(tx, context.tenant, agent.id, input.topic)) {
          tx.emit({
            type: 'topic.subscribed',
            subject: agent.publicId,
            data: { agent_id: agent.publicId, agent: agent.name, topic: input.topic },
          })
          tx.afterCommit(() => subscriptions.add(context.tenant, agent.id, input.topic))
        }
        return {}
      })
      return { agent_id: agent.publicId, topic: input.topic }
    },

    'messages.unsubscribe': async (context, input) => {
      const agent = directory.byId(inboxOwner(context, input.agent))
      await context.write(async (tx) => {
        if (await removeSubscription(tx, context.tenant, agent.id, input.topic)) {
          tx.emit({
            type: 'topic.unsubscribed',
            subject: agent.publicId,
            data: { agent_id: agent.publicId, agent: agent.name, topic: input.topic },
          })
          tx.afterCommit(() => subscriptions.remove(context.tenant, agent.id, input.topic))
        }
        return {}
      })
      return { agent_id: agent.publicId, topic: input.topic }
    },

    'messages.list': async (context, input) => {
      const party = context.caller.role === 'agent' ? context.caller.id : undefined
      const agentId = (reference: string | undefined) =>
        reference === undefined ? undefined : directory.agent(context.tenant, reference).id
      const conversationSeq = input.conversation_id === undefined ? undefined : (messageSeq(input.conversation_id) ?? -1)
      const filter: MessageFilter = {
        tenant: context.tenant,
        sender: agentId(input.sender),
        recipient: agentId(input.recipient),
        party,
        task: input.task_id,
        conversation: input.conversation_id === undefined ? undefined : { id: input.conversation_id, seq: conversationSeq ?? -1 },
        topic: input.topic,
        type: input.type,
        kind: input.kind,
        since: toMs(input.since, 'since'),
        until: toMs(input.until, 'until'),
        before: numberCursor(input.cursor),
      }
      const page = toPage(
        await listMessages(database, filter, input.limit + 1),
        input.limit,
        (row) => row.seq,
        (row) => row,
      )
      return { items: await Promise.all(page.items.map(withStatus)), next: page.next }
    },

    'messages.get': async (context, input) => withStatus(await visible(context, input.id)),

    'messages.receive': async (context, input) => {
      const agent = inboxOwner(context, input.agent)
      return {
        items: await deliveries.receive(
          context.tenant,
          agent,
          input.limit,
          input.lease_ms ?? leaseMs,
          input.wait_ms,
          context.signal,
        ),
      }
    },

    'messages.acknowledge': (context, input) => {
      const receipts = Array.isArray(input.receipts) ? input.receipts : [input.receipts]
      return deliveries.acknowledge(receipts.map((receipt) => ownPlace(context, receipt)))
    },

    'messages.reject': async (context, input) => {
      const { state, attempt, availableAt } = await deliveries.reject(
        ownPlace(context, input.receipt),
        input.reason,
        input.delay_ms,
        input.dead,
      )
      return { state, attempt, available_at: availableAt === null ? null : iso(availableAt) }
    },

    'messages.extend': async (context, input) => ({
      lease_until: iso(await deliveries.extend(ownPlace(context, input.receipt), input.lease_ms)),
    }),

    'messages.dead_letters': async (context, input) => {
      const agent = context.caller.role === 'agent' || input.agent !== undefined ? inboxOwner(context, input.agent) : undefined
      const rows = await listDead(database, context.tenant, agent, deadCursor(input.cursor), input.limit + 1)
      const page = toPage(
        rows,
        input.limit,
        (row) => `${row.seq}.${row.agent}`,
        (row) => row,
      )
      const items = await Promise.all(
        page.items.map(async (row) => {
          const message = await getMessage(database, context.tenant, row.seq)
          const owner = directory.byId(row.agent)
          return {
            id: `${messageId(row.seq)}.${owner.publicId}`,
            agent_id: owner.publicId,
            agent: owner.name,
            message: await withStatus(message as MessageRow),
            attempts: row.attempts,
            reason: row.reason,
            errors: (JSON.parse(row.errors) as { attempt: number; error: string; at: number }[]).map((error) => ({
              ...error,
              at: iso(error.at),
            })),
            dead_at: iso(row.at),
          }
        }),
      )
      return { items, next: page.next }
    },

    'messages.redrive': async (context, input) => {
      const [id = '', agentId = ''] = input.id.split('.')
      const agent = inboxOwner(context, agentId)
      const answer = await context.write(async (tx) => {
        const dead = await getDead(tx, context.tenant, agent, messageSeq(id) ?? -1)
        const message = dead && (await getMessage(tx, context.tenant, dead.seq))
        if (!dead || dead.reason === 'purged' || !message || !(await removeDead(tx, dead)))
          throw new CadreError('not_found', { entity: 'dead letter', id: input.id })
        const now = clock.now()
        const { tenant, actor: sender, conversation } = message
        const behind = conversation !== null && (await hasLine(tx, { tenant, agent, conversation, sender }))
        const state = behind ? 2 : 0
        await insertDeliveries(tx, [
          {
            tenant,
            agent,
            priority: dead.priority,
            seq: dead.seq,
            state,
            attempt: 0,
            lease_until: null,
            available_at: now,
            conversation,
            sender,
            // The time it had was for its first way; whoever sends it again wants it to arrive.
            expires_at: null,
            errors: null,
          },
        ])
        tx.emit({
          type: 'message.redelivered',
          subject: id,
          data: { message_id: id, agent_id: agentId, agent: directory.byId(agent).name, attempt: 1, reason: 'redriven' },
        })
        tx.afterCommit(() => deliveries.redriven(agent, state, isListed(dead)))
        return { id: input.id, message_id: id }
      })
      return answer as typeof answer & { receipt: Receipt }
    },

    'messages.purge': async (context, input) => {
      const [id = '', agentId = ''] = input.id.split('.')
      const agent = inboxOwner(context, agentId)
      const answer = await context.write(async (tx) => {
        const dead = await getDead(tx, context.tenant, agent, messageSeq(id) ?? -1)
        if (!dead || !isListed(dead)) throw new CadreError('not_found', { entity: 'dead letter', id: input.id })
        await purgeDead(tx, dead)
        tx.emit({
          type: 'message.purged',
          subject: id,
          data: { message_id: id, agent_id: agentId, agent: directory.byId(agent).name },
        })
        tx.afterCommit(() => deliveries.purged())
        return { id: input.id, message_id: id }
      })
      return answer as typeof answer & { receipt: Receipt }
    },
  }

  return { handlers, deliveries, view, close: () => deliveries.close() }
}

export type { MessageRow }

/** Dead letters stand in the order of their messages; one message may have several. */
function deadCursor(cursor: string | undefined): { seq: number; agent: number } | undefined {
  const key = decodeCursor(cursor)
  if (key === undefined) return undefined
  const [, seq, agent] = /^(\d{1,15})\.(\d{1,15})$/.exec(String(key)) ?? []
  if (seq !== undefined && agent !== undefined) return { seq: Number(seq), agent: Number(agent) }
  throw new CadreError(
    'invalid_request',
    {},
    { fields: [{ pointer: '/cursor', detail: 'Pass the `next` of an earlier page unchanged.' }] },
  )
}

function toMs(value: string | undefined, field: string): number | undefined {
  if (value === undefined) return undefined
  const ms = Date.parse(value)
  if (Number.isNaN(ms))
    throw new CadreError('invalid_request', {}, { fields: [{ pointer: `/${field}`, detail: 'Give an ISO 8601 time.' }] })
  return ms
}
