/**
 * Replay: old messages once more, marked as such. A copy in an inbox is a row with a priority of its own: it is leased, acknowledged and
 * given back as any delivery is, yields to what is new, comes in the order of the log, and shares no key with the first delivery of its
 * message, whose state therefore stays what it was.
 */
import { CadreError, type ParsedInputOf } from '@cadre/contract'
import type { Clock } from '../../core/clock.ts'
import type { Context } from '../../core/context.ts'
import type { Directory } from '../../core/directory.ts'
import type { EventLog } from '../../core/events.ts'
import type { Handlers } from '../../core/invoke.ts'
import { encodeCursor, numberCursor } from '../../core/paging.ts'
import type { Database } from '../../drivers/database/port.ts'
import type { Deliveries, NewDelivery } from './delivery.ts'
import { makeDeliveryStates } from './delivery-states.ts'
import { messageId, messageSeq, recipientsOf } from './envelope.ts'
import { type HistoryFilter, isIndexed, messagesAfter, positionAt, replayedOf } from './history-store.ts'
import type { Ownership } from './ownership.ts'
import { type Views, toMs } from './reading.ts'
import { replayPriority } from './replay-priority.ts'
import { maxInbox } from './sending.ts'
import { type MessageRow, insertDeliveries } from './store.ts'
import { type Subscriptions, matches } from './topics.ts'

export type Replay = Pick<Handlers, 'messages.replay'>

export interface ReplayParts {
  database: Database
  directory: Directory
  clock: Clock
  log: EventLog
  deliveries: Deliveries
  ownership: Ownership
  subscriptions: Subscriptions
  views: Views
  trimmedTo: (tenant: number) => number
}

type Input = ParsedInputOf<'messages.replay'>

const rowsPerRead = 64
/** Positions looked through in one statement where no index leads to what is wanted, and statements of one call. */
const window = 20_000
const maxReads = 16
const maxPageChars = 2 * 1024 * 1024

interface Page {
  rows: MessageRow[]
  next: number | null
}

export function makeReplay(parts: ReplayParts): Replay {
  const { database, directory, clock, log, deliveries, subscriptions, views } = parts

  function filterOf(context: Context, input: Input): HistoryFilter {
    const { conversation_id, topic } = input
    return {
      tenant: context.tenant,
      party: context.caller.role === 'agent' ? context.caller.id : undefined,
      sender: input.sender === undefined ? undefined : directory.agent(context.tenant, input.sender).id,
      topic: topic === undefined || isPattern(topic) ? undefined : topic,
      conversation: conversation_id === undefined ? undefined : { id: conversation_id, seq: messageSeq(conversation_id) ?? -1 },
      since: toMs(input.since, 'since'),
      until: toMs(input.until, 'until'),
    }
  }

  async function startOf(input: Input, { since }: HistoryFilter, head: number): Promise<number> {
    const from = numberCursor(input.cursor) ?? input.after
    if (from !== undefined) return from
    if (since !== undefined) return positionAt(database, since, head)
    if (input.conversation_id !== undefined) return Math.max(0, (messageSeq(input.conversation_id) ?? 1) - 1)
    throw new CadreError(
      'invalid_request',
      {},
      { fields: [{ pointer: '/after', detail: 'Say where to start: after, since or conversation_id.' }] },
    )
  }

  /** May the caller see it, and does it fit what SQL did not ask? */
  function fits(context: Context, input: Input): (row: MessageRow) => boolean {
    const { id, role } = context.caller
    const pattern = input.topic !== undefined && isPattern(input.topic) ? input.topic.split('.') : undefined
    const subscribed = (topic: string) => {
      const { plain, groups } = subscriptions.matching(context.tenant, topic)
      return plain.has(id) || [...groups.values()].some((members) => members.includes(id))
    }
    return (row) => {
      if (pattern && (row.topic === null || !matches(pattern, row.topic.split('.')))) return false
      if (role !== 'agent' || row.actor === id || recipientsOf(row).includes(id)) return true
      return row.topic !== null && subscribed(row.topic)
    }
  }

  async function pageOf(context: Context, input: Input, filter: HistoryFilter, start: number, head: number): Promise<Page> {
    const wanted = fits(context, input)
    const indexed = isIndexed(filter)
    const rows: MessageRow[] = []
    let chars = 0
    let position = start
    for (let read = 0; read < maxReads; read++) {
      const upTo = indexed ? head : Math.min(position + window, head)
      const found = await messagesAfter(database, filter, position, upTo, rowsPerRead)
      for (const row of found) {
        if (wanted(row)) {
          chars += row.body.length + (row.meta?.length ?? 0)
          if (rows.length === input.limit || (rows.length > 0 && chars > maxPageChars)) return { rows, next: position }
          rows.push(row)
        }
        position = row.seq
      }
      if (found.length < rowsPerRead) {
        if (upTo >= head) return { rows, next: null }
        position = upTo
      }
    }
    return { rows, next: position }
  }

  /** Puts copies into the inbox; what it still holds, or has a copy of, is left out. */
  async function deliver(context: Context, agent: number, rows: readonly MessageRow[]) {
    const { kind } = directory.byId(agent)
    if (kind !== 'agent' && kind !== 'person')
      throw new CadreError(
        'invalid_request',
        {},
        { fields: [{ pointer: '/agent', detail: 'Name the agent that gets the copies.' }] },
      )
    if (deliveries.depth(agent) + rows.length > maxInbox)
      throw new CadreError('inbox_full', { agent: directory.byId(agent).name, limit: maxInbox })
    const { receipt: _, ...answer } = await context.write(async (tx) => {
      const states = makeDeliveryStates({ reader: tx, values: database.dialect.values })
      const seqs = JSON.stringify(rows.map((row) => row.seq))
      const replayed = await replayedOf(tx, database.dialect, seqs, context.tenant, agent)
      const copies: NewDelivery[] = []
      for (const row of rows) {
        const [own] = recipientsOf(row).includes(agent) ? await states.of(row, [agent]) : []
        const isHere = own?.state === 'ready' || own?.state === 'leased'
        if (!isHere && !replayed.has(row.seq)) copies.push(toCopy(row, agent))
      }
      await insertDeliveries(tx, copies)
      if (copies.length > 0) {
        const { publicId: agent_id, name } = directory.byId(agent)
        const message_ids = copies.map((copy) => messageId(copy.seq))
        tx.emit({ type: 'message.replayed', subject: agent_id, data: { agent_id, agent: name, message_ids } })
      }
      tx.afterCommit(() => deliveries.stored(copies, new Map(), new Map()))
      return { queued: copies.length, skipped: rows.length - copies.length }
    })
    return answer
  }

  const toCopy = ({ tenant, seq, actor }: MessageRow, agent: number): NewDelivery => ({
    tenant,
    agent,
    priority: replayPriority,
    seq,
    state: 0,
    attempt: 0,
    lease_until: null,
    available_at: clock.now(),
    // No line: what is said in the conversation now does not wait for what was said.
    conversation: null,
    sender: actor,
    expires_at: null,
    errors: null,
    lane: false,
  })

  return {
    'messages.replay': async (context, input) => {
      const agent = parts.ownership.inboxOwner(context, input.agent)
      const { head } = log
      const filter = filterOf(context, input)
      const start = await startOf(input, filter, head)
      const { rows, next } = await pageOf(context, input, filter, start, head)
      const { queued, skipped } = input.deliver ? await deliver(context, agent, rows) : { queued: 0, skipped: 0 }
      const items = input.deliver
        ? []
        : await Promise.all(rows.map(async (row) => ({ ...(await views.withStatus(row)), replay: true as const })))
      const trimmed_to = parts.trimmedTo(context.tenant)
      return { items, queued, skipped, gap: start < trimmed_to, trimmed_to, next: next === null ? null : encodeCursor(next) }
    },
  }
}

const isPattern = (topic: string): boolean => topic.split('.').some((word) => word === '*' || word === '#')
