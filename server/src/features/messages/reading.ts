/** Messages as clients read them, with what became of each. */
import { CadreError, type Message } from '@cadre/contract'
import type { Directory } from '../../core/directory.ts'
import type { Handlers } from '../../core/invoke.ts'
import { boundedRows, numberCursor, pageFrom } from '../../core/paging.ts'
import type { Database } from '../../drivers/database/port.ts'
import { messageSeq, recipientsOf, toMessage } from './envelope.ts'
import type { Ownership } from './ownership.ts'
import { type MessageFilter, type MessageRow, getDead, getDelivery, listMessages } from './store.ts'

export type Reading = Pick<Handlers, 'messages.list' | 'messages.get'>

export interface Views {
  /** As it was stored, whatever happened to it since. */
  readonly view: (row: MessageRow) => Message
  readonly withStatus: (row: MessageRow) => Promise<Message>
}

const maxStatusLookups = 100

export function makeViews({ database, directory }: { database: Database; directory: Directory }): Views {
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

  return { view, withStatus }
}

export function makeReading(parts: { database: Database; directory: Directory; ownership: Ownership; views: Views }): Reading {
  const { database, directory } = parts
  const { visible } = parts.ownership
  const { withStatus } = parts.views
  return {
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
      const read = await boundedRows<MessageRow>(
        input.limit,
        (last, count) => listMessages(database, { ...filter, before: last?.seq ?? filter.before }, count),
        (row) => row.body.length + (row.meta?.length ?? 0),
      )
      const page = pageFrom(
        read,
        (row) => row.seq,
        (row) => row,
      )
      return { items: await Promise.all(page.items.map(withStatus)), next: page.next }
    },

    'messages.get': async (context, input) => withStatus(await visible(context, input.id)),
  }
}

function toMs(value: string | undefined, field: string): number | undefined {
  if (value === undefined) return undefined
  const ms = Date.parse(value)
  if (Number.isNaN(ms))
    throw new CadreError('invalid_request', {}, { fields: [{ pointer: `/${field}`, detail: 'Give an ISO 8601 time.' }] })
  return ms
}
