/** What is held, found by who sends to whom and where, or who calls what. */
import type { BrakeRow } from './store.ts'

export interface Hold {
  row: BrakeRow
  /** Resolves when the brake and its event are committed. */
  written: Promise<unknown>
}

const most = 10_000

export class Holds {
  readonly #held = new Map<string, Hold>()
  /** Whom a hold names: everybody else is passed by without building a key. */
  #named = new Set<number>()
  #nextEnd = Infinity
  /** Replies to what stands up to here begin anew: the exchange was stopped there and went on. */
  readonly #begun = new Map<string, number>()

  /** False as long as nothing is held: then there is nothing to ask. */
  get some(): boolean {
    return this.#held.size > 0
  }

  add(hold: Hold): void {
    const { row } = hold
    bounded(this.#held, keyOf(row), hold)
    this.#named.add(row.low).add(row.high)
    this.#nextEnd = Math.min(this.#nextEnd, row.held_until)
    if (row.rule === 'hops') this.begin(row)
  }

  remove(row: BrakeRow): void {
    const key = keyOf(row)
    if (this.#held.get(key)?.row.id !== row.id) return
    this.#held.delete(key)
    this.#recount()
  }

  begin(row: BrakeRow): void {
    bounded(this.#begun, beginningOf(row.tenant, row.conversation, row.low, row.high), row.up_to)
  }

  /** `to` is 0 for a message to several. */
  onMessage(tenant: number, from: number, to: number, conversation: string | null, now: number): Hold | undefined {
    this.#endAt(now)
    if (!this.#named.has(from)) return undefined
    const [low, high] = from < to ? [from, to] : [to, from]
    return (
      (conversation === null ? undefined : this.#held.get(messageKey(tenant, low, high, conversation))) ??
      this.#held.get(messageKey(tenant, low, high, null))
    )
  }

  onCall(tenant: number, agent: number, tool: string, digest: string, now: number): Hold | undefined {
    this.#endAt(now)
    return this.#named.has(agent) ? this.#held.get(callKey(tenant, agent, tool, digest)) : undefined
  }

  upTo(tenant: number, from: number, to: number, conversation: string | null): number {
    if (this.#begun.size === 0) return 0
    return this.#begun.get(beginningOf(tenant, conversation, Math.min(from, to), Math.max(from, to))) ?? 0
  }

  /** Lets go what has been held long enough, so that nobody pays for looking at it any more. */
  #endAt(now: number): void {
    if (now < this.#nextEnd) return
    for (const [key, { row }] of this.#held) if (row.held_until <= now) this.#held.delete(key)
    this.#recount()
  }

  #recount(): void {
    const rows = [...this.#held.values()].map(({ row }) => row)
    this.#named = new Set(rows.flatMap(({ low, high }) => [low, high]))
    this.#nextEnd = rows.reduce((soonest, { held_until }) => Math.min(soonest, held_until), Infinity)
  }
}

const messageKey = (tenant: number, low: number, high: number, conversation: string | null) =>
  JSON.stringify([tenant, low, high, conversation])
const callKey = (tenant: number, agent: number, tool: string, digest: string) => JSON.stringify([tenant, agent, tool, digest])
const keyOf = (row: BrakeRow): string =>
  row.tool === null
    ? messageKey(row.tenant, row.low, row.high, row.conversation)
    : callKey(row.tenant, row.high, row.tool, row.digest ?? '')
/** In a conversation the chain may go through more than two. */
const beginningOf = (tenant: number, conversation: string | null, low: number, high: number): string =>
  JSON.stringify(conversation === null ? [tenant, low, high] : [tenant, conversation])

function bounded<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key)
  map.set(key, value)
  if (map.size <= most) return
  const [oldest] = map.keys()
  if (oldest !== undefined) map.delete(oldest)
}
