/** Deliveries that did not work out: rejected, expired or lost with a connection they come again; too often, and they are dead. */
import { CadreError } from '@cadre/contract'
import type { Clock } from '../../core/clock.ts'
import type { Principal } from '../../core/context.ts'
import type { Directory } from '../../core/directory.ts'
import type { EventLog } from '../../core/events.ts'
import type { Database, Tx } from '../../drivers/database/port.ts'
import type { Acknowledgements } from './acknowledging.ts'
import type { Bounces } from './bounces.ts'
import { type Place, encodeReceipt, messageId } from './envelope.ts'
import type { Counters } from './handover.ts'
import type { Lane } from './lane.ts'
import type { Leases } from './leases.ts'
import type { Lines } from './lines.ts'
import { replayPriority } from './replay-priority.ts'
import {
  type AttemptError,
  type InboxRow,
  buryDelivery,
  getDelivery,
  returnDelivery,
  settleDeliveries,
  undoLeases,
} from './store.ts'

const maxAttempts = 5
/** A lost connection says little about the message; only one that keeps ending its receivers is taken out in the end. */
const maxLosses = 20
const maxBackoff = 300_000

export interface GivingBackParts {
  database: Database
  directory: Directory
  clock: Clock
  log: EventLog
  epoch: string
  random: () => number
  system: (tenant: number) => Principal
  leases: Leases
  lane: Lane
  lines: Lines
  acks: Acknowledgements
  counters: Counters
  bounces: Bounces
  pump: (agent: number) => void
}

export interface GivenBack {
  state: 'ready' | 'dead'
  attempt: number
  /** Null for a dead one. */
  availableAt: number | null
}

export interface GivingBack {
  /** By receipt, again after `delay` ms, or after a random back-off. Throws `stale_receipt`. */
  readonly reject: (place: Place, reason: string, delay: number | undefined, dead: boolean) => Promise<GivenBack>
  /** What its connection took with it is ready again at once. */
  readonly lost: (tx: Tx, row: InboxRow) => Promise<GivenBack>
  /** Undefined when no lease has run out. */
  readonly expire: () => Promise<void> | undefined
  /** The session that these were leased for went away before they were sent: they are as if they had never been leased. */
  readonly undo: (places: readonly Place[]) => Promise<void>
}

export function makeGivingBack(parts: GivingBackParts): GivingBack {
  const { database, directory, clock, log, random, system, leases, lane, lines, acks, counters, pump } = parts

  // Runs inside a transaction; the counters follow after the commit.
  async function giveBack(
    tx: Tx,
    row: InboxRow,
    reason: string,
    delay: number | undefined,
    { dead = false, most = maxAttempts } = {},
  ): Promise<GivenBack> {
    const now = clock.now()
    const errors: AttemptError[] = [
      ...(row.errors === null ? [] : (JSON.parse(row.errors) as AttemptError[])),
      { attempt: row.attempt, error: reason, at: now },
    ]
    const agent = directory.byId(row.agent)
    const common = { message_id: messageId(row.seq), agent_id: agent.publicId, agent: agent.name }
    if (dead || row.attempt >= most) {
      if (row.priority === replayPriority) return dropReplay(tx, row, common, reason)
      const why = dead ? `rejected for good: ${reason}` : `${row.attempt} attempts, the last: ${reason}`
      await buryDelivery(tx, row, why, errors, now)
      await lines.advance(tx, [row])
      await log.append(tx, system(row.tenant), null, [
        { type: 'message.dead', subject: messageId(row.seq), data: { ...common, reason, attempts: row.attempt } },
      ])
      await parts.bounces(tx, [{ row, status: 'dead', reason: why, attempts: row.attempt }])
      tx.afterCommit(() => {
        leases.end(row)
        leases.removeHead(row)
        counters.dead += 1
        pump(row.agent)
      })
      return { state: 'dead', attempt: row.attempt, availableAt: null }
    }
    const wait = delay ?? Math.floor(random() * Math.min(1000 * 2 ** (row.attempt - 1), maxBackoff))
    await returnDelivery(tx, row, now + wait, errors)
    await log.append(tx, system(row.tenant), null, [
      { type: 'message.redelivered', subject: messageId(row.seq), data: { ...common, attempt: row.attempt + 1, reason } },
    ])
    tx.afterCommit(() => {
      leases.end(row)
      leases.countReady(row.agent, 1)
      if (wait === 0) pump(row.agent)
      else clock.after(wait, () => pump(row.agent))
    })
    return { state: 'ready', attempt: row.attempt, availableAt: now + wait }
  }

  /** A replayed copy ends here: its message had its fate when it was new. */
  async function dropReplay(tx: Tx, row: InboxRow, common: object, reason: string): Promise<GivenBack> {
    await settleDeliveries(tx, [row])
    await log.append(tx, system(row.tenant), null, [
      { type: 'message.replay_dropped', subject: messageId(row.seq), data: { ...common, reason, attempts: row.attempt } },
    ])
    tx.afterCommit(() => {
      leases.end(row)
      pump(row.agent)
    })
    return { state: 'dead', attempt: row.attempt, availableAt: null }
  }

  return {
    async reject(place, reason, delay, dead) {
      await acks.flush()
      return database.transaction(async (tx) => {
        await lane.toRows(tx, [place])
        const row = await getDelivery(tx, place)
        if (!row || row.state !== 1 || row.attempt !== place.attempt)
          throw new CadreError('stale_receipt', { receipt: encodeReceipt(place, parts.epoch) })
        return giveBack(tx, row, reason, delay, { dead })
      })
    },

    lost: (tx, row) => giveBack(tx, row, 'connection lost', 0, { most: maxLosses }),

    expire() {
      const now = clock.now()
      const due = leases.all().filter((lease) => lease.until <= now)
      if (due.length === 0) return undefined
      return acks.transaction(async (tx) => {
        await lane.toRows(tx, due)
        for (const lease of due) {
          const row = await getDelivery(tx, lease)
          if (row?.state === 1 && row.attempt === lease.attempt && (row.lease_until ?? 0) <= now)
            await giveBack(tx, row, 'lease expired', undefined)
        }
      })
    },

    async undo(places) {
      if (places.length === 0) return
      await database.transaction(async (tx) => {
        await lane.toRows(tx, places)
        await undoLeases(tx, places)
        tx.afterCommit(() => {
          // One that was given back meanwhile has no lease of this attempt any more.
          for (const place of places) if (leases.end(place)) leases.countReady(place.agent, 1)
          for (const agent of new Set(places.map((place) => place.agent))) pump(agent)
        })
      })
    },
  }
}
