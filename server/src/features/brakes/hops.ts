/**
 * How many replies a message is away from the one that began the exchange. Nothing is stored for it: the chain of replies stands in the
 * log already, and what this process sent lately is remembered, so that the log is walked only for chains older than that.
 */
import type { Link } from './store.ts'

const remembered = 20_000

export interface Sent {
  hops: number
  /** Its sender waits for the answer. */
  asked: boolean
}

const beginning: Sent = { hops: 0, asked: false }

export class Hops {
  readonly #isAgent: (principal: number) => boolean
  readonly #walk: (tenant: number, seq: number, most: number) => Promise<Link[]>
  #young = new Map<number, Sent>()
  #old = new Map<number, Sent>()
  /** Whatever is newer and not remembered is the first of its exchange. */
  #known: number
  #newest: number
  #newestOld: number

  constructor(parts: {
    head: number
    isAgent: (principal: number) => boolean
    walk: (tenant: number, seq: number, most: number) => Promise<Link[]>
  }) {
    this.#isAgent = parts.isAgent
    this.#walk = parts.walk
    this.#known = parts.head
    this.#newest = parts.head
    this.#newestOld = parts.head
  }

  /** Of the message at `seq`; what stands in the log up to `upTo` counts as a beginning. Only old ones need the promise. */
  of(tenant: number, seq: number, upTo: number, most: number): Sent | Promise<Sent> {
    const sent = this.#young.get(seq) ?? this.#old.get(seq)
    if (seq <= upTo) return sent?.asked === true ? { hops: 0, asked: true } : beginning
    if (sent) return sent
    return seq > this.#known ? beginning : this.#count(tenant, seq, upTo, most)
  }

  sent(seq: number, sent: Sent): void {
    if (this.#young.size >= remembered) {
      // Positions rise, so everything above the newest of what is forgotten is still known.
      this.#known = Math.max(this.#known, this.#newestOld)
      this.#old = this.#young
      this.#newestOld = this.#newest
      this.#young = new Map()
    }
    this.#young.set(seq, sent)
    if (seq > this.#newest) this.#newest = seq
  }

  /** A person's message begins an exchange, whatever it answers. */
  async #count(tenant: number, seq: number, upTo: number, most: number): Promise<Sent> {
    let hops = 0
    for (const link of await this.#walk(tenant, seq, most + 2)) {
      if (link.reply_to === null || link.seq <= upTo || !this.#isAgent(link.actor)) break
      const parent = this.#young.get(link.reply_to) ?? this.#old.get(link.reply_to)
      hops += 1
      if (parent) {
        hops += parent.hops
        break
      }
    }
    return { hops, asked: false }
  }
}
