/** Receipts: what became of a message, for who sent it, and waiting for it without asking again and again. */
import { CadreError, type MessageReceipt } from '@cadre/contract'
import { type Clock, isoOrNull } from '../../core/clock.ts'
import type { Context } from '../../core/context.ts'
import type { Directory } from '../../core/directory.ts'
import type { EventLog } from '../../core/events.ts'
import type { Handlers } from '../../core/invoke.ts'
import { type DeliveryState, type DeliveryStates, statusFrom } from './delivery-states.ts'
import { messageId, recipientsOf } from './envelope.ts'
import type { Ownership } from './ownership.ts'
import type { MessageRow } from './store.ts'

export type Receipts = Pick<Handlers, 'messages.receipt' | 'messages.wait'>

export interface ReceiptParts {
  directory: Directory
  clock: Clock
  log: EventLog
  states: DeliveryStates
  ownership: Ownership
}

type Goal = 'delivered' | 'acknowledged'

const maxListed = 100
const maxWaiting = 10_000
const maxWaitingPerCaller = 256

/** What concerns the sender most stands first. */
const order: readonly DeliveryState['state'][] = ['dead', 'expired', 'ready', 'leased', 'acknowledged']

export function makeReceipts(parts: ReceiptParts): { handlers: Receipts; close(): void } {
  const { directory, clock, states } = parts
  const news = new News(parts)

  /** A message whose receipt the caller may ask for. Throws `not_found`, and `forbidden` for those who only received it. */
  async function sent(context: Context, id: string): Promise<MessageRow> {
    const row = await parts.ownership.visible(context, id)
    if (context.caller.role === 'agent' && row.actor !== context.caller.id)
      throw new CadreError('forbidden', { reason: 'What became of a message is told to its sender.' })
    return row
  }

  async function receiptOf(row: MessageRow): Promise<MessageReceipt> {
    const deliveries = await states.of(row)
    const counts = { ready: 0, leased: 0, acknowledged: 0, dead: 0, expired: 0 }
    for (const { state } of deliveries) counts[state] += 1
    return {
      message_id: messageId(row.seq),
      status: statusFrom(new Set(deliveries.map(({ state }) => state))),
      recipient_count: deliveries.length,
      counts,
      deliveries: deliveries
        .toSorted((a, b) => order.indexOf(a.state) - order.indexOf(b.state))
        .slice(0, maxListed)
        .map(({ agent, state, attempt, at, reason }) => ({
          agent_id: directory.byId(agent).publicId,
          agent: directory.byId(agent).name,
          state,
          attempt,
          at: isoOrNull(at),
          reason,
        })),
    }
  }

  /** True when every copy reached the goal, false when one never can or the time is over. */
  async function reaches(row: MessageRow, goal: Goal, timeoutMs: number, { caller, signal }: Context): Promise<boolean> {
    const open = new Set(recipientsOf(row))
    if (open.size === 0) return false
    const until = clock.now() + timeoutMs
    // Listening begins before the look: what happens during it must still be heard.
    const listening = news.listen(row.seq, caller.id, signal)
    try {
      let asked: Iterable<number> = open
      for (;;) {
        // Only of those that something happened to: a broadcast to thousands settles one by one.
        for (const delivery of await states.of(row, [...asked])) {
          const end = judge(delivery, goal)
          if (end === 'never') return false
          if (end === 'reached') open.delete(delivery.agent)
        }
        if (open.size === 0) return true
        const left = until - clock.now()
        if (left <= 0) return false
        asked = (await listening.next(left)).filter((agent) => open.has(agent))
      }
    } finally {
      listening.end()
    }
  }

  return {
    handlers: {
      'messages.receipt': async (context, input) => receiptOf(await sent(context, input.id)),

      'messages.wait': async (context, input) => {
        const row = await sent(context, input.id)
        const reached = await reaches(row, input.state, input.timeout_ms, context)
        return { ...(await receiptOf(row)), reached }
      },
    },
    close: () => news.close(),
  }
}

/** Delivered is what an agent took, also when it failed with it afterwards. */
function judge({ state, attempt }: DeliveryState, goal: Goal): 'reached' | 'never' | 'open' {
  if (state === 'acknowledged') return 'reached'
  if (goal === 'delivered' && attempt !== null && attempt > 0) return 'reached'
  return state === 'dead' || state === 'expired' ? 'never' : 'open'
}

const telling = new Set(['message.settled', 'message.dead', 'message.expired'])

interface Listener {
  caller: number
  /** Interned ids of the agents whose copies changed since the last look. */
  changed: Set<number>
  wake: () => void
  fail: (error: CadreError) => void
}

/** Who waits to hear of a message, woken by what this process announces after its commits. */
class News {
  readonly #clock: Clock
  readonly #directory: Directory
  readonly #listeners = new Map<string, Set<Listener>>()
  readonly #byCaller = new Map<number, number>()
  readonly #unsubscribe: () => void
  #count = 0

  constructor({ clock, directory, log }: ReceiptParts) {
    this.#clock = clock
    this.#directory = directory
    this.#unsubscribe = log.subscribe((entries) => {
      // Acknowledgements are announced all the time and mostly nobody waits.
      if (this.#count === 0) return
      for (const entry of entries) if (telling.has(entry.type)) this.#tell(entry.tenant, entry.data as Told)
    })
  }

  listen(seq: number, caller: number, signal: AbortSignal): { next(ms: number): Promise<number[]>; end(): void } {
    const own = this.#byCaller.get(caller) ?? 0
    if (this.#count >= maxWaiting || own >= maxWaitingPerCaller) throw new CadreError('rate_limited', { retry_after_s: 1 })
    const id = messageId(seq)
    let settled = Promise.withResolvers<void>()
    // It may fail while nobody awaits it, during a look.
    settled.promise.catch(() => undefined)
    const listener: Listener = {
      caller,
      changed: new Set(),
      wake: () => settled.resolve(),
      fail: (error) => settled.reject(error),
    }
    const abandon = () => listener.fail(new CadreError('cancelled', { entity: 'wait for message', id }))
    if (signal.aborted) abandon()
    else signal.addEventListener('abort', abandon, { once: true })
    const same = this.#listeners.get(id)
    if (same) same.add(listener)
    else this.#listeners.set(id, new Set([listener]))
    this.#byCaller.set(caller, own + 1)
    this.#count += 1
    return {
      next: async (ms) => {
        const cancel = this.#clock.after(ms, listener.wake)
        try {
          await settled.promise
        } finally {
          cancel()
        }
        settled = Promise.withResolvers<void>()
        settled.promise.catch(() => undefined)
        const changed = [...listener.changed]
        listener.changed.clear()
        return changed
      },
      end: () => {
        signal.removeEventListener('abort', abandon)
        this.#remove(id, listener)
      },
    }
  }

  close(): void {
    this.#unsubscribe()
    for (const listeners of this.#listeners.values()) for (const listener of listeners) listener.fail(new CadreError('draining'))
  }

  #tell(tenant: number, { message_id, message_ids, agent_id }: Told): void {
    for (const id of message_ids ?? [message_id ?? '']) {
      const listeners = this.#listeners.get(id)
      const agent = listeners && this.#directory.find(tenant, agent_id)?.id
      if (!listeners || agent === undefined) continue
      for (const listener of listeners) {
        listener.changed.add(agent)
        listener.wake()
      }
    }
  }

  #remove(id: string, listener: Listener): void {
    const listeners = this.#listeners.get(id)
    if (!listeners?.delete(listener)) return
    if (listeners.size === 0) this.#listeners.delete(id)
    this.#count -= 1
    const left = (this.#byCaller.get(listener.caller) ?? 1) - 1
    if (left > 0) this.#byCaller.set(listener.caller, left)
    else this.#byCaller.delete(listener.caller)
  }
}

interface Told {
  message_id?: string
  message_ids?: string[]
  agent_id: string
}
