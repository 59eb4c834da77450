/**
 * Who answers whom, counted in memory: turns that repeat what was said, dialogues in strict alternation, and bursts. A message that goes
 * one way costs one look-up and one addition; its content is read only when the direction turns or a flow is fast.
 */
import type { BrakeSettings } from '@cadre/contract'
import { exactly, gist } from './contents.ts'
import { RecentMap } from './recent-map.ts'

export interface Said {
  tenant: number
  from: number
  to: number
  conversation: string | null
  content: unknown
  /** A question that its sender waits on, or the answer to one: such a pair is driven by who asks, not by the answers. */
  asked: boolean
  /** Brings something new along, whatever its words. */
  productive: boolean
}

export interface Excess {
  rule: 'ping_pong' | 'burst'
  count: number
  limit: number
  windowMs: number
  /** False: the repetition goes across conversations, so all the parties send each other is meant. */
  oneConversation: boolean
  repeats: boolean
}

interface Turns {
  low: number
  high: number
  last: number
  count: number
  since: number
}

interface Flow {
  count: number
  since: number
  /** The count from which on the clock and the contents are looked at. */
  lookFrom: number
  contents: Set<string> | undefined
}

interface Pair {
  /** Turns whose content was among the last ones. */
  repeated: Turns
  recent: number[]
  conversation: string | null | undefined
  oneConversation: boolean
  /** Turns outside any conversation. */
  unnamed: Turns
  flows: [Flow, Flow]
}

const remembered = 10_000
const recentContents = 4
const fewContents = 32
const slots = 5
// Interned ids stay far below; the product stays a safe integer.
const idSpace = 2 ** 26

export class Exchanges {
  readonly #now: () => number
  readonly #pairs = new RecentMap<number, Pair>(remembered)
  readonly #dialogues = new RecentMap<string, Turns>(remembered)

  constructor(now: () => number) {
    this.#now = now
  }

  /** Counts the message; answers what it is too much of. */
  said(message: Said, settings: BrakeSettings): Excess | undefined {
    const { from, to } = message
    const pair = this.#pair(from, to)
    return (
      this.#burst(pair.flows[from < to ? 0 : 1], message, settings) ??
      (message.asked ? undefined : (this.#repeats(pair, message, settings) ?? this.#dialogue(pair, message, settings)))
    )
  }

  /** Somebody else spoke, or to several: a dialogue of two begins anew. */
  interrupted(tenant: number, conversation: string): void {
    this.#dialogues.delete(`${tenant}/${conversation}`)
  }

  /** Counts anew for these two. */
  forget(tenant: number, from: number, to: number, conversation: string | null): void {
    this.#pairs.delete(pairKey(from, to))
    if (conversation !== null) this.interrupted(tenant, conversation)
  }

  #pair(from: number, to: number): Pair {
    const key = pairKey(from, to)
    const known = this.#pairs.get(key)
    if (known) return known
    const flow = (): Flow => ({ count: 0, since: this.#now(), lookFrom: 0, contents: undefined })
    const pair: Pair = {
      repeated: turnsOf(from, to),
      recent: [],
      conversation: undefined,
      oneConversation: true,
      unnamed: turnsOf(from, to),
      flows: [flow(), flow()],
    }
    this.#pairs.set(key, pair)
    return pair
  }

  /**
   * The clock is read once a fifth of the limit. Only when such a fifth came fast are contents compared, and no longer than until they
   * turn out to be many: what load with different contents pays is 33 comparisons each fifth.
   */
  #burst(flow: Flow, { content }: Said, { burst_messages: limit, burst_window_ms: windowMs }: BrakeSettings): Excess | undefined {
    if (limit === 0 || ++flow.count < flow.lookFrom) return undefined
    const now = this.#now()
    const slot = Math.max(1, Math.floor(limit / slots))
    if (now - flow.since > windowMs || flow.lookFrom === 0) {
      Object.assign(flow, { count: 1, since: now, lookFrom: slot, contents: undefined })
      return undefined
    }
    flow.contents ??= new Set()
    flow.lookFrom = 1
    flow.contents.add(exactly(content))
    if (flow.contents.size > fewContents) Object.assign(flow, { count: 0, since: now, lookFrom: slot, contents: undefined })
    else if (flow.count > limit)
      return { rule: 'burst', count: flow.count, limit, windowMs, oneConversation: false, repeats: true }
    return undefined
  }

  #repeats(pair: Pair, message: Said, settings: BrakeSettings): Excess | undefined {
    const { ping_pong_turns: limit, ping_pong_window_ms: windowMs } = settings
    const turns = pair.repeated
    if (limit === 0 || turns.last === message.from) return undefined
    turns.last = message.from
    const what = gist(message.content)
    const known = pair.recent.includes(what)
    if (!known) {
      pair.recent.push(what)
      if (pair.recent.length > recentContents) pair.recent.shift()
    }
    const now = this.#now()
    if (!known || message.productive || now - turns.since > windowMs) {
      Object.assign(turns, { count: known && !message.productive ? 1 : 0, since: now })
      pair.conversation = message.conversation
      pair.oneConversation = message.conversation !== null
      return undefined
    }
    if (message.conversation !== pair.conversation) pair.oneConversation = false
    turns.count += 1
    if (turns.count <= limit) return undefined
    return { rule: 'ping_pong', count: turns.count, limit, windowMs, oneConversation: pair.oneConversation, repeats: true }
  }

  #dialogue(pair: Pair, message: Said, settings: BrakeSettings): Excess | undefined {
    const { dialogue_turns: limit, dialogue_window_ms: windowMs } = settings
    if (limit === 0) return undefined
    const { from, to, conversation } = message
    const turns = conversation === null ? pair.unnamed : this.#turnsIn(`${message.tenant}/${conversation}`, from, to)
    const others = turns.low !== Math.min(from, to) || turns.high !== Math.max(from, to)
    if (others || turns.last === from || message.productive) {
      // Two at once is no answer to an answer. The commonest case, load in one direction, writes the same values again.
      if (others) Object.assign(turns, turnsOf(from, to))
      turns.last = from
      turns.count = 0
      return undefined
    }
    turns.last = from
    turns.count += 1
    if (turns.count === 1) turns.since = this.#now()
    else if (turns.count > limit) {
      if (this.#now() - turns.since <= windowMs)
        return { rule: 'ping_pong', count: turns.count, limit, windowMs, oneConversation: conversation !== null, repeats: false }
      turns.count = 0
    }
    return undefined
  }

  #turnsIn(key: string, from: number, to: number): Turns {
    const known = this.#dialogues.get(key)
    if (known) return known
    const turns = turnsOf(from, to)
    this.#dialogues.set(key, turns)
    return turns
  }
}

const pairKey = (from: number, to: number): number => (from < to ? from * idSpace + to : to * idSpace + from)
const turnsOf = (from: number, to: number): Turns => ({
  low: Math.min(from, to),
  high: Math.max(from, to),
  last: 0,
  count: 0,
  since: 0,
})
