/** When the event loop is late, the least urgent sends are refused first, so that what is urgent stays quick. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { CadreError, type OperationName, toPriority } from '@cadre/contract'
import type { Clock } from './clock.ts'

/** How late callbacks ran lately, 99th percentile in milliseconds. */
export interface LagSource {
  p99(): number
  close(): void
}

const lookMs = 1_000
const lateMs = 200
const lowest = 4
/** What brings new work in; answers, acknowledgements and reads pass. */
const sends: ReadonlySet<OperationName> = new Set(['messages.send', 'messages.ask', 'messages.publish'])

export class LoadGuard {
  readonly #lag: LagSource
  readonly #clock: Clock
  #cancel: () => void
  /** Sends of this priority number and above are refused; 1 is the most urgent. */
  #refusedFrom = Number.POSITIVE_INFINITY

  constructor(lag: LagSource, clock: Clock) {
    this.#lag = lag
    this.#clock = clock
    this.#cancel = clock.after(lookMs, () => this.#look())
  }

  get isShedding(): boolean {
    return this.#refusedFrom !== Number.POSITIVE_INFINITY
  }

  /** Throws `overloaded`. Asked only while `isShedding`. */
  check(operation: OperationName, input: unknown): void {
    if (!sends.has(operation)) return
    const { priority } = input as { priority?: Parameters<typeof toPriority>[0] }
    if (toPriority(priority) < this.#refusedFrom) return
    throw new CadreError('overloaded', { retry_after_s: lookMs / 1000, retry_after_ms: lookMs })
  }

  close(): void {
    this.#cancel()
    this.#lag.close()
  }

  // Each doubling of the delay refuses one more level; what is critical always passes.
  #look(): void {
    const lag = this.#lag.p99()
    const levels = lag < lateMs ? 0 : Math.floor(Math.log2(lag / lateMs)) + 1
    this.#refusedFrom = levels === 0 ? Number.POSITIVE_INFINITY : Math.max(2, lowest + 1 - levels)
    this.#cancel = this.#clock.after(lookMs, () => this.#look())
  }
}

type Histogram = ReturnType<typeof monitorEventLoopDelay>
const resolutionMs = 20
const windowMs = 5_000
/** Before there are two hundred looks one slow start would count as overload. Not counted in looks: a late loop has few of them. */
const settleMs = 4_000

/** Of this process, over the last five to ten seconds. */
export function measureLag(): LagSource {
  const windows: [Histogram, Histogram] = [start(), start()]
  const began = performance.now()
  let turned = began
  return {
    p99() {
      if (performance.now() - turned > windowMs) {
        // Two overlap, so that a fresh one never stands alone.
        windows.reverse()
        windows[1].reset()
        turned = performance.now()
      }
      const [older] = windows
      return performance.now() - began < settleMs ? 0 : Math.max(0, older.percentile(99) / 1e6 - resolutionMs)
    },
    close() {
      for (const window of windows) window.disable()
    },
  }
}

function start(): Histogram {
  const histogram = monitorEventLoopDelay({ resolution: resolutionMs })
  histogram.enable()
  return histogram
}
