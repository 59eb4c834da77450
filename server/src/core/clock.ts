/** Time, randomness and ids are parameters, so that schedulers are tested by moving a clock. */
import { randomFillSync } from 'node:crypto'

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number
  /** Calls back once after `ms`; the answer cancels. Never keeps the process alive. */
  after(ms: number, callback: () => void): () => void
}

export const systemClock: Clock = {
  // Counted from the start of the process: setting the machine's clock moves no lease and no deadline.
  now: () => Math.floor(performance.timeOrigin + performance.now()),
  after(ms, callback) {
    const timer = setTimeout(callback, ms)
    timer.unref()
    return () => clearTimeout(timer)
  },
}

/** A clock that stands still until it is moved; callbacks run in the order of their times. */
export class ManualClock implements Clock {
  #now: number
  #timers: { at: number; callback: () => void }[] = []

  constructor(start = Date.UTC(2026, 0, 1)) {
    this.#now = start
  }
  now(): number {
    return this.#now
  }
  after(ms: number, callback: () => void): () => void {
    const timer = { at: this.#now + ms, callback }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer)
    }
  }
  /** Moves time on and lets the work that becomes due settle in between. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms
    for (;;) {
      const next = this.#timers.filter((timer) => timer.at <= end).toSorted((a, b) => a.at - b.at)[0]
      if (!next) break
      this.#timers = this.#timers.filter((timer) => timer !== next)
      this.#now = Math.max(this.#now, next.at)
      next.callback()
      await turns(5)
    }
    this.#now = end
    await turns(5)
  }
}

/** Lets commits and their callbacks run. */
async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((done) => setImmediate(done))
}

const alphabet = '0123456789abcdefghjkmnpqrstvwxyz'
const hexBytes = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))
const pool = new Uint8Array(4096)
let used = pool.length

function randomByte(): number {
  if (used === pool.length) {
    randomFillSync(pool)
    used = 0
  }
  return pool[used++] as number
}

/** Makes ids: a prefix, ten characters of time and ten of chance, so that they sort by creation. Ids of one millisecond keep their order. */
export function makeIds(clock: Clock): (prefix: string) => string {
  let last = 0
  let counter = 0
  return (prefix) => {
    const now = clock.now()
    if (now > last) {
      last = now
      counter = randomByte()
    } else counter += 1
    let text = base32(last, 10) + base32(counter, 4)
    for (let index = 0; index < 8; index++) text += alphabet[randomByte() & 31]
    return `${prefix}_${text}`
  }
}

/** Random bytes in hex, from the pool: a trace for every message must not cost a system call. */
export function randomHex(bytes: number): string {
  let text = ''
  for (let index = 0; index < bytes; index++) text += hexBytes[randomByte()] as string
  return text
}

/** Fixed width, so that the text sorts like the number. */
export function base32(value: number, width: number): string {
  let text = ''
  for (let rest = value; text.length < width; rest = Math.floor(rest / 32)) text = (alphabet[rest % 32] as string) + text
  return text
}

export function fromBase32(text: string): number {
  let value = 0
  for (const character of text) {
    const digit = alphabet.indexOf(character)
    if (digit < 0) return Number.NaN
    value = value * 32 + digit
  }
  return value
}

// Neighbouring messages share their millisecond, and so do their leases: printing each took over two percent of a busy server.
const recentIso = [
  { ms: Number.NaN, text: '' },
  { ms: Number.NaN, text: '' },
]
let oldest = 0
export function iso(ms: number): string {
  const [first, second] = recentIso as [{ ms: number; text: string }, { ms: number; text: string }]
  if (first.ms === ms) return first.text
  if (second.ms === ms) return second.text
  const slot = oldest === 0 ? first : second
  oldest = 1 - oldest
  slot.text = new Date(ms).toISOString()
  slot.ms = ms
  return slot.text
}

export const isoOrNull = (ms: number | null | undefined): string | null => (ms === null || ms === undefined ? null : iso(ms))
