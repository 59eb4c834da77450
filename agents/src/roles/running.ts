/** Tasks under way in this process, so that a note about one is settled together with it. */
export class Running {
  readonly #work = new Map<string, Promise<unknown>>()
  readonly #arrivals = new Map<string, Set<() => void>>()

  /** Remembers the task until its work has ended. */
  track<T>(id: string, work: Promise<T>): Promise<T> {
    this.#work.set(id, work)
    for (const arrived of this.#arrivals.get(id) ?? []) arrived()
    const forget = () => void this.#work.delete(id)
    work.then(forget, forget)
    return work
  }

  /** Resolves when the task has ended here. One that has not begun is waited for `graceMs` long: its note may come first. */
  async settled(id: string, graceMs: number): Promise<void> {
    if (!this.#work.has(id) && graceMs > 0) await this.#arrival(id, graceMs)
    await this.#work.get(id)?.catch(() => {})
  }

  #arrival(id: string, ms: number): Promise<void> {
    return new Promise((resolve) => {
      const waiting = this.#arrivals.get(id) ?? new Set()
      this.#arrivals.set(id, waiting)
      const done = () => {
        clearTimeout(timer)
        waiting.delete(done)
        if (waiting.size === 0) this.#arrivals.delete(id)
        resolve()
      }
      const timer = setTimeout(done, ms)
      waiting.add(done)
    })
  }
}

/** A note that comes again belongs to work that a former process began: nothing to wait for. */
export const graceFor = (attempt: number): number => (attempt > 1 ? 0 : 2_000)
