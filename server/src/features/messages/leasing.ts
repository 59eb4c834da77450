/** Leasing from the inbox what is due, and holding on to it. */
import { CadreError } from '@cadre/contract'
import type { Clock } from '../../core/clock.ts'
import type { Database } from '../../drivers/database/port.ts'
import type { Acknowledgements } from './acknowledging.ts'
import { type Place, encodeReceipt } from './envelope.ts'
import type { Expiry } from './expiry.ts'
import type { Lane } from './lane.ts'
import type { Leases } from './leases.ts'
import { replayPriority } from './replay-priority.ts'
import { type MessageRow, extendDelivery, leaseDeliveries, readyDeliveries } from './store.ts'

export interface LeasingParts {
  database: Database
  clock: Clock
  epoch: string
  leases: Leases
  lane: Lane
  expiry: Expiry
  acks: Acknowledgements
}

export interface Leased {
  place: Place
  message: MessageRow
  until: number
}

export interface Leasing {
  /** Leases up to `limit` ready deliveries for `duration` ms. Expired ones are taken out on the way. */
  readonly lease: (tenant: number, agent: number, limit: number, duration: number) => Promise<Leased[]>
  /** Answers the new end of the lease. Throws `stale_receipt`. */
  readonly extend: (place: Place, duration: number) => Promise<number>
}

export function makeLeasing(parts: LeasingParts): Leasing {
  const { database, clock, leases, lane, expiry, acks } = parts
  return {
    async lease(tenant, agent, limit, duration) {
      await acks.flush()
      const now = clock.now()
      const until = now + duration
      return database.transaction(async (tx) => {
        const due = await readyDeliveries(tx, tenant, agent, now, limit)
        const gone = due.filter((row) => row.ends_at !== null && row.ends_at <= now)
        const alive = due.filter((row) => row.ends_at === null || row.ends_at > now)
        await expiry.expire(
          tx,
          gone.map(({ line: conversation, inbox_attempt: attempt, ends_at: expires_at, ...row }) => ({
            ...row,
            conversation,
            attempt,
            expires_at,
          })),
        )
        await leaseDeliveries(
          tx,
          alive.map((row) => ({ ...row, attempt: row.inbox_attempt + 1 })),
          until,
        )
        const rows = alive.map((row) => {
          const place: Place = { tenant, agent, priority: row.priority, seq: row.seq, attempt: row.inbox_attempt + 1 }
          return { place, message: row.priority === replayPriority ? { ...row, priority: row.own_priority } : row, until }
        })
        // Counted in the order of the commits: a later transaction may already settle or take back what this one leased.
        tx.afterCommit(() => {
          leases.countReady(agent, -due.length)
          for (const { place, message } of rows) {
            const { line: conversation, sender, ends_at: expires_at } = message
            leases.begin(place, { conversation, sender, expires_at }, until)
          }
        })
        return rows
      })
    },

    async extend(place, duration) {
      const until = clock.now() + duration
      await database.transaction(async (tx) => {
        // Without a row its lease stands in memory only: after a restart it is sent again in any case.
        if (!(await lane.has(tx, place)) && !(await extendDelivery(tx, place, until)))
          throw new CadreError('stale_receipt', { receipt: encodeReceipt(place, parts.epoch) })
        tx.afterCommit(() => {
          const lease = leases.get(place)
          if (lease?.attempt === place.attempt) lease.until = until
        })
      })
      return until
    },
  }
}
