/** Followers of the log over a connection: a cursor each, read from the store, so that nothing is skipped and nothing comes twice. */
import type { LogEntry } from '@cadre/contract'
import type { Clock } from '../../core/clock.ts'
import type { EventLog } from '../../core/events.ts'
import type { Session } from '../../core/sessions.ts'
import { type Filter, type LogReader, typesOf } from './reading.ts'

export interface WatchParts {
  log: EventLog
  clock: Clock
  reader: LogReader
}

export interface Watch {
  /** Watches of one connection and name replace each other. */
  name: string
  after: number
  filter: Filter
  /** The frame for an entry; undefined leaves it out. */
  frame: (entry: LogEntry) => Promise<string | undefined> | string | undefined
  /** Tells of what is not in the log too. */
  live: boolean
}

const pageSize = 500
const maxBuffered = 1024 * 1024
const retryMs = 100

export class Watchers {
  readonly #parts: WatchParts
  readonly #active = new Map<Session, Map<string, () => void>>()

  constructor(parts: WatchParts) {
    this.#parts = parts
  }

  start(session: Session, watch: Watch): void {
    this.stop(session, watch.name)
    const { log, clock, reader } = this.#parts
    const { filter, frame } = watch
    const tenant = session.caller.tenant
    const types = typesOf(filter)
    const wanted = types && new Set(types)
    let cursor = watch.after
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
            cancelRetry = clock.after(retryMs, () => void step())
            return
          }
          dirty = false
          const { entries, through } = await reader.read(tenant, cursor, filter, pageSize)
          for (const entry of entries) {
            const text = await frame(entry)
            if (ended) return
            if (text !== undefined) session.send(text)
          }
          if (entries.length > 0) dirty = true
          cursor = Math.max(cursor, through)
        }
      } finally {
        reading = false
      }
    }
    const step = () => advance().catch(end)
    const unsubscribe = log.subscribe((entries) => {
      for (const entry of entries) {
        if (entry.tenant !== tenant || (wanted && !wanted.has(entry.type))) continue
        // Position 0: not in the log, for live views only.
        if (entry.seq > 0) dirty = true
        else if (watch.live && session.buffered() < maxBuffered) session.send(eventFrame(reader.viewLive(entry)))
      }
      if (dirty) void step()
    })
    const end = () => {
      ended = true
      cancelRetry()
      unsubscribe()
      session.onClose.delete(end)
      const active = this.#active.get(session)
      if (active?.get(watch.name) !== end) return
      active.delete(watch.name)
      if (active.size === 0) this.#active.delete(session)
    }
    const active = this.#active.get(session) ?? new Map<string, () => void>()
    this.#active.set(session, active.set(watch.name, end))
    session.onClose.add(end)
    // After the answer to the request itself: a client takes its first position from there.
    setImmediate(() => void step())
  }

  /** Watches of a connection whose names begin so. */
  count(session: Session, prefix: string): number {
    return [...(this.#active.get(session)?.keys() ?? [])].filter((name) => name.startsWith(prefix)).length
  }

  stop(session: Session, name: string): boolean {
    const end = this.#active.get(session)?.get(name)
    end?.()
    return end !== undefined
  }
}

const texts = new WeakMap<LogEntry, string>()
export const eventFrame = (entry: LogEntry): string => {
  let text = texts.get(entry)
  if (text === undefined) texts.set(entry, (text = JSON.stringify({ type: 'event', data: entry })))
  return text
}
