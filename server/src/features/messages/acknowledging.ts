/** Acknowledgements: cumulative by number, or by receipt. They delete inbox rows, and those given by number ride on the next commit. */
import { CadreError } from '@cadre/contract'
import type { Clock } from '../../core/clock.ts'
import { failPoint } from '../../core/fail-points.ts'
import type { Session } from '../../core/sessions.ts'
import type { Database, Tx } from '../../drivers/database/port.ts'
import { type Place, encodeReceipt } from './envelope.ts'
import type { Handover } from './handover.ts'
import type { Lane } from './lane.ts'
import { type Leases, leaseKey } from './leases.ts'
import type { Lines } from './lines.ts'
import { getDead, getDelivery, settleDeliveries } from './store.ts'
import type { Windows } from './windows.ts'

/** Acknowledgements ride on the next commit and cause one of their own only after this long. */
const lazyMs = 5
/** And after this long when that commit failed. */
const retryMs = 1_000

export interface AcknowledgingParts {
  database: Database
  clock: Clock
  epoch: string
  leases: Leases
  lane: Lane
  windows: Windows
  lines: Lines
  handover: Handover
  pump: (agent: number) => void
  /** Runs on behind; its failure is nobody's. */
  run: (work: Promise<unknown>) => void
}

export class Acknowledgements {
  readonly #parts: AcknowledgingParts
  #waiting: Place[] = []
  #timer: (() => void) | undefined
  #closed = false

  constructor(parts: AcknowledgingParts) {
    this.#parts = parts
  }

  /** Settles this with the next commit, or soon. */
  add(place: Place): void {
    this.#waiting.push(place)
    this.#soon(lazyMs)
  }

  /** Cumulative acknowledgement of everything this session was sent up to `number`. */
  upTo(session: Session, number: number): void {
    const { leases, windows, pump, run } = this.#parts
    const { agent } = session
    const window = windows.of(session)
    if (agent === undefined || !window) return
    let waitedFor = false
    for (const [sentNumber, place] of window.sent) {
      if (sentNumber > number) break
      window.sent.delete(sentNumber)
      this.#waiting.push(place)
      waitedFor ||= leases.lineOf(place) !== undefined
    }
    // The next of a conversation waits for this one, so it does not wait for another commit to ride on.
    if (waitedFor && leases.behind(agent) > 0) run(this.flush())
    else this.#soon(lazyMs)
    pump(agent)
  }

  /** Acknowledges by receipt. Throws stale_receipt when the delivery was sent again or died. */
  async acknowledge(places: readonly Place[]): Promise<{ acknowledged: number; already: number }> {
    await this.flush()
    return this.#parts.database.transaction(async (tx) => {
      const current = new Map<string, Place>()
      let already = 0
      for (const place of places) {
        const isCurrent = await this.#isCurrent(tx, place)
        if (!isCurrent || current.has(leaseKey(place))) already += 1
        else current.set(leaseKey(place), place)
      }
      await this.#settle(tx, [...current.values()])
      return { acknowledged: current.size, already }
    })
  }

  /** Acknowledges inside the caller's transaction, for a reply that settles its request in the same commit. */
  async acknowledgeIn(tx: Tx, place: Place): Promise<void> {
    if (await this.#isCurrent(tx, place)) await this.#settle(tx, [place])
  }

  /** A transaction that settles, before anything else, the acknowledgements that wait: they ride on its commit. */
  async transaction<T>(work: (tx: Tx) => Promise<T>, rows?: number): Promise<T> {
    let riding: Place[] = []
    try {
      return await this.#parts.database.transaction(async (tx) => {
        riding = this.#waiting
        this.#waiting = []
        if (riding.length > 0) await this.#settle(tx, riding)
        return work(tx)
      }, rows)
    } catch (error) {
      // They were given once and count, whatever became of the transaction.
      this.#waiting = [...riding, ...this.#waiting]
      this.#soon(retryMs)
      throw error
    }
  }

  async flush(): Promise<void> {
    if (this.#waiting.length > 0) await this.transaction(async () => {})
  }

  /** From now on nothing is settled by itself: what waits is for `flush`. */
  stop(): void {
    this.#closed = true
    this.#timer?.()
  }

  #soon(ms: number): void {
    if (this.#waiting.length === 0 || this.#timer || this.#closed) return
    this.#timer = this.#parts.clock.after(ms, () => {
      this.#timer = undefined
      this.#parts.run(this.flush())
    })
  }

  /** False when it is settled already. */
  async #isCurrent(tx: Tx, place: Place): Promise<boolean> {
    if (await this.#parts.lane.has(tx, place)) return true
    const row = await getDelivery(tx, place)
    const stale = row
      ? row.state !== 1 || row.attempt !== place.attempt
      : (await getDead(tx, place.tenant, place.agent, place.seq)) !== undefined
    if (stale) throw new CadreError('stale_receipt', { receipt: encodeReceipt(place, this.#parts.epoch) })
    return row !== undefined
  }

  async #settle(tx: Tx, places: readonly Place[]): Promise<void> {
    const { leases, lines, lane } = this.#parts
    await settleDeliveries(tx, await lane.settle(tx, places))
    await lines.advance(
      tx,
      places.flatMap((place) => leases.lineOf(place) ?? []),
    )
    failPoint('acknowledge.before-commit')
    tx.afterCommit(() => this.#settled(places))
  }

  #settled(places: readonly Place[]): void {
    failPoint('acknowledge.after-commit')
    const { leases, handover, pump } = this.#parts
    const agents = new Map<number, Place[]>()
    for (const place of places) {
      if (!leases.end(place)) continue
      leases.removeHead(place)
      handover.counters.acknowledged += 1
      const same = agents.get(place.agent)
      if (same) same.push(place)
      else agents.set(place.agent, [place])
    }
    handover.announce(agents, 'acknowledged')
    for (const agent of agents.keys()) pump(agent)
  }
}
