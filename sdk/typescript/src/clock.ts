/** Time and chance are parameters, so that back-off, leases and time-outs are tested by moving a clock. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number
  /** Calls back once after `ms`; the answer cancels. */
  after(ms: number, callback: () => void): () => void
}

export const systemClock: Clock = {
  now: () => Date.now(),
  after(ms, callback) {
    // Longer waits than 2^31 - 1 ms would fire at once.
    const timer = setTimeout(callback, Math.min(ms, 2_147_483_647))
    return () => clearTimeout(timer)
  },
}

const units: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }

/** Milliseconds of `250`, `'250ms'`, `'30s'`, `'5m'` or `'1h'`. */
export function toMilliseconds(value: number | string): number {
  if (typeof value === 'number') return Math.max(0, Math.round(value))
  const match = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h)$/.exec(value.trim())
  if (!match) throw new TypeError(`"${value}" is no duration; write 250, '250ms', '30s', '5m' or '1h'`)
  return Math.round(Number(match[1]) * (units[match[2] ?? 'ms'] ?? 1))
}
