/** The inbox without a socket: how full it is, receive, acknowledge, reject, extend. */
import { type Clock, iso, isoOrNull } from '../../core/clock.ts'
import type { Directory } from '../../core/directory.ts'
import type { Handlers } from '../../core/invoke.ts'
import type { Database } from '../../drivers/database/port.ts'
import type { Deliveries } from './delivery.ts'
import { inboxFacts } from './inbox-store.ts'
import { leaseMs } from './leases.ts'
import type { Ownership } from './ownership.ts'

export type InboxHandlers = Pick<
  Handlers,
  'messages.inbox' | 'messages.receive' | 'messages.acknowledge' | 'messages.reject' | 'messages.extend'
>

export interface InboxParts {
  database: Database
  directory: Directory
  clock: Clock
  deliveries: Deliveries
  ownership: Ownership
}

export function makeInbox({ database, directory, clock, deliveries, ownership }: InboxParts): InboxHandlers {
  const { inboxOwner, ownPlace } = ownership
  return {
    'messages.inbox': async (context, input) => {
      const agent = directory.byId(inboxOwner(context, input.agent))
      const now = clock.now()
      const facts = await inboxFacts(database, context.tenant, agent.id, now, deliveries.oldestInFlight(agent.id))
      const { ready, delayed, behind, oldest_at, dead } = facts
      // From memory, which also knows what is in flight without a row; the rows may be a moment older.
      const depth = Math.max(deliveries.depth(agent.id), ready + delayed + behind)
      return {
        agent_id: agent.publicId,
        agent: agent.name,
        depth,
        ready,
        delayed,
        behind,
        leased: depth - ready - delayed - behind,
        oldest_at: isoOrNull(oldest_at),
        oldest_age_ms: oldest_at === null ? null : Math.max(0, now - oldest_at),
        dead,
      }
    },

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
  }
}
