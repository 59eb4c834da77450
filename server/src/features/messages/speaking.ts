/** Send, ask, reply and publish: who it is for, and what the envelope says. */
import { CadreError, type Message, type ParsedInputOf, type Receipt, toPriority } from '@cadre/contract'
import type { Clock } from '../../core/clock.ts'
import type { Context } from '../../core/context.ts'
import type { Directory } from '../../core/directory.ts'
import type { Handlers } from '../../core/invoke.ts'
import type { Database } from '../../drivers/database/port.ts'
import { messageId, metaOf, requireSeq } from './envelope.ts'
import type { Ownership } from './ownership.ts'
import type { Views } from './reading.ts'
import type { Requests } from './requests.ts'
import type { Outgoing, Stored } from './sending.ts'
import { type MessageRow, getReply } from './store.ts'
import type { Subscriptions } from './topics.ts'

export type Speaking = Pick<Handlers, 'messages.send' | 'messages.ask' | 'messages.reply' | 'messages.publish'>

export interface SpeakingParts {
  database: Database
  directory: Directory
  clock: Clock
  epoch: string
  requests: Requests
  subscriptions: Subscriptions
  ownership: Ownership
  views: Views
  store: (message: Outgoing) => Promise<Stored>
  /** Interned ids of the agents a broadcast reaches. */
  everyone: (tenant: number) => number[]
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
export function makeSpeaking(parts: SpeakingParts): Speaking {
  const { database, directory, clock, requests, subscriptions, store } = parts
  const { ownPlace, visible } = parts.ownership
  const { view, withStatus } = parts.views

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

  return {
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
  }
}
