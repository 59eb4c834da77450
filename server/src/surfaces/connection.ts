/** One connection: who speaks on it, and what becomes of each of its frames. */
import {
  type Assignment,
  CadreError,
  type OperationName,
  closeCodes,
  flowFrame,
  operations,
  registerFrame,
} from '@cadre/contract'
import type { WebSocket } from 'ws'
import type { Access } from '../core/access.ts'
import type { Caller } from '../core/context.ts'
import type { Directory } from '../core/directory.ts'
import type { Door } from '../core/invoke.ts'
import type { Logger } from '../core/logger.ts'
import type { Session, Sessions } from '../core/sessions.ts'
import { type Frame, byFrame, isFrame, maxFrame, subprotocol, withData } from './frames.ts'
import { Outbox } from './outbox.ts'
import { Pressure } from './pressure.ts'

export interface ConnectionParts {
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

const authenticateMs = 10_000
/** How long the other side may take to answer a close. */
export const closeMs = 2_000
const heartbeatMs = 10_000

export class Connection {
  readonly #socket: WebSocket
  readonly #parts: ConnectionParts
  readonly #abort = new AbortController()
  readonly #session: Session
  readonly #pressure: Pressure
  readonly #outbox: Outbox
  #caller: Caller | undefined
  /** Of the key given in the head or in agent:register; an agent keeps acting on it after it has registered. */
  #credential: string | undefined
  #alive = true
  #deadline: NodeJS.Timeout | undefined

  constructor(socket: WebSocket, caller: Caller | undefined, parts: ConnectionParts) {
    this.#socket = socket
    this.#parts = parts
    this.#caller = caller
    this.#credential = caller?.credential
    this.#pressure = new Pressure(socket)
    this.#outbox = new Outbox(socket, socket.protocol === subprotocol, () => this.#pressure.wrote())
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
      send: (frame) => this.#outbox.push(frame),
      buffered: () => this.#outbox.buffered,
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
      this.#pressure.stop()
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
    this.#outbox.push('{"type":"system:draining","data":{}}')
    this.close(closeCodes.draining, 'The server is stopping')
  }

  close(code: number, reason: string): void {
    this.#outbox.flush()
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
    this.#outbox.push(JSON.stringify({ type: 'ack', ref: null, ok: false, data: error.toProblem() }))
    this.close(closeCodes.bad_frame, error.message)
  }

  #dispatch(frame: Frame): void {
    switch (frame.type) {
      case 'ping':
        return this.#outbox.push('{"type":"pong"}')
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
        this.#outbox.hold()
        return this.#answer(frame, this.#register(frame), () => this.#outbox.release())
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
        ? (index, data) => this.#outbox.push(JSON.stringify({ type: 'stream:delta', ref: frame.id, index, data }))
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
    if (credits !== undefined) this.#outbox.allowBatches()
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
    this.#pressure.began()
    work
      .then(
        (data) => this.#ack(frame.id, true, data),
        (error: unknown) => this.#ack(frame.id, false, this.#problem(frame, error)),
      )
      .finally(() => {
        afterwards?.()
        this.#pressure.ended()
      })
  }

  #problem(frame: Frame, error: unknown): unknown {
    if (error instanceof CadreError) return error.toProblem(frame.trace)
    this.#parts.logger.error('an operation failed', { operation: frame.type, cause: error })
    return new CadreError('internal', {}, { cause: error }).toProblem(frame.trace)
  }

  #ack(ref: string | number | undefined, ok: boolean, data: unknown): void {
    this.#outbox.enqueue(JSON.stringify({ type: 'ack', ref: ref ?? null, ok, data }))
    if (!this.#caller && !ok) this.close(closeCodes.unauthorised, 'The key is missing, unknown or revoked')
  }
}
