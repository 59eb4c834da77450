/** The part of the WebSocket interface that is used; browsers, Node, Bun, Deno and the `ws` package have it. */
export interface SocketLike {
  send(text: string): void
  close(code?: number, reason?: string): void
  addEventListener(type: 'open' | 'message' | 'close' | 'error', listener: (event: unknown) => void): void
}
export type SocketClass = new (url: string, protocols?: string[]) => SocketLike

/** Says that several frames may share a text message in both directions. */
export const subprotocol = 'cadre.v1.json'

export interface SocketEvent {
  data?: unknown
  code?: number
  reason?: string
}

/** A frame in either direction, before anyone looked into it. */
export interface Frame {
  type: string
  id?: string | number
  ref?: string | number | null
  ok?: boolean
  key?: string
  seq?: number
  index?: number
  data?: unknown
}

export interface Endpoints {
  socket: string
  http: string
}

interface Surroundings {
  process?: { env?: Record<string, string | undefined> }
  location?: { origin?: string }
}

/** A variable of the environment, where there is one. */
export const environment = (name: string): string | undefined => (globalThis as Surroundings).process?.env?.[name] || undefined

/** `http://host`, `ws://host/ws` and the like -> both addresses. A path in front is kept: servers live behind proxies. */
export function resolveEndpoints(url: string | URL | undefined): Endpoints {
  const origin = (globalThis as Surroundings).location?.origin
  const given = url ?? environment('CADRE_URL') ?? (origin?.startsWith('http') ? origin : 'http://localhost:8000')
  const parsed = new URL(given)
  const scheme = /^(?:http|ws)(s?):$/.exec(parsed.protocol)
  if (!scheme) {
    throw new TypeError(`${String(given)} is no address of a server; it begins with http(s):// or ws(s)://`)
  }
  const rest = `${scheme[1]}://${parsed.host}${parsed.pathname.replace(/(\/ws)?\/*$/, '')}`
  return { socket: `ws${rest}/ws`, http: `http${rest}` }
}

/** The frames in a text message: one, or an array of them. Throws when it is neither. */
export function parseFrames(text: unknown): Frame[] {
  const value = JSON.parse(String(text)) as unknown
  const frames = Array.isArray(value) ? (value as unknown[]) : [value]
  if (!frames.every(isFrame)) throw new TypeError('a frame is an object with a type')
  return frames
}

function isFrame(value: unknown): value is Frame {
  return typeof value === 'object' && value !== null && typeof (value as Frame).type === 'string'
}
