/** How full each inbox is and which leases run: in memory, beside the rows of the store, and changed only after a commit. */
import { type Place, messageId } from './envelope.ts'
import type { InboxRow, Line } from './store.ts'

export const leaseMs = 30_000

export interface Lease extends Place {
  conversation: string | null
  sender: number
  until: number
  /** Delivery number under which a session was sent it. */
  number: number | undefined
}

export class Leases {
  readonly #running = new Map<string, Lease>()
  readonly #ready = new Map<number, number>()
  readonly #leased = new Map<number, number>()
  readonly #behind = new Map<number, number>()
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
    for (const row of leased) this.#running.set(leaseKey(row), { ...row, until: row.lease_until ?? 0, number: undefined })
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

  get(place: Pick<Place, 'agent' | 'seq'>): Lease | undefined {
    return this.#running.get(leaseKey(place))
  }

  all(): Lease[] {
    return [...this.#running.values()]
  }

  begin({ tenant, agent, priority, seq, attempt }: Place, line: Pick<Lease, 'conversation' | 'sender'>, until: number): void {
    const { conversation, sender } = line
    const lease = { tenant, agent, priority, seq, attempt, conversation, sender, until, number: undefined }
    this.#running.set(leaseKey(lease), lease)
    count(this.#leased, agent, 1)
  }

  /** The attempt is over, and no later cumulative acknowledgement covers it. False when it was over before. */
  end(place: Pick<Place, 'agent' | 'seq' | 'attempt'>): boolean {
    const lease = this.#running.get(leaseKey(place))
    if (lease?.attempt !== place.attempt) return false
    this.#running.delete(leaseKey(place))
    this.#heads.delete(leaseKey(place))
    count(this.#leased, place.agent, -1)
    this.#ended(lease)
    return true
  }

  /** The message named a conversation that others joined while it was in this inbox. */
  addHead(place: Pick<Place, 'agent' | 'seq'>): void {
    this.#heads.add(leaseKey(place))
  }

  removeHead(place: Pick<Place, 'agent' | 'seq'>): void {
    this.#heads.delete(leaseKey(place))
  }

  /** The line in which others may wait for this delivery. */
  lineOf(place: Place): Line | undefined {
    const lease = this.#running.get(leaseKey(place))
    const conversation = lease?.conversation ?? (this.#heads.has(leaseKey(place)) ? messageId(place.seq) : null)
    if (!lease || conversation === null) return undefined
    return { tenant: place.tenant, agent: place.agent, conversation, sender: lease.sender }
  }
}

function count(map: Map<number, number>, agent: number, change: number): void {
  const next = Math.max(0, (map.get(agent) ?? 0) + change)
  if (next === 0) map.delete(agent)
  else map.set(agent, next)
}

/** Names a delivery, whatever its attempt. */
export const leaseKey = (place: Pick<Place, 'agent' | 'seq'>): string => `${place.agent}/${place.seq}`
