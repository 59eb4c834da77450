/**
 * Storing messages, set-based: the sends of one turn of the event loop become one batch of log rows, one batch of inbox rows and one
 * commit. A message is its log entry, so its idempotency key is a unique index on the log and needs no row of its own.
 */
import { isDeepStrictEqual } from 'node:util'
import { CadreError } from '@cadre/contract'
import type { Clock } from '../../core/clock.ts'
import { type Outcome, coalesce } from '../../core/coalesce.ts'
import type { Caller } from '../../core/context.ts'
import type { EventLog } from '../../core/events.ts'
import { maxMessageBytes, serialise } from '../../core/limits.ts'
import type { Database, Tx } from '../../drivers/database/port.ts'
import { failPoint } from '../../core/fail-points.ts'
import type { Deliveries, NewDelivery } from './delivery.ts'
import { type Meta, type Place, messageId, messageSeq, metaOf } from './envelope.ts'
import { leaseMs } from './leases.ts'
import type { Requests } from './requests.ts'
import { sameAddress } from './routes.ts'
import { type MessageRow, appendMessages, findByKeys, getMessage, insertDeliveries, lastSenderSeq } from './store.ts'
import type { Window } from './windows.ts'

export const maxInbox = 100_000
/** Messages of one transaction. Those of one read are split, so that senders work on the first answers while the rest is stored. */
const maxBatch = 64
const maxMetadataBytes = 64 * 1024

export interface Outgoing {
  caller: Caller
  trace: string | null
  /** What the key is used up for: the same key may come again with another operation. */
  operation: string
  key: string | undefined
  content: unknown
  recipients: number[]
  topic: string | null
  kind: string
  type: string
  priority: number
  conversation: string | null
  replyTo: number | null
  task: string | null
  lease: string | undefined
  /** The agent named the task itself, on a session whose leases are never implied. */
  fenced: boolean
  meta: Meta
  ttl: number | undefined
  late: boolean
  /** A delivery that this message settles in the same commit. */
  settles: Place | undefined
  /** Id of the task that the message makes: it stands in the row in place of `task`. */
  makes?: string
  /** What else becomes true with a newly stored message, in its transaction. A throw refuses the message; nothing of it is stored. */
  also?: ((tx: Tx, row: MessageRow) => Promise<void>) | undefined
}

export interface Stored {
  row: MessageRow
  duplicate: boolean
}

export interface SendingParts {
  database: Database
  clock: Clock
  log: EventLog
  deliveries: Deliveries
  requests: Requests
  checkLease: (tx: Tx, write: { task: string; lease: string | undefined; caller: Caller; strict: boolean }) => Promise<void>
  agentName: (id: number) => string
}

export function makeSender(parts: SendingParts): (message: Outgoing) => Promise<Stored> {
  const { database, clock, log, deliveries, requests } = parts

  const store = coalesce<Outgoing & { body: string }, Stored>(async (batch) => {
    try {
      return await storeTogether(batch)
    } catch (error) {
      // A store that cannot write refuses one message as it refuses many; anything else may be the fault of one of them.
      if (batch.length === 1 || error instanceof CadreError) throw error
      return Promise.all(
        batch.map((message) =>
          storeTogether([message]).then(
            ([outcome]) => outcome as Outcome<Stored>,
            (cause: unknown) => ({ error: cause }),
          ),
        ),
      )
    }
  }, maxBatch)

  async function storeTogether(batch: readonly (Outgoing & { body: string })[]): Promise<Outcome<Stored>[]> {
    const claimed: MessageRow[] = []
    const kept: NewDelivery[] = []
    const waiting: NewDelivery[] = []
    const reserved = new Map<NewDelivery, Window>()
    const transaction = deliveries.transactionWithAcks(async (tx) => {
      const outcomes = Array.from<Outcome<Stored>>({ length: batch.length })
      const known = await duplicates(tx, batch)
      const last = new Map<string, number>()
      const heads = new Map<string, MessageRow | undefined>()
      const lines = new Set<string>()
      const rows: MessageRow[] = []
      const inbox: NewDelivery[] = []
      const more: { message: Outgoing; row: MessageRow }[] = []
      const now = clock.now()
      for (const [index, message] of batch.entries()) {
        const prior = message.key === undefined ? undefined : known.get(`${message.caller.id}/${storedKey(message)}`)
        if (prior) {
          outcomes[index] = same(prior, message)
            ? { value: { row: prior, duplicate: true } }
            : { error: new CadreError('idempotency_conflict', { key: message.key }) }
          continue
        }
        try {
          if (message.task !== null) await checkStanding(tx, message, message.task)
          if (message.settles) await deliveries.acknowledgeIn(tx, message.settles)
        } catch (error) {
          outcomes[index] = { error }
          continue
        }
        const row = await toRow(tx, message, now, last, heads)
        rows.push(row)
        if (message.also !== undefined) more.push({ message, row })
        if (message.key !== undefined) known.set(`${row.actor}/${row.key}`, row)
        // A waiting requester takes the reply itself. Until it was handed the answer the reply is its inbox's, for when it crashes.
        const answered = message.replyTo !== null && requests.claim(message.replyTo, row.actor, message.recipients)
        if (answered) {
          claimed.push(row)
          kept.push(toKept(row, message.recipients[0] as number, now))
        } else {
          const head = row.conversation === null ? undefined : heads.get(row.conversation)
          const first = inbox.length
          for (const agent of message.recipients) {
            const behind = row.conversation !== null && (await deliveries.isBehind(tx, row, agent, head, lines))
            inbox.push(toInbox(row, agent, now, behind, reserved))
          }
          row.lane = laneOf(inbox, first)
        }
        outcomes[index] = { value: { row, duplicate: false } }
      }
      await appendMessages(tx, rows)
      for (const entry of inbox) if (!entry.lane) waiting.push(entry)
      deliveries.expect(waiting, 1)
      await insertDeliveries(tx, [...waiting, ...kept])
      failPoint('send.before-commit')
      tx.afterCommit(() => {
        failPoint('send.after-commit')
        const bySeq = new Map(rows.map((row) => [row.seq, row]))
        log.announce(
          rows.map((row) => ({
            seq: row.seq,
            tenant: row.tenant,
            at: row.at,
            actor: row.actor,
            trace: row.trace,
            type: 'message.sent',
            subject: messageId(row.seq),
            data: row,
            task: row.task,
          })),
        )
        deliveries.expect(waiting, -1)
        deliveries.stored(inbox, bySeq, reserved)
        for (const entry of kept) deliveries.keep(entry)
        for (const row of claimed) {
          if (row.reply_to === null || !requests.resolve(row.reply_to, row)) continue
          deliveries.counters.delivered += 1
        }
      })
      // After the messages were announced, so that the log is heard in its order.
      for (const { message, row } of more) {
        try {
          await message.also?.(tx, row)
        } catch (cause) {
          // What it wrote before it failed goes with the transaction: the others are stored without it, each alone.
          if (batch.length === 1) throw cause
          throw new Error('one message of the batch failed', { cause })
        }
      }
      return outcomes
    }, batch.length)
    try {
      return await transaction
    } catch (error) {
      deliveries.expect(waiting, -1)
      deliveries.unreserve(reserved)
      for (const row of claimed) if (row.reply_to !== null) requests.unclaim(row.reply_to)
      throw error
    }
  }

  /** Who holds a task, or held it, speaks of it under the current lease only; anybody else may name it. */
  async function checkStanding(tx: Tx, { caller, lease, fenced }: Outgoing, task: string): Promise<void> {
    if (lease === undefined && !fenced) return
    try {
      await parts.checkLease(tx, { task, lease, caller, strict: fenced })
    } catch (error) {
      // Without a lease the task is a mere reference, and that may lead nowhere.
      if (lease !== undefined || !(error instanceof CadreError && error.code === 'not_found')) throw error
    }
  }

  async function duplicates(tx: Tx, batch: readonly Outgoing[]): Promise<Map<string, MessageRow>> {
    const keys = new Map<string, { tenant: number; actor: number; keys: string[] }>()
    for (const message of batch) {
      const { caller } = message
      const key = storedKey(message)
      if (key === null) continue
      const group = keys.get(String(caller.id))
      if (group) group.keys.push(key)
      else keys.set(String(caller.id), { tenant: caller.tenant, actor: caller.id, keys: [key] })
    }
    const found = new Map<string, MessageRow>()
    for (const group of keys.values()) {
      for (const row of await findByKeys(tx, database.dialect.values, group.tenant, group.actor, group.keys))
        found.set(`${row.actor}/${row.key}`, row)
    }
    return found
  }

  async function toRow(
    tx: Tx,
    message: Outgoing & { body: string },
    now: number,
    last: Map<string, number>,
    heads: Map<string, MessageRow | undefined>,
  ): Promise<MessageRow> {
    const { caller, conversation } = message
    let senderSeq = 1
    if (conversation !== null) {
      if (!heads.has(conversation)) heads.set(conversation, await firstOf(tx, caller.tenant, conversation))
      const line = `${caller.id}/${conversation}`
      senderSeq =
        (last.get(line) ?? (await lastSenderSeq(tx, caller.tenant, caller.id, conversation, heads.get(conversation)))) + 1
      last.set(line, senderSeq)
    }
    const [single] = message.recipients
    const { metadata, artifacts, deadline, unroutable, route, purpose } = message.meta
    const meta =
      metadata !== undefined ||
      artifacts !== undefined ||
      deadline !== undefined ||
      unroutable !== undefined ||
      route !== undefined ||
      purpose !== undefined
        ? JSON.stringify(message.meta)
        : null
    return {
      seq: log.nextSeq(),
      tenant: caller.tenant,
      at: now,
      actor: caller.id,
      trace: message.trace,
      body: message.body,
      key: storedKey(message),
      recipient: message.recipients.length === 1 && single !== undefined ? single : null,
      recipients: message.recipients.length === 1 ? null : JSON.stringify(message.recipients),
      topic: message.topic,
      kind: message.kind,
      message_type: message.type,
      priority: message.priority,
      conversation: message.conversation,
      sender_seq: senderSeq,
      reply_to: message.replyTo,
      task: message.makes ?? message.task,
      meta,
      expires_at: message.ttl === undefined ? null : now + message.ttl,
      late: message.late ? 1 : null,
      lane: null,
    }
  }

  function toInbox(
    row: MessageRow,
    agent: number,
    now: number,
    behind: boolean,
    reserved: Map<NewDelivery, Window>,
  ): NewDelivery {
    // Leased in the same insert when the agent is connected and nothing waits before it: that saves one update a message.
    const window = behind ? undefined : deliveries.reserve(agent)
    const inboxRow: NewDelivery = {
      tenant: row.tenant,
      agent,
      priority: row.priority,
      seq: row.seq,
      state: window ? 1 : behind ? 2 : 0,
      attempt: window ? 1 : 0,
      lease_until: window ? now + leaseMs : null,
      available_at: now,
      conversation: row.conversation,
      sender: row.actor,
      expires_at: row.expires_at,
      errors: null,
      lane: window !== undefined && row.conversation === null,
    }
    if (window) reserved.set(inboxRow, window)
    return inboxRow
  }

  return (message) => {
    const body = serialise(message.content, 'content', maxMessageBytes)
    if (message.meta.metadata !== undefined) serialise(message.meta.metadata, 'metadata', maxMetadataBytes)
    const { context, task } = message.meta.purpose ?? {}
    if (context !== undefined) serialise(context, 'context', maxMessageBytes)
    if (task !== undefined) serialise(task, 'task', maxMessageBytes)
    for (const agent of message.recipients) {
      if (deliveries.depth(agent) >= maxInbox)
        throw new CadreError('inbox_full', { agent: parts.agentName(agent), limit: maxInbox })
    }
    return store({ ...message, body })
  }
}

/** Of no line: what follows in the conversation need not wait until the answer is out of the house. */
function toKept(row: MessageRow, agent: number, now: number): NewDelivery {
  return {
    tenant: row.tenant,
    agent,
    priority: row.priority,
    seq: row.seq,
    state: 1,
    attempt: 1,
    lease_until: now + leaseMs,
    available_at: now,
    conversation: null,
    sender: row.actor,
    expires_at: null,
    errors: null,
    lane: false,
  }
}

/** What the message's row says of its deliveries from `first` on: who of them has no row. */
function laneOf(inbox: readonly NewDelivery[], first: number): string | null {
  const withRow: number[] = []
  for (let index = first; index < inbox.length; index++) {
    const entry = inbox[index] as NewDelivery
    if (!entry.lane) withRow.push(entry.agent)
  }
  if (withRow.length === 0) return inbox.length > first ? '' : null
  return withRow.length === inbox.length - first ? null : JSON.stringify(withRow)
}

/** The message that a conversation is named by, when it is named by one. */
async function firstOf(tx: Tx, tenant: number, conversation: string): Promise<MessageRow | undefined> {
  const seq = messageSeq(conversation)
  const row = seq === undefined ? undefined : await getMessage(tx, tenant, seq)
  return row?.conversation === null ? row : undefined
}

const storedKey = ({ operation, key }: Outgoing): string | null => (key === undefined ? null : `${operation} ${key}`)

/** The same request again? Compared by meaning, and only when a key has been seen before. */
function same(row: MessageRow, message: Outgoing & { body: string }): boolean {
  const meta = metaOf(row)
  return (
    sameAddress(row, meta, message) &&
    row.message_type === message.type &&
    row.priority === message.priority &&
    row.conversation === message.conversation &&
    row.reply_to === message.replyTo &&
    // The task of a delegation was made with it; a retry does not know its id.
    (row.task === message.task || meta.purpose?.intent === 'delegate') &&
    (row.expires_at === null ? undefined : row.expires_at - row.at) === message.ttl &&
    isDeepStrictEqual(given(meta), given(message.meta)) &&
    (row.body === message.body || isDeepStrictEqual(JSON.parse(row.body), JSON.parse(message.body)))
  )
}

/** What the sender put into the meta, in the form in which it is stored. */
const given = ({ metadata, artifacts, purpose }: Meta): unknown => JSON.parse(JSON.stringify({ metadata, artifacts, purpose }))
