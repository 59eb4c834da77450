/** One connection that comes back: connect, greet, hand frames on, and after a loss connect again with a growing, jittered wait. */
import type { Clock } from './clock.ts'
import { CadreClientError, fromProblem } from './errors.ts'
import { type Frame, type SocketClass, type SocketEvent, type SocketLike, parseFrames, subprotocol } from './socket.ts'
import { Turn } from './turn.ts'

const firstWait = 200
const longestWait = 10_000
const greetingLimit = 10_000
/** A connection that lived shorter did not prove that the server is well: the wait goes on growing. */
const provenAfter = 5_000
const maxEarlyFrames = 10_000

export interface Loss {
  code: number
  reason: string
}

export interface ConnectionParts {
  url: string
  socketClass: SocketClass
  clock: Clock
  random: () => number
  /** The first frame; its answer ends the greeting. None: the connection is ready once it is open. */
  greeting: () => Omit<Frame, 'id'> | undefined
  onOnline: (welcome: Record<string, unknown>) => void
  onOffline: (loss: Loss) => void
  onFrame: (frame: Frame) => void
  /** The server refused for good; no further attempt is made. */
  onRefused: (error: CadreClientError) => void
  onNoise: (error: Error) => void
}

const refusals: Readonly<Record<number, [code: string, status: number, sentence: string]>> = {
  4401: ['unauthenticated', 401, 'The server did not accept the credential; pass a token.'],
  4403: ['forbidden', 403, 'The server does not permit this connection.'],
  4409: ['replaced', 409, 'A newer connection of the same agent took over.'],
}

export class Connection {
  readonly #parts: ConnectionParts
  readonly turn: Turn
  #socket: SocketLike | undefined
  #state: 'offline' | 'greeting' | 'online' | 'closed' = 'offline'
  #early: Frame[] = []
  #attempt = 0
  #onlineSince = 0
  #lastLoss: Loss = { code: 0, reason: 'no attempt has ended yet' }
  #cancelTimer: (() => void) | undefined
  /** When the server was last heard, by the local clock. */
  lastHeard = 0

  constructor(parts: ConnectionParts) {
    this.#parts = parts
    this.turn = new Turn((text) => this.#write(text))
  }

  get online(): boolean {
    return this.#state === 'online'
  }

  get lastLoss(): Loss {
    return this.#lastLoss
  }

  open(): void {
    if (this.#state === 'closed') return
    let socket: SocketLike
    try {
      socket = new this.#parts.socketClass(this.#parts.url, [subprotocol])
    } catch (cause) {
      this.#end()
      this.#parts.onRefused(new CadreClientError('bad_answer', `${this.#parts.url} cannot be connected to.`, { cause }))
      return
    }
    this.#socket = socket
    this.#early = []
    const current = (run: (event: SocketEvent) => void) => (event: unknown) => {
      if (this.#socket === socket) run(event as SocketEvent)
    }
    socket.addEventListener(
      'open',
      current(() => this.#greet()),
    )
    socket.addEventListener(
      'message',
      current(({ data }) => this.#receive(data)),
    )
    socket.addEventListener(
      'close',
      current(({ code, reason }) => this.#lost(code ?? 1006, reason ?? '')),
    )
    // A close event follows; without a listener the `ws` package would throw.
    socket.addEventListener('error', () => {})
    this.#arm(greetingLimit, () => this.drop('the server did not answer the greeting'))
  }

  /** Gives up on a silent connection without waiting for its close event, which may take minutes. */
  drop(reason: string): void {
    const socket = this.#socket
    if (!socket) return
    this.#lost(1006, reason)
    socket.close()
  }

  close(reason: string): void {
    const socket = this.#socket
    if (this.#state === 'online') this.turn.flush()
    this.#end()
    socket?.close(1000, reason.slice(0, 100))
  }

  #end(): void {
    this.#state = 'closed'
    this.#socket = undefined
    this.#cancelTimer?.()
  }

  #arm(ms: number, callback: () => void): void {
    this.#cancelTimer?.()
    this.#cancelTimer = this.#parts.clock.after(ms, callback)
  }

  #greet(): void {
    this.lastHeard = this.#parts.clock.now()
    const frame = this.#parts.greeting()
    if (frame === undefined) this.#welcome({})
    else {
      this.#state = 'greeting'
      this.#socket?.send(JSON.stringify({ type: frame.type, id: '0', data: frame.data }))
    }
  }

  #welcome(answer: Record<string, unknown>): void {
    this.#cancelTimer?.()
    this.#state = 'online'
    this.#onlineSince = this.#parts.clock.now()
    this.#parts.onOnline(answer)
    const early = this.#early
    this.#early = []
    for (const frame of early) this.#parts.onFrame(frame)
  }

  #receive(data: unknown): void {
    this.lastHeard = this.#parts.clock.now()
    let frames: Frame[]
    try {
      frames = parseFrames(data)
    } catch (cause) {
      this.#parts.onNoise(new CadreClientError('bad_answer', 'The server sent a message that is no frame.', { cause }))
      return
    }
    for (const frame of frames) {
      if (this.#state === 'online') this.#parts.onFrame(frame)
      else if (frame.type === 'ack' && String(frame.ref) === '0') this.#answered(frame)
      // Deliveries may overtake the answer to the greeting.
      else if (this.#early.length < maxEarlyFrames) this.#early.push(frame)
    }
  }

  #answered(frame: Frame): void {
    if (frame.ok) {
      this.#welcome((frame.data ?? {}) as Record<string, unknown>)
      return
    }
    const error = fromProblem(frame.data)
    if (error.retryable) {
      this.drop(error.message)
      return
    }
    const socket = this.#socket
    this.#end()
    socket?.close(1000)
    this.#parts.onRefused(error)
  }

  #lost(code: number, reason: string): void {
    if (this.#state === 'closed') return
    const { clock, random } = this.#parts
    const wasOnline = this.#state === 'online'
    this.#socket = undefined
    this.#state = 'offline'
    this.#lastLoss = { code, reason }
    this.turn.clear()
    const refusal = refusals[code]
    if (refusal) this.#end()
    if (wasOnline) this.#parts.onOffline(this.#lastLoss)
    if (refusal) {
      const [name, status, sentence] = refusal
      this.#parts.onRefused(new CadreClientError(name, reason === '' ? sentence : `${sentence} ${reason}`, { status }))
      return
    }
    // A listener of the loss may have closed.
    if ((this.#state as string) === 'closed') return
    if (wasOnline && clock.now() - this.#onlineSince >= provenAfter) this.#attempt = 0
    this.#attempt += 1
    const ceiling = Math.min(longestWait, firstWait * 2 ** this.#attempt)
    this.#arm(firstWait + random() * (ceiling - firstWait), () => this.open())
  }

  #write(text: string): void {
    if (this.#state === 'online') this.#socket?.send(text)
  }
}
