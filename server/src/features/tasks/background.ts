/** Work nobody waits for: kept until it ends, its failures logged. */
import { CadreError } from '@cadre/contract'
import type { Logger } from '../../core/logger.ts'

export class Background {
  readonly #logger: Logger
  readonly #running = new Set<Promise<unknown>>()

  constructor(logger: Logger) {
    this.#logger = logger
  }

  run(work: Promise<unknown>): void {
    const guarded = work
      .catch((cause: unknown) => this.report('the task engine failed', cause))
      .finally(() => this.#running.delete(guarded))
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
