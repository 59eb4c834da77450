/** Says that this side lives, keeps leases, and notices a server that fell silent. */
import type { OutputOf } from '@cadre/contract'
import type { RequestOptions } from './calls.ts'
import type { Clock } from './clock.ts'
import { hasCode } from './errors.ts'
import type { Work } from './work.ts'

const usualBeat = 10_000
/** Beats of silence after which a connection counts as dead; the server answers every one. */
const patience = 2.5

export interface HeartbeatParts {
  clock: Clock
  isAgent: boolean
  isOnline: () => boolean
  lastHeard: () => number
  drop: (reason: string) => void
  request: (type: string, data: unknown, options?: RequestOptions) => Promise<unknown>
  push: (frame: string) => void
  work: Pick<Work, 'leases' | 'shortestLease' | 'renewed' | 'stopUnrenewed'>
  onError: (error: unknown) => void
}

export class Heartbeat {
  readonly #parts: HeartbeatParts
  #cancel: (() => void) | undefined
  #due = 0
  #offset: number | undefined
  #beating = false
  interval = usualBeat

  constructor(parts: HeartbeatParts) {
    this.#parts = parts
  }

  /** The server's time, from the last answer; leases are judged by it, never by the local date. */
  serverNow(): number | undefined {
    return this.#offset === undefined ? undefined : this.#parts.clock.now() + this.#offset
  }

  /** Beats now and from now on. */
  start(): void {
    this.#beat()
    this.#arm()
  }

  /** A shorter lease came in. */
  hurry(): void {
    if (this.#cancel && this.#parts.clock.now() + this.#wait() < this.#due) this.#arm()
  }

  stop(): void {
    this.#cancel?.()
    this.#cancel = undefined
  }

  #wait(): number {
    return Math.max(50, Math.min(this.interval, this.#parts.work.shortestLease() / 3))
  }

  #arm(): void {
    this.#cancel?.()
    const { clock } = this.#parts
    const wait = this.#wait()
    this.#due = clock.now() + wait
    this.#cancel = clock.after(wait, () => {
      const late = clock.now() - this.#due
      this.#parts.work.stopUnrenewed()
      // A process that was itself busy for long has not read yet what the server said meanwhile.
      const silent = clock.now() - this.#parts.lastHeard() > patience * this.interval && late < this.interval / 2
      if (this.#parts.isOnline() && silent) this.#parts.drop('the server fell silent')
      this.#beat()
      this.#arm()
    })
  }

  #beat(): void {
    const { clock, isAgent, isOnline, push, request, work, onError } = this.#parts
    if (!isOnline()) return
    if (!isAgent) {
      push('{"type":"ping"}')
      return
    }
    if (this.#beating) return
    this.#beating = true
    const leases = work.leases()
    const sentAt = clock.now()
    request('agents.heartbeat', { leases }, { volatile: true, timeout: this.interval })
      .then((answer) => {
        const { lost, server_time } = answer as OutputOf<'agents.heartbeat'>
        this.#offset = Date.parse(server_time) - (sentAt + clock.now()) / 2
        work.renewed(leases, lost, sentAt)
      })
      .catch((error: unknown) => {
        if (!['connection_lost', 'timeout', 'closed'].some((code) => hasCode(error, code))) onError(error)
      })
      .finally(() => {
        this.#beating = false
      })
  }
}
