/**
 * Hands inbox entries to connected agents and settles them. The store holds the truth (an inbox row is ready or leased); this keeps, per
 * connected agent, which delivery number stands for which row, so that one cumulative acknowledgement covers many.
 */
import { CadreError } from '@cadre/contract'
import { type Clock, iso } from '../../core/clock.ts'
import type { Principal } from '../../core/context.ts'
import type { Directory } from '../../core/directory.ts'
import type { EventLog } from '../../core/events.ts'
import type { Session, Sessions } from '../../core/sessions.ts'
import type { Database, Tx } from '../../drivers/database/port.ts'
import { type Place, deliveryFrame, encodeReceipt, messageId, toDelivery } from './envelope.ts'
import {
  type AttemptError,
  type InboxRow,
  type Line,
  type MessageRow,
  advanceLine,
  buryDelivery,
  extendDelivery,
  getDead,
  getDelivery,
  hasLine,
  joinLine,
  leaseDeliveries,
  leasedOf,
  loadInboxes,
  readyDeliveries,
  releaseLeases,
  returnDelivery,
  settleDeliveries,
  undoLeases,
} from './store.ts'

export const leaseMs = 30_000
const maxAttempts = 5
const maxLosses = 20
const connectionLost = 'connection lost'
const maxBackoff = 300_000
const sweepMs = 1_000
/** Acknowledgements ride on the next commit and cause one of their own only after this long. */
const lazyAckMs = 5
const maxPlainWindow = 1_000
const maxBuffered = 1024 * 1024

/** Deliveries in flight to one agent. */
export interface Window {
  session: Session
  /** Credits promised to messages whose transaction runs. */
  reserved: number
  /** Delivery number -> entry, in rising order. */
  sent: Map<number, Place>
  pumping: boolean
  again: boolean
}

interface Lease extends Place {
  conversation: string | null
  sender: number
  until: number
  number: number | undefined
}

export interface Counters {
  delivered: number
  acknowledged: number
  redelivered: number
  dead: number
}

export class Deliveries {
  readonly #database: Database
  readonly #directory: Directory
  readonly #clock: Clock
  readonly #log: EventLog
  readonly #sessions: Sessions
  readonly #epoch: string
  readonly #random: () => number
  readonly #system: (tenant: number) => Principal
  readonly #windows = new Map<number, Window>()
  readonly #leases = new Map<string, Lease>()
  readonly #ready = new Map<number, number>()
  readonly #leased = new Map<number, number>()
  readonly #behind = new Map<number, number>()
  /** First messages of a conversation that were in an inbox, unnamed, when the second came. */
  readonly #heads = new Set<string>()
  readonly #numbers = new Map<number, number>()
  readonly #waiters = new Map<number, Set<() => void>>()
  readonly counters: Counters = { delivered: 0, acknowledged: 0, redelivered: 0, dead: 0 }
  #acks: Place[] = []
  #ackTimer: (() => void) | undefined
  #cancelSweep: () => void
  #closed = false
  readonly #background = new Set<Promise<unknown>>()
  #firstNumber: number

  constructor(parts: {
    database: Database
    directory: Directory
    clock: Clock
    log: EventLog
    sessions: Sessions
    epoch: string
    random: () => number
    system: (tenant: number) => Principal
  }) {
    this.#database = parts.database
    this.#directory = parts.directory
    this.#clock = parts.clock
    this.#log = parts.log
    this.#sessions = parts.sessions
    this.#epoch = parts.epoch
    this.#random = parts.random
    this.#system = parts.system
    // Delivery numbers must rise across restarts; an agent never got more deliveries than there are log entries.
    this.#firstNumber = parts.log.head
    this.#sessions.onReleased((session) => {
      if (session.agent !== undefined && this.#windows.get(session.agent)?.session === session)
        this.#windows.delete(session.agent)
    })
    this.#cancelSweep = this.#clock.after(sweepMs, () => this.#sweep())
  }

  async load(): Promise<void> {
    const { depths, leased, dead } = await loadInboxes(this.#database)
    for (const depth of depths) {
      this.#ready.set(depth.agent, depth.ready)
      this.#leased.set(depth.agent, depth.leased)
      this.#behind.set(depth.agent, depth.behind)
    }
    for (const row of leased) this.#leases.set(leaseKey(row), { ...row, until: row.lease_until ?? 0, number: undefined })
    this.counters.dead = dead
  }

  depth(agent: number): number {
    return (this.#ready.get(agent) ?? 0) + (this.#leased.get(agent) ?? 0) + (this.#behind.get(agent) ?? 0)
  }

  totals(): { waiting: number; leased: number } {
    const sum = (map: Map<number, number>) => [...map.values()].reduce((total, count) => total + count, 0)
    return { waiting: sum(this.#ready) + sum(this.#behind), leased: sum(this.#leased) }
  }

  /** Starts delivering to the session. `resumeAfter` is the last delivery number the client saw; without it the client is a fresh one. */
  async attach(session: Session, resumeAfter: number | undefined): Promise<{ resumed: boolean; head: number; gap: boolean }> {
    const agent = session.agent as number
    const tenant = session.caller.tenant
    const head = this.#numbers.get(agent) ?? this.#firstNumber
    const known = resumeAfter !== undefined && resumeAfter > this.#firstNumber && resumeAfter <= head
    const seen = (): [number, Place][] =>
      [...this.#leases.values()].flatMap((lease): [number, Place][] =>
        known && lease.agent === agent && lease.number !== undefined && lease.number <= resumeAfter
          ? [[lease.number, lease]]
          : [],
      )
    // What a lost connection took with it comes again at once; what the client still holds it may acknowledge by its receipt. Nothing is
    // leased to the new session before that is committed, or the same would be taken back from it.
    await this.transactionWithAcks(async (tx) => {
      const keep = new Set(seen().map(([, place]) => leaseKey(place)))
      for (const row of await leasedOf(tx, tenant, agent))
        if (!keep.has(leaseKey(row))) await this.#giveBack(tx, row, connectionLost, 0)
      tx.afterCommit(() => {
        if (this.#sessions.forAgent(agent) !== session) return
        const sent = new Map(seen().toSorted(([a], [b]) => a - b))
        this.#windows.set(agent, { session, reserved: 0, sent, pumping: false, again: false })
      })
    })
    this.pump(agent)
    return { resumed: known, head, gap: !known && resumeAfter !== undefined && resumeAfter > 0 && resumeAfter !== head }
  }

  /**
   * Takes a credit for a new message, so that it is leased in the transaction that stores it. Undefined when it has to wait: nobody is
   * there, or others wait before it. Goes to `stored` or back by `unreserve`.
   */
  reserve(agent: number): Window | undefined {
    const window = this.#windows.get(agent)
    if (!window || (this.#ready.get(agent) ?? 0) > 0 || window.pumping || this.#room(window) <= 0) return undefined
    window.reserved += 1
    return window
  }

  unreserve(windows: ReadonlyMap<InboxRow, Window>): void {
    for (const window of windows.values()) window.reserved -= 1
  }

  /**
   * Does a new message of a conversation have to wait for an earlier one of its sender? `first` is the message that the conversation is
   * named by; `lines` remembers the answers of one transaction.
   */
  async isBehind(tx: Tx, row: MessageRow, agent: number, first: MessageRow | undefined, lines: Set<string>): Promise<boolean> {
    const line: Line = { tenant: row.tenant, agent, conversation: row.conversation as string, sender: row.actor }
    const name = lineKey(line)
    if (lines.has(name)) return true
    lines.add(name)
    if (first?.actor === row.actor && (await joinLine(tx, line, first))) {
      this.#heads.add(leaseKey({ agent, seq: first.seq }))
      return true
    }
    return hasLine(tx, line)
  }

  /** Counts rows stored by `insertDeliveries`; leased ones are handed over. Runs after the commit. */
  stored(rows: readonly InboxRow[], messages: ReadonlyMap<number, MessageRow>, reserved: ReadonlyMap<InboxRow, Window>): void {
    const toPump = new Set<number>()
    this.unreserve(reserved)
    for (const row of rows) {
      if (row.state === 1) this.#hand(row, messages.get(row.seq) as MessageRow, reserved.get(row))
      else if (row.state === 2) this.#count(this.#behind, row.agent, 1)
      else {
        this.#count(this.#ready, row.agent, 1)
        toPump.add(row.agent)
      }
    }
    for (const agent of toPump) {
      this.pump(agent)
      for (const wake of this.#waiters.get(agent) ?? []) wake()
    }
  }

  /** Leases what is due for a connected agent, as far as its credits go. */
  pump(agent: number): void {
    const window = this.#windows.get(agent)
    if (!window || this.#closed || (this.#ready.get(agent) ?? 0) === 0) return
    if (window.pumping) {
      window.again = true
      return
    }
    const room = this.#room(window)
    if (room <= 0) return
    window.pumping = true
    this.#run(
      this.lease(window.session.caller.tenant, agent, Math.min(room, 256), leaseMs)
        .then(({ rows }) => {
          if (this.#windows.get(agent) !== window) return this.#undo(rows.map((row) => row.place))
          for (const row of rows) this.#send(window, row.place, row.message)
          return undefined
        })
        .finally(() => {
          window.pumping = false
          if (window.again) {
            window.again = false
            this.pump(agent)
          }
        }),
    )
  }

  /** Leases up to `limit` ready deliveries. Expired ones are taken out on the way. */
  async lease(
    tenant: number,
    agent: number,
    limit: number,
    duration: number,
  ): Promise<{ rows: { place: Place; message: MessageRow; until: number }[] }> {
    await this.flushAcks()
    const now = this.#clock.now()
    const until = now + duration
    return this.#database.transaction(async (tx) => {
      const due = await readyDeliveries(tx, tenant, agent, now, limit)
      const gone = due.filter((row) => row.ends_at !== null && row.ends_at <= now)
      const alive = due.filter((row) => row.ends_at === null || row.ends_at > now)
      for (const row of gone) {
        await buryDelivery(
          tx,
          { ...row, attempt: row.inbox_attempt, state: 0, lease_until: null, available_at: 0 },
          'expired',
          [],
          now,
        )
      }
      await this.#advance(
        tx,
        gone.map((row) => ({ ...row, conversation: row.line })),
      )
      await leaseDeliveries(
        tx,
        alive.map((row) => ({ ...row, attempt: row.inbox_attempt + 1 })),
        until,
      )
      const rows = alive.map((row) => {
        const place: Place = { tenant, agent, priority: row.priority, seq: row.seq, attempt: row.inbox_attempt + 1 }
        return { place, message: row, until }
      })
      // Counted in the order of the commits: a later transaction may already settle or take back what this one leased.
      tx.afterCommit(() => {
        for (const row of gone) this.#heads.delete(leaseKey(row))
        this.#count(this.#ready, agent, -due.length)
        this.#count(this.#leased, agent, rows.length)
        for (const { place, message } of rows) {
          const { line: conversation, sender } = message
          this.#leases.set(leaseKey(place), { ...place, conversation, sender, until, number: undefined })
        }
      })
      return { rows }
    })
  }

  /** For clients without a socket: waits until something is ready, at most `waitMs`. */
  async receive(tenant: number, agent: number, limit: number, duration: number, waitMs: number, signal: AbortSignal) {
    const deadline = this.#clock.now() + waitMs
    for (;;) {
      // Listening begins before the look: a message stored in the very commit of the look must still wake this.
      const arrival = this.#listen(agent, signal)
      const { rows } = await this.lease(tenant, agent, limit, duration).catch((error: unknown) => {
        arrival.end()
        throw error
      })
      const left = deadline - this.#clock.now()
      if (rows.length > 0 || left <= 0 || signal.aborted || this.#closed) {
        arrival.end()
        for (const { place } of rows) this.#countDelivery(place)
        this.#announceSettled(
          agent,
          rows.map((row) => row.place),
          'leased',
        )
        return rows.map(({ place, message, until }) => toDelivery(message, this.#handed(place, until), this.#directory))
      }
      await arrival.within(left)
    }
  }

  /** Cumulative acknowledgement of everything this session was sent up to `number`. */
  acknowledgeUpTo(session: Session, number: number): void {
    const { agent } = session
    const window = agent === undefined ? undefined : this.#windows.get(agent)
    if (agent === undefined || !window || window.session !== session) return
    let waitedFor = false
    for (const [sentNumber, place] of window.sent) {
      if (sentNumber > number) break
      window.sent.delete(sentNumber)
      this.#acks.push(place)
      waitedFor ||= this.#lineOf(place) !== undefined
    }
    // The next of a conversation waits for this one, so it does not wait for another commit to ride on.
    if (waitedFor && (this.#behind.get(agent) ?? 0) > 0) this.#run(this.flushAcks())
    else this.#ackSoon(lazyAckMs)
    this.pump(agent)
  }

  addCredits(session: Session, credits: number): void {
    session.credits = Math.min(session.credits + credits, 100_000)
    if (session.agent !== undefined) this.pump(session.agent)
  }

  /** Acknowledges by receipt. Throws stale_receipt when the delivery was sent again or died. */
  async acknowledge(places: readonly Place[]): Promise<{ acknowledged: number; already: number }> {
    await this.flushAcks()
    return this.#database.transaction(async (tx) => {
      const current = new Map<string, Place>()
      let already = 0
      for (const place of places) {
        const state = await this.#standing(tx, place)
        if (state === 'stale') throw new CadreError('stale_receipt', { receipt: encodeReceipt(place, this.#epoch) })
        if (state === 'settled' || current.has(leaseKey(place))) already += 1
        else current.set(leaseKey(place), place)
      }
      await this.#settle(tx, [...current.values()])
      return { acknowledged: current.size, already }
    })
  }

  /** Acknowledges inside the caller's transaction, for a reply that settles its request in the same commit. */
  async acknowledgeIn(tx: Tx, place: Place): Promise<void> {
    const state = await this.#standing(tx, place)
    if (state === 'stale') throw new CadreError('stale_receipt', { receipt: encodeReceipt(place, this.#epoch) })
    if (state === 'settled') return
    await this.#settle(tx, [place])
  }

  async reject(
    place: Place,
    reason: string,
    delay: number | undefined,
    dead: boolean,
  ): Promise<{ state: 'ready' | 'dead'; attempt: number; availableAt: number | null }> {
    await this.flushAcks()
    return this.#database.transaction(async (tx) => {
      const row = await getDelivery(tx, place)
      if (!row || row.state !== 1 || row.attempt !== place.attempt)
        throw new CadreError('stale_receipt', { receipt: encodeReceipt(place, this.#epoch) })
      return this.#giveBack(tx, row, reason, delay, dead)
    })
  }

  async extend(place: Place, duration: number): Promise<number> {
    const until = this.#clock.now() + duration
    await this.#database.transaction(async (tx) => {
      if (!(await extendDelivery(tx, place, until)))
        throw new CadreError('stale_receipt', { receipt: encodeReceipt(place, this.#epoch) })
      tx.afterCommit(() => {
        const lease = this.#leases.get(leaseKey(place))
        if (lease?.attempt === place.attempt) lease.until = until
      })
    })
    return until
  }

  /** A transaction that settles, before anything else, the acknowledgements that wait: they ride on its commit. */
  async transactionWithAcks<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    let acks: Place[] = []
    try {
      return await this.#database.transaction(async (tx) => {
        acks = this.#acks
        this.#acks = []
        if (acks.length > 0) await this.#settle(tx, acks)
        return work(tx)
      })
    } catch (error) {
      // They were given once and count, whatever became of the transaction.
      this.#acks = [...acks, ...this.#acks]
      this.#ackSoon(sweepMs)
      throw error
    }
  }

  async flushAcks(): Promise<void> {
    if (this.#acks.length > 0) await this.transactionWithAcks(async () => {})
  }

  /** A dead letter is in the agent's inbox again. */
  redriven(agent: number, state: InboxRow['state'], wasListed: boolean): void {
    this.#count(state === 2 ? this.#behind : this.#ready, agent, 1)
    if (wasListed) this.counters.dead -= 1
    this.pump(agent)
  }

  purged(): void {
    this.counters.dead -= 1
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#cancelSweep()
    this.#ackTimer?.()
    for (const wakes of this.#waiters.values()) for (const wake of wakes) wake()
    await Promise.all(this.#background)
    await this.flushAcks()
    // What agents had in hand is theirs again as soon as a server answers, not after its lease.
    await this.#database.transaction((tx) => releaseLeases(tx, [...this.#leases.values()]))
  }

  async #standing(tx: Tx, place: Place): Promise<'current' | 'settled' | 'stale'> {
    const row = await getDelivery(tx, place)
    if (row) return row.state === 1 && row.attempt === place.attempt ? 'current' : 'stale'
    return (await getDead(tx, place.tenant, place.agent, place.seq)) ? 'stale' : 'settled'
  }

  // Runs inside a transaction; the counters follow after the commit.
  async #giveBack(tx: Tx, row: InboxRow, reason: string, delay: number | undefined, dead = false) {
    const now = this.#clock.now()
    const errors: AttemptError[] = [
      ...(row.errors === null ? [] : (JSON.parse(row.errors) as AttemptError[])),
      { attempt: row.attempt, error: reason, at: now },
    ]
    const agent = this.#directory.byId(row.agent)
    const common = { message_id: messageId(row.seq), agent_id: agent.publicId, agent: agent.name }
    // A lost connection says little about the message; only one that keeps ending its receivers is taken out in the end.
    if (dead || row.attempt >= (reason === connectionLost ? maxLosses : maxAttempts)) {
      await buryDelivery(
        tx,
        row,
        dead ? `rejected for good: ${reason}` : `${row.attempt} attempts, the last: ${reason}`,
        errors,
        now,
      )
      await this.#advance(tx, [row])
      await this.#log.append(tx, this.#system(row.tenant), null, [
        { type: 'message.dead', subject: messageId(row.seq), data: { ...common, reason, attempts: row.attempt } },
      ])
      tx.afterCommit(() => {
        this.#forget(row)
        this.counters.dead += 1
        this.pump(row.agent)
      })
      return { state: 'dead' as const, attempt: row.attempt, availableAt: null }
    }
    const wait = delay ?? Math.floor(this.#random() * Math.min(1000 * 2 ** (row.attempt - 1), maxBackoff))
    await returnDelivery(tx, row, now + wait, errors)
    await this.#log.append(tx, this.#system(row.tenant), null, [
      { type: 'message.redelivered', subject: messageId(row.seq), data: { ...common, attempt: row.attempt + 1, reason } },
    ])
    tx.afterCommit(() => {
      this.#forget(row)
      this.#count(this.#ready, row.agent, 1)
      if (wait === 0) this.pump(row.agent)
      else this.#clock.after(wait, () => this.pump(row.agent))
    })
    return { state: 'ready' as const, attempt: row.attempt, availableAt: now + wait }
  }

  #room(window: Window): number {
    if (window.session.buffered() > maxBuffered) return 0
    return (window.session.mode === 'plain' ? maxPlainWindow - window.sent.size : window.session.credits) - window.reserved
  }

  #hand(row: InboxRow, message: MessageRow, reserved: Window | undefined): void {
    const { tenant, agent, priority, seq, attempt, conversation, sender } = row
    const place: Place = { tenant, agent, priority, seq, attempt }
    this.#leases.set(leaseKey(place), { ...place, conversation, sender, until: row.lease_until ?? 0, number: undefined })
    this.#count(this.#leased, agent, 1)
    const window = this.#windows.get(agent)
    if (window && window === reserved) this.#send(window, place, message)
    else this.#run(this.#undo([place]))
  }

  /** The session that these were leased for went away before they were sent: they are as if they had never been leased. */
  async #undo(places: readonly Place[]): Promise<void> {
    if (places.length === 0) return
    await this.#database.transaction(async (tx) => {
      await undoLeases(tx, places)
      tx.afterCommit(() => {
        // One that was given back meanwhile has no lease of this attempt any more.
        for (const place of places) if (this.#forget(place)) this.#count(this.#ready, place.agent, 1)
        for (const agent of new Set(places.map((place) => place.agent))) this.pump(agent)
      })
    })
  }

  #countDelivery(place: Place): void {
    this.counters.delivered += 1
    if (place.attempt > 1) this.counters.redelivered += 1
  }

  /** The line in which others may wait for this delivery. */
  #lineOf(place: Place): Line | undefined {
    const lease = this.#leases.get(leaseKey(place))
    const conversation = lease?.conversation ?? (this.#heads.has(leaseKey(place)) ? messageId(place.seq) : null)
    if (!lease || conversation === null) return undefined
    return { tenant: place.tenant, agent: place.agent, conversation, sender: lease.sender }
  }

  async #settle(tx: Tx, places: readonly Place[]): Promise<void> {
    await settleDeliveries(tx, places)
    await this.#advance(
      tx,
      places.flatMap((place) => this.#lineOf(place) ?? []),
    )
    tx.afterCommit(() => this.#settled(places))
  }

  /** Makes those ready that waited for what just left the inbox. */
  async #advance(tx: Tx, left: readonly (Omit<Line, 'conversation'> & { conversation: string | null })[]): Promise<void> {
    const lines = new Map<string, Line>()
    for (const { tenant, agent, conversation, sender } of left) {
      if (conversation === null) continue
      const line = { tenant, agent, conversation, sender }
      lines.set(lineKey(line), line)
    }
    for (const line of lines.values()) {
      if (!(await advanceLine(tx, line))) continue
      tx.afterCommit(() => {
        this.#count(this.#behind, line.agent, -1)
        this.#count(this.#ready, line.agent, 1)
        this.pump(line.agent)
        for (const wake of this.#waiters.get(line.agent) ?? []) wake()
      })
    }
  }

  #send(window: Window, place: Place, message: MessageRow): void {
    const { session } = window
    const number = (this.#numbers.get(place.agent) ?? this.#firstNumber) + 1
    this.#numbers.set(place.agent, number)
    const lease = this.#leases.get(leaseKey(place))
    if (lease) lease.number = number
    session.send(
      deliveryFrame(message, number, this.#handed(place, lease?.until ?? this.#clock.now() + leaseMs), this.#directory),
    )
    this.#countDelivery(place)
    if (session.mode === 'plain') {
      // Plain clients know no acknowledgement: what was written to them is settled.
      this.#acks.push(place)
      this.#ackSoon(lazyAckMs)
    } else {
      session.credits -= 1
      window.sent.set(number, place)
    }
    this.#announceSettled(place.agent, [place], 'leased')
  }

  #handed(place: Place, until: number) {
    return { receipt: encodeReceipt(place, this.#epoch), attempt: place.attempt, lease_until: iso(until), replay: false }
  }

  #settled(places: readonly Place[]): void {
    const agents = new Map<number, Place[]>()
    for (const place of places) {
      if (!this.#forget(place)) continue
      this.counters.acknowledged += 1
      const same = agents.get(place.agent)
      if (same) same.push(place)
      else agents.set(place.agent, [place])
    }
    for (const [agent, settled] of agents) {
      this.#announceSettled(agent, settled, 'acknowledged')
      this.pump(agent)
    }
  }

  /** The attempt is over, and no later cumulative acknowledgement covers it. False when it was over before. */
  #forget(place: Pick<Place, 'agent' | 'seq' | 'attempt'>): boolean {
    const lease = this.#leases.get(leaseKey(place))
    if (lease?.attempt !== place.attempt) return false
    this.#leases.delete(leaseKey(place))
    this.#heads.delete(leaseKey(place))
    this.#count(this.#leased, place.agent, -1)
    if (lease.number !== undefined) this.#windows.get(place.agent)?.sent.delete(lease.number)
    return true
  }

  // For live views only: position 0 says that it is not in the log.
  #announceSettled(agent: number, places: readonly Place[], state: 'leased' | 'acknowledged'): void {
    const principal = this.#directory.byId(agent)
    if (places.length === 0) return
    this.#log.announce([
      {
        seq: 0,
        tenant: principal.tenant,
        at: this.#clock.now(),
        actor: agent,
        trace: null,
        type: 'message.settled',
        subject: principal.publicId,
        data: { message_ids: places.map((place) => messageId(place.seq)), agent_id: principal.publicId, state },
      },
    ])
  }

  #ackSoon(ms: number): void {
    if (this.#acks.length === 0 || this.#ackTimer || this.#closed) return
    this.#ackTimer = this.#clock.after(ms, () => {
      this.#ackTimer = undefined
      this.#run(this.flushAcks())
    })
  }

  #sweep(): void {
    if (this.#closed) return
    const now = this.#clock.now()
    const due = [...this.#leases.values()].filter((lease) => lease.until <= now)
    if (due.length > 0) {
      this.#run(
        this.transactionWithAcks(async (tx) => {
          for (const lease of due) {
            const row = await getDelivery(tx, lease)
            if (row?.state === 1 && row.attempt === lease.attempt && (row.lease_until ?? 0) <= now)
              await this.#giveBack(tx, row, 'lease expired', undefined)
          }
        }),
      )
    }
    for (const agent of this.#windows.keys()) this.pump(agent)
    this.#cancelSweep = this.#clock.after(sweepMs, () => this.#sweep())
  }

  /** Hears of the next delivery that becomes ready for the agent, from now on. */
  #listen(agent: number, signal: AbortSignal): { within(ms: number): Promise<void>; end(): void } {
    const { promise, resolve } = Promise.withResolvers<void>()
    const wakes = this.#waiters.get(agent) ?? new Set()
    this.#waiters.set(agent, wakes)
    let cancel = () => {}
    const end = () => {
      cancel()
      signal.removeEventListener('abort', end)
      wakes.delete(end)
      if (wakes.size === 0 && this.#waiters.get(agent) === wakes) this.#waiters.delete(agent)
      resolve()
    }
    wakes.add(end)
    signal.addEventListener('abort', end, { once: true })
    return {
      // A delivery in back-off becomes ready without anything being stored, so look again every second.
      within: (ms) => {
        cancel = this.#clock.after(Math.min(ms, sweepMs), end)
        return promise
      },
      end,
    }
  }

  #count(map: Map<number, number>, agent: number, change: number): void {
    const next = Math.max(0, (map.get(agent) ?? 0) + change)
    if (next === 0) map.delete(agent)
    else map.set(agent, next)
  }

  #run(work: Promise<unknown>): void {
    const guarded = work.catch(() => undefined).finally(() => this.#background.delete(guarded))
    this.#background.add(guarded)
  }
}

const lineKey = (line: Line): string => `${line.agent}/${line.sender}/${line.conversation}`
const leaseKey = (place: Pick<Place, 'agent' | 'seq'>): string => `${place.agent}/${place.seq}`
