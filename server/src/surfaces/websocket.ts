/** The socket surface: translates frames of `cadre.v1` to operations and back. Frames of one turn leave in one write. */
import type { IncomingMessage, Server } from 'node:http'
import type { Duplex } from 'node:stream'
import {
  type Assignment,
  CadreError,
  type OperationName,
  closeCodes,
  flowFrame,
  operations,
  registerFrame,
} from '@cadre/contract'
import { type WebSocket, WebSocketServer } from 'ws'
import type { Access } from '../core/access.ts'
import type { Caller } from '../core/context.ts'
import type { Directory } from '../core/directory.ts'
import type { Door } from '../core/invoke.ts'
import type { Logger } from '../core/logger.ts'
import type { Session, Sessions } from '../core/sessions.ts'
import { credentialsOf } from './credentials.ts'

export interface SocketParts {
  server: Server
  door: Door
  access: Access
  directory: Directory
  sessions: Sessions
  logger: Logger
  newId: (prefix: string) => string
  /** Starts delivery to a session that just began to speak for its agent. */
  attach: (session: Session, lastSeq: number | undefined) => Promise<{ resumed: boolean; head: number; gap: boolean }>
  flow: (session: Session, flow: { ack?: number | undefined; credits?: number | undefined }) => void
  leasesOf: (caller: Caller) => Promise<Assignment[]>
}

const subprotocol = 'cadre.v1.json'
const maxFrame = 1024 * 1024
const maxInFlight = 4_096
const pingMs = 15_000
const authenticateMs = 10_000
const closeMs = 2_000
/** Above this nothing more is read from a client until it has taken what it asked for. */
const softBuffer = 1024 * 1024
/** Above this, and not shrinking between two looks, a client is too slow. */
const hardBuffer = 4 * softBuffer
const lookMs = 250
const stuckMs = 30_000
const heartbeatMs = 10_000

/** Frame type -> operation: every operation by its own name, and by the names the protocol gives it. */
const byFrame = new Map<string, OperationName>(
  Object.values(operations).flatMap((operation) => {
    const frames: readonly string[] = 'frames' in operation ? operation.frames : []
    return [operation.name, ...frames].map((frame): [string, OperationName] => [frame, operation.name])
  }),
)

export function serveSockets(parts: SocketParts): { close(): Promise<void> } {
  const { server, access, sessions, logger } = parts
  // Larger frames are refused by us, with the protocol's close code.
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: 4 * maxFrame,
    perMessageDeflate: false,
    handleProtocols: (offered) => (offered.has(subprotocol) ? subprotocol : false),
  })
  const connections = new Set<Connection>()
  access.onRevoked((credential) => {
    for (const connection of connections) connection.revoked(credential)
  })

  const onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => socket.destroy())
    if (request.url?.split('?', 1)[0] !== '/ws') return refuse(socket, 404, 'Connect to /ws')
    const credentials = credentialsOf(request)
    access.authenticate(credentials).then(
      (caller) => accept(request, socket, head, caller),
      (error: unknown) => {
        // Without a credential the first frame may bring one; a wrong one, or a foreign page, is refused at once.
        const open = error instanceof CadreError && error.code === 'unauthenticated' && credentials.authorization === undefined
        if (open) accept(request, socket, head, undefined)
        else
          refuse(
            socket,
            error instanceof CadreError && error.code === 'forbidden' ? 403 : 401,
            error instanceof Error ? error.message : 'refused',
          )
      },
    )
  }
  const accept = (request: IncomingMessage, socket: Duplex, head: Buffer, caller: Caller | undefined) => {
    sockets.handleUpgrade(request, socket, head, (webSocket) => {
      const connection = new Connection(webSocket, caller, parts)
      connections.add(connection)
      webSocket.on('close', () => connections.delete(connection))
    })
  }
  server.on('upgrade', onUpgrade)

  const pings = setInterval(() => {
    for (const connection of connections) connection.checkAlive()
  }, pingMs)
  pings.unref()

  return {
    async close() {
      server.off('upgrade', onUpgrade)
      clearInterval(pings)
      for (const connection of connections) connection.drain()
      const deadline = Date.now() + closeMs
      while (connections.size > 0 && Date.now() < deadline) await new Promise((done) => setTimeout(done, 10))
      for (const connection of connections) connection.terminate()
      logger.debug('sockets closed', { left: sessions.count })
    },
  }
}

function refuse(socket: Duplex, status: number, reason: string): void {
  const body = `${reason}\n`
  socket.end(
    `HTTP/1.1 ${status} Refused\r\nContent-Type: text/plain\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  )
}

interface Frame {
  type: string
  id?: string | number
  key?: string
  data?: unknown
  trace?: string
}

class Connection {
  readonly #socket: WebSocket
  readonly #parts: SocketParts
  readonly #abort = new AbortController()
  readonly #session: Session
  #caller: Caller | undefined
  /** May several frames travel as one array? Only with clients that said so; a hand-written one reads one frame a message. */
  #batched: boolean
  #queue: string[] = []
  #queued = 0
  #scheduled = false
  /** Frames for the agent wait while its registration is being answered. */
  #held: string[] | undefined
  /** Of the key given in the head or in agent:register; an agent keeps acting on it after it has registered. */
  #credential: string | undefined
  #inFlight = 0
  #paused = false
  #alive = true
  #looking: NodeJS.Timeout | undefined
  #deadline: NodeJS.Timeout | undefined

  constructor(socket: WebSocket, caller: Caller | undefined, parts: SocketParts) {
    this.#socket = socket
    this.#parts = parts
    this.#caller = caller
    this.#credential = caller?.credential
    this.#batched = socket.protocol === subprotocol
    const requireCaller = () => this.#requireCaller()
    const become = (next: Caller) => {
      this.#caller = next
    }
    this.#session = {
      id: parts.newId('ses'),
      get caller(): Caller {
        return requireCaller()
      },
      set caller(next: Caller) {
        become(next)
      },
      agent: undefined,
      mode: 'plain',
      credits: 0,
      send: (frame) => this.#push(frame),
      buffered: () => socket.bufferedAmount + this.#queued,
      close: (code, reason) => this.close(code, reason),
      onClose: new Set(),
    }
    parts.sessions.open(this.#session)
    if (!caller) {
      this.#deadline = setTimeout(
        () => this.close(closeCodes.unauthorised, 'Send agent:register with a token first'),
        authenticateMs,
      )
      this.#deadline.unref()
    }
    socket.on('message', (bytes: Buffer, binary: boolean) => this.#onMessage(bytes, binary))
    socket.on('pong', () => {
      this.#alive = true
    })
    socket.on('error', () => socket.terminate())
    socket.on('close', () => {
      clearTimeout(this.#deadline)
      clearTimeout(this.#looking)
      this.#abort.abort()
      parts.sessions.end(this.#session)
    })
  }

  checkAlive(): void {
    if (!this.#alive) return this.#socket.terminate()
    this.#alive = false
    this.#socket.ping()
  }

  /** The key this connection came with no longer holds. */
  revoked(credential: string): void {
    if (this.#credential === credential || this.#caller?.credential === credential)
      this.close(closeCodes.unauthorised, 'The key was revoked')
  }

  drain(): void {
    this.#push('{"type":"system:draining","data":{}}')
    this.close(closeCodes.draining, 'The server is stopping')
  }

  close(code: number, reason: string): void {
    this.#flush()
    this.#socket.close(code, reason.slice(0, 120))
    const force = setTimeout(() => this.#socket.terminate(), closeMs)
    force.unref()
    this.#socket.once('close', () => clearTimeout(force))
  }

  terminate(): void {
    this.#socket.terminate()
  }

  #requireCaller(): Caller {
    if (!this.#caller) throw new CadreError('unauthenticated', { reason: 'Send agent:register with a token first.' })
    return this.#caller
  }

  #onMessage(bytes: Buffer, binary: boolean): void {
    this.#alive = true
    if (bytes.length > maxFrame) return this.close(closeCodes.too_large, `A frame is limited to ${maxFrame} bytes`)
    let parsed: unknown
    try {
      if (binary) throw new CadreError('malformed', { reason: 'Frames are JSON text.' })
      parsed = JSON.parse(bytes.toString('utf8'))
    } catch (cause) {
      return this.#badFrame(
        cause instanceof CadreError ? cause : new CadreError('malformed', { reason: 'The frame is not JSON.' }, { cause }),
      )
    }
    const frames: unknown[] = Array.isArray(parsed) ? parsed : [parsed]
    for (const frame of frames) {
      if (!isFrame(frame))
        return this.#badFrame(
          new CadreError('malformed', { reason: 'A frame is an object with a type, and an id of text or number.' }),
        )
      this.#dispatch(withData(frame))
    }
  }

  #badFrame(error: CadreError): void {
    this.#push(JSON.stringify({ type: 'ack', ref: null, ok: false, data: error.toProblem() }))
    this.close(closeCodes.bad_frame, error.message)
  }

  #dispatch(frame: Frame): void {
    switch (frame.type) {
      case 'ping':
        return this.#push('{"type":"pong"}')
      case 'pong':
        return
      case 'flow': {
        const flow = flowFrame.safeParse(frame)
        if (!flow.success)
          return this.#badFrame(new CadreError('malformed', { reason: 'flow carries ack and credits as whole numbers.' }))
        return this.#parts.flow(this.#session, flow.data)
      }
      case 'auth':
        return this.#answer(frame, this.#authenticate(frame.data))
      case 'agent:register':
        this.#held ??= []
        return this.#answer(frame, this.#register(frame), () => this.#release())
      default: {
        const name = byFrame.get(frame.type)
        if (!name) return this.#answer(frame, Promise.reject(new CadreError('unknown_operation', { name: frame.type })))
        return this.#answer(frame, this.#invoke(name, frame))
      }
    }
  }

  async #invoke(name: OperationName, frame: Frame): Promise<unknown> {
    const stream = operations[name].kind === 'stream' && frame.id !== undefined
    return this.#parts.door.invoke(name, frame.data, {
      caller: this.#requireCaller(),
      trace: frame.trace,
      idempotencyKey: frame.key,
      session: this.#session,
      signal: this.#abort.signal,
      delta: stream
        ? (index, data) => this.#push(JSON.stringify({ type: 'stream:delta', ref: frame.id, index, data }))
        : undefined,
    })
  }

  async #authenticate(data: unknown): Promise<unknown> {
    const token = (data as { token?: unknown } | null)?.token
    if (typeof token !== 'string')
      throw new CadreError('invalid_request', {}, { fields: [{ pointer: '/token', detail: 'Send the key as text.' }] })
    this.#caller = await this.#parts.access.fromToken(token)
    this.#credential = this.#caller.credential
    clearTimeout(this.#deadline)
    return this.#parts.door.invoke('system.whoami', {}, { caller: this.#caller })
  }

  async #register(frame: Frame): Promise<unknown> {
    const { access, door, directory, sessions } = this.#parts
    const checked = registerFrame.safeParse(frame.data ?? {})
    if (!checked.success) {
      const fields = checked.error.issues.map((issue) => ({ pointer: `/${issue.path.join('/')}`, detail: issue.message }))
      throw new CadreError('invalid_request', {}, { fields })
    }
    const { last_seq, credits, ...profile } = checked.data
    const caller = profile.token === undefined ? this.#requireCaller() : await access.fromToken(profile.token)
    const { receipt: _, ...agent } = await door.invoke('agents.register', profile, {
      caller,
      trace: frame.trace,
      idempotencyKey: frame.key,
    })
    clearTimeout(this.#deadline)
    this.#credential = caller.credential
    this.#caller = { ...directory.agent(caller.tenant, agent.id), role: 'agent' }
    this.#session.mode = credits === undefined ? 'plain' : 'leased'
    this.#session.credits = credits ?? 0
    this.#batched ||= credits !== undefined
    if (this.#socket.readyState !== this.#socket.OPEN) throw new CadreError('draining')
    const former = sessions.bind(this.#session, this.#caller.id)
    former?.close(closeCodes.replaced, 'A newer session speaks for this agent')
    const { resumed, head, gap } = await this.#parts.attach(this.#session, last_seq)
    const leases = await this.#parts.leasesOf(this.#caller)
    return {
      ...agent,
      status: agent.status === 'starting' ? 'idle' : agent.status,
      presence: 'online',
      session: this.#session.id,
      resumed,
      head,
      gap,
      heartbeat_ms: heartbeatMs,
      max_frame: maxFrame,
      leases,
    }
  }

  #answer(frame: Frame, work: Promise<unknown>, afterwards?: () => void): void {
    this.#inFlight += 1
    if (this.#inFlight >= maxInFlight && !this.#paused) {
      // The client is ahead of us: let TCP slow it down.
      this.#paused = true
      this.#socket.pause()
    }
    work
      .then(
        (data) => this.#ack(frame.id, true, data),
        (error: unknown) => this.#ack(frame.id, false, this.#problem(frame, error)),
      )
      .finally(() => {
        afterwards?.()
        this.#inFlight -= 1
        if (this.#paused && this.#inFlight < maxInFlight / 2) {
          this.#paused = false
          if (!this.#looking) this.#socket.resume()
        }
      })
  }

  #problem(frame: Frame, error: unknown): unknown {
    if (error instanceof CadreError) return error.toProblem(frame.trace)
    this.#parts.logger.error('an operation failed', { operation: frame.type, cause: error })
    return new CadreError('internal', {}, { cause: error }).toProblem(frame.trace)
  }

  #ack(ref: string | number | undefined, ok: boolean, data: unknown): void {
    this.#enqueue(JSON.stringify({ type: 'ack', ref: ref ?? null, ok, data }))
    if (!this.#caller && !ok) this.close(closeCodes.unauthorised, 'The key is missing, unknown or revoked')
  }

  #push(frame: string): void {
    if (this.#held) this.#held.push(frame)
    else this.#enqueue(frame)
  }

  #release(): void {
    const held = this.#held ?? []
    this.#held = undefined
    for (const frame of held) this.#enqueue(frame)
  }

  #enqueue(frame: string): void {
    this.#queue.push(frame)
    this.#queued += frame.length
    if (this.#scheduled) return
    this.#scheduled = true
    // Once the promises of this commit have all answered: one write for them, without waiting for the next turn.
    process.nextTick(() => this.#flush())
  }

  /** A client that does not take what it is sent is no longer read from, and in the end closed. Nothing of it is lost: it resumes. */
  #watchPressure(): void {
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

  #flush(): void {
    this.#scheduled = false
    if (this.#queue.length === 0) return
    const frames = this.#queue
    this.#queue = []
    this.#queued = 0
    if (this.#socket.readyState !== this.#socket.OPEN) return
    if (this.#batched) this.#sendBatched(frames)
    else for (const frame of frames) this.#socket.send(frame)
    if (this.#socket.bufferedAmount > softBuffer) this.#watchPressure()
  }

  #sendBatched(frames: readonly string[]): void {
    let batch: string[] = []
    let size = 2
    const send = () => {
      if (batch.length > 0) this.#socket.send(batch.length === 1 ? (batch[0] as string) : `[${batch.join(',')}]`)
      batch = []
      size = 2
    }
    for (const frame of frames) {
      if (size + frame.length > maxFrame) send()
      batch.push(frame)
      size += frame.length + 1
    }
    send()
  }
}

const envelope = new Set(['type', 'id', 'key', 'data', 'trace', 'ref', 'seq'])

/** Hand-written clients put the fields beside the type; a frame without data and with other fields means those. */
function withData(frame: Frame): Frame {
  if (frame.data !== undefined || frame.type === 'flow') return frame
  const fields = Object.entries(frame).filter(([name]) => !envelope.has(name))
  return fields.length === 0 ? frame : { ...frame, data: Object.fromEntries(fields) }
}

function isFrame(value: unknown): value is Frame {
  if (typeof value !== 'object' || value === null) return false
  const { type, id, key, trace } = value as Record<string, unknown>
  const text = (field: unknown, max: number) =>
    field === undefined || (typeof field === 'string' && field.length <= max && field.isWellFormed())
  return (
    typeof type === 'string' &&
    type.length <= 128 &&
    (text(id, 128) || (typeof id === 'number' && Number.isFinite(id))) &&
    text(key, 256) &&
    text(trace, 256)
  )
}
