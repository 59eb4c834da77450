/**
 * Deliveries in flight without an inbox row. A message that goes to a connected agent while it is stored, and is acknowledged in the order
 * in which it was sent, is its log row and nothing else: its settlement moves one position per agent and commit. Whatever else happens to
 * it (rejected, given back, acknowledged past another, its connection lost) makes rows of it and of what was sent before it, and from
 * there on everything works on rows. Three row writes a message became one: at 256 in flight that was 40 % of the time in the store.
 */
import type { Principal } from '../../core/context.ts'
import type { Directory } from '../../core/directory.ts'
import type { EventLog } from '../../core/events.ts'
import type { Dialect, Reader, Tx } from '../../drivers/database/port.ts'
import { type Place, messageId } from './envelope.ts'
import { allInFlight, inFlightOf, moveSettled, openLane, settleLanes, settledOf, settledOfMany } from './lane-store.ts'
import type { Lease, Leases } from './leases.ts'
import { type InboxRow, insertDeliveries } from './store.ts'

export interface Lane {
  /** Everything a stopped server left in flight becomes rows that are ready. Runs before anything else. */
  readonly recover: (tx: Tx, head: number) => Promise<void>
  /** Rows for everything in flight to the agent; from `head`, the newest position that this process has heard of, it may have a lane. */
  readonly open: (tx: Tx, tenant: number, agent: number, head: number) => Promise<void>
  /** Settles those of `places` that have no row, and answers the others. */
  readonly settle: (tx: Tx, places: readonly Place[]) => Promise<readonly Place[]>
  /** Makes rows for these and for what was sent to their agents before them. */
  readonly toRows: (tx: Tx, places: readonly Place[]) => Promise<void>
  /** Makes rows for everything in flight up to `head`. */
  readonly close: (tx: Tx, places: readonly Place[], head: number) => Promise<void>
  /** Is it in flight without a row? */
  readonly has: (reader: Reader, place: Place) => Promise<boolean>
}

interface Move {
  tenant: number
  agent: number
  upTo: number
  settled: number
  gone: ReadonlySet<number>
}

export interface LaneParts {
  leases: Leases
  values: Dialect['values']
  directory: Directory
  log: EventLog
  system: (tenant: number) => Principal
}

export function makeLane({ leases, values, directory, log, system }: LaneParts): Lane {
  /** Moves the position of each agent to `upTo`; what stands before it and is not in `gone` gets a row. */
  async function advance(tx: Tx, moves: readonly Move[]): Promise<void> {
    if (moves.length === 0) return
    const left: Lease[] = []
    for (const { agent, upTo, settled, gone } of moves) {
      for (const lease of leases.laneOf(agent)) {
        if (lease.seq > upTo) break
        if (lease.seq > settled && !gone.has(lease.seq)) left.push(lease)
      }
    }
    if (left.length > 0) {
      await insertDeliveries(tx, left.map(leasedRow))
      tx.afterCommit(() => {
        for (const lease of left) leases.leaveLane(lease)
      })
    }
    await moveSettled(
      tx,
      moves.map(({ tenant, agent, upTo }) => ({ tenant, agent, settled: upTo })),
    )
  }

  const leasedRow = (lease: Lease): InboxRow => ({
    tenant: lease.tenant,
    agent: lease.agent,
    priority: lease.priority,
    seq: lease.seq,
    state: 1,
    attempt: lease.attempt,
    lease_until: lease.until,
    available_at: 0,
    conversation: leases.isHead(lease) ? messageId(lease.seq) : lease.conversation,
    sender: lease.sender,
    expires_at: lease.expires_at,
    errors: null,
  })

  function byAgent(places: readonly Place[]): Map<number, Place[]> {
    const agents = new Map<number, Place[]>()
    for (const place of places) {
      const lease = leases.get(place)
      if (!lease?.lane || lease.attempt !== place.attempt) continue
      const same = agents.get(place.agent)
      if (same) same.push(place)
      else agents.set(place.agent, [place])
    }
    return agents
  }

  function positionsOf(tx: Tx, agents: ReadonlyMap<number, readonly Place[]>): Promise<Map<number, number>> {
    return settledOfMany(
      tx,
      values,
      Array.from(agents, ([agent, places]) => ({ tenant: (places[0] as Place).tenant, agent })),
    )
  }

  async function toRows(tx: Tx, places: readonly Place[]): Promise<void> {
    const agents = byAgent(places)
    if (agents.size === 0) return
    const positions = await positionsOf(tx, agents)
    const moves: Move[] = []
    for (const [agent, own] of agents) {
      const { tenant } = own[0] as Place
      const settled = positions.get(agent) ?? 0
      const upTo = own.reduce((last, place) => Math.max(last, place.seq), 0)
      if (upTo > settled) moves.push({ tenant, agent, upTo, settled, gone: new Set() })
    }
    await advance(tx, moves)
  }

  return {
    async recover(tx, head) {
      const found = await allInFlight(tx)
      await insertDeliveries(
        tx,
        // One attempt was made; the next is the second.
        found.map(({ agent, message }) => toRow(message, agent, 0, null)),
      )
      for (const tenant of new Set(found.map(({ message }) => message.tenant))) {
        const entries = found.flatMap(({ agent, message }) => {
          if (message.tenant !== tenant) return []
          const { publicId: agent_id, name } = directory.byId(agent)
          const data = {
            message_id: messageId(message.seq),
            agent_id,
            agent: name,
            attempt: 2,
            reason: 'the server was started anew',
          }
          return [{ type: 'message.redelivered', subject: data.message_id, data }]
        })
        await log.append(tx, system(tenant), null, entries)
      }
      await settleLanes(tx, head)
    },

    async open(tx, tenant, agent, head) {
      const settled = await settledOf(tx, tenant, agent)
      // What was heard of stands in memory; walking the log from where an agent was days ago took 2.5 s for a million messages to others.
      const known = [...leases.laneOf(agent)].filter((lease) => lease.seq > settled)
      const stored = await inFlightOf(tx, tenant, agent, Math.max(head, settled))
      const fresh = stored.filter((message) => !known.some((lease) => lease.seq === message.seq))
      await insertDeliveries(tx, [...known.map(leasedRow), ...fresh.map((message) => toRow(message, agent, 1, 0))])
      // An earlier transaction of this very commit may have stored some beyond the head.
      await openLane(tx, tenant, agent, Math.max(head, stored.at(-1)?.seq ?? 0))
      tx.afterCommit(() => {
        for (const { seq } of [...known, ...fresh]) {
          const lease = leases.get({ agent, seq })
          if (lease) leases.leaveLane(lease)
        }
      })
    },

    async settle(tx, places) {
      const agents = byAgent(places)
      if (agents.size === 0) return places
      const positions = await positionsOf(tx, agents)
      const without = new Set<Place>()
      const moves: Move[] = []
      for (const [agent, own] of agents) {
        const { tenant } = own[0] as Place
        const settled = positions.get(agent) ?? 0
        const gone = new Set<number>()
        let upTo = 0
        for (const place of own) {
          // Settled by an earlier transaction of this very commit, or given a row by one.
          if (place.seq <= settled) continue
          without.add(place)
          gone.add(place.seq)
          if (place.seq > upTo) upTo = place.seq
        }
        if (upTo > 0) moves.push({ tenant, agent, upTo, settled, gone })
      }
      await advance(tx, moves)
      return without.size === 0 ? places : places.filter((place) => !without.has(place))
    },

    toRows,

    async close(tx, places, head) {
      await toRows(tx, places)
      await settleLanes(tx, head)
    },

    has: async (reader, place) => {
      const lease = leases.get(place)
      return (
        lease?.lane === true &&
        lease.attempt === place.attempt &&
        place.seq > (await settledOf(reader, place.tenant, place.agent))
      )
    },
  }
}

function toRow(
  message: { tenant: number; seq: number; priority: number; actor: number; expires_at: number | null },
  agent: number,
  state: 0 | 1,
  leaseUntil: number | null,
): InboxRow {
  return {
    tenant: message.tenant,
    agent,
    priority: message.priority,
    seq: message.seq,
    state,
    attempt: 1,
    lease_until: leaseUntil,
    available_at: 0,
    conversation: null,
    sender: message.actor,
    expires_at: message.expires_at,
    errors: null,
  }
}
