/** The inbox without a socket: receive, acknowledge, reject, extend. */
import { iso } from '../../core/clock.ts'
import type { Handlers } from '../../core/invoke.ts'
import type { Deliveries } from './delivery.ts'
import { leaseMs } from './leases.ts'
import type { Ownership } from './ownership.ts'

export type InboxHandlers = Pick<Handlers, 'messages.receive' | 'messages.acknowledge' | 'messages.reject' | 'messages.extend'>

export function makeInbox({ deliveries, ownership }: { deliveries: Deliveries; ownership: Ownership }): InboxHandlers {
  const { inboxOwner, ownPlace } = ownership
  return {
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
