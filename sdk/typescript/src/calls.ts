/** Calls on their way: each gets exactly one of answer, error, time-out, abort. They outlive connections: what was not answered is sent again. */
import type { InputOf, OperationName, OutputOf } from '@cadre/contract'
import type { Clock } from './clock.ts'
import { CadreClientError, fromProblem } from './errors.ts'
import { Idle } from './idle.ts'
import type { OutboxStatus } from './outbox-port.ts'
import { isQuery } from './queries.ts'
import type { Frame } from './socket.ts'

export interface CallOptions {
  signal?: AbortSignal | undefined
  /** Milliseconds until the call is given up; 30 s unless given. The outcome is then unknown: the same key makes a retry safe. */
  timeout?: number | undefined
  /** Names the effect. A fresh UUIDv7 unless given. */
  idempotencyKey?: string | undefined
}

export interface RequestOptions extends CallOptions {
  /** Means nothing on the next connection (heartbeats, receipts): rejected instead of queued or sent again. */
  volatile?: boolean
  onDelta?: ((data: unknown) => void) | undefined
  /** Gets the answer before its caller does, to add to it. */
  onAnswer?: ((data: unknown) => void) | undefined
}

export type Call = <N extends OperationName>(name: N, input: InputOf<N>, options?: RequestOptions) => Promise<OutputOf<N>>

interface Pending {
  frame: string
  type: string
  volatile: boolean
  sent: boolean
  deltas: number
  onDelta: ((data: unknown) => void) | undefined
  onAnswer: ((data: unknown) => void) | undefined
  resolve: (data: unknown) => void
  reject: (error: unknown) => void
  release: () => void
}

export interface CallsParts {
  clock: Clock
  newKey: () => string
  isOnline: () => boolean
  send: (frame: string) => void
  /** Calls kept while offline. */
  queue: number
  timeout: number
  /** What waited for a connection has all been answered. */
  onDrain: () => void
}

const maxPending = 50_000
const maxQueuedCharacters = 64_000_000

export class Calls implements OutboxStatus {
  readonly #parts: CallsParts
  readonly #pending = new Map<string, Pending>()
  readonly #idle = new Idle()
  #next = 1
  #waiting = 0
  #characters = 0
  #waited = false
  #end: unknown
  /** Bytes of the largest frame the server takes. */
  maxFrame = 1_048_576

  constructor(parts: CallsParts) {
    this.#parts = parts
  }

  pending(): number {
    return this.#pending.size
  }

  get bytes(): number {
    return this.#characters
  }

  ready(): Promise<void> {
    return this.#refuse('', '', false) ? this.settled() : Promise.resolve()
  }

  request(type: string, data: unknown, options: RequestOptions = {}): Promise<unknown> {
    return new Promise((resolve, reject) => this.#start(type, data, options, resolve, reject))
  }

  /** An `ack` frame. True when somebody waited for it. */
  answer(frame: Frame): boolean {
    const id = String(frame.ref)
    const pending = this.#pending.get(id)
    if (!pending) return false
    const error = frame.ok ? undefined : fromProblem(frame.data)
    // A server that stops refuses with this; the call waits for the next connection.
    if (error?.code === 'draining' && !pending.volatile) {
      this.#unsend(pending)
      return true
    }
    this.#settle(id, pending)
    if (error) pending.reject(error)
    else {
      pending.onAnswer?.(frame.data)
      pending.resolve(frame.data)
    }
    return true
  }

  delta(frame: Frame): void {
    const pending = this.#pending.get(String(frame.ref))
    if (!pending || (frame.index ?? pending.deltas) < pending.deltas) return
    pending.deltas += 1
    pending.onDelta?.(frame.data)
  }

  online(): void {
    for (const pending of this.#pending.values()) if (!pending.sent) this.#send(pending)
  }

  offline(): void {
    for (const [id, pending] of this.#pending) {
      // A text already half told would be told again from its beginning, perhaps in other words.
      if (!pending.volatile && pending.deltas === 0) this.#unsend(pending)
      else {
        this.#settle(id, pending)
        pending.reject(
          new CadreClientError('connection_lost', `The connection was lost before ${pending.type} was answered.`, {
            retryable: true,
          }),
        )
      }
    }
  }

  /** Rejects what is on its way and everything that comes later. */
  end(error: unknown): void {
    this.#end = error
    for (const [id, pending] of this.#pending) {
      this.#settle(id, pending)
      pending.reject(error)
    }
  }

  /** Resolves once nothing is on its way. */
  settled(): Promise<void> {
    return this.#idle.when(this.#pending.size)
  }

  #start(
    type: string,
    data: unknown,
    options: RequestOptions,
    resolve: (data: unknown) => void,
    reject: (error: unknown) => void,
  ): void {
    const { signal, volatile = false, onDelta, onAnswer, timeout = this.#parts.timeout } = options
    if (this.#end !== undefined) return reject(this.#end)
    if (signal?.aborted) return reject(signal.reason)
    const key = volatile || isQuery(type) ? undefined : (options.idempotencyKey ?? this.#parts.newKey())
    const id = String(this.#next++)
    const frame = JSON.stringify({ type, id, key, data })
    const refused = this.#refuse(type, frame, volatile)
    if (refused) return reject(refused)
    const cancel = this.#parts.clock.after(timeout, () => {
      this.#settle(id, pending)
      reject(
        new CadreClientError('timeout', `${type} was not answered within ${timeout} ms; its outcome is unknown.`, {
          retryable: true,
          parameters: { timeout_ms: timeout, ...(key !== undefined && { idempotency_key: key }) },
        }),
      )
    })
    const abort = () => {
      this.#settle(id, pending)
      reject(signal?.reason)
    }
    signal?.addEventListener('abort', abort, { once: true })
    const release = () => {
      cancel()
      signal?.removeEventListener('abort', abort)
    }
    const pending: Pending = { frame, type, volatile, sent: true, deltas: 0, onDelta, onAnswer, resolve, reject, release }
    this.#pending.set(id, pending)
    if (this.#parts.isOnline()) this.#parts.send(frame)
    else this.#unsend(pending)
  }

  #refuse(type: string, frame: string, volatile: boolean): CadreClientError | undefined {
    // The server would close the connection over it, and it would be sent again and again.
    if (frame.length * 3 > this.maxFrame && new TextEncoder().encode(frame).length > this.maxFrame) {
      return new CadreClientError(
        'too_large',
        `${type} is over the limit of ${this.maxFrame} bytes; store the content as an artifact and send its id.`,
        { status: 413, parameters: { limit: this.maxFrame } },
      )
    }
    if (this.#parts.isOnline()) return this.#pending.size < maxPending ? undefined : queueFull(maxPending)
    if (volatile) return new CadreClientError('connection_lost', `There is no connection for ${type}.`, { retryable: true })
    return this.#waiting < this.#parts.queue && this.#characters < maxQueuedCharacters ? undefined : queueFull(this.#parts.queue)
  }

  #send(pending: Pending): void {
    pending.sent = true
    this.#waiting -= 1
    this.#characters -= pending.frame.length
    this.#parts.send(pending.frame)
  }

  #unsend(pending: Pending): void {
    if (!pending.sent) return
    pending.sent = false
    this.#waited = true
    this.#waiting += 1
    this.#characters += pending.frame.length
  }

  #settle(id: string, pending: Pending): void {
    if (!this.#pending.delete(id)) return
    pending.release()
    if (!pending.sent) {
      this.#waiting -= 1
      this.#characters -= pending.frame.length
    }
    if (this.#pending.size > 0) return
    this.#idle.wake()
    if (!this.#waited || this.#end !== undefined) return
    this.#waited = false
    this.#parts.onDrain()
  }
}

const queueFull = (limit: number): CadreClientError =>
  new CadreClientError('queue_full', `${limit} calls are waiting already; send again when the connection is back.`, {
    retryable: true,
    parameters: { limit },
  })

/** Tells the options of a call from the fields of its input. */
export function splitOptions<T extends CallOptions>(given: T): [options: CallOptions, fields: Omit<T, keyof CallOptions>] {
  const { signal, timeout, idempotencyKey, ...fields } = given
  return [{ signal, timeout, idempotencyKey }, fields]
}

/** The fields an input names, without the index signature of those that take further ones. */
export type Named<T> = { [K in keyof T as string extends K ? never : number extends K ? never : K]: T[K] }
