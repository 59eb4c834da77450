/** Send, ask, reply and publish: what the envelope says, and to whom it is handed. */
import { CadreError, type OutputOf, type Receipt, type SentMinimal, toPriority } from '@cadre/contract'
import type { Clock } from '../../core/clock.ts'
import type { Context } from '../../core/context.ts'
import type { Directory } from '../../core/directory.ts'
import type { Handlers } from '../../core/invoke.ts'
import type { Database } from '../../drivers/database/port.ts'
import { type Envelope, chosenKind, makeAddressing, metadataOf } from './addressing.ts'
import type { DeadlineOf } from './deadlines.ts'
import { type Meta, type Purpose, messageId, metaOf, requireSeq } from './envelope.ts'
import type { makeIntents } from './intents.ts'
import type { Ownership } from './ownership.ts'
import type { Views } from './reading.ts'
import type { Requests } from './requests.ts'
import { toldApart } from './routes.ts'
import { type Destination, type Routing, refuseField } from './routing.ts'
import type { Outgoing, Stored } from './sending.ts'
import { type MessageRow, getReply } from './store.ts'

export type Speaking = Pick<Handlers, 'messages.send' | 'messages.ask' | 'messages.reply' | 'messages.publish'>

export interface SpeakingParts {
  database: Database
  directory: Directory
  clock: Clock
  epoch: string
  requests: Requests
  ownership: Ownership
  views: Views
  routing: Routing
  intents: ReturnType<typeof makeIntents>
  store: (message: Outgoing) => Promise<Stored>
  deadlineOf: DeadlineOf
  artifactsExist?: ((tenant: number, ids: readonly string[]) => Promise<void>) | undefined
  /** The reply is about to be handed to the caller as its answer. */
  answered: (reply: MessageRow, context: Context) => void
}

export function makeSpeaking(parts: SpeakingParts): Speaking {
  const { database, directory, clock, requests, routing, store } = parts
  const { addressee, asked } = makeAddressing({ directory, routing })
  const { ownPlace, visible } = parts.ownership
  const { view, withStatus } = parts.views

  function outgoing(
    context: Context,
    input: Envelope,
    to: Destination,
    fields: Partial<Outgoing> & Pick<Outgoing, 'kind'>,
  ): Outgoing {
    if (input.sender_id !== undefined && directory.find(context.tenant, input.sender_id)?.id !== context.caller.id) {
      throw new CadreError('sender_mismatch', { actual: context.caller.name, claimed: input.sender_id })
    }
    const kind = chosenKind(input) ?? fields.kind
    const meta: Meta = { ...fields.meta }
    const metadata = metadataOf(context, input)
    if (metadata !== undefined) meta.metadata = metadata
    if (input.artifacts !== undefined) meta.artifacts = input.artifacts
    if (to.unroutable !== undefined) meta.unroutable = to.unroutable
    if (to.route !== undefined) meta.route = to.route
    const purpose = purposeOf(input)
    if (purpose !== undefined) meta.purpose = purpose
    return {
      caller: context.caller,
      // A message that began here is known by its id: 55 bytes less in the log and in each frame.
      trace: context.givenTrace ?? null,
      operation: context.operation.replace('messages.', ''),
      key: context.idempotencyKey,
      content: input.content,
      recipients: to.recipients,
      topic: to.topic ?? null,
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
      ...parts.intents.extras(context, input, to, kind),
      ...fields,
      kind,
      meta,
    }
  }

  /** What it answers and what it brings must be there, and the sender must be able to see it. */
  async function checkNamed(context: Context, input: Envelope): Promise<void> {
    if (input.reply_to !== undefined) await visible(context, input.reply_to)
    if (input.artifacts !== undefined) await parts.artifactsExist?.(context.tenant, input.artifacts)
  }

  async function send(message: Outgoing, answer: Envelope['return']): Promise<OutputOf<'messages.send'>> {
    const { row, duplicate } = await store(message)
    const receipt = receiptOf(row, duplicate)
    if (answer !== 'minimal') return { ...(duplicate ? await withStatus(row) : view(row)), receipt }
    const { id } = receipt
    const status = duplicate ? (await withStatus(row)).status : message.recipients.length === 0 ? 'unroutable' : 'stored'
    const minimal: SentMinimal = { id, conversation_id: row.conversation ?? id, sender_seq: row.sender_seq, status, receipt }
    return minimal as OutputOf<'messages.send'>
  }

  const receiptOf = (row: MessageRow, duplicate: boolean): Receipt => ({
    id: messageId(row.seq),
    seq: row.seq,
    store_epoch: parts.epoch,
    duplicate,
  })

  /** Who was chosen the first time is who answers. */
  const replyTo = (context: Context, row: MessageRow, deadline: number, signal: AbortSignal): Promise<MessageRow> =>
    requests.wait(
      { seq: row.seq, requester: context.caller.id, asked: row.recipient as number },
      Math.max(1, deadline - clock.now()),
      row.conversation ?? messageId(row.seq),
      signal,
    )

  /**
   * The reply to a repeated question, stored already or yet to come. It waits before it looks, and looks in a transaction, which comes
   * after that of a reply under way: one that is stored meanwhile is found in one of the two places.
   */
  async function replyAgain(context: Context, row: MessageRow, deadline: number): Promise<{ reply: MessageRow; came: boolean }> {
    const found = new AbortController()
    const coming = replyTo(context, row, deadline, AbortSignal.any([context.signal, found.signal]))
    coming.catch(() => {})
    const earlier = await database.transaction((tx) => getReply(tx, context.tenant, row.seq, row.recipient as number))
    if (!earlier) return { reply: await coming, came: true }
    found.abort()
    return { reply: earlier, came: false }
  }

  return {
    'messages.send': async (context, input) => {
      if (input.reply_to !== undefined || input.artifacts !== undefined) await checkNamed(context, input)
      const to = addressee(context, input)
      return send(outgoing(context, input, to, { kind: to.kind }), input.return)
    },

    'messages.ask': async (context, input) => {
      await checkNamed(context, input)
      const to = asked(context, input)
      const deadline = await parts.deadlineOf(context, input)
      const { row, duplicate } = await store(outgoing(context, input, to, { kind: 'request', meta: { deadline } }))
      const { reply, came } = duplicate
        ? await replyAgain(context, row, deadline)
        : { reply: await replyTo(context, row, deadline, context.signal), came: true }
      const answer = { request_id: messageId(row.seq), reply: await withStatus(reply) }
      if (came) parts.answered(reply, context)
      return answer
    },

    'messages.reply': async (context, input) => {
      if (input.intent === 'delegate' || input.intent === 'escalate')
        refuseField('/intent', `A reply goes to who asked; ${input.intent} with a message of its own.`)
      const request = await visible(context, input.reply_to)
      if (input.artifacts !== undefined) await parts.artifactsExist?.(context.tenant, input.artifacts)
      const deadline = metaOf(request).deadline
      const route = toldApart('reply', chosenKind(input) ?? 'response')
      const to: Destination = { recipients: [request.actor], kind: 'event', ...(route && { route }) }
      return send(
        outgoing(context, input, to, {
          kind: 'response',
          conversation: input.conversation_id ?? request.conversation ?? messageId(request.seq),
          task: input.task_id ?? request.task,
          priority: input.priority === undefined ? request.priority : toPriority(input.priority),
          late: deadline !== undefined && clock.now() > deadline,
          settles: input.receipt === undefined ? undefined : ownPlace(context, input.receipt),
        }),
        input.return,
      )
    },

    'messages.publish': async (context, input) => {
      await checkNamed(context, input)
      const to = routing.topic(context, input.topic)
      const reached = input.intent === 'escalate' ? routing.escalated(context, to) : to
      return send(outgoing(context, input, reached, { kind: 'event' }), input.return)
    },
  }
}

function purposeOf({ intent, context, expected_response, task }: Envelope): Purpose | undefined {
  if (intent === undefined && context === undefined && expected_response === undefined) return undefined
  return {
    ...(intent !== undefined && { intent }),
    ...(context !== undefined && { context }),
    ...(expected_response !== undefined && { expected_response }),
    ...(task !== undefined && { task }),
  }
}
