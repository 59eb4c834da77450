/** Followers of the log over a socket: a cursor each, read from the store, so that nothing is skipped and nothing comes twice. */
import type { LogEntry } from '@cadre/contract'
import type { Clock } from '../../core/clock.ts'
import type { Entry, EventLog } from '../../core/events.ts'
import type { Session } from '../../core/sessions.ts'

export interface WatchParts {
  log: EventLog
  clock: Clock
  read: (
    tenant: number,
    after: number,
    types: readonly string[] | undefined,
    limit: number,
  ) => Promise<{ entries: LogEntry[]; last: number }>
  view: (entry: Entry) => LogEntry
}

const pageSize = 500
const maxBuffered = 1024 * 1024
const retryMs = 100

export class Watchers {
  readonly #parts: WatchParts
  readonly #active = new Map<Session, () => void>()

  constructor(parts: WatchParts) {
    this.#parts = parts
  }

  start(session: Session, after: number, types: readonly string[] | undefined): void {
    this.stop(session)
    const { log, clock, read, view } = this.#parts
    const tenant = session.caller.tenant
    const wanted = types && new Set(types)
    let cursor = after
    let reading = false
    let dirty = true
    let ended = false
    let cancelRetry = () => {}

    const advance = async () => {
      if (reading || ended) return
      reading = true
      try {
        while (dirty && !ended) {
          if (session.buffered() > maxBuffered) {
            // A slow follower waits; its cursor keeps its place.
            cancelRetry()
            cancelRetry = clock.after(retryMs, () => void advance())
            return
          }
          dirty = false
          const { head } = log
          const { entries, last } = await read(tenant, cursor, types, pageSize)
          for (const entry of entries) if (!ended) session.send(JSON.stringify({ type: 'event', data: entry }))
          if (last > cursor) {
            cursor = last
            dirty = true
          } else if (head > cursor) cursor = head
        }
      } finally {
        reading = false
      }
    }
    const unsubscribe = log.subscribe((entries) => {
      for (const entry of entries) {
        if (entry.tenant !== tenant) continue
        // Position 0: not in the log, for live views only.
        if (entry.seq > 0) dirty = true
        else if ((!wanted || wanted.has(entry.type)) && session.buffered() < maxBuffered)
          session.send(JSON.stringify({ type: 'event', data: view(entry) }))
      }
      if (dirty) advance().catch(() => this.stop(session))
    })
    const end = () => {
      ended = true
      cancelRetry()
      unsubscribe()
      this.#active.delete(session)
      session.onClose.delete(end)
    }
    this.#active.set(session, end)
    session.onClose.add(end)
    // After the answer to the request itself: a client takes its first position from there.
    setImmediate(() => advance().catch(() => this.stop(session)))
  }

  stop(session: Session): void {
    this.#active.get(session)?.()
  }
}
