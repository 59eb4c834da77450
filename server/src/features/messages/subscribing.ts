/** Subscriptions are stored, and matched in memory once that is committed. */
import { CadreError } from '@cadre/contract'
import type { Context } from '../../core/context.ts'
import type { Directory } from '../../core/directory.ts'
import type { Handlers } from '../../core/invoke.ts'
import { decodeCursor, toPage } from '../../core/paging.ts'
import type { Database } from '../../drivers/database/port.ts'
import type { Ownership } from './ownership.ts'
import {
  type SubscriptionRow,
  countSubscriptions,
  listSubscriptions,
  putSubscription,
  removeSubscription,
} from './subscription-store.ts'
import type { Subscriptions } from './topics.ts'

/** Of one agent: each pattern with wildcards is tried for every message to a topic. */
const maxSubscriptions = 1_000

export type Subscribing = Pick<Handlers, 'messages.subscribe' | 'messages.unsubscribe' | 'messages.subscriptions'>

export function makeSubscribing(parts: {
  database: Database
  directory: Directory
  subscriptions: Subscriptions
  ownership: Ownership
}): Subscribing {
  const { database, directory, subscriptions } = parts
  const { inboxOwner } = parts.ownership

  /** Whose subscriptions the caller may see; undefined: everybody's. */
  const seen = (context: Context, agent: string | undefined): number | undefined =>
    context.caller.role !== 'agent' && agent === undefined ? undefined : inboxOwner(context, agent)

  return {
    'messages.subscribe': async (context, input) => {
      const agent = directory.byId(inboxOwner(context, input.agent))
      const group = input.group ?? null
      await context.write(async (tx) => {
        if (await putSubscription(tx, { tenant: context.tenant, agent: agent.id, pattern: input.topic, group_name: group })) {
          if ((await countSubscriptions(tx, context.tenant, agent.id)) > maxSubscriptions)
            throw new CadreError('conflict', {
              reason: `${agent.name} has ${maxSubscriptions} subscriptions already; end one, or use a pattern for several topics.`,
            })
          tx.emit({
            type: 'topic.subscribed',
            subject: agent.publicId,
            data: { agent_id: agent.publicId, agent: agent.name, topic: input.topic, group },
          })
          tx.afterCommit(() => subscriptions.add(context.tenant, agent.id, input.topic, group))
        }
        return {}
      })
      return { agent_id: agent.publicId, topic: input.topic, group }
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

    'messages.subscriptions': async (context, input) => {
      const filter = { tenant: context.tenant, agent: seen(context, input.agent), group: input.group }
      const rows = await listSubscriptions(database, filter, keyOf(input.cursor), input.limit + 1)
      return toPage(
        rows,
        input.limit,
        (row) => `${row.agent} ${row.pattern}`,
        (row) => {
          const agent = directory.byId(row.agent)
          return { agent_id: agent.publicId, agent: agent.name, topic: row.pattern, group: row.group_name }
        },
      )
    },
  }
}

function keyOf(cursor: string | undefined): Pick<SubscriptionRow, 'agent' | 'pattern'> | undefined {
  const key = decodeCursor(cursor)
  if (key === undefined) return undefined
  const [agent = '', pattern = ''] = String(key).split(' ', 2)
  const id = Number(agent)
  // A cursor that says something else was made up: it starts before everything.
  return Number.isSafeInteger(id) ? { agent: id, pattern } : undefined
}
