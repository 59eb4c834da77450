/** Entries of the log as clients see them. */
import { CadreError, type EventTopic, type LogEntry, type Message, events } from '@cadre/contract'
import { type Clock, iso } from '../../core/clock.ts'
import type { Directory } from '../../core/directory.ts'
import { type Entry, type EventLog, schemaVersion } from '../../core/events.ts'
import { place } from '../../core/partitions.ts'
import type { Database } from '../../drivers/database/port.ts'
import type { MessageRow } from '../messages/service.ts'
import { type LogRow, positionAt, readLog } from './store.ts'

export interface Filter {
  topics?: readonly EventTopic[] | undefined
  types?: readonly string[] | undefined
}

export interface ReadingParts {
  database: Database
  directory: Directory
  clock: Clock
  log: EventLog
  /** The message of a log entry. */
  messageOf: (row: MessageRow) => Message
  /** Settled messages up to here may have been removed; 0: none. */
  trimmedTo: (tenant: number) => number
}

/** `through`: everything of the kind up to this position was read. */
export interface Page {
  entries: LogEntry[]
  through: number
}

export interface LogReader {
  /** Entries after a position, oldest first, as far as the log goes now. */
  read(tenant: number, after: number, filter: Filter, limit: number): Promise<Page>
  /** The last position before a time, `start`, `end` or a position. Throws `invalid_request`. */
  positionOf(tenant: number, from: number | string, field: string): Promise<number>
  /** Whether messages that a reader from that position should have seen may be gone. */
  hasGap(tenant: number, after: number, filter: Filter): boolean
  viewLive(entry: Entry): LogEntry
}

/** The types of entries that a filter lets pass; undefined: all. */
export function typesOf({ topics, types }: Filter): readonly string[] | undefined {
  if (topics === undefined) return types
  const wanted = new Set<string>(topics)
  const inTopics = (type: string) => wanted.has(events[type]?.topic ?? '')
  return (types ?? Object.keys(events)).filter(inTopics)
}

export function makeLogReader(parts: ReadingParts): LogReader {
  const { database, directory, log } = parts

  function view(entry: Pick<Entry, 'seq' | 'type' | 'at' | 'actor' | 'subject' | 'trace' | 'data'>, version: number): LogEntry {
    const subject = entry.subject ?? ''
    return {
      seq: entry.seq,
      type: entry.type,
      ...place(entry.type, subject, entry.data),
      schema_version: version,
      at: iso(entry.at),
      actor: directory.nameOf(entry.actor) ?? 'unknown',
      subject,
      trace: entry.trace,
      data: entry.data,
    }
  }
  function viewRow(row: LogRow): LogEntry {
    // A message is its own entry.
    if (row.kind === null) return view({ ...row, data: JSON.parse(row.body) as unknown }, row.schema_version)
    const message = parts.messageOf(row as unknown as MessageRow)
    return view({ ...row, subject: message.id, data: message }, row.schema_version)
  }

  let lastKey = ''
  let last: Promise<unknown> | undefined
  return {
    async read(tenant, after, filter, limit) {
      // Before the read: what is committed in between is left to the next.
      const { head } = log
      const types = typesOf(filter)
      const key = `${tenant}/${after}/${head}/${limit}/${types?.join()}`
      if (key !== lastKey) {
        lastKey = key
        last = readLog(database, { tenant, after, upTo: head, types, limit }).then(({ rows, through }) => ({
          entries: rows.map(viewRow),
          through,
        }))
        // One that fails is for those who asked; the next asks again.
        last.catch(() => {
          lastKey = ''
        })
      }
      return last as never
    },
    async positionOf(tenant, from, field) {
      if (typeof from === 'number') return Math.min(from, log.head)
      if (from === 'end') return log.head
      if (from === 'start') return 0
      const time = Date.parse(from)
      if (Number.isNaN(time))
        throw new CadreError(
          'invalid_request',
          {},
          { fields: [{ pointer: `/${field}`, detail: 'Give start, end, a position or an ISO 8601 time.' }] },
        )
      return positionAt(database, log.head, time)
    },
    hasGap: (tenant, after, filter) => after < parts.trimmedTo(tenant) && (typesOf(filter)?.includes('message.sent') ?? true),
    viewLive: (entry) => view(entry, schemaVersion(entry.type)),
  }
}
