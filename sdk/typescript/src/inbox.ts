/**
 * The agent's inbox on this side: runs handlers, acknowledges what they finished, keeps long ones leased, and gives credits back.
 * Vocabulary: delivery: one message handed to this agent, numbered by `seq` within its connection. settled: nothing more is owed for it.
 */
import type { Delivery } from '@cadre/contract'
import { pack } from './binary.ts'
import type { RequestOptions } from './calls.ts'
import type { Clock } from './clock.ts'
import { CadreClientError, Reject, Retry, hasCode, messageOf } from './errors.ts'
import { type MessageContext, type MessageFilter, type MessageHandler, Handlers } from './handlers.ts'
import { Idle } from './idle.ts'

const usualLease = 30_000
/** Thrown by a handler that goes away before it looked: not a failed attempt, but a message for whoever else listens, now or later. */
export const untaken = new Retry({ after: 0, reason: 'not looked at' })
/** Ids of messages done with: a lost acknowledgement brings one again, and it must not be handled twice. */
const rememberedIds = 4096
const receiptsPerCall = 1000

type State = 'running' | 'returning' | 'done' | 'confirming' | 'settled'

interface Entry {
  id: string
  /** Undefined: the connection it came on is gone and only its receipt stands for it. */
  seq: number | undefined
  receipt: string
  state: State
  lease: number
  extendedAt: number
  abort: AbortController | undefined
}

export interface InboxParts {
  clock: Clock
  /** The server's time, once a heartbeat told it. */
  serverNow: () => number | undefined
  request: (type: string, data: unknown, options?: RequestOptions) => Promise<unknown>
  /** Adds a frame that has no answer. */
  push: (frame: string) => void
  /** Ends this turn in a write, so that `collect` runs. */
  touch: () => void
  isOnline: () => boolean
  window: number
}

export class Inbox {
  readonly #parts: InboxParts
  readonly #handlers = new Handlers()
  readonly #running = new Map<string, Entry>()
  readonly #order = new Map<number, Entry>()
  readonly #handled = new Set<string>()
  readonly #idle = new Idle()
  /** Finished without a place in the order, or behind one that still runs. */
  readonly #loose = new Set<Entry>()
  /** Held while nobody listens: it is the next handler's. */
  readonly #parked = new Map<Entry, Delivery>()
  #credits = 0
  #lastSeq: number | undefined
  #acknowledged: number | undefined
  #cancelExtend: (() => void) | undefined
  #extendDue = 0
  #draining = false

  constructor(parts: InboxParts) {
    this.#parts = parts
  }

  get lastSeq(): number | undefined {
    return this.#lastSeq
  }

  handle(handler: MessageHandler, filter: MessageFilter): () => void {
    const remove = this.#handlers.add(handler, filter)
    const parked = [...this.#parked]
    this.#parked.clear()
    for (const [entry, message] of parked) void this.#run(entry, message)
    this.#parts.touch()
    return remove
  }

  /** The first window of a connection. Nobody listens, nothing is sent. */
  openingCredits(): number {
    this.#credits = this.#room()
    return this.#credits
  }

  /** `resumed`: the server goes on numbering where the last connection ended, and still counts what was not acknowledged as sent. */
  online(resumed: boolean): void {
    if (resumed) {
      // The acknowledgement may have been lost with the connection.
      if (this.#acknowledged !== undefined) this.#parts.push(JSON.stringify({ type: 'flow', ack: this.#acknowledged }))
    } else {
      for (const entry of this.#order.values()) entry.seq = undefined
      this.#order.clear()
      this.#acknowledged = undefined
      this.#lastSeq = undefined
    }
    this.#parts.touch()
  }

  receive(seq: number, given: ShortDelivery): void {
    const message = whole(given)
    this.#credits -= 1
    this.#lastSeq = seq
    const now = this.#parts.clock.now()
    const former = this.#running.get(message.id)
    if (former) {
      // Sent again while its handler still runs: the newest receipt counts.
      if (former.seq !== undefined) this.#order.delete(former.seq)
      former.seq = seq
      former.receipt = message.receipt
      former.extendedAt = now
      this.#order.set(seq, former)
      return
    }
    const serverNow = this.#parts.serverNow()
    const lease = serverNow === undefined ? usualLease : Date.parse(message.lease_until) - serverNow
    const entry: Entry = {
      id: message.id,
      seq,
      receipt: message.receipt,
      state: 'running',
      lease: Math.max(300, Math.min(lease, 3_600_000)),
      extendedAt: now,
      abort: undefined,
    }
    this.#order.set(seq, entry)
    if (this.#handled.has(message.id) && !message.replay) return this.#done(entry)
    // It is not begun; its lease runs out and it comes to the next connection.
    if (this.#draining) return
    this.#running.set(entry.id, entry)
    this.#watchLeases(entry.lease / 3)
    void this.#run(entry, message)
  }

  /** Puts this turn's acknowledgements and credits into the write. */
  collect(): void {
    if (!this.#parts.isOnline()) return
    let ack: number | undefined
    for (const [seq, entry] of this.#order) {
      if (entry.state !== 'done' && entry.state !== 'settled') break
      this.#order.delete(seq)
      if (entry.state === 'done') {
        ack = seq
        entry.state = 'settled'
      }
    }
    if (ack !== undefined) this.#acknowledged = ack
    const credits = Math.max(0, this.#room() - this.#credits)
    this.#credits += credits
    if (ack !== undefined || credits > 0) {
      this.#parts.push(JSON.stringify({ type: 'flow', ack, credits: credits || undefined }))
    }
    const loose = [...this.#loose].filter((entry) => entry.state === 'done')
    this.#loose.clear()
    for (let at = 0; at < loose.length; at += receiptsPerCall) void this.#confirm(loose.slice(at, at + receiptsPerCall))
  }

  drain(): void {
    this.#draining = true
    for (const entry of this.#parked.keys()) void this.#reject(entry, untaken)
    this.#parked.clear()
  }

  /** Resolves once no handler runs. */
  idle(): Promise<void> {
    return this.#idle.when(this.#running.size)
  }

  close(reason: unknown): void {
    this.#draining = true
    this.#cancelExtend?.()
    for (const entry of this.#running.values()) entry.abort?.abort(reason)
    this.#running.clear()
    this.#parked.clear()
    this.#idle.wake()
  }

  #room(): number {
    return this.#handlers.size === 0 || this.#draining ? 0 : Math.max(0, this.#parts.window - this.#running.size)
  }

  async #run(entry: Entry, message: Delivery): Promise<void> {
    if (this.#handlers.size === 0) {
      this.#parked.set(entry, message)
      return
    }
    const handlers = this.#handlers.for(message)
    const context = this.#context(entry, message)
    try {
      if (handlers.length === 0) refuseUnhandled(message)
      let reply: unknown
      for (const handler of handlers) {
        const value = await handler(message, context.given)
        reply ??= value
      }
      if (reply !== undefined && message.kind === 'request' && !context.replied()) await context.given.reply(reply)
      if (context.replied()) this.#settle(entry, 'settled')
      else this.#settle(entry, 'done')
    } catch (error) {
      // The reply was stored and the message acknowledged with it; what came after is the handler's own trouble.
      if (context.replied() || hasCode(error, 'stale_receipt')) this.#settle(entry, 'settled')
      else if (error === untaken && !this.#draining) await this.#run(entry, message)
      else await this.#reject(entry, error)
    }
  }

  #context(entry: Entry, message: Delivery): { given: MessageContext; replied: () => boolean } {
    const { request } = this.#parts
    let answered = false
    const given: MessageContext = {
      message,
      attempt: message.attempt,
      get signal() {
        entry.abort ??= new AbortController()
        return entry.abort.signal
      },
      async reply(content) {
        if (answered) throw new CadreClientError('conflict', 'This message was answered already.')
        answered = true
        try {
          await request('messages.reply', { reply_to: message.id, content: pack(content), receipt: entry.receipt })
        } catch (error) {
          answered = false
          throw error
        }
      },
      extend: async (ms = usualLease) => {
        entry.lease = ms
        entry.extendedAt = this.#parts.clock.now()
        await request('messages.extend', { receipt: entry.receipt, lease_ms: ms }, { volatile: true })
      },
    }
    return { given, replied: () => answered }
  }

  async #reject(entry: Entry, error: unknown): Promise<void> {
    // Closed in the middle: not a failure of the message, which comes again.
    if (!this.#running.has(entry.id)) return
    const after = error instanceof Retry ? error.after : undefined
    // From here on the same message may come again as a new delivery, in the same breath as the answer.
    entry.state = 'returning'
    this.#forget(entry)
    try {
      await this.#parts.request('messages.reject', {
        receipt: entry.receipt,
        reason: messageOf(error).slice(0, 4000),
        delay_ms: after,
        dead: error instanceof Reject || undefined,
      })
    } catch {
      // Its lease runs out and it comes again all the same.
    }
    entry.state = 'settled'
    this.#parts.touch()
  }

  #settle(entry: Entry, state: 'done' | 'settled'): void {
    this.#forget(entry)
    this.#handled.add(entry.id)
    for (const oldest of this.#handled) {
      if (this.#handled.size <= rememberedIds) break
      this.#handled.delete(oldest)
    }
    if (state === 'done') this.#done(entry)
    else {
      entry.state = 'settled'
      this.#parts.touch()
    }
  }

  #done(entry: Entry): void {
    entry.state = 'done'
    this.#loose.add(entry)
    this.#parts.touch()
  }

  #forget(entry: Entry): void {
    if (this.#running.get(entry.id) === entry) this.#running.delete(entry.id)
    if (this.#running.size === 0) this.#idle.wake()
  }

  async #confirm(entries: readonly Entry[]): Promise<void> {
    for (const entry of entries) entry.state = 'confirming'
    try {
      await this.#parts.request('messages.acknowledge', { receipts: entries.map((entry) => entry.receipt) }, { volatile: true })
    } catch (error) {
      // One receipt that is no longer current refuses them all.
      if (hasCode(error, 'stale_receipt') && entries.length > 1) {
        await Promise.all(entries.map((entry) => this.#confirm([entry])))
        return
      }
      if (hasCode(error, 'connection_lost')) {
        for (const entry of entries) this.#done(entry)
        return
      }
    }
    for (const entry of entries) entry.state = 'settled'
    this.#parts.touch()
  }

  // A handler that runs longer than a third of its lease gets a new one.
  #watchLeases(within: number): void {
    const { clock, request, isOnline } = this.#parts
    const due = clock.now() + within
    if (this.#cancelExtend && due >= this.#extendDue) return
    this.#cancelExtend?.()
    this.#extendDue = due
    this.#cancelExtend = clock.after(within, () => {
      this.#cancelExtend = undefined
      const now = clock.now()
      let next = Infinity
      for (const entry of this.#running.values()) {
        if (now - entry.extendedAt >= entry.lease / 3 && isOnline()) {
          entry.extendedAt = now
          request('messages.extend', { receipt: entry.receipt, lease_ms: Math.ceil(entry.lease) }, { volatile: true }).catch(
            () => {
              // No longer current: it comes again under the same id and finds its handler running.
            },
          )
        }
        next = Math.min(next, entry.lease / 3)
      }
      if (next < Infinity) this.#watchLeases(next)
    })
  }
}

/** What a server that was asked for short deliveries leaves out. */
export type ShortDelivery = Partial<Delivery> & Pick<Delivery, 'id' | 'type' | 'receipt' | 'lease_until'>

const whole = (given: ShortDelivery): Delivery =>
  ({
    message_id: given.id,
    topic: null,
    message_type: given.type,
    metadata: {},
    conversation_id: given.id,
    sender_seq: 1,
    reply_to: null,
    task_id: null,
    artifacts: [],
    late: false,
    expires_at: null,
    attempt: 1,
    replay: false,
    ...given,
  }) as Delivery

/** What nobody wants of a broadcast or topic is done with; a message sent to this agent alone must not vanish unseen. */
function refuseUnhandled(message: Delivery): void {
  if (message.kind === 'broadcast' || message.kind === 'response' || message.topic !== null) return
  throw new Error(`no handler takes messages of the type ${message.type}`)
}
