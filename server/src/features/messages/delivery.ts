/**
 * Hands inbox entries to connected agents. The store holds the truth (an inbox row is ready or leased); beside it stands, per connected
 * agent, which delivery number stands for which row, so that one cumulative acknowledgement covers many.
 */
import { Background } from '../../core/background.ts'
import type { Clock } from '../../core/clock.ts'
import type { Principal } from '../../core/context.ts'
import type { Directory } from '../../core/directory.ts'
import type { EventLog } from '../../core/events.ts'
import { failPoint } from '../../core/fail-points.ts'
import type { Logger } from '../../core/logger.ts'
import type { Session, Sessions } from '../../core/sessions.ts'
import type { Database } from '../../drivers/database/port.ts'
import { Acknowledgements } from './acknowledging.ts'
import type { Bounces } from './bounces.ts'
import { makeDeliveryFrames } from './delivery-frame.ts'
import type { Place } from './envelope.ts'
import { makeExpiry } from './expiry.ts'
import { makeGivingBack } from './giving-back.ts'
import { makeHandover } from './handover.ts'
import { makeLane } from './lane.ts'
import { type Lease, Leases, leaseKey, leaseMs } from './leases.ts'
import { makeLeasing } from './leasing.ts'
import { makeLines } from './lines.ts'
import { Arrivals, makeReceive } from './receiving.ts'
import { type InboxRow, type MessageRow, countStart, leasedOf, loadInboxes, releaseLeases } from './store.ts'
import { type Window, Windows, roomIn } from './windows.ts'

const sweepMs = 1_000
/** Rows leased for one agent in one transaction. */
const maxPumped = 256

/** A delivery as it is stored: with a row, or leased and in flight without one. */
export interface NewDelivery extends InboxRow {
  lane: boolean
}

export interface DeliveryParts {
  logger: Logger
  database: Database
  directory: Directory
  clock: Clock
  log: EventLog
  sessions: Sessions
  epoch: string
  random: () => number
  system: (tenant: number) => Principal
  /** Tells senders of copies that were lost, in the same commit. */
  bounces: Bounces
}

export type Deliveries = ReturnType<typeof makeDeliveries>

export function makeDeliveries(parts: DeliveryParts) {
  const { database, directory, clock, log, sessions } = parts
  const background = new Background(parts.logger, 'deliveries could not be moved on')
  let closed = false
  const windows = new Windows(sessions)
  const leases = new Leases(({ agent, number }) => {
    if (number !== undefined) windows.get(agent)?.sent.delete(number)
  })
  const handover = makeHandover(parts)
  const frame = makeDeliveryFrames(directory)
  const { counters } = handover
  const arrivals = new Arrivals(clock)
  const lane = makeLane({ ...parts, leases, values: database.dialect.values })
  const lines = makeLines({ leases, lane, arrived })
  const acks = new Acknowledgements({ ...parts, leases, lane, windows, lines, handover, pump, run })
  const back = makeGivingBack({ ...parts, leases, lane, lines, acks, counters, pump })
  const expiry = makeExpiry({ ...parts, leases, lines, counters })
  const leasing = makeLeasing({ ...parts, leases, lane, acks, expiry })
  const receive = makeReceive({ directory, clock, arrivals, leasing, handover, isClosed: () => closed })
  let cancelSweep = clock.after(sweepMs, sweep)

  async function load(): Promise<void> {
    const start = await database.transaction(async (tx) => {
      await lane.recover(tx, log.head)
      return countStart(tx)
    })
    windows.begin(start)
    const { depths, leased, dead } = await loadInboxes(database)
    leases.load(depths, leased)
    counters.dead = dead
  }

  /** Starts delivering to the session. `resumeAfter` is the last delivery number the client saw; without it the client is a fresh one. */
  async function attach(
    session: Session,
    resumeAfter: number | undefined,
  ): Promise<{ resumed: boolean; head: number; gap: boolean }> {
    const agent = session.agent as number
    const { tenant } = session.caller
    const head = windows.head(agent)
    const known = resumeAfter !== undefined && windows.isKnown(agent, resumeAfter)
    const seen = (): [number, Lease][] =>
      leases
        .all()
        .flatMap((lease): [number, Lease][] =>
          known && lease.agent === agent && lease.number !== undefined && lease.number <= resumeAfter
            ? [[lease.number, lease]]
            : [],
        )
    // What a lost connection took with it comes again at once; what the client still holds it may acknowledge by its receipt. Nothing is
    // leased to the new session before that is committed, or the same would be taken back from it.
    await acks.transaction(async (tx) => {
      await lane.open(tx, tenant, agent, log.head)
      const keep = new Set(seen().map(([, place]) => leaseKey(place)))
      for (const row of await leasedOf(tx, tenant, agent)) if (!keep.has(leaseKey(row))) await back.lost(tx, row)
      tx.afterCommit(() => {
        if (sessions.forAgent(agent) !== session) return
        windows.open(agent, session, new Map(seen().toSorted(([a], [b]) => a - b)))
      })
    })
    pump(agent)
    return { resumed: known, head, gap: !known && resumeAfter !== undefined && resumeAfter > 0 && resumeAfter !== head }
  }

  /**
   * Takes a credit for a new message, so that it is leased in the transaction that stores it. Undefined when it has to wait: nobody is
   * there, or others wait before it. Goes to `stored` or back by `unreserve`.
   */
  function reserve(agent: number): Window | undefined {
    const window = windows.get(agent)
    if (!window || leases.ready(agent) > 0 || leases.isExpected(agent) || window.pumping || roomIn(window) <= 0) return undefined
    window.reserved += 1
    return window
  }

  function unreserve(reserved: ReadonlyMap<NewDelivery, Window>): void {
    for (const window of reserved.values()) window.reserved -= 1
  }

  /** Counts rows stored by `insertDeliveries`; leased ones are handed over. Runs after the commit. */
  function stored(
    rows: readonly NewDelivery[],
    messages: ReadonlyMap<number, MessageRow>,
    reserved: ReadonlyMap<NewDelivery, Window>,
  ): void {
    const ready = new Set<number>()
    const handed = new Map<number, Lease[]>()
    unreserve(reserved)
    for (const row of rows) {
      if (row.state === 1) hand(row, messages.get(row.seq) as MessageRow, reserved.get(row), handed)
      else if (row.state === 2) leases.countBehind(row.agent, 1)
      else {
        leases.countReady(row.agent, 1)
        ready.add(row.agent)
      }
    }
    handover.announce(handed, 'leased')
    for (const agent of ready) arrived(agent)
  }

  function arrived(agent: number): void {
    pump(agent)
    arrivals.wake(agent)
  }

  /** Leases what is due for a connected agent, as far as its credits go. */
  function pump(agent: number): void {
    const window = windows.get(agent)
    if (!window || closed || leases.ready(agent) === 0) return
    if (window.pumping) {
      window.again = true
      return
    }
    const room = roomIn(window)
    if (room <= 0) return
    window.pumping = true
    run(
      leasing
        .lease(window.session.caller.tenant, agent, Math.min(room, maxPumped), leaseMs)
        .then((rows) => {
          if (windows.get(agent) !== window) return back.undo(rows.map((row) => row.place))
          const handed: Lease[] = []
          for (const row of rows) {
            const lease = leases.get(row.place)
            if (lease?.attempt !== row.place.attempt) continue
            send(window, lease, row.message)
            handed.push(lease)
          }
          handover.announce(new Map([[agent, handed]]), 'leased')
          return undefined
        })
        .finally(() => {
          window.pumping = false
          if (window.again) {
            window.again = false
            pump(agent)
          }
        }),
    )
  }

  function hand(row: NewDelivery, message: MessageRow, reserved: Window | undefined, handed: Map<number, Lease[]>): void {
    const { agent } = row
    const lease = leases.begin(row, row, row.lease_until ?? 0, row.lane)
    const window = windows.get(agent)
    if (!window || window !== reserved) return run(back.undo([lease]))
    send(window, lease, message)
    const same = handed.get(agent)
    if (same) same.push(lease)
    else handed.set(agent, [lease])
  }

  function send(window: Window, lease: Lease, message: MessageRow): void {
    const { session } = window
    failPoint('deliver.before-send')
    const number = windows.nextNumber(lease.agent)
    lease.number = number
    session.send(frame(message, number, handover.handed(lease, lease.until), session.short === true))
    handover.countDelivery(lease)
    // Plain clients know no acknowledgement: what was written to them is settled.
    if (session.mode === 'plain') acks.add(lease)
    else {
      session.credits -= 1
      window.sent.set(number, lease)
    }
  }

  function addCredits(session: Session, credits: number): void {
    session.credits = Math.min(session.credits + credits, 100_000)
    if (session.agent !== undefined) pump(session.agent)
  }

  /** A reply that goes to a waiting requester as its answer is leased to it until the answer was handed over. */
  function keep(row: NewDelivery): void {
    leases.begin(row, row, row.lease_until ?? 0)
  }

  /** Whoever asked was handed the reply as its answer, or was gone when it came: then it is in its inbox. */
  function answered(place: Place, wasThere: boolean): void {
    if (wasThere) acks.add(place)
    else run(back.undo([place]))
  }

  /** A dead letter is in the agent's inbox again. */
  function redriven(agent: number, state: InboxRow['state'], wasListed: boolean): void {
    if (state === 2) leases.countBehind(agent, 1)
    else leases.countReady(agent, 1)
    if (wasListed) counters.dead -= 1
    pump(agent)
  }

  function purged(): void {
    counters.dead -= 1
  }

  function sweep(): void {
    if (closed) return
    const expiring = back.expire()
    if (expiring) run(expiring)
    run(expiry.sweep())
    for (const agent of windows.agents()) pump(agent)
    cancelSweep = clock.after(sweepMs, sweep)
  }

  function run(work: Promise<unknown>): void {
    background.run(work)
  }

  async function close(): Promise<void> {
    closed = true
    cancelSweep()
    acks.stop()
    arrivals.wakeAll()
    await background.idle()
    await acks.flush()
    // What agents had in hand is theirs again as soon as a server answers, not after its lease.
    const inHand = leases.all()
    const { head } = log
    await database.transaction(async (tx) => {
      await lane.close(tx, inHand, head)
      await releaseLeases(tx, inHand)
    })
  }

  return {
    counters,
    load,
    depth: (agent: number) => leases.depth(agent),
    totals: () => leases.totals(),
    /** Position of the oldest message to the agent that is in flight without a row. */
    oldestInFlight: (agent: number): number | undefined => leases.laneOf(agent)[Symbol.iterator]().next().value?.seq,
    attach,
    addCredits,
    reserve,
    unreserve,
    expect: (rows: readonly NewDelivery[], change: 1 | -1) => leases.expect(rows, change),
    stored,
    isBehind: lines.isBehind,
    receive,
    acknowledgeUpTo: (session: Session, number: number) => acks.upTo(session, number),
    acknowledge: (places: readonly Place[]) => acks.acknowledge(places),
    acknowledgeIn: (...of: Parameters<Acknowledgements['acknowledgeIn']>) => acks.acknowledgeIn(...of),
    transactionWithAcks: <T>(...of: Parameters<typeof acks.transaction<T>>) => acks.transaction(...of),
    reject: back.reject,
    extend: leasing.extend,
    redriven,
    purged,
    keep,
    answered,
    close,
  }
}
