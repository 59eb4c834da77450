/** Whether a client is read from: not while it is ahead of us, nor while it does not take what it is sent. */
import { closeCodes } from '@cadre/contract'
import type { WebSocket } from 'ws'

const maxInFlight = 4_096
/** Above this nothing more is read from a client until it has taken what it asked for. */
const softBuffer = 1024 * 1024
/** Above this, and not shrinking between two looks, a client is too slow. */
const hardBuffer = 4 * softBuffer
const lookMs = 250
const stuckMs = 30_000

/** Has the client not taken what it was sent? Then `Pressure.watch` looks after it. */
export const isBehind = (socket: WebSocket): boolean => socket.bufferedAmount > softBuffer

/** What one client still owes or is owed: its frames under way, and the bytes it has not taken. */
export class Pressure {
  readonly #socket: WebSocket
  #inFlight = 0
  #paused = false
  #looking: NodeJS.Timeout | undefined

  constructor(socket: WebSocket) {
    this.#socket = socket
  }

  /** A frame is being worked on. */
  began(): void {
    this.#inFlight += 1
    if (this.#inFlight >= maxInFlight && !this.#paused) {
      // The client is ahead of us: let TCP slow it down.
      this.#paused = true
      this.#socket.pause()
    }
  }

  /** A frame was answered. */
  ended(): void {
    this.#inFlight -= 1
    if (this.#paused && this.#inFlight < maxInFlight / 2) {
      this.#paused = false
      if (!this.#looking) this.#socket.resume()
    }
  }

  get inFlight(): number {
    return this.#inFlight
  }

  stop(): void {
    clearTimeout(this.#looking)
  }

  /** A client that does not take what it is sent is no longer read from, and in the end closed. Nothing of it is lost: it resumes. */
  watch(): void {
    if (this.#looking) return
    this.#socket.pause()
    const since = performance.now()
    let before = this.#socket.bufferedAmount
    const look = () => {
      this.#looking = undefined
      const amount = this.#socket.bufferedAmount
      if (amount < softBuffer / 2) {
        if (!this.#paused) this.#socket.resume()
        return
      }
      if ((amount > hardBuffer && amount >= before) || performance.now() - since > stuckMs) {
        // Its buffer would hold back a close frame too, so a client that reads nothing is cut off.
        this.#socket.close(closeCodes.slow_consumer, 'Too slow')
        const cut = setTimeout(() => this.#socket.terminate(), lookMs)
        cut.unref()
        return
      }
      before = amount
      this.#looking = setTimeout(look, lookMs)
      this.#looking.unref()
    }
    this.#looking = setTimeout(look, lookMs)
    this.#looking.unref()
  }
}
