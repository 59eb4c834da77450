/** How full each inbox is and which leases run: in memory, beside the rows of the store, and changed only after a commit. */
import { type Place, messageId } from './envelope.ts'
import type { InboxRow, Line } from './store.ts'

export const leaseMs = 30_000

export interface Lease extends Place {
  conversation: string | null
  sender: number
  until: number
  expires_at: number | null
  /** Delivery number under which a session was sent it. */
  number: number | undefined
  /** It has no inbox row: see lane.ts. */
  lane: boolean
}

type Entry = Pick<Place, 'agent' | 'seq'>

export class Leases {
  /** By agent and position. */
  readonly #running = new Map<number, Map<number, Lease>>()
  /** Those without a row, in rising order. */
  readonly #lanes = new Map<number, Map<number, Lease>>()
  readonly #ready = new Map<number, number>()
  readonly #leased = new Map<number, number>()
  readonly #behind = new Map<number, number>()
  readonly #expected = new Map<number, number>()
  /** First messages of a conversation that were in an inbox, unnamed, when the second came. */
  readonly #heads = new Set<string>()
  readonly #ended: (lease: Lease) => void

  constructor(ended: (lease: Lease) => void) {
    this.#ended = ended
  }

  load(depths: readonly { agent: number; ready: number; leased: number; behind: number }[], leased: readonly InboxRow[]): void {
    for (const depth of depths) {
      this.#ready.set(depth.agent, depth.ready)
      this.#leased.set(depth.agent, depth.leased)
      this.#behind.set(depth.agent, depth.behind)
    }
    for (const row of leased) put(this.#running, { ...row, until: row.lease_until ?? 0, number: undefined, lane: false })
  }

  depth(agent: number): number {
    return this.ready(agent) + (this.#leased.get(agent) ?? 0) + this.behind(agent)
  }

  totals(): { waiting: number; leased: number } {
    const sum = (map: Map<number, number>) => [...map.values()].reduce((total, count) => total + count, 0)
    return { waiting: sum(this.#ready) + sum(this.#behind), leased: sum(this.#leased) }
  }

  ready(agent: number): number {
    return this.#ready.get(agent) ?? 0
  }

  /** Deliveries that wait for an earlier one of their conversation. */
  behind(agent: number): number {
    return this.#behind.get(agent) ?? 0
  }

  countReady(agent: number, change: number): void {
    count(this.#ready, agent, change)
  }

  countBehind(agent: number, change: number): void {
    count(this.#behind, agent, change)
  }

  /** Rows that will be ready with a commit under way: what comes after them must not pass them by. */
  expect(rows: readonly { agent: number; state: number }[], change: 1 | -1): void {
    for (const row of rows) if (row.state === 0) count(this.#expected, row.agent, change)
  }

  isExpected(agent: number): boolean {
    return this.#expected.size > 0 && this.#expected.has(agent)
  }

  get(place: Entry): Lease | undefined {
    return this.#running.get(place.agent)?.get(place.seq)
  }

  all(): Lease[] {
    return [...this.#running.values()].flatMap((leases) => [...leases.values()])
  }

  /** Leases of the agent, in the order in which they began. */
  of(agent: number): Iterable<Lease> {
    return this.#running.get(agent)?.values() ?? []
  }

  /** Those of the agent that have no row, in the order of the log. */
  laneOf(agent: number): Iterable<Lease> {
    return this.#lanes.get(agent)?.values() ?? []
  }

  begin(
    { tenant, agent, priority, seq, attempt }: Place,
    line: Pick<Lease, 'conversation' | 'sender' | 'expires_at'>,
    until: number,
    lane = false,
  ): Lease {
    const { conversation, sender, expires_at } = line
    const lease = { tenant, agent, priority, seq, attempt, conversation, sender, until, expires_at, number: undefined, lane }
    put(this.#running, lease)
    if (lane) put(this.#lanes, lease)
    count(this.#leased, agent, 1)
    return lease
  }

  /** It has a row from now on. */
  leaveLane(lease: Lease): void {
    lease.lane = false
    remove(this.#lanes, lease)
  }

  /** The attempt is over, and no later cumulative acknowledgement covers it. False when it was over before. */
  end(place: Pick<Place, 'agent' | 'seq' | 'attempt'>): boolean {
    const lease = this.get(place)
    if (lease?.attempt !== place.attempt) return false
    remove(this.#running, lease)
    if (lease.lane) this.leaveLane(lease)
    count(this.#leased, place.agent, -1)
    this.#ended(lease)
    return true
  }

  /** The message named a conversation that others joined while it was in this inbox. */
  addHead(place: Entry): void {
    this.#heads.add(leaseKey(place))
  }

  /**
   * It left the inbox for good. Not when an attempt ends: the second of the conversation may have come after what is told of here was
   * committed, and the next attempt may have been leased before it.
   */
  removeHead(place: Entry): void {
    if (this.#heads.size > 0) this.#heads.delete(leaseKey(place))
  }

  isHead(place: Entry): boolean {
    return this.#heads.size > 0 && this.#heads.has(leaseKey(place))
  }

  /** The line in which others may wait for this delivery. */
  lineOf(place: Place): Line | undefined {
    const lease = this.get(place)
    const conversation = lease?.conversation ?? (this.isHead(place) ? messageId(place.seq) : null)
    if (!lease || conversation === null) return undefined
    return { tenant: place.tenant, agent: place.agent, conversation, sender: lease.sender }
  }
}

function put(map: Map<number, Map<number, Lease>>, lease: Lease): void {
  const own = map.get(lease.agent)
  if (own) own.set(lease.seq, lease)
  else map.set(lease.agent, new Map([[lease.seq, lease]]))
}

// The inner map stays: an agent that had a delivery soon has the next.
function remove(map: Map<number, Map<number, Lease>>, lease: Entry): void {
  map.get(lease.agent)?.delete(lease.seq)
}

function count(map: Map<number, number>, agent: number, change: number): void {
  const next = Math.max(0, (map.get(agent) ?? 0) + change)
  if (next === 0) map.delete(agent)
  else map.set(agent, next)
}

/** Names a delivery, whatever its attempt. */
export const leaseKey = (place: Pick<Place, 'agent' | 'seq'>): string => `${place.agent}/${place.seq}`
