/** Work nobody waits for: kept until it ends, its failures logged. */
import { CadreError } from '@cadre/contract'
import type { Logger } from './logger.ts'

export class Background {
  readonly #logger: Logger
  readonly #failure: string
  readonly #running = new Set<Promise<unknown>>()

  /** `failure` is the sentence under which a failure is logged. */
  constructor(logger: Logger, failure: string) {
    this.#logger = logger
    this.#failure = failure
  }

  run(work: Promise<unknown>): void {
    const guarded = work.catch((cause: unknown) => this.report(this.#failure, cause)).finally(() => this.#running.delete(guarded))
    this.#running.add(guarded)
  }

  /** Logs a failure; a server that drains refuses writes, which is none. */
  report(message: string, cause: unknown, task?: string): void {
    if (cause instanceof CadreError && cause.code === 'draining') return
    this.#logger.error(message, { cause, ...(task !== undefined && { task }) })
  }

  /** Waits until nothing runs. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running)
  }
}
