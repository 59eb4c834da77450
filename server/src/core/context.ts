/** What every handler receives beside its input. */
import type { OperationName, Receipt, Role } from '@cadre/contract'
import type { Tx } from '../drivers/database/port.ts'
import type { Session } from './sessions.ts'

export interface Principal {
  /** Interned id: stands in the log and in every index. */
  readonly id: number
  readonly publicId: string
  readonly name: string
  readonly kind: 'agent' | 'person' | 'key' | 'system'
  readonly tenant: number
}

export interface Caller extends Principal {
  readonly role: Role
  /** Id of the key it came with; a browser's cookie and the local operator have none. */
  readonly credential?: string
}

/** A fact to be logged in the transaction that makes it true. */
export interface NewEntry {
  type: string
  subject: string | null
  data: unknown
  task?: string | null
}

export interface WriteTx extends Tx {
  emit(entry: NewEntry): void
}

export interface Context {
  readonly caller: Caller
  readonly tenant: number
  readonly operation: OperationName | 'engine'
  readonly trace: string
  /** The one the caller sent. Without it `trace` is made when somebody asks for it. */
  readonly givenTrace?: string | undefined
  readonly signal: AbortSignal
  readonly idempotencyKey: string | undefined
  /** The socket the call came on, if any. */
  readonly session: Session | undefined
  /** The raw body of an upload. */
  readonly upload: AsyncIterable<Uint8Array> | undefined
  /** Streaming operations hand their deltas out here; they are not durable. */
  readonly delta: ((index: number, data: unknown) => void) | undefined
  /**
   * The one way to change state: runs `work` in a transaction together with the idempotency row and the log entries it emits, and
   * answers its value with a receipt. The receipt is null when nothing was emitted: nothing changed. `keyed: false` is for operations
   * whose idempotency is their own record.
   */
  write<T extends object>(work: (tx: WriteTx) => Promise<T>, options?: { keyed: false }): Promise<T & { receipt: Receipt | null }>
}
