/** A client for the fuzzer: it sends anything, and outlives its own line. */
import { WebSocket } from 'ws'
import type { ManualClock, Received } from '../testing.ts'

const answerMs = 10_000
/** After this long the answer waits for the clock. */
export const patienceMs = 25

/** What a client of the fuzzer sees: frames that came, and how it ended. */
export class Line {
  readonly acks: Received[] = []
  readonly #socket: WebSocket
  #code: number | undefined
  #wake = () => {}

  private constructor(socket: WebSocket) {
    this.#socket = socket
    socket.on('error', () => {})
    socket.on('message', (bytes: Buffer) => {
      const frames = [JSON.parse(bytes.toString()) as Received | Received[]].flat()
      this.acks.push(...frames.filter(({ type }) => type === 'ack' || type === 'pong'))
      this.#wake()
    })
    socket.on('close', (code) => {
      this.#code = code
      this.#wake()
    })
  }

  static async open(port: number): Promise<Line> {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`)
    const line = new Line(socket)
    await new Promise((done, failed) => socket.once('open', done).once('error', failed))
    return line
  }

  get code(): number | undefined {
    return this.#code
  }

  send(bytes: string | Buffer, options: { binary?: boolean; fin?: boolean } = {}): void {
    this.#socket.send(bytes, { binary: false, ...options })
  }

  /** Until `count` acknowledgements came or the line ended. */
  async settled(count: number, what: string, clock: ManualClock): Promise<void> {
    const deadline = Date.now() + answerMs
    while (this.acks.length < count && this.#code === undefined) {
      const left = deadline - Date.now()
      if (left <= 0) throw new Error(`${what}: ${this.acks.length} of ${count} answers within ${answerMs} ms`)
      await new Promise<void>((done) => {
        const timer = setTimeout(done, Math.min(left, patienceMs))
        this.#wake = () => {
          clearTimeout(timer)
          done()
        }
      })
      if (this.acks.length < count) await clock.advance(10)
    }
  }

  /** Until the server has closed it. */
  ended(what: string, clock: ManualClock): Promise<void> {
    return this.settled(Number.POSITIVE_INFINITY, what, clock)
  }

  end(): void {
    this.#socket.terminate()
  }
}
