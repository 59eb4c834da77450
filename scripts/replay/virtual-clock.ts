/** Time that moves when the replay says so. The replay counts in seconds of the recording, exactly; the server sees whole milliseconds. */
import type { Clock } from '../../server/src/core/clock.ts'

interface Timer {
  at: number
  callback: () => void
}

/** Lets what a timer began reach its commit; the server works on without further time. */
const turns = 4

export class VirtualClock implements Clock {
  readonly #start = Date.UTC(2026, 0, 1)
  readonly #msPerSecond: number
  #seconds = 0
  #timers: Timer[] = []

  constructor(msPerSecond: number) {
    this.#msPerSecond = msPerSecond
  }

  get seconds(): number {
    return this.#seconds
  }

  now(): number {
    return this.#start + Math.floor(this.#seconds * this.#msPerSecond)
  }

  after(ms: number, callback: () => void): () => void {
    const timer = { at: this.now() + ms, callback }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer)
    }
  }

  /** Moves on to the time that `target` names; it is asked again after each timer, because what a timer does may bring it nearer. */
  async advanceTo(target: () => number): Promise<void> {
    for (;;) {
      const seconds = target()
      const end = this.#start + Math.floor(seconds * this.#msPerSecond)
      let next: Timer | undefined
      for (const timer of this.#timers) if (timer.at <= end && (!next || timer.at < next.at)) next = timer
      if (!next) {
        this.#seconds = Math.max(this.#seconds, seconds)
        return
      }
      const due = next
      this.#timers = this.#timers.filter((timer) => timer !== due)
      this.#seconds = Math.max(this.#seconds, (due.at - this.#start) / this.#msPerSecond)
      due.callback()
      for (let turn = 0; turn < turns; turn++) await new Promise((done) => setImmediate(done))
    }
  }
}
