/** The log, followed live. One watch on the server feeds any number of watchers here, each with its own place. */
import type { InputOf, LogEntry, OutputOf } from '@cadre/contract'
import type { Call, CallOptions } from './calls.ts'
import { followLog } from './iteration.ts'
import { single } from './single.ts'

interface Watcher {
  handler: (entry: LogEntry) => void
  types: ReadonlySet<string> | undefined
  /** The last position handed over; undefined: from now on, wherever that is. */
  cursor: number | undefined
}

export interface Events {
  list(query?: InputOf<'events.list'>, options?: CallOptions): Promise<OutputOf<'events.list'>>
  /** Entries after `after` (or from now on), in order and across reconnects without a gap; the answer stops. */
  watch(handler: (entry: LogEntry) => void, options?: WatchOptions): () => void
  /** The same as a loop. A slow one loses nothing: the watch rests when 1000 entries wait. Ends with the connection's `close`. */
  follow(options?: WatchOptions & { signal?: AbortSignal }): AsyncIterableIterator<LogEntry>
}

export interface WatchOptions {
  after?: number
  types?: readonly string[]
}

export class EventFeed implements Events {
  readonly #call: Call
  readonly #onError: (error: unknown) => void
  readonly #closed: Promise<void> | undefined
  readonly #watchers = new Set<Watcher>()

  // From the hindmost place on, with all types any watcher wants.
  readonly #subscribe = single(async () => {
    const watchers = [...this.#watchers]
    if (watchers.length === 0) return
    const cursors = watchers.flatMap(({ cursor }) => cursor ?? [])
    const all = watchers.some(({ types }) => types === undefined)
    const types = all ? undefined : [...new Set(watchers.flatMap(({ types: wanted }) => [...(wanted ?? [])]))]
    const fresh = watchers.filter(({ cursor }) => cursor === undefined)
    try {
      const { head } = await this.#call('events.watch', { ...(cursors.length > 0 && { after: Math.min(...cursors) }), types })
      for (const watcher of fresh) watcher.cursor ??= head
    } catch (error) {
      this.#onError(error)
    }
  })

  constructor(call: Call, onError: (error: unknown) => void, closed?: Promise<void>) {
    this.#call = call
    this.#onError = onError
    this.#closed = closed
  }

  list(query: InputOf<'events.list'> = {}, options?: CallOptions): Promise<OutputOf<'events.list'>> {
    return this.#call('events.list', query, options)
  }

  watch(handler: (entry: LogEntry) => void, { after, types }: WatchOptions = {}): () => void {
    const watcher: Watcher = { handler, types: types && new Set(types), cursor: after }
    this.#watchers.add(watcher)
    this.#subscribe()
    return () => {
      // With nobody left the server need not send on.
      if (this.#watchers.delete(watcher) && this.#watchers.size === 0) this.#call('events.unwatch', {}).catch(this.#onError)
    }
  }

  follow({ after, signal, ...options }: WatchOptions & { signal?: AbortSignal } = {}): AsyncIterableIterator<LogEntry> {
    return followLog((handler, from) => this.watch(handler, { ...options, ...from }), after, { signal, closed: this.#closed })
  }

  /** A new connection knows nothing of the watch. */
  online(): void {
    this.#subscribe()
  }

  received(entry: LogEntry): void {
    for (const watcher of this.#watchers) {
      // Position 0: for live views only, not in the log.
      if (entry.seq > 0) {
        if (watcher.cursor !== undefined && entry.seq <= watcher.cursor) continue
        watcher.cursor = entry.seq
      }
      if (!watcher.types || watcher.types.has(entry.type)) watcher.handler(entry)
    }
  }
}
