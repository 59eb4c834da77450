/** The socket, for what REST does not carry: operations without a route, and following the log. */
import type { LogEntry, Problem } from '@cadre/contract'
import { WebSocket } from 'ws'
import { Failure, exitCodes, fromProblem } from './failure.ts'
import { type Answer, type Connection, explain } from './rest.ts'

// The server pings every 15 s; a connection that misses three is dead.
const silenceMs = 45_000
const retryMs = [250, 500, 1_000, 2_000, 5_000]
const maxQueued = 2_000

interface Ack {
  type: string
  ref?: string
  ok?: boolean
  data?: unknown
}

/** Calls an operation by its frame and hangs up. */
export async function callBySocket(
  connection: Connection,
  name: string,
  input: unknown,
  timeoutMs: number | undefined,
): Promise<Answer> {
  const socket = await connect(connection)
  try {
    return await new Promise<Answer>((resolve, reject) => {
      const timer =
        timeoutMs === undefined
          ? undefined
          : setTimeout(() => reject(new Failure(exitCodes.timeout, `No answer within ${timeoutMs / 1000} s.`)), timeoutMs)
      onFrames(socket, (frame) => {
        if (frame.type !== 'ack' || frame.ref !== '1') return
        clearTimeout(timer)
        if (frame.ok === true) resolve({ text: JSON.stringify(frame.data), body: frame.data })
        else reject(fromProblem(frame.data as Problem, JSON.stringify(frame.data)))
      })
      socket.once('close', () => {
        clearTimeout(timer)
        reject(explain(connection, new Error('it was closed'), undefined))
      })
      socket.send(JSON.stringify({ type: name, id: '1', data: input }))
    })
  } finally {
    socket.terminate()
  }
}

export interface FollowOptions {
  /** Position after which to begin; the end of the log where left out. */
  after?: number | undefined
  types?: readonly string[] | undefined
  topics?: readonly string[] | undefined
  /** Told when the connection is lost, and when it is back. */
  onState?: (state: 'lost' | 'back') => void
}

/** Entries of the log in order, each durable one once, over as many connections as it takes; ends with the signal. */
export async function* follow(connection: Connection, options: FollowOptions = {}): AsyncGenerator<LogEntry> {
  let after = options.after
  let attempt = 0
  for (;;) {
    let isOpen = false
    try {
      for await (const event of watchOnce(connection, {
        ...(after !== undefined && { after }),
        ...(options.types && { types: options.types }),
        ...(options.topics && { topics: options.topics }),
      })) {
        if (!isOpen && attempt > 0) options.onState?.('back')
        isOpen = true
        attempt = 0
        if (event.kind === 'open') {
          // Entries may come before the acknowledgement; their position is the newer one.
          after ??= event.after
          continue
        }
        // Position 0 is for live views only and is not in the log.
        if (event.entry.seq > 0) after = event.entry.seq
        yield event.entry
      }
    } catch (error) {
      const failure = explain(connection, error, undefined)
      const mayPass = failure.exitCode === exitCodes.unavailable && (after !== undefined || isOpen)
      if (!mayPass || connection.signal.aborted) throw failure
    }
    if (connection.signal.aborted) throw explain(connection, new Error('ended'), undefined)
    if (attempt === 0) options.onState?.('lost')
    await pause(retryMs[Math.min(attempt++, retryMs.length - 1)] as number, connection.signal)
  }
}

type Watched = { kind: 'open'; after: number } | { kind: 'entry'; entry: LogEntry }

async function* watchOnce(connection: Connection, input: Readonly<Record<string, unknown>>): AsyncGenerator<Watched> {
  const socket = await connect(connection)
  const queue: Watched[] = []
  let wake = () => {}
  let ended = false
  let failure: Failure | undefined
  onFrames(socket, (frame) => {
    if (frame.type === 'ack' && frame.ok === true) queue.push({ kind: 'open', after: (frame.data as { after: number }).after })
    else if (frame.type === 'ack') failure = fromProblem(frame.data as Problem, JSON.stringify(frame.data))
    else if (frame.type === 'event') queue.push({ kind: 'entry', entry: frame.data as LogEntry })
    if (queue.length > maxQueued) socket.pause()
    wake()
  })
  const end = () => {
    ended = true
    wake()
  }
  socket.once('close', end)
  connection.signal.addEventListener('abort', end, { once: true })
  try {
    socket.send(JSON.stringify({ type: 'events.watch', id: '1', data: input }))
    for (;;) {
      const next = queue.shift()
      if (connection.signal.aborted) return
      if (next) yield next
      else if (failure) throw failure
      else if (ended) return
      else {
        if (socket.isPaused) socket.resume()
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    }
  } finally {
    connection.signal.removeEventListener('abort', end)
    socket.terminate()
  }
}

function connect(connection: Connection): Promise<WebSocket> {
  const { url, token, signal } = connection
  const address = new URL(`${url.pathname.replace(/\/$/, '')}/ws`, url)
  address.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:'
  const socket = new WebSocket(address, 'cadre.v1.json', {
    perMessageDeflate: false,
    handshakeTimeout: 10_000,
    ...(token !== undefined && { headers: { authorization: `Bearer ${token}` } }),
  })
  let silence: NodeJS.Timeout | undefined
  const alive = () => {
    clearTimeout(silence)
    silence = setTimeout(() => socket.terminate(), silenceMs)
    silence.unref()
  }
  const abort = () => socket.terminate()
  signal.addEventListener('abort', abort, { once: true })
  socket.on('ping', alive).on('message', alive)
  socket.once('close', () => {
    clearTimeout(silence)
    signal.removeEventListener('abort', abort)
  })
  return new Promise((resolve, reject) => {
    socket.once('open', () => {
      alive()
      resolve(socket)
    })
    socket.on('error', (error) => reject(explain(connection, error, undefined)))
    socket.once('unexpected-response', (request, response) => {
      request.destroy()
      const isDenied = response.statusCode === 401 || response.statusCode === 403
      reject(
        isDenied
          ? new Failure(exitCodes.denied, 'The server refused the credential.', {
              hint: 'Give an API key with --token or CADRE_TOKEN.',
            })
          : new Failure(exitCodes.unavailable, `${url.origin} answered ${response.statusCode ?? 0} to a socket.`),
      )
    })
  })
}

/** One frame or an array of frames a message. */
function onFrames(socket: WebSocket, take: (frame: Ack) => void): void {
  socket.on('message', (data) => {
    const parsed = JSON.parse(String(data)) as Ack | Ack[]
    for (const frame of Array.isArray(parsed) ? parsed : [parsed]) take(frame)
  })
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms)
    function done() {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    signal.addEventListener('abort', done)
  })
}
