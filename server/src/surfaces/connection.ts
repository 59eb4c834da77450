/** One connection: who speaks on it, and what becomes of each of its frames. */
import {
  type Assignment,
  CadreError,
  type ErrorCode,
  type OperationName,
  type Problem,
  closeCodes,
  flowFrame,
  operations,
  registerFrame,
} from '@cadre/contract'
import type { Access } from '../core/access.ts'
import type { Caller } from '../core/context.ts'
import type { Directory } from '../core/directory.ts'
import { failPoint } from '../core/fail-points.ts'
import type { Door } from '../core/invoke.ts'
import type { Logger } from '../core/logger.ts'
import type { RateLimits } from '../core/rate.ts'
import type { Session, Sessions } from '../core/sessions.ts'
import type { Admission } from './admission.ts'
import { type Frame, byFrame, isFrame, maxFrame, subprotocol, withData } from './frames.ts'
import { Outbox } from './outbox.ts'
import { Pressure, isBehind } from './pressure.ts'
import type { Hearing, ProtocolSocket } from './protocol-socket.ts'

export interface ConnectionParts {
  door: Door
  access: Access
  directory: Directory
  sessions: Sessions
  logger: Logger
  admission: Admission
  rate: RateLimits | undefined
  newId: (prefix: string) => string
  /** Starts delivery to a session that just began to speak for its agent. */
  attach: (session: Session, lastSeq: number | undefined) => Promise<{ resumed: boolean; head: number; gap: boolean }>
  flow: (session: Session, flow: { ack?: number | undefined; credits?: number | undefined }) => void
  leasesOf: (caller: Caller) => Promise<Assignment[]>
  /** Its line is gone. */
  ended: (connection: Connection, caller: Caller | undefined) => void
}

/** How long the other side may take to answer a close. */
export const closeMs = 2_000
const heartbeatMs = 10_000

/** Ten thousand of these stand idle, so each is one object that is its own session; the rest of it is made when it is needed. */
export class Connection implements Session, Hearing {
  readonly since: number
  agent: number | undefined = undefined
  mode: 'plain' | 'leased' = 'plain'
  credits = 0
  short = false
  presence = true
  /** Where on the wheel of pings it stands. */
  spoke = 0
  readonly #socket: ProtocolSocket
  readonly #parts: ConnectionParts
  readonly #outbox: Outbox
  #pressure: Pressure | undefined
  #abort: AbortController | undefined
  #id: string | undefined
  #onClose: Set<() => void> | undefined
  #caller: Caller | undefined
  /** Of the key given in the head or in agent:register; an agent keeps acting on it after it has registered. */
  #credential: string | undefined
  /** Of the key its agent was registered with: what is delivered hangs on it, whoever speaks meanwhile. */
  #registered: string | undefined
  #alive = true
  #closing = false

  constructor(socket: ProtocolSocket, caller: Caller | undefined, now: number, parts: ConnectionParts) {
    this.#socket = socket
    this.#parts = parts
    this.#caller = caller
    this.#credential = caller?.credential
    this.since = now
    this.#outbox = new Outbox(socket, socket.protocol === subprotocol, this)
    parts.sessions.open(this)
    socket.attend(this)
  }

  get id(): string {
    return (this.#id ??= this.#parts.newId('ses'))
  }

  get caller(): Caller {
    return this.#requireCaller()
  }

  set caller(next: Caller) {
    this.#caller = next
  }

  get identity(): Caller | undefined {
    return this.#caller
  }

  get inFlight(): number {
    return this.#pressure?.inFlight ?? 0
  }

  get onClose(): Set<() => void> {
    return (this.#onClose ??= new Set())
  }

  send(frame: string): void {
    this.#outbox.push(frame)
  }

  buffered(): number {
    return this.#outbox.buffered
  }

  /** The outbox handed something to the socket. */
  wrote(): void {
    if (isBehind(this.#socket)) this.#underPressure().watch()
  }

  alive(): void {
    this.#alive = true
  }

  ended(): void {
    this.#pressure?.stop()
    this.#abort?.abort()
    this.#parts.ended(this, this.#caller)
    this.#parts.sessions.end(this)
  }

  checkAlive(): void {
    if (!this.#alive) return this.close(closeCodes.idle, 'Nothing was heard from you, not even a pong')
    this.#alive = false
    this.#socket.ping()
  }

  /** The key this connection came with no longer holds. */
  revoked(credential: string): void {
    if (this.#credential === credential || this.#registered === credential || this.#caller?.credential === credential)
      this.close(closeCodes.unauthorised, 'The key was revoked')
  }

  drain(): void {
    this.#outbox.push('{"type":"system:draining","data":{}}')
    this.close(closeCodes.draining, 'The server is stopping')
  }

  /** The first reason holds. What comes after it is no longer read, or a client could go on behind a frame that was refused. */
  close(code: number, reason: string): void {
    if (this.#closing) return
    this.#closing = true
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

  heard(bytes: Buffer, binary: boolean): void {
    this.#alive = true
    if (this.#closing) return
    try {
      this.#read(bytes, binary)
    } catch (cause) {
      // Not of one operation: those answer for themselves.
      this.#parts.logger.error('a connection failed', { cause })
      this.close(closeCodes.internal, 'Something went wrong on our side; connect again')
    }
  }

  #underPressure(): Pressure {
    return (this.#pressure ??= new Pressure(this.#socket))
  }

  #read(bytes: Buffer, binary: boolean): void {
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
        return this.#parts.flow(this, flow.data)
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

  #invoke(name: OperationName, frame: Frame): Promise<unknown> {
    if (!this.#caller)
      return Promise.reject(new CadreError('unauthenticated', { reason: 'Send agent:register with a token first.' }))
    const stream = operations[name].kind === 'stream' && frame.id !== undefined
    return this.#parts.door.invoke(name, frame.data, {
      caller: this.#caller,
      trace: frame.trace,
      idempotencyKey: frame.key,
      session: this,
      signal: (this.#abort ??= new AbortController()).signal,
      delta: stream
        ? (index, data) => this.#outbox.push(JSON.stringify({ type: 'stream:delta', ref: frame.id, index, data }))
        : undefined,
    })
  }

  async #authenticate(data: unknown): Promise<unknown> {
    const token = (data as { token?: unknown } | null)?.token
    if (typeof token !== 'string')
      throw new CadreError('invalid_request', {}, { fields: [{ pointer: '/token', detail: 'Send the key as text.' }] })
    const caller = await this.#parts.access.fromToken(token)
    this.#become(caller)
    this.#credential = caller.credential
    return this.#parts.door.invoke('system.whoami', {}, { caller })
  }

  async #register(frame: Frame): Promise<unknown> {
    const { access, door, directory, sessions } = this.#parts
    const checked = registerFrame.safeParse(frame.data ?? {})
    if (!checked.success) {
      const fields = checked.error.issues.map((issue) => ({ pointer: `/${issue.path.join('/')}`, detail: issue.message }))
      throw new CadreError('invalid_request', {}, { fields })
    }
    const { last_seq, credits, short, presence, ...profile } = checked.data
    const caller = profile.token === undefined ? this.#requireCaller() : await access.fromToken(profile.token)
    const { receipt: _, ...agent } = await door.invoke('agents.register', profile, {
      caller,
      trace: frame.trace,
      idempotencyKey: frame.key,
    })
    const self = this.#become({ ...directory.agent(caller.tenant, agent.id), role: 'agent' })
    this.#credential = this.#registered = caller.credential
    this.mode = credits === undefined ? 'plain' : 'leased'
    this.credits = credits ?? 0
    this.short = short ?? false
    this.presence = presence ?? true
    if (credits !== undefined) this.#outbox.allowBatches()
    const former = sessions.bind(this, self.id)
    former?.close(closeCodes.replaced, 'A newer session speaks for this agent')
    const { resumed, head, gap } = await this.#parts.attach(this, last_seq)
    const leases = await this.#parts.leasesOf(self)
    return {
      ...agent,
      status: agent.status === 'starting' ? 'idle' : agent.status,
      presence: 'online',
      session: this.id,
      resumed,
      head,
      gap,
      heartbeat_ms: heartbeatMs,
      max_frame: maxFrame,
      leases,
    }
  }

  /** Changes who speaks on this line. Throws `too_many_connections`. */
  #become(next: Caller): Caller {
    // What has ended was counted out already.
    if (this.#socket.readyState !== this.#socket.OPEN) throw new CadreError('draining')
    this.#parts.admission.change(this.#caller, next)
    this.#caller = next
    return next
  }

  #answer(frame: Frame, work: Promise<unknown>, afterwards?: () => void): void {
    const pressure = this.#underPressure()
    pressure.began()
    const ended = () => {
      afterwards?.()
      pressure.ended()
    }
    work.then(
      (data) => {
        this.#ack(frame.id, true, data)
        ended()
      },
      (error: unknown) => {
        this.#ack(frame.id, false, this.#problem(frame, error))
        ended()
      },
    )
  }

  #problem(frame: Frame, error: unknown): Problem {
    if (error instanceof CadreError) return error.toProblem(frame.trace)
    this.#parts.logger.error('an operation failed', { operation: frame.type, cause: error })
    return new CadreError('internal', {}, { cause: error }).toProblem(frame.trace)
  }

  #ack(ref: string | number | undefined, ok: boolean, data: unknown): void {
    failPoint('answer.before-send')
    this.#outbox.enqueue(JSON.stringify({ type: 'ack', ref: ref ?? null, ok, data }))
    if (!ok) this.#afterRefusal((data as Problem).code)
  }

  #afterRefusal(code: ErrorCode): void {
    if (code === 'too_many_connections') this.close(closeCodes.rate_limited, 'Too many connections')
    else if (code === 'rate_limited' && this.#caller && this.#parts.rate?.insists(this.#caller))
      this.close(closeCodes.rate_limited, 'You went on sending against your limit')
    else if (!this.#caller && code === 'forbidden') this.close(closeCodes.forbidden, 'The key may not do that')
    else if (!this.#caller) this.close(closeCodes.unauthorised, 'The key is missing, unknown or revoked')
  }
}
