/** A server of these tests: in memory, frame by frame, with answers the test writes. Sockets open and close only when it says so. */
import type { Assignment, Delivery } from '@cadre/contract'
import { ManualClock } from '../../../server/src/core/clock.ts'
import { Hub } from '../src/hub.ts'
import type { ConnectOptions } from '../src/options.ts'
import { type Frame, type SocketClass, type SocketEvent, type SocketLike, parseFrames } from '../src/socket.ts'

type Answer = (data: Record<string, unknown>, frame: Frame) => unknown

/** An answer that refuses. */
export class Refusal {
  readonly problem: Record<string, unknown>
  constructor(code: string, more: Record<string, unknown> = {}) {
    this.problem = { code, detail: `refused: ${code}`, status: 409, retryable: false, ...more }
  }
}

/** The server keeps silent. */
export const silence = Symbol('silence')

export class ScriptedSocket implements SocketLike {
  readonly url: string
  readonly texts: string[] = []
  readonly frames: Frame[] = []
  readonly #listeners = new Map<string, ((event: SocketEvent) => void)[]>()
  readonly #server: ScriptedServer
  closed: { code: number | undefined } | undefined

  constructor(server: ScriptedServer, url: string) {
    this.#server = server
    this.url = url
  }

  addEventListener(type: string, listener: (event: unknown) => void): void {
    this.#listeners.set(type, [...(this.#listeners.get(type) ?? []), listener])
  }

  fire(type: string, event: SocketEvent = {}): void {
    for (const listener of this.#listeners.get(type) ?? []) listener(event)
  }

  send(text: string): void {
    if (this.closed) throw new Error('sent on a closed socket')
    this.texts.push(text)
    for (const frame of parseFrames(text)) {
      this.frames.push(frame)
      queueMicrotask(() => this.#server.take(this, frame))
    }
  }

  close(code?: number): void {
    this.closed ??= { code }
  }

  push(...frames: unknown[]): void {
    this.fire('message', { data: JSON.stringify(frames.length === 1 ? frames[0] : frames) })
  }
}

export class ScriptedServer {
  readonly clock = new ManualClock()
  readonly sockets: ScriptedSocket[] = []
  readonly WebSocket: SocketClass
  /** What happens to a new connection: it opens, stays silent, or is refused. */
  accepts: 'open' | 'silent' | 'refused' = 'open'
  readonly answers = new Map<string, Answer>()
  welcome: Record<string, unknown> = {}
  #seq = 0

  constructor() {
    const accept = (url: string) => this.#accept(url)
    this.WebSocket = function (url: string) {
      return accept(url)
    } as unknown as SocketClass
    this.on('agent:register', () => ({
      session: 's1',
      resumed: false,
      gap: false,
      heartbeat_ms: 10_000,
      leases: [],
      ...this.welcome,
    }))
    this.on('auth', () => ({}))
    this.on('ping', () => silence)
    this.on('flow', () => silence)
    this.on('agents.heartbeat', () => ({ lost: [], server_time: new Date(this.clock.now()).toISOString(), lease_until: null }))
    this.on('messages.acknowledge', ({ receipts }) => ({ acknowledged: (receipts as string[]).length, already: 0 }))
  }

  #accept(url: string): ScriptedSocket {
    const socket = new ScriptedSocket(this, url)
    this.sockets.push(socket)
    queueMicrotask(() => {
      if (this.accepts === 'open') socket.fire('open')
      else if (this.accepts === 'refused') this.drop(1006, socket)
    })
    return socket
  }

  on(type: string, answer: Answer): void {
    this.answers.set(type, answer)
  }

  get socket(): ScriptedSocket {
    const socket = this.sockets.at(-1)
    if (!socket) throw new Error('nobody connected')
    return socket
  }

  /** Every frame of a type, over all connections. */
  sent(type: string): Frame[] {
    return this.sockets.flatMap((socket) => socket.frames).filter((frame) => frame.type === type)
  }

  data(type: string): Record<string, unknown>[] {
    return this.sent(type).map((frame) => frame.data as Record<string, unknown>)
  }

  take(socket: ScriptedSocket, frame: Frame): void {
    if (socket.closed) return
    if (frame.type === 'ping') return socket.push({ type: 'pong' })
    const answer = this.answers.get(frame.type)
    const value = answer ? answer((frame.data ?? {}) as Record<string, unknown>, frame) : {}
    if (value === silence) return
    const refused = value instanceof Refusal
    socket.push({ type: 'ack', ref: frame.id, ok: !refused, data: refused ? value.problem : value })
  }

  drop(code = 1006, socket = this.socket): void {
    socket.closed ??= { code }
    socket.fire('close', { code, reason: '' })
  }

  deliver(fields: Partial<Delivery> = {}): number {
    this.#seq += 1
    const seq = this.#seq
    this.socket.push({ type: 'message:received', seq, data: this.delivery(seq, fields) })
    return seq
  }

  delivery(number: number, fields: Partial<Delivery> = {}): Partial<Delivery> {
    const id = `msg_${number}`
    const lease_until = new Date(this.clock.now() + 30_000).toISOString()
    const base = {
      id,
      sender: 'ann',
      kind: 'event',
      type: 'text',
      topic: null,
      content: { number },
      attempt: 1,
      replay: false,
    } as const
    return { ...base, lease_until, receipt: `rcp_${number}_1`, ...fields }
  }

  assign(id: string, fields: Partial<Assignment> = {}): Assignment {
    const assignment = this.assignment(id, fields)
    this.socket.push({ type: 'task:assigned', data: assignment })
    return assignment
  }

  assignment(id: string, fields: Partial<Assignment> = {}): Assignment {
    const at = new Date(this.clock.now()).toISOString()
    const lease_until = new Date(this.clock.now() + 30_000).toISOString()
    const base = { id, task_id: id, title: id, type: 'task', state: 'assigned', capabilities: [], attempt: 1, due_date: null }
    return { ...base, lease: `lease_${id}_1`, lease_until, updated_at: at, ...fields } as unknown as Assignment
  }
}

/** Lets promises and the writes of their turn happen. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

export async function join(server: ScriptedServer, options: ConnectOptions = {}): Promise<Hub> {
  const hub = new Hub('http://cadre.test', {
    agent: 'bob',
    WebSocket: server.WebSocket,
    clock: server.clock,
    random: () => 0.5,
    ...options,
  })
  await hub.start()
  await turn()
  return hub
}

/** A promise the test settles. */
export function gate<T = void>(): { opened: Promise<T>; open: (value: T) => void } {
  const { promise, resolve } = Promise.withResolvers<T>()
  return { opened: promise, open: resolve }
}
