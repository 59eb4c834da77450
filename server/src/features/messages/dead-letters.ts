/** What could not be delivered: listed, sent again, purged. */
import { CadreError, type Receipt } from '@cadre/contract'
import { type Clock, iso } from '../../core/clock.ts'
import type { Directory } from '../../core/directory.ts'
import type { Handlers } from '../../core/invoke.ts'
import { decodeCursor, toPage } from '../../core/paging.ts'
import type { Database } from '../../drivers/database/port.ts'
import type { Deliveries } from './delivery.ts'
import { messageId, messageSeq } from './envelope.ts'
import { replayedOf } from './history-store.ts'
import type { Ownership } from './ownership.ts'
import type { Views } from './reading.ts'
import {
  type MessageRow,
  getDead,
  getMessage,
  hasLine,
  insertDeliveries,
  isListed,
  listDead,
  purgeDead,
  removeDead,
} from './store.ts'

export type DeadLetters = Pick<Handlers, 'messages.dead_letters' | 'messages.redrive' | 'messages.purge'>

export interface DeadLetterParts {
  database: Database
  directory: Directory
  clock: Clock
  deliveries: Deliveries
  ownership: Ownership
  views: Views
}

export function makeDeadLetters(parts: DeadLetterParts): DeadLetters {
  const { database, directory, clock, deliveries } = parts
  const { inboxOwner } = parts.ownership
  const { withStatus } = parts.views
  return {
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
      const { id, agentId } = deadId(input.id)
      const agent = inboxOwner(context, agentId)
      const answer = await context.write(async (tx) => {
        const dead = await getDead(tx, context.tenant, agent, messageSeq(id) ?? -1)
        const message = dead && (await getMessage(tx, context.tenant, dead.seq))
        if (!dead || dead.reason === 'purged' || !message || !(await removeDead(tx, dead)))
          throw new CadreError('not_found', { entity: 'dead letter', id: input.id })
        const copies = await replayedOf(tx, database.dialect, JSON.stringify([dead.seq]), context.tenant, agent)
        // Two deliveries of one message to one agent at a time would be told apart by nobody.
        if (copies.size > 0)
          throw new CadreError('conflict', { reason: 'A replayed copy is on its way to the agent; try later.' })
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
      const { id, agentId } = deadId(input.id)
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
}

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

/** `<message id>.<agent id>`. */
function deadId(given: string): { id: string; agentId: string } {
  const [, id, agentId] = /^(msg_[0-9a-z]+)\.(\S+)$/.exec(given) ?? []
  if (id !== undefined && agentId !== undefined) return { id, agentId }
  throw new CadreError(
    'invalid_request',
    {},
    {
      fields: [
        { pointer: '/id', detail: 'Give the id of a dead letter as GET /dead-letters lists it: <message id>.<agent id>.' },
      ],
    },
  )
}
