/**
 * What the inbox promises, as a model in memory: lists, no store, no sockets, no turns of an event loop. The property test does the same
 * to it and to a server and compares what each agent gets.
 */

export type Ending = 'acknowledged' | 'dead' | 'expired'

export interface ModelMessage {
  /** Of a notice made by the server: unknown until it is delivered. */
  id: string
  /** What it is recognised by: its id, or for a notice which ending it tells of. */
  label: string
  /** Rises with every message stored. */
  order: number
  sender: string
  /** Its own id when it was sent in none. */
  conversation: string
  priority: number
  kind: string
  expiresAt: number | undefined
  recipients: readonly string[]
  endings: Map<string, Ending>
  /** A reply that a waiting requester took: it never was in an inbox. */
  taken: boolean
}

/** One recipient's copy while it is in the inbox. */
export interface Entry {
  message: ModelMessage
  agent: string
  state: 'ready' | 'leased' | 'behind'
  attempt: number
  availableAt: number
  /** When it was last put back. */
  backAt: number
  until: number
  /** Connection and number under which it was delivered; undefined for one that was fetched. */
  sent: { connection: number; number: number } | undefined
  receipt: string | undefined
  expiresAt: number | undefined
}

export interface Line {
  connection: number
  mode: 'leased' | 'plain'
  credits: number
}

export interface ModelAgent {
  name: string
  inbox: Entry[]
  line: Line | undefined
  dead: ModelMessage[]
  /** Receipts that were current once, with the attempt of each. */
  former: { receipt: string; message: ModelMessage; attempt: number }[]
  /** The last delivery number it saw, and whether the server that gave it still runs. */
  seen: { number: number; fresh: boolean }
}

/** A delivery the model expects. */
export interface Expected {
  entry: Entry
  attempt: number
}

/** The name in which the server tells senders what became of their messages. */
const system = 'cadre'

export const noticeLabel = (id: string, recipient: string, ending: string): string => `notice: ${id} ${ending} for ${recipient}`

/** The server looks after leases, delays and expiries once a second. */
export const lateMs = 1_001
const maxAttempts = 5
const maxLosses = 20

export class InboxModel {
  readonly agents: ModelAgent[]
  readonly messages: ModelMessage[] = []
  readonly sends: { key: string; body: string; from: string; to: readonly string[]; more: object; message: ModelMessage }[] = []
  #stored = 0
  /** When the model and the server were last compared. */
  comparedAt = 0

  constructor(names: readonly string[]) {
    this.agents = names.map((name) => ({
      name,
      inbox: [],
      line: undefined,
      dead: [],
      former: [],
      seen: { number: 0, fresh: false },
    }))
  }

  agent(name: string): ModelAgent {
    const found = this.agents.find((agent) => agent.name === name)
    if (!found) throw new Error(`no agent ${name}`)
    return found
  }

  nextOrder(): number {
    return (this.#stored += 1)
  }

  store(message: ModelMessage, now: number): void {
    this.messages.push(message)
    if (message.taken) return
    for (const name of message.recipients) this.insert(this.agent(name), message, now, message.expiresAt)
  }

  insert(agent: ModelAgent, message: ModelMessage, now: number, expiresAt: number | undefined): void {
    agent.inbox.push({
      message,
      agent: agent.name,
      state: this.#lineOf(agent, message).length > 0 ? 'behind' : 'ready',
      attempt: 0,
      availableAt: now,
      backAt: now,
      until: 0,
      sent: undefined,
      receipt: undefined,
      expiresAt,
    })
  }

  hasLine(agent: ModelAgent, message: ModelMessage): boolean {
    return this.#lineOf(agent, message).length > 0
  }

  /** The copy leaves the inbox; the next of its conversation may come, and its sender is told of an end that is none. */
  end(entry: Entry, ending: Ending, now: number): void {
    const agent = this.agent(entry.agent)
    agent.inbox.splice(agent.inbox.indexOf(entry), 1)
    entry.message.endings.set(agent.name, ending)
    if (ending === 'dead') agent.dead.push(entry.message)
    const [next] = this.#lineOf(agent, entry.message)
    if (next?.state === 'behind') next.state = 'ready'
    if (ending !== 'acknowledged' && entry.message.sender !== system) this.#tell(entry.message, agent.name, ending, now)
  }

  #tell({ id, sender, priority }: ModelMessage, recipient: string, ending: Ending, now: number): void {
    this.store(
      {
        id: '',
        label: noticeLabel(id, recipient, ending),
        // Which of several comes first that are told in one breath is open.
        order: this.#stored + 0.5,
        sender: system,
        conversation: `notice ${this.messages.length}`,
        priority,
        kind: 'system',
        expiresAt: undefined,
        recipients: [sender],
        endings: new Map(),
        taken: false,
      },
      now,
    )
  }

  /** Answers whether it may come again. */
  giveBack(entry: Entry, now: number, options: { delay?: number; dead?: boolean; lost?: boolean } = {}): boolean {
    entry.sent = undefined
    if (options.dead || entry.attempt >= (options.lost ? maxLosses : maxAttempts)) {
      this.end(entry, 'dead', now)
      return false
    }
    entry.state = 'ready'
    entry.backAt = now
    entry.availableAt = now + (options.delay ?? 0)
    return true
  }

  /** A new connection speaks for the agent. Without `resume` everything it had comes again. */
  connect(agent: ModelAgent, line: Line, resume: boolean, now: number): void {
    agent.line = line
    for (const entry of agent.inbox.filter(({ state }) => state === 'leased')) {
      if (resume && entry.sent) entry.sent.connection = line.connection
      else this.giveBack(entry, now, { lost: true })
    }
  }

  restart(now: number): void {
    for (const agent of this.agents) {
      agent.line = undefined
      agent.seen.fresh = false
      for (const entry of agent.inbox) {
        entry.sent = undefined
        // A server that stops in good order gives back what it had handed out.
        if (entry.state !== 'leased') continue
        entry.state = 'ready'
        entry.backAt = now
      }
    }
  }

  /** Leases that ran out by `now`. */
  expireLeases(now: number): void {
    for (const agent of this.agents)
      for (const entry of agent.inbox.filter(({ state, until }) => state === 'leased' && until <= now)) this.giveBack(entry, now)
  }

  /** Since the last comparison the server had something to do at these times, and may do each up to a second late. */
  dueTimes(now: number): number[] {
    const times = this.agents.flatMap(({ inbox }) =>
      inbox.flatMap(({ state, until, availableAt, expiresAt = Number.POSITIVE_INFINITY, backAt }) => {
        // Given back when its time is over, it is put back first and found expired after that.
        if (state === 'leased')
          return until > this.comparedAt ? [until, ...(expiresAt <= until + lateMs ? [until + lateMs] : [])] : []
        const expiry = Math.max(expiresAt, backAt)
        return [
          ...(state === 'ready' && availableAt > this.comparedAt ? [availableAt] : []),
          ...(expiry >= this.comparedAt ? [expiry] : []),
        ]
      }),
    )
    return times.filter((time) => time <= now)
  }

  /** Leases that ran out by `now`, then copies whose time is over, unless the agent says that it was given one just before. */
  passTime(now: number, wasGiven: (agent: string, label: string) => boolean): void {
    for (const agent of this.agents)
      for (const entry of agent.inbox.filter(({ state, until }) => state === 'leased' && until <= now)) this.giveBack(entry, now)
    for (const agent of this.agents)
      for (const entry of agent.inbox.filter(({ state, expiresAt = now + 1 }) => state !== 'leased' && expiresAt <= now))
        if (!wasGiven(agent.name, entry.message.label)) this.end(entry, 'expired', now)
  }

  /**
   * What the agent's connection must be sent now, best first. `arrived` says what came. When several became ready in the stretch of time
   * that is compared (`timed`), it decides which of them took the last credits.
   */
  deliver(agent: ModelAgent, now: number, arrived: ReadonlySet<string>, timed: boolean): Expected[] {
    const expected: Expected[] = []
    const { line } = agent
    if (!line) return expected
    for (;;) {
      const room = line.mode === 'plain' ? Number.POSITIVE_INFINITY : line.credits
      const batch = this.#ready(agent, now, arrived, timed).slice(0, room)
      if (batch.length === 0) return expected
      for (const entry of batch) {
        this.lease(entry)
        expected.push({ entry, attempt: entry.attempt })
        line.credits -= 1
      }
      if (line.mode === 'plain') for (const entry of batch) this.end(entry, 'acknowledged', now)
    }
  }

  /** What a fetch of up to `limit` must answer; it answered `arrived`. */
  fetch(agent: ModelAgent, now: number, limit: number, arrived: ReadonlySet<string>): Expected[] {
    const batch = this.#ready(agent, now, arrived, false).slice(0, limit)
    for (const entry of batch) this.lease(entry)
    return batch.map((entry) => ({ entry, attempt: entry.attempt }))
  }

  lease(entry: Entry): void {
    if (entry.receipt !== undefined)
      this.agent(entry.agent).former.push({ receipt: entry.receipt, message: entry.message, attempt: entry.attempt })
    entry.state = 'leased'
    entry.attempt += 1
    entry.sent = undefined
  }

  /** Statuses that the sender may be told. */
  statuses(message: ModelMessage): string[] {
    if (message.recipients.length === 0) return ['unroutable']
    const copies = message.recipients.flatMap((name) => this.agent(name).inbox.filter((entry) => entry.message === message))
    const ends = new Set(message.endings.values())
    if (copies.length === 0)
      return ends.has('dead') || ends.has('expired') ? [...ends].filter((end) => end !== 'acknowledged') : ['acknowledged']
    if (copies.every(({ state }) => state === 'leased')) return ['delivered']
    return copies.every(({ attempt }) => attempt === 0) ? ['stored'] : ['stored', 'delivered']
  }

  /** Best first. What came decides between equals, and when time passed, between all. */
  #ready(agent: ModelAgent, now: number, arrived: ReadonlySet<string>, timed: boolean): Entry[] {
    const came = ({ message }: Entry) => Number(arrived.has(message.label))
    return agent.inbox
      .filter(({ state, availableAt }) => state === 'ready' && availableAt <= now)
      .toSorted(
        (a, b) =>
          (timed ? came(b) - came(a) : 0) ||
          a.message.priority - b.message.priority ||
          a.message.order - b.message.order ||
          came(b) - came(a),
      )
  }

  #lineOf(agent: ModelAgent, { sender, conversation }: ModelMessage): Entry[] {
    return agent.inbox
      .filter(({ message }) => message.sender === sender && message.conversation === conversation)
      .toSorted((a, b) => a.message.order - b.message.order)
  }
}
