/** What a consumer received in one run: each id must come once. Latencies run from the time a message was due to be sent. */
import type { Payload } from './drivers.ts'
import { now } from './now.ts'
import { percentile } from './statistics.ts'

export const maxMessages = 1_000_000

export interface Outcome {
  unique: number
  duplicates: number
  /** Messages of another run. */
  strays: number
  missing: number
  lastAt: number
  p50: number
  p99: number
}

export class Ledger {
  readonly #run: number
  readonly #seen = new Uint8Array(maxMessages)
  readonly #latencies: number[] = []
  #duplicates = 0
  #strays = 0
  #acknowledged = 0
  #lastAt = 0
  #expected = Number.POSITIVE_INFINITY
  #complete: (() => void) | undefined

  constructor(run: number) {
    this.#run = run
  }

  take(payload: Payload): void {
    if (payload.run !== this.#run || !(payload.id < maxMessages)) this.#strays += 1
    else if (this.#seen[payload.id] === 1) this.#duplicates += 1
    else {
      this.#seen[payload.id] = 1
      this.#latencies.push(now() - payload.at)
    }
  }

  acknowledged(count: number): void {
    this.#acknowledged += count
    this.#lastAt = now()
    if (this.#acknowledged >= this.#expected) this.#complete?.()
  }

  /** Waits until so many were acknowledged, at most `ms`, and a moment longer for those that come twice. */
  async finish(expected: number, ms: number): Promise<Outcome> {
    this.#expected = expected
    if (this.#acknowledged < expected) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms)
        this.#complete = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    await new Promise((done) => setTimeout(done, 20))
    const sorted = Float64Array.from(this.#latencies).sort()
    let missing = 0
    for (let id = 0; id < expected; id++) if (this.#seen[id] === 0) missing += 1
    return {
      unique: sorted.length,
      duplicates: this.#duplicates,
      strays: this.#strays,
      missing,
      lastAt: this.#lastAt,
      p50: percentile(sorted, 0.5),
      p99: percentile(sorted, 0.99),
    }
  }
}
