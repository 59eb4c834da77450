/**
 * The log as server-sent events: `events.watch` through the door, on a connection of its own. The id of an event is its position, so that a
 * client that was cut off goes on by Last-Event-ID where it was.
 */
import type { ServerResponse } from 'node:http'
import { CadreError, type OutputOf } from '@cadre/contract'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Access } from '../core/access.ts'
import type { Clock } from '../core/clock.ts'
import type { Caller } from '../core/context.ts'
import type { Door } from '../core/invoke.ts'
import type { Session } from '../core/sessions.ts'

export interface SseParts {
  door: Door
  access: Access
  clock: Clock
  newId: (prefix: string) => string
}

const maxStreams = 16
const beatMs = 15_000
/** A client that takes nothing of what waits for it for so long is cut off. The log waits with it meanwhile, and nothing is lost. */
const stuckMs = 30_000
/** How long a client has to take the last event. */
const lastMs = 20_000

export function serveStreams(app: FastifyInstance, parts: SseParts): { close(): void } {
  const open = new Set<Stream>()
  parts.access.onRevoked((credential) => {
    for (const stream of open) if (stream.caller.credential === credential) stream.end('unauthorised', 'The key was revoked.')
  })
  for (const prefix of ['/api/v1', '/api']) {
    app.route({
      method: 'GET',
      url: `${prefix}/events/stream`,
      exposeHeadRoute: false,
      config: { permission: 'events:read' },
      handler: async (request, reply) => {
        if (!accepts(request.headers.accept))
          throw new CadreError('malformed', { reason: 'Send Accept: text/event-stream; GET /api/v1/events answers JSON.' })
        const caller = request.caller as Caller
        const mine = [...open].filter((stream) => sameKey(stream.caller, caller)).length
        if (mine >= maxStreams) throw new CadreError('too_many_connections', { scope: 'The key', limit: maxStreams })
        const stream = new Stream(reply.raw, caller, parts, () => open.delete(stream))
        open.add(stream)
        try {
          const input = inputOf(request)
          const begun = await parts.door.invoke('events.watch', input, { caller, trace: request.trace, session: stream.session })
          reply.hijack()
          stream.begin(begun)
        } catch (error) {
          stream.forget()
          throw error
        }
      },
    })
  }
  return {
    close() {
      for (const stream of open) stream.end('draining', 'The server stops; connect again.')
    },
  }
}

/** One client. The session is what features push frames to; here each frame becomes an event. */
class Stream {
  readonly caller: Caller
  readonly session: Session
  readonly #response: ServerResponse
  readonly #clock: Clock
  readonly #ended: () => void
  #cancelBeat = () => {}
  #cancelCut = () => {}
  #isOpen = true
  /** Bytes that the client was seen to have taken, and when that last grew. */
  #taken = 0
  #movedAt: number

  constructor(response: ServerResponse, caller: Caller, { clock, newId }: SseParts, ended: () => void) {
    this.caller = caller
    this.#response = response
    this.#clock = clock
    this.#ended = ended
    this.#movedAt = clock.now()
    this.session = {
      id: newId('sse'),
      caller,
      agent: undefined,
      mode: 'leased',
      credits: 0,
      short: false,
      send: (frame) => this.#send(frame),
      buffered: () => response.writableLength,
      close: (_code, reason) => this.end('closed', reason),
      onClose: new Set(),
    }
    response.once('close', () => this.forget())
  }

  begin(begun: OutputOf<'events.watch'>): void {
    if (!this.#isOpen) return
    this.#response.writeHead(200, {
      'Content-Type': 'text/event-stream; charset=utf-8',
      'Cache-Control': 'no-store',
      'X-Accel-Buffering': 'no',
      'X-Content-Type-Options': 'nosniff',
      'Referrer-Policy': 'no-referrer',
    })
    // The position goes with it: who is cut off before the first entry comes back to here, not to the end of the log.
    this.#response.write(`id: ${begun.after}\n${eventText('ready', JSON.stringify(begun))}`)
    this.#beat()
  }

  /** Tells why, and hangs up; what the client does not take in time is dropped with the connection. */
  end(event: string, reason: string): void {
    if (!this.#isOpen) return
    this.forget()
    const response = this.#response
    if (!response.headersSent) return void response.destroy()
    response.end(eventText(event, JSON.stringify({ reason })))
    this.#cancelCut = this.#clock.after(lastMs, () => response.destroy())
    response.once('close', this.#cancelCut)
  }

  forget(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#cancelBeat()
    for (const undo of this.session.onClose) undo()
    this.session.onClose.clear()
    this.#ended()
  }

  #send(frame: string): void {
    if (!this.#isOpen) return
    const { type, data } = JSON.parse(frame) as { type: string; data: { seq?: number; type?: string } }
    if (type !== 'event') return
    // What is not in the log has no position to come back to.
    const id = data.seq !== undefined && data.seq > 0 ? `id: ${data.seq}\n` : ''
    this.#response.write(`${id}${eventText(data.type ?? 'message', JSON.stringify(data))}`)
  }

  #beat(): void {
    const { socket, writableLength: waiting } = this.#response
    const taken = socket ? socket.bytesWritten - socket.writableLength : 0
    const now = this.#clock.now()
    if (waiting === 0 || taken > this.#taken) this.#movedAt = now
    this.#taken = taken
    if (now - this.#movedAt >= stuckMs) return this.end('slow_consumer', 'Too slow; connect again with the id of the last event.')
    if (waiting === 0) this.#response.write(': still here\n\n')
    this.#cancelBeat = this.#clock.after(beatMs, () => this.#beat())
  }
}

const eventText = (event: string, data: string): string => `event: ${event}\ndata: ${data}\n\n`

const sameKey = (a: Caller, b: Caller): boolean => a.id === b.id && a.credential === b.credential

const accepts = (header: string | undefined): boolean => header === undefined || /text\/event-stream|text\/\*|\*\/\*/.test(header)

/** Where to begin: a client that comes back says so itself, in the head, and its address still names where it began at first. */
function inputOf(request: FastifyRequest): Record<string, unknown> {
  const query = request.query as Record<string, string | string[] | undefined>
  const last = request.headers['last-event-id']
  const after = typeof last === 'string' && last !== '' ? last : query['after']
  const list = (value: string | string[] | undefined) =>
    value === undefined ? undefined : [value].flat().flatMap((text) => text.split(','))
  const topics = list(query['topics'] ?? query['topic'])
  const types = list(query['types'])
  return {
    ...(after !== undefined && { after: typeof after === 'string' && /^\d{1,15}$/.test(after) ? Number(after) : after }),
    ...(topics && { topics }),
    ...(types && { types }),
  }
}
