/** Copies of messages that nobody took in the time their sender gave them: taken out, recorded, told. */
import { iso } from '../../core/clock.ts'
import type { Clock } from '../../core/clock.ts'
import type { Principal } from '../../core/context.ts'
import type { Directory } from '../../core/directory.ts'
import type { EventLog } from '../../core/events.ts'
import type { Database, Tx } from '../../drivers/database/port.ts'
import { sql } from '../../drivers/database/sql.ts'
import type { Bounces } from './bounces.ts'
import { messageId } from './envelope.ts'
import type { Counters } from './handover.ts'
import type { Leases } from './leases.ts'
import type { Lines } from './lines.ts'
import { type AttemptError, type InboxRow, buryDelivery } from './store.ts'

/** Copies taken out in one transaction, and transactions of one sweep: what is left waits for the next, a second later. */
const perCommit = 256
const commitsPerSweep = 8

export interface ExpiryParts {
  database: Database
  directory: Directory
  clock: Clock
  log: EventLog
  system: (tenant: number) => Principal
  leases: Leases
  lines: Lines
  counters: Counters
  bounces: Bounces
}

export interface Expiry {
  /** Takes copies that are in nobody's hands out of their inboxes. Their counts are the caller's. */
  readonly expire: (tx: Tx, rows: readonly InboxRow[]) => Promise<void>
  /** Takes out what waits past its time, wherever it waits. */
  readonly sweep: () => Promise<void>
}

export function makeExpiry(parts: ExpiryParts): Expiry {
  const { database, directory, clock, log, leases, lines, counters } = parts
  let sweeping = false

  async function expire(tx: Tx, rows: readonly InboxRow[]): Promise<void> {
    if (rows.length === 0) return
    const now = clock.now()
    for (const row of rows) {
      const errors = row.errors === null ? [] : (JSON.parse(row.errors) as AttemptError[])
      await buryDelivery(tx, row, 'expired', errors, now)
      const agent = directory.byId(row.agent)
      await log.append(tx, parts.system(row.tenant), null, [
        {
          type: 'message.expired',
          subject: messageId(row.seq),
          data: {
            message_id: messageId(row.seq),
            agent_id: agent.publicId,
            agent: agent.name,
            attempts: row.attempt,
            expires_at: iso(row.expires_at ?? now),
          },
        },
      ])
    }
    await lines.advance(tx, rows)
    await parts.bounces(
      tx,
      rows.map((row) => ({ row, status: 'expired', reason: 'not taken in its time', attempts: row.attempt })),
    )
    tx.afterCommit(() => {
      counters.expired += rows.length
      for (const row of rows) leases.removeHead(row)
    })
  }

  const due = (now: number) => sql`expires_at <= ${now} and expires_at is not null and state <> 1`

  /** True when there may be more. */
  const takeOut = (): Promise<boolean> =>
    database.transaction(async (tx) => {
      const rows = await tx.all<InboxRow>(
        sql`select * from inbox where ${due(clock.now())} order by expires_at limit ${perCommit}`,
      )
      await expire(tx, rows)
      tx.afterCommit(() => {
        for (const row of rows) {
          if (row.state === 2) leases.countBehind(row.agent, -1)
          else leases.countReady(row.agent, -1)
        }
      })
      return rows.length === perCommit
    })

  return {
    expire,
    async sweep() {
      if (sweeping) return
      sweeping = true
      try {
        // Most sweeps find nothing and need no transaction.
        if ((await database.get(sql`select seq from inbox where ${due(clock.now())} limit 1`)) === undefined) return
        for (let commit = 0; commit < commitsPerSweep && (await takeOut()); commit++);
      } finally {
        sweeping = false
      }
    },
  }
}
