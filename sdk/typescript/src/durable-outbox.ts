/**
 * Calls that outlive their process: each is on disk before it goes out and is forgotten once the server has answered. They go out in
 * the order they came in, at most 256 on their way at a time, and again under the same idempotency keys after a restart.
 * Vocabulary: admitted: has a place in the order. waiter: who called and still waits for the answer.
 */
import type { InputOf, OperationName } from '@cadre/contract'
import { pack } from './binary.ts'
import type { RequestOptions } from './calls.ts'
import { CadreClientError, closedError } from './errors.ts'
import type { Outbox, OutboxWire, Queued } from './outbox-port.ts'

export interface OutboxOptions {
  /** Calls it holds; 10,000 unless given. */
  maxCalls?: number
  /** Bytes of their inputs; 64 MiB unless given. */
  maxBytes?: number
  /** What a call meets when it is full: `queue_full`, or a wait for room as long as its time-out allows. `reject` unless given. */
  whenFull?: 'reject' | 'wait'
}

/** A call as it is kept. */
export interface StoredCall {
  /** Its place in the order. */
  seq: number
  key: string
  name: string
  /** JSON of its input. */
  data: string
}

/** Where calls are kept. Its functions are called one at a time. */
export interface OutboxStore {
  /** Takes it for this process alone (`outbox_locked` otherwise) and answers what is in it, and how many records could not be read. */
  open(): Promise<{ calls: StoredCall[]; damaged: number }>
  /** Adds and removes. What was added is durable when it resolves, and none of it is kept when it rejects. */
  write(added: readonly StoredCall[], removed: readonly StoredCall[]): Promise<void>
  close(): Promise<void>
}

/**
 * Commands whose effect stands by itself. Not among them: questions, what belongs to one connection (subscriptions, tools, leases), and
 * what is asked for its answer alone (`messages.ask`, `tools.call`, `models.generate`).
 */
const kept: ReadonlySet<string> = new Set([
  'messages.send',
  'messages.publish',
  'messages.reply',
  'tasks.create',
  'tasks.dag',
  'tasks.update',
  'tasks.cancel',
  'tasks.complete',
  'tasks.fail',
  'memory.set',
  'memory.delete',
  'knowledge.add',
  'knowledge.delete',
])

const usualCalls = 10_000
const usualBytes = 64 * 1024 * 1024
const onTheirWay = 256
const tries = 10
const longestPause = 30_000
/** The answer is waited for as long as it takes; callers have time-outs of their own. */
const forever = 2_147_483_647

interface Waiter {
  resolve: (answer: unknown) => void
  reject: (error: unknown) => void
  onAnswer: RequestOptions['onAnswer']
}

interface Entry {
  call: StoredCall
  size: number
  state: 'outside' | 'writing' | 'stored' | 'sent' | 'gone'
  tries: number
  waiter: Waiter | undefined
  /** For `add`: it is durable, or will never be. */
  onStored: { resolve: () => void; reject: (error: unknown) => void } | undefined
}

export class DurableOutbox implements Outbox {
  readonly #store: OutboxStore
  readonly #maxCalls: number
  readonly #maxBytes: number
  readonly #whenFull: 'reject' | 'wait'
  readonly #entries = new Map<number, Entry>()
  readonly #roomWanted = new Set<() => void>()
  readonly #emptyWanted = new Set<() => void>()
  /** Wait for room, in the order they came. */
  #outside: Entry[] = []
  #unwritten: Entry[] = []
  #removed: StoredCall[] = []
  #unsent: Entry[] = []
  #sent = 0
  #bytes = 0
  #nextSeq = 1
  #damaged = 0
  #wire: OutboxWire | undefined
  #state: 'closed' | 'opening' | 'open' | 'closing' = 'closed'
  #writing: Promise<void> | undefined
  #cancelPause: (() => void) | undefined

  constructor(store: OutboxStore, { maxCalls = usualCalls, maxBytes = usualBytes, whenFull = 'reject' }: OutboxOptions = {}) {
    this.#store = store
    this.#maxCalls = maxCalls
    this.#maxBytes = maxBytes
    this.#whenFull = whenFull
  }

  pending(): number {
    return this.#entries.size + this.#outside.length
  }

  get bytes(): number {
    return this.#bytes
  }

  ready(): Promise<void> {
    return this.#hasRoom(1) ? Promise.resolve() : new Promise((resolve) => this.#roomWanted.add(resolve))
  }

  settled(): Promise<void> {
    return this.pending() === 0 ? Promise.resolve() : new Promise((resolve) => this.#emptyWanted.add(resolve))
  }

  async open(wire: OutboxWire): Promise<void> {
    if (this.#state !== 'closed') throw new CadreClientError('outbox_locked', 'This outbox is in use by another connection.')
    this.#state = 'opening'
    try {
      const { calls, damaged } = await this.#store.open()
      for (const call of calls.toSorted((one, other) => one.seq - other.seq)) this.#restore(call)
      this.#wire = wire
      this.#state = 'open'
      this.#damaged = damaged
    } catch (error) {
      this.#state = 'closed'
      throw error
    }
  }

  request(name: string, data: unknown, options: RequestOptions = {}): Promise<unknown> {
    const wire = this.#wire
    if (!wire) return Promise.reject(closedError())
    if (options.volatile || !kept.has(name)) return wire.request(name, data, options)
    return new Promise((resolve, reject) => {
      const { signal, timeout = wire.timeout, onAnswer } = options
      if (signal?.aborted) return reject(signal.reason)
      const key = options.idempotencyKey ?? wire.newKey()
      const entry = this.#entry(name, data, key)
      const abort = () => {
        this.#withdraw(entry)
        entry.waiter?.reject(signal?.reason)
      }
      const cancel = wire.clock.after(timeout, () => {
        const queued = entry.state !== 'outside'
        if (!queued) this.#withdraw(entry)
        entry.waiter?.reject(tooLong(name, key, timeout, queued))
      })
      signal?.addEventListener('abort', abort, { once: true })
      const release = () => {
        entry.waiter = undefined
        cancel()
        signal?.removeEventListener('abort', abort)
      }
      entry.waiter = {
        onAnswer,
        resolve(answer) {
          release()
          resolve(answer)
        },
        reject(error) {
          release()
          reject(error)
        },
      }
      this.#enter(entry)
    })
  }

  add<N extends OperationName>(
    name: N,
    input: InputOf<N>,
    { idempotencyKey }: { idempotencyKey?: string } = {},
  ): Promise<Queued> {
    return new Promise((resolve, reject) => {
      const wire = this.#wire
      if (!wire) return reject(closedError())
      if (!kept.has(name)) return reject(new TypeError(`${name} cannot be kept; these can: ${[...kept].join(', ')}`))
      const key = idempotencyKey ?? wire.newKey()
      const data = 'content' in input ? { ...input, content: pack(input.content) } : input
      const entry = this.#entry(name, data, key)
      entry.onStored = { resolve: () => resolve({ queued: true, key }), reject }
      this.#enter(entry)
    })
  }

  online(): void {
    this.#cancelPause?.()
    this.#cancelPause = undefined
    this.#tellDamage()
    this.#pump()
  }

  async close(): Promise<void> {
    if (this.#state !== 'open') return
    this.#state = 'closing'
    this.#wire = undefined
    this.#cancelPause?.()
    this.#cancelPause = undefined
    for (const entry of this.#outside) this.#fail(entry, closedError())
    for (const entry of this.#entries.values()) entry.waiter?.reject(closedError())
    this.#outside = []
    await this.#write()
    await this.#store.close()
    this.#entries.clear()
    this.#unsent = []
    this.#sent = 0
    this.#bytes = 0
    this.#state = 'closed'
    this.#tellRoom()
    for (const wake of this.#emptyWanted) wake()
    this.#emptyWanted.clear()
  }

  #entry(name: string, data: unknown, key: string): Entry {
    const text = JSON.stringify(data)
    const call = { seq: 0, key, name, data: text }
    const size = new TextEncoder().encode(text).length
    return { call, size, state: 'outside', tries: 0, waiter: undefined, onStored: undefined }
  }

  #restore(call: StoredCall): void {
    const entry = this.#entry(call.name, null, call.key)
    entry.call = call
    entry.size = new TextEncoder().encode(call.data).length
    entry.state = 'stored'
    this.#entries.set(call.seq, entry)
    this.#unsent.push(entry)
    this.#bytes += entry.size
    this.#nextSeq = Math.max(this.#nextSeq, call.seq + 1)
  }

  #hasRoom(size: number): boolean {
    return this.#entries.size < this.#maxCalls && this.#bytes + size <= this.#maxBytes
  }

  #enter(entry: Entry): void {
    if (entry.size > this.#maxBytes) {
      return this.#fail(entry, new CadreClientError('too_large', `${entry.call.name} is larger than the whole outbox.`))
    }
    if (this.#outside.length === 0 && this.#hasRoom(entry.size)) return this.#admit(entry)
    // Those who wait cost memory too.
    if (this.#whenFull === 'wait' && this.#outside.length < usualCalls) this.#outside.push(entry)
    else this.#fail(entry, outboxFull(this.#entries.size, this.#bytes))
  }

  #admit(entry: Entry): void {
    entry.call.seq = this.#nextSeq++
    entry.state = 'writing'
    this.#entries.set(entry.call.seq, entry)
    this.#bytes += entry.size
    this.#unwritten.push(entry)
    void this.#write()
  }

  #fail(entry: Entry, error: unknown): void {
    entry.state = 'gone'
    entry.waiter?.reject(error)
    entry.onStored?.reject(error)
  }

  /** Takes it back when it is not on its way yet; otherwise only nobody waits for it any more. */
  #withdraw(entry: Entry): void {
    if (entry.state === 'outside') {
      this.#outside = this.#outside.filter((each) => each !== entry)
      entry.state = 'gone'
      this.#tellEmpty()
    } else if (entry.state === 'writing') entry.state = 'gone'
    else if (entry.state === 'stored') {
      this.#unsent = this.#unsent.filter((each) => each !== entry)
      this.#forget(entry)
    }
  }

  /** One write takes all calls of a turn, and all that came while the last one was synced. */
  #write(): Promise<void> {
    this.#writing ??= this.#writeAll()
    return this.#writing
  }

  async #writeAll(): Promise<void> {
    await Promise.resolve()
    while (this.#unwritten.length > 0 || this.#removed.length > 0) {
      const added = this.#unwritten
      const removed = this.#removed
      this.#unwritten = []
      this.#removed = []
      let failure: unknown
      try {
        await this.#store.write(
          added.map(({ call }) => call),
          removed,
        )
      } catch (cause) {
        const message = `The outbox could not be written: ${cause instanceof Error ? cause.message : String(cause)}`
        failure = new CadreClientError('outbox_failed', message, { retryable: true, cause })
        // Forgetting failed too: they would only be sent again, under their keys, after a restart.
        if (added.length === 0) this.#wire?.onError(failure)
      }
      for (const entry of added) {
        if (failure !== undefined) this.#fail(entry, failure)
        else if (entry.state === 'gone') this.#removed.push(entry.call)
        if (entry.state === 'gone') this.#forget(entry)
        else {
          entry.state = 'stored'
          this.#unsent.push(entry)
          entry.onStored?.resolve()
          entry.onStored = undefined
        }
      }
      this.#pump()
    }
    this.#writing = undefined
  }

  #pump(): void {
    const wire = this.#wire
    if (!wire || this.#cancelPause) return
    while (this.#sent < onTheirWay && this.#unsent.length > 0 && wire.isOnline()) {
      const entry = this.#unsent.shift() as Entry
      const { name, key, data } = entry.call
      entry.state = 'sent'
      this.#sent += 1
      wire.request(name, JSON.parse(data), { idempotencyKey: key, timeout: forever, onAnswer: entry.waiter?.onAnswer }).then(
        (answer) => this.#answered(entry, wire, () => entry.waiter?.resolve(answer)),
        (error: unknown) => this.#refused(entry, wire, error),
      )
    }
  }

  #answered(entry: Entry, wire: OutboxWire, tell: () => void): void {
    tell()
    // Closed meanwhile: what is in the file is sent again and answered as a duplicate.
    if (wire !== this.#wire) return
    this.#sent -= 1
    this.#forget(entry)
    this.#pump()
  }

  #refused(entry: Entry, wire: OutboxWire, error: unknown): void {
    if (wire !== this.#wire) return entry.waiter?.reject(error)
    const code = error instanceof CadreClientError ? error.code : ''
    if (code === 'closed') return entry.waiter?.reject(error)
    const passing = error instanceof CadreClientError && error.retryable && entry.waiter === undefined
    if (passing && entry.tries < tries) return this.#putBack(entry, wire, error)
    this.#answered(entry, wire, () => {
      if (entry.waiter) entry.waiter.reject(error)
      else wire.onError(dropped(entry.call, error))
    })
  }

  /** Nobody waits who could try again: it keeps its place, and everything behind it waits with it. */
  #putBack(entry: Entry, wire: OutboxWire, error: CadreClientError): void {
    this.#sent -= 1
    entry.tries += 1
    entry.state = 'stored'
    const place = this.#unsent.findIndex(({ call }) => call.seq > entry.call.seq)
    this.#unsent.splice(place < 0 ? this.#unsent.length : place, 0, entry)
    const told = Number(error.parameters['retry_after_s'] ?? 0) * 1000
    const pause = Math.min(longestPause, Math.max(told, 250 * 2 ** entry.tries))
    this.#cancelPause ??= wire.clock.after(pause, () => this.online())
  }

  #forget(entry: Entry): void {
    const wasStored = entry.state !== 'gone'
    entry.state = 'gone'
    if (!this.#entries.delete(entry.call.seq)) return
    this.#bytes -= entry.size
    if (wasStored) {
      this.#removed.push(entry.call)
      void this.#write()
    }
    while (this.#outside[0] && this.#hasRoom(this.#outside[0].size)) this.#admit(this.#outside.shift() as Entry)
    this.#tellRoom()
    this.#tellEmpty()
  }

  #tellDamage(): void {
    const wire = this.#wire
    if (!wire || this.#damaged === 0) return
    const parameters = { damaged: this.#damaged, kept: this.#entries.size }
    const error = new CadreClientError('outbox_failed', `${this.#damaged} records of the outbox cannot be read.`, { parameters })
    this.#damaged = 0
    // The first connection is not in the hands of its user yet, so nobody listens before this turn has ended.
    wire.clock.after(0, () => wire.onError(error))
  }

  #tellRoom(): void {
    if (!this.#hasRoom(1)) return
    for (const wake of this.#roomWanted) wake()
    this.#roomWanted.clear()
  }

  #tellEmpty(): void {
    if (this.pending() > 0) return
    for (const wake of this.#emptyWanted) wake()
    this.#emptyWanted.clear()
    this.#wire?.onDrain()
  }
}

const tooLong = (name: string, key: string, timeout: number, queued: boolean): CadreClientError =>
  new CadreClientError(
    'timeout',
    queued
      ? `${name} was not answered within ${timeout} ms; it stays in the outbox and is sent from there, so do not send it anew.`
      : `There was no room in the outbox for ${name} within ${timeout} ms.`,
    { retryable: !queued, parameters: { queued, idempotency_key: key, timeout_ms: timeout } },
  )

const outboxFull = (calls: number, bytes: number): CadreClientError =>
  new CadreClientError('queue_full', `The outbox holds ${calls} calls of ${bytes} bytes already; wait for its ready().`, {
    retryable: true,
    parameters: { calls, bytes },
  })

/** The error of a call that nobody waits for, with what identifies it. */
const dropped = ({ name, key }: StoredCall, cause: unknown): CadreClientError => {
  const { code, message, status } = cause as Partial<CadreClientError>
  return new CadreClientError(code ?? 'bad_answer', `${name} of the outbox was refused and dropped: ${message}`, {
    status,
    cause,
    parameters: { operation: name, idempotency_key: key },
  })
}
