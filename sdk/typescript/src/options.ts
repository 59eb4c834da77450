import type { FetchLike } from './artifacts.ts'
import type { Clock } from './clock.ts'
import type { Loss } from './connection.ts'
import type { Outbox } from './outbox-port.ts'
import type { SocketClass } from './socket.ts'

export interface ConnectOptions {
  /** Name to register under. Without it the connection speaks for its credential: an operator, a dashboard. */
  agent?: string | undefined
  /** The agent's own token or an API key; CADRE_TOKEN unless given. Browsers may rely on their cookie instead. */
  token?: string | undefined
  type?: string | undefined
  capabilities?: readonly string[] | undefined
  description?: string | undefined
  metadata?: Record<string, unknown> | undefined
  /** Sent with the greeting; a server with one tenant takes no notice. */
  tenant?: string | undefined
  /** Tasks at once; 1 unless given. */
  concurrency?: number | undefined
  /** Messages handled at once; 128 unless given. */
  window?: number | undefined
  /** Calls kept while offline; 1000 unless given. Further ones are refused with `queue_full`. */
  queue?: number | undefined
  /**
   * Keeps messages, tasks, memory writes and the like on disk from the call until the server has answered, in order, also over the end
   * of the process: `fileOutbox(path)` of `@cadre/sdk/outbox-file`, `indexedDbOutbox(name)` of `@cadre/sdk/outbox-indexeddb`.
   */
  outbox?: Outbox | undefined
  /** Milliseconds after which connecting, and each call, is given up; 30 s unless given. */
  timeout?: number | undefined
  /** Closes the connection when aborted. */
  signal?: AbortSignal | undefined
  WebSocket?: SocketClass | undefined
  fetch?: FetchLike | undefined
  clock?: Clock | undefined
  /** 0..1, for jitter. */
  random?: (() => number) | undefined
}

export interface HubEvents {
  online: { resumed: boolean }
  offline: Loss
  /** Something may have been missed: read again what you keep a copy of. */
  resync: { reason: string }
  /** Nothing waits any more: the outbox is empty, or, without one, what was called without a connection has been answered. */
  drain: Record<string, never>
  /** The server stops; the connection comes back by itself. */
  draining: Record<string, never>
  /** Refused for good, or something failed that no promise stands for. */
  error: unknown
}
