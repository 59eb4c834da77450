/** Messages as clients read them, with what became of each. */
import { CadreError, type Message } from '@cadre/contract'
import type { Directory } from '../../core/directory.ts'
import type { Handlers } from '../../core/invoke.ts'
import { boundedRows, numberCursor, pageFrom } from '../../core/paging.ts'
import type { Database } from '../../drivers/database/port.ts'
import type { DeliveryStates } from './delivery-states.ts'
import { messageSeq, recipientsOf, toMessage } from './envelope.ts'
import type { Ownership } from './ownership.ts'
import { type MessageFilter, type MessageRow, listMessages } from './store.ts'

export type Reading = Pick<Handlers, 'messages.list' | 'messages.get'>

export interface Views {
  /** As it was stored, whatever happened to it since. */
  readonly view: (row: MessageRow) => Message
  readonly withStatus: (row: MessageRow) => Promise<Message>
}

export function makeViews({ states, directory }: { states: DeliveryStates; directory: Directory }): Views {
  const view = (row: MessageRow): Message => toMessage(row, recipientsOf(row).length === 0 ? 'unroutable' : 'stored', directory)

  async function withStatus(row: MessageRow): Promise<Message> {
    return toMessage(row, await states.statusOf(row), directory)
  }

  return { view, withStatus }
}

export interface ReadingParts {
  database: Database
  directory: Directory
  ownership: Ownership
  views: Views
  trimmedTo: (tenant: number) => number
}

const trimmed = 'Settled messages as old as this one were removed: see the retention of messages.'

export function makeReading(parts: ReadingParts): Reading {
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
        intent: input.intent,
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

    'messages.get': async (context, input) => {
      try {
        return await withStatus(await visible(context, input.id))
      } catch (error) {
        const isGone = error instanceof CadreError && error.code === 'not_found'
        if (!isGone || (messageSeq(input.id) ?? Number.POSITIVE_INFINITY) > parts.trimmedTo(context.tenant)) throw error
        throw new CadreError('not_found', { ...error.parameters, reason: trimmed }, { cause: error })
      }
    },
  }
}

/** Throws `invalid_request` with the field. */
export function toMs(value: string | undefined, field: string): number | undefined {
  if (value === undefined) return undefined
  const ms = Date.parse(value)
  if (Number.isNaN(ms))
    throw new CadreError('invalid_request', {}, { fields: [{ pointer: `/${field}`, detail: 'Give an ISO 8601 time.' }] })
  return ms
}
