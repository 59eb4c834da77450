/** Subscriptions are stored, and matched in memory once that is committed. */
import type { Directory } from '../../core/directory.ts'
import type { Handlers } from '../../core/invoke.ts'
import type { Ownership } from './ownership.ts'
import { addSubscription, removeSubscription } from './store.ts'
import type { Subscriptions } from './topics.ts'

export type Subscribing = Pick<Handlers, 'messages.subscribe' | 'messages.unsubscribe'>

export function makeSubscribing(parts: {
  directory: Directory
  subscriptions: Subscriptions
  ownership: Ownership
}): Subscribing {
  const { directory, subscriptions } = parts
  const { inboxOwner } = parts.ownership
  return {
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
  }
}
