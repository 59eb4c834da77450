/**
 * `cadre/testing`: a whole server in this process on a free port, and clients that speak to it from outside: JSON over HTTP and plain or
 * leased sockets. Every wait has a deadline, so that a test fails instead of hanging.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { type IncomingHttpHeaders, type OutgoingHttpHeaders, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ErrorCode, Problem } from '@cadre/contract'
import { WebSocket } from 'ws'
import { type Config, readConfig } from './config.ts'
import type { Clock } from './core/clock.ts'
import type { Logger } from './core/logger.ts'
import { type RunningServer, type ServerOptions, startServer } from './server.ts'

export { ManualClock } from './core/clock.ts'

const deadlineMs = 10_000

export interface TestServerOptions {
  /** A `ManualClock` makes time stand still until the test moves it. */
  clock?: Clock
  /** Settings over the defaults: data in memory, a free port, access as on loopback. */
  config?: Partial<Config>
  /** 0 unless given, so that back-off has no jitter. */
  random?: () => number
  workerCommand?: ServerOptions['workerCommand']
  /** How late the event loop is said to be. */
  lag?: ServerOptions['lag']
  pingMs?: number
  assets?: string
  strategies?: ServerOptions['strategies']
}

export interface TestServer extends RunningServer, Http {
  /** Opens a socket; `hello` registers it as an agent at once. */
  socket(hello?: Hello, options?: SocketOptions): Promise<Socket>
  /** A socket as the plain protocol has it: no credits, no acknowledgements. */
  plain(name: string, hello?: Hello): Promise<Socket>
  /** A socket with 128 credits unless given: each message is acknowledged by the test. */
  leased(name: string, hello?: Hello): Promise<Socket>
  /** Errors the server logged; `close` rejects when there are some. */
  readonly failures: { message: string; fields: Record<string, unknown> }[]
}

/** Starts a server whose every answer is checked against its schema. The caller closes it. */
export async function startTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  const failures: TestServer['failures'] = []
  const logger: Logger = {
    debug: () => {},
    info: () => {},
    warn: () => {},
    error: (message, fields = {}) => void failures.push({ message, fields }),
  }
  const defaults = readConfig({ CADRE_DATA: ':memory:', CADRE_PORT: '0', LOG_LEVEL: 'silent' })
  const server = await startServer({
    config: { ...defaults, ...options.config },
    random: options.random ?? (() => 0),
    logger,
    workerCommand: options.workerCommand ?? [process.execPath, '-e', 'process.stdin.resume()'],
    assets: options.assets ?? join(tmpdir(), 'cadre-without-pages'),
    validateOutput: true,
    // A busy machine must not decide what a test sees.
    lag: options.lag ?? { p99: () => 0, close: () => {} },
    ...(options.pingMs !== undefined && { pingMs: options.pingMs }),
    ...(options.clock && { clock: options.clock }),
    ...(options.strategies && { strategies: options.strategies }),
  })
  const base = `http://127.0.0.1:${server.port}`
  const sockets = new Set<Socket>()
  const socket = async (hello?: Hello, how?: SocketOptions) => {
    const opened = await openSocket(`ws://127.0.0.1:${server.port}/ws`, how)
    sockets.add(opened)
    if (hello) await opened.call('agent:register', hello)
    return opened
  }
  return {
    ...server,
    ...makeHttp(base),
    socket,
    plain: (name, hello) => socket({ name, ...hello }),
    leased: (name, hello) => socket({ name, credits: 128, ...hello }),
    failures,
    async close() {
      for (const open of sockets) open.terminate()
      await server.close()
      if (failures.length > 0)
        throw new Error(`The server logged: ${failures[0]?.message}`, { cause: failures[0]?.fields['cause'] })
    },
  }
}

/** The same, closed when the test of `t` ends. */
export async function serveFor(t: { after(close: () => Promise<void>): void }, options?: TestServerOptions): Promise<TestServer> {
  const server = await startTestServer(options)
  t.after(() => server.close())
  return server
}

/** A folder of its own for one test. */
export function temporaryFolder(): { path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'cadre-test-'))
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}

/** A call that was refused, with its problem object. */
export class Refused extends Error {
  readonly status: number
  readonly code: ErrorCode
  readonly problem: Problem
  constructor(problem: Problem) {
    super(`${problem.status} ${problem.code}: ${problem.detail} ${JSON.stringify(problem.errors ?? '')}`)
    this.name = 'Refused'
    this.status = problem.status
    this.code = problem.code
    this.problem = problem
  }
}

export interface HttpOptions {
  /** Sent as `Authorization: Bearer`. */
  token?: string | undefined
  /** Sent as `Idempotency-Key`. */
  key?: string | undefined
  headers?: OutgoingHttpHeaders
}

export interface Answer<T> {
  status: number
  headers: IncomingHttpHeaders
  text: string
  /** The JSON of the answer, undefined when it is none. */
  body: T
}

export interface Http {
  /** One request as it is; a body that is no text is sent as JSON. Paths without a leading `/api` stand under `/api/v1`. */
  request<T = unknown>(method: string, path: string, body?: unknown, options?: HttpOptions): Promise<Answer<T>>
  /** The JSON of a 2xx answer; anything else rejects with `Refused`. */
  call<T = Record<string, unknown>>(method: string, path: string, body?: unknown, options?: HttpOptions): Promise<T>
}

export function makeHttp(base: string): Http {
  const send: Http['request'] = (method, path, body, options = {}) =>
    new Promise((resolve, reject) => {
      const bytes = body === undefined ? undefined : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))
      const headers: OutgoingHttpHeaders = {
        ...(bytes && { 'content-type': 'application/json', 'content-length': bytes.length }),
        ...(options.token !== undefined && { authorization: `Bearer ${options.token}` }),
        ...(options.key !== undefined && { 'idempotency-key': options.key }),
        ...options.headers,
      }
      // No agent: a connection kept alive would outlive the test.
      const outgoing = request(base + path, { method, headers, agent: false, timeout: deadlineMs }, (incoming) => {
        const chunks: Buffer[] = []
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
        incoming.on('error', reject)
        incoming.on('end', () => {
          const text = Buffer.concat(chunks).toString('utf8')
          const isJson = /json/.test(incoming.headers['content-type'] ?? '')
          resolve({
            status: incoming.statusCode ?? 0,
            headers: incoming.headers,
            text,
            body: (isJson ? JSON.parse(text) : undefined) as never,
          })
        })
      })
      outgoing.on('timeout', () => outgoing.destroy(new Error(`No answer to ${method} ${path} within ${deadlineMs} ms`)))
      outgoing.on('error', reject)
      outgoing.end(bytes)
    })
  const at = (path: string) =>
    /^\/(api|healthz|readyz|metrics|openapi|asyncapi|docs|sign-in\/|sign-out|assets|$)/.test(path) ? path : `/api/v1${path}`
  return {
    request: (method, path, body, options) => send(method, at(path), body, options),
    async call<T>(method: string, path: string, body?: unknown, options?: HttpOptions) {
      const answer = await send<T>(method, at(path), body, options)
      if (answer.status >= 300) throw new Refused(answer.body as Problem)
      return answer.body
    },
  }
}

export interface Hello {
  name?: string
  /** Leaves plain mode. */
  credits?: number
  [field: string]: unknown
}

export interface SocketOptions {
  headers?: Record<string, string>
  protocols?: string[]
}

/** A frame from the server. */
export interface Received<T = Record<string, unknown>> {
  type: string
  ref?: string | number | null
  ok?: boolean
  seq?: number
  index?: number
  trace?: string
  data: T
}

export async function openSocket(url: string, options: SocketOptions = {}): Promise<Socket> {
  const socket = new WebSocket(url, options.protocols ?? [], { headers: options.headers ?? {}, handshakeTimeout: deadlineMs })
  const opened = new Socket(socket)
  await opened.opened
  return opened
}

/** A client of `cadre.v1` written on bare frames: what it was sent stays in `frames` until it is asked for. */
export class Socket {
  readonly #socket: WebSocket
  readonly #waiting = new Set<() => void>()
  #calls = 0
  /** Received and not yet taken, oldest first. */
  frames: Received[] = []
  readonly opened: Promise<void>
  /** Code and reason of the end. */
  readonly closed: Promise<{ code: number; reason: string }>

  constructor(socket: WebSocket) {
    this.#socket = socket
    this.opened = new Promise((resolve, reject) => {
      socket.once('open', () => resolve())
      socket.once('unexpected-response', (_request, response) => {
        reject(new Error(`The upgrade was refused with ${response.statusCode}`))
        response.destroy()
      })
      socket.on('error', reject)
    })
    this.closed = new Promise((resolve) =>
      socket.once('close', (code, reason) => {
        resolve({ code, reason: reason.toString() })
        this.#wake()
      }),
    )
    socket.on('message', (bytes: Buffer) => {
      const parsed = JSON.parse(bytes.toString('utf8')) as Received | Received[]
      this.frames.push(...[parsed].flat())
      this.#wake()
    })
  }

  /** Sends text as it is, anything else as JSON. */
  send(frame: unknown): void {
    this.#socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame))
  }

  /** Sends an operation or event and resolves with the data of its acknowledgement; rejects with `Refused`. */
  async call<T = Record<string, unknown>>(type: string, data?: unknown, key?: string): Promise<T> {
    this.#calls += 1
    const id = `call-${this.#calls}`
    this.send({ type, id, ...(key !== undefined && { key }), data })
    const { ok, data: answer } = await this.take((frame) => frame.type === 'ack' && frame.ref === id, `the answer to ${type}`)
    if (ok !== true) throw new Refused(answer as unknown as Problem)
    return answer as T
  }

  /** The next frame of that type that matches; frames before it of other types stay. */
  next<T = Record<string, unknown>>(type: string, matches: (data: T) => boolean = () => true): Promise<Received<T>> {
    return this.take((frame) => frame.type === type && matches(frame.data as T), type) as Promise<Received<T>>
  }

  /** Removes and answers the first frame that `wanted` accepts, waiting for it at most ten seconds. */
  async take(wanted: (frame: Received) => boolean, what: string): Promise<Received> {
    const until = Date.now() + deadlineMs
    for (;;) {
      const at = this.frames.findIndex(wanted)
      if (at >= 0) return this.frames.splice(at, 1)[0] as Received
      if (this.#socket.readyState >= this.#socket.CLOSING) throw new Error(`The socket closed before ${what} came`)
      if (Date.now() >= until)
        throw new Error(`${what} did not come within ${deadlineMs} ms; there are ${JSON.stringify(this.frames)}`)
      await this.#arrival(until - Date.now())
    }
  }

  /** Whatever the server had sent before this call has arrived when it resolves; answers the frames of that type, without taking them. */
  async settled<T = Record<string, unknown>>(type?: string): Promise<Received<T>[]> {
    this.send({ type: 'ping' })
    await this.next('pong')
    return this.frames.filter((frame) => type === undefined || frame.type === type) as unknown as Received<T>[]
  }

  /** Asks to close and waits for the end. */
  async close(): Promise<void> {
    this.#socket.close()
    await this.closed
  }

  /** Cuts the line without a word, as a lost network does. */
  terminate(): void {
    this.#socket.terminate()
  }

  #wake(): void {
    for (const wake of this.#waiting) wake()
  }

  #arrival(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer)
        this.#waiting.delete(done)
        resolve()
      }
      const timer = setTimeout(done, ms)
      this.#waiting.add(done)
    })
  }
}
