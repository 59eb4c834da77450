/** Tasks whose write failed. Each is left alone for a while, longer each time, so that it stops no other. */
import type { Clock } from '../../core/clock.ts'
import type { Background } from '../../core/background.ts'

interface Ailment {
  tenant: number
  until: number
  failures: number
  /** It was offered again since. */
  queued: boolean
}

const maxAiling = 1_000
const firstWaitMs = 1_000
const maxWaitMs = 30_000

export class Ailing {
  readonly #clock: Clock
  readonly #background: Background
  readonly #tasks = new Map<string, Ailment>()

  constructor(clock: Clock, background: Background) {
    this.#clock = clock
    this.#background = background
  }

  get size(): number {
    return this.#tasks.size
  }

  add(tenant: number, id: string, cause: unknown): void {
    const failures = (this.#tasks.get(id)?.failures ?? 0) + 1
    const oldest = this.#tasks.keys().next().value
    if (this.#tasks.size >= maxAiling && oldest !== undefined && !this.#tasks.has(id)) this.#tasks.delete(oldest)
    const until = this.#clock.now() + Math.min(firstWaitMs * 2 ** (failures - 1), maxWaitMs)
    this.#tasks.set(id, { tenant, until, failures, queued: false })
    this.#background.report('a task could not be moved; it is tried again', cause, id)
  }

  /** The task is left alone still. */
  rests(id: string, now: number): boolean {
    return (this.#tasks.get(id)?.until ?? 0) > now
  }

  /** Those whose wait is over and that were not taken yet. */
  over(now: number): [id: string, ailment: Ailment][] {
    return [...this.#tasks].filter(([, { queued, until }]) => !queued && until <= now)
  }

  delete(id: string): void {
    this.#tasks.delete(id)
  }
}
