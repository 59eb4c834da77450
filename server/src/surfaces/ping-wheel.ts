/** Every connection is looked at once a turn of the wheel, a sixteenth of them at a time, so that ten thousand pings do not leave at once. */
export interface Checked {
  checkAlive(): void
}

const spokes = 16

export class PingWheel<C extends Checked> {
  readonly #spokes: Set<C>[] = Array.from({ length: spokes }, () => new Set<C>())
  readonly #timer: NodeJS.Timeout
  #at = 0
  #next = 0

  /** `turnMs`: how often each is looked at. `tick` runs with every spoke. */
  constructor(turnMs: number, tick: () => void) {
    this.#timer = setInterval(() => {
      this.#at = (this.#at + 1) % spokes
      for (const connection of this.#spokes[this.#at] as Set<C>) connection.checkAlive()
      tick()
    }, turnMs / spokes)
    this.#timer.unref()
  }

  /** Answers where it was put. */
  add(connection: C): number {
    this.#next = (this.#next + 1) % spokes
    ;(this.#spokes[this.#next] as Set<C>).add(connection)
    return this.#next
  }

  delete(connection: C, spoke: number): void {
    this.#spokes[spoke]?.delete(connection)
  }

  stop(): void {
    clearInterval(this.#timer)
  }
}
