/** One operation over REST. node:http, because fetch gives up on an answer after five minutes and `ask` may wait ten. */
import { type IncomingMessage, request as plainRequest } from 'node:http'
import { request as secureRequest } from 'node:https'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import type { Operation, Problem, Route } from '@cadre/contract'
import { Failure, exitCodes, fromProblem } from './failure.ts'
import { interrupted } from './terminal.ts'

export interface Connection {
  url: URL
  token: string | undefined
  /** Ctrl-C, or the end of the pipe. */
  signal: AbortSignal
}

export interface CallOptions {
  /** Milliseconds until the call is given up. */
  timeoutMs?: number | undefined
  idempotencyKey?: string | undefined
  /** Raw body instead of JSON. */
  upload?: Readable | undefined
}

export interface Answer {
  /** The body as it came. */
  text: string
  body: unknown
}

const maxAnswer = 256 * 1024 * 1024

/** Answers the operation's output; throws a Failure with the exit code the problem stands for. */
export async function call(
  connection: Connection,
  operation: Operation,
  input: Readonly<Record<string, unknown>>,
  options: CallOptions = {},
): Promise<Answer> {
  const response = await open(connection, operation, input, options)
  const raw = await readAll(connection, response, options.timeoutMs)
  return { text: raw, body: parse(connection, raw) }
}

/** The response itself, for bytes; its status is one of success. */
export async function open(
  connection: Connection,
  operation: Operation,
  input: Readonly<Record<string, unknown>>,
  options: CallOptions = {},
): Promise<IncomingMessage> {
  const { route, path, rest } = address(operation, input)
  const inQuery = route.method === 'GET' || route.method === 'DELETE' || options.upload !== undefined
  const body = inQuery ? undefined : JSON.stringify(rest)
  const { url, token } = connection
  const timeout = options.timeoutMs === undefined ? undefined : AbortSignal.timeout(options.timeoutMs)
  const signal = AbortSignal.any([connection.signal, ...(timeout ? [timeout] : [])])
  const request = (url.protocol === 'https:' ? secureRequest : plainRequest)({
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? undefined : Number(url.port),
    method: route.method,
    // Given as a path, not as a URL, so that a key named `..` is not taken for a folder.
    path: `${url.pathname.replace(/\/$/, '')}/api/v1${path}${inQuery ? query(rest) : ''}`,
    signal,
    headers: {
      host: url.host,
      accept: 'application/json',
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(options.idempotencyKey !== undefined && { 'idempotency-key': options.idempotencyKey }),
      ...(body !== undefined && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
      // Any JSON type would be read as the input itself; the file's own type travels in the query.
      ...(options.upload && { 'content-type': 'application/octet-stream' }),
    },
  })
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      request.once('response', resolve)
      // Stays on: a late error of the socket has nobody else to go to.
      request.on('error', reject)
      if (options.upload) options.upload.once('error', reject).pipe(request)
      else request.end(body)
    })
    const status = response.statusCode ?? 0
    if (status < 200 || status >= 300) throw refusal(connection, status, await readAll(connection, response, options.timeoutMs))
    return response
  } catch (error) {
    throw explain(connection, error, options.timeoutMs)
  }
}

/** The first route whose path the input can fill. */
function address(operation: Operation, input: Readonly<Record<string, unknown>>) {
  const routes: readonly Route[] = operation.routes ?? []
  const route = routes.find((each) => namesIn(each).every((name) => input[name] !== undefined)) ?? routes[0]
  if (!route) throw new Error(`${operation.name} has no route`)
  const names = namesIn(route)
  const path = route.path.replaceAll(/\{(\w+)\}/g, (_, name: string) => segment(String(input[name])))
  return { route, path, rest: Object.fromEntries(Object.entries(input).filter(([name]) => !names.includes(name))) }
}

const namesIn = (route: Route): string[] => [...route.path.matchAll(/\{(\w+)\}/g)].map((match) => match[1] as string)

const segment = (value: string): string => (/^\.{1,2}$/.test(value) ? value.replaceAll('.', '%2E') : encodeURIComponent(value))

function query(input: Readonly<Record<string, unknown>>): string {
  const parameters = new URLSearchParams()
  for (const [name, value] of Object.entries(input)) {
    for (const each of Array.isArray(value) ? value : [value])
      parameters.append(name, typeof each === 'object' ? JSON.stringify(each) : String(each))
  }
  return parameters.size === 0 ? '' : `?${parameters}`
}

async function readAll(connection: Connection, response: IncomingMessage, timeoutMs: number | undefined): Promise<string> {
  let size = 0
  response.on('data', (chunk: Buffer) => {
    size += chunk.length
    if (size > maxAnswer) response.destroy(new Failure(exitCodes.failed, 'The answer is over 256 MB.'))
  })
  try {
    return await text(response)
  } catch (error) {
    throw explain(connection, error, timeoutMs)
  }
}

function parse(connection: Connection, raw: string): unknown {
  try {
    return JSON.parse(raw)
  } catch (cause) {
    throw notCadre(connection, cause)
  }
}

const notCadre = ({ url }: Connection, cause?: unknown) =>
  new Failure(exitCodes.unavailable, `What answers at ${url.origin} is not a Cadre server; set --url or CADRE_URL.`, { cause })

function refusal(connection: Connection, status: number, raw: string): Failure {
  let problem: Partial<Problem> = {}
  try {
    problem = JSON.parse(raw) as Partial<Problem>
  } catch {
    // Told below.
  }
  if (typeof problem?.detail !== 'string' || typeof problem.code !== 'string') {
    return status === 502 || status === 503 || status === 504
      ? new Failure(
          exitCodes.unavailable,
          `A proxy at ${connection.url.origin} answered ${status}: the server behind it is away.`,
        )
      : notCadre(connection)
  }
  return fromProblem(problem as Problem, raw)
}

/** Errors of the connection, in words. */
export function explain(connection: Connection, error: unknown, timeoutMs: number | undefined): Failure {
  if (error instanceof Failure) return error
  if (connection.signal.aborted)
    return new Failure(exitCodes.interrupted, connection.signal.reason === interrupted ? 'Interrupted.' : '', { cause: error })
  const { name, code = '', message } = error as { name?: string; code?: string; message?: string }
  if (name === 'AbortError' || name === 'TimeoutError')
    return new Failure(exitCodes.timeout, `No answer within ${(timeoutMs ?? 0) / 1000} s.`, {
      hint: '--timeout <seconds> waits longer.',
      cause: error,
    })
  const at = connection.url.origin
  const hint = 'Start one with `npm start`, or name another with --url or CADRE_URL.'
  if (code === 'ECONNREFUSED') return new Failure(exitCodes.unavailable, `No server answers at ${at}.`, { hint, cause: error })
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    return new Failure(exitCodes.unavailable, `The host ${connection.url.hostname} is not known.`, { hint, cause: error })
  return new Failure(exitCodes.unavailable, `The connection to ${at} failed: ${code || message}.`, { hint, cause: error })
}
