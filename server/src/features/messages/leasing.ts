/** Leasing from the inbox what is due, and holding on to it. */
import { CadreError } from '@cadre/contract'
import type { Clock } from '../../core/clock.ts'
import type { Database } from '../../drivers/database/port.ts'
import type { Acknowledgements } from './acknowledging.ts'
import { type Place, encodeReceipt } from './envelope.ts'
import type { Leases } from './leases.ts'
import type { Lines } from './lines.ts'
import { type MessageRow, buryDelivery, extendDelivery, leaseDeliveries, readyDeliveries } from './store.ts'

export interface LeasingParts {
  database: Database
  clock: Clock
  epoch: string
  leases: Leases
  lines: Lines
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
  const { database, clock, leases, lines, acks } = parts
  return {
    async lease(tenant, agent, limit, duration) {
      await acks.flush()
      const now = clock.now()
      const until = now + duration
      return database.transaction(async (tx) => {
        const due = await readyDeliveries(tx, tenant, agent, now, limit)
        const gone = due.filter((row) => row.ends_at !== null && row.ends_at <= now)
        const alive = due.filter((row) => row.ends_at === null || row.ends_at > now)
        for (const row of gone) {
          const expired = { ...row, attempt: row.inbox_attempt, state: 0 as const, lease_until: null, available_at: 0 }
          await buryDelivery(tx, expired, 'expired', [], now)
        }
        await lines.advance(
          tx,
          gone.map((row) => ({ ...row, conversation: row.line })),
        )
        await leaseDeliveries(
          tx,
          alive.map((row) => ({ ...row, attempt: row.inbox_attempt + 1 })),
          until,
        )
        const rows = alive.map((row) => {
          const place: Place = { tenant, agent, priority: row.priority, seq: row.seq, attempt: row.inbox_attempt + 1 }
          return { place, message: row, until }
        })
        // Counted in the order of the commits: a later transaction may already settle or take back what this one leased.
        tx.afterCommit(() => {
          for (const row of gone) leases.removeHead(row)
          leases.countReady(agent, -due.length)
          for (const { place, message } of rows) {
            const { line: conversation, sender } = message
            leases.begin(place, { conversation, sender }, until)
          }
        })
        return rows
      })
    },

    async extend(place, duration) {
      const until = clock.now() + duration
      await database.transaction(async (tx) => {
        if (!(await extendDelivery(tx, place, until)))
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
