/** Timers as the gate needs them; tests pass their own. */
export interface Timers<H> {
  now: () => number
  set: (run: () => void, ms: number) => H
  clear: (handle: H) => void
}

/** Those of the page. Wrapped: as a method of another object a browser refuses `clearTimeout`. */
export const pageTimers: Timers<ReturnType<typeof setTimeout>> = {
  now: () => performance.now(),
  set: (run, ms) => setTimeout(run, ms),
  clear: (handle) => clearTimeout(handle),
}

export interface PaintGate {
  /** Something changed: paint at once when the last paint is long enough ago, else when it is. */
  request(): void
  /** A hidden page paints nothing; shown again it catches up. */
  setHidden(hidden: boolean): void
  close(): void
}

/** At most one paint per `interval` milliseconds, the last change always painted. */
export function createPaintGate<H>(paint: () => void, interval: number, timers: Timers<H>): PaintGate {
  let last = Number.NEGATIVE_INFINITY
  let waiting: H | undefined
  let dirty = false
  let hidden = false
  const run = () => {
    waiting = undefined
    if (!dirty || hidden) return
    dirty = false
    last = timers.now()
    paint()
  }
  const schedule = () => {
    if (hidden || waiting !== undefined || !dirty) return
    const wait = last + interval - timers.now()
    // Also a first change waits for the end of its turn: entries come in bunches.
    waiting = timers.set(run, Math.max(0, wait))
  }
  return {
    request() {
      dirty = true
      schedule()
    },
    setHidden(next) {
      hidden = next
      schedule()
    },
    close() {
      if (waiting !== undefined) timers.clear(waiting)
      waiting = undefined
      hidden = true
    },
  }
}
