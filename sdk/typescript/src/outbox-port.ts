/** What a hub asks of a store of calls that outlives it. Two are made: `@cadre/sdk/outbox-file` and `@cadre/sdk/outbox-indexeddb`. */
import type { InputOf, OperationName } from '@cadre/contract'
import type { RequestOptions } from './calls.ts'
import type { Clock } from './clock.ts'

export interface OutboxStatus {
  /** Calls that the server has not answered yet. */
  pending(): number
  /** Their size: bytes of a durable outbox, characters of the queue in memory. */
  readonly bytes: number
  /** Resolves once there is room for another call. */
  ready(): Promise<void>
}

export interface Queued {
  queued: true
  /** The idempotency key it is sent under, now and after every restart. */
  key: string
}

export interface Outbox extends OutboxStatus {
  /**
   * Hands a call over: resolves once it is durable here, without waiting for the server. A refusal that may pass is tried again with
   * growing waits; what is refused for good is told as the hub's `error` event and dropped.
   */
  add<N extends OperationName>(name: N, input: InputOf<N>, options?: { idempotencyKey?: string }): Promise<Queued>
  /** For the hub: everything below. Rejects with `outbox_locked` when somebody else has it open. */
  open(wire: OutboxWire): Promise<void>
  request(type: string, data: unknown, options?: RequestOptions): Promise<unknown>
  online(): void
  /** Resolves once it is empty. */
  settled(): Promise<void>
  /** What was not answered stays for the next time. */
  close(): Promise<void>
}

export interface OutboxWire {
  request(type: string, data: unknown, options?: RequestOptions): Promise<unknown>
  isOnline(): boolean
  newKey(): string
  clock: Clock
  /** Milliseconds a caller waits for its answer unless it says otherwise. */
  timeout: number
  onError(error: unknown): void
  onDrain(): void
}
