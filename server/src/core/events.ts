/**
 * The log: one truth, many views. Entries are appended in the transaction of the change; after the commit they are handed to the
 * consumers of this process. A consumer that was away reads from its cursor.
 */
import { events } from '@cadre/contract'
import type { Database, Tx } from '../drivers/database/port.ts'
import { type SqlValue, sql } from '../drivers/database/sql.ts'
import type { Clock } from './clock.ts'
import type { NewEntry, Principal } from './context.ts'

export interface Entry extends NewEntry {
  seq: number
  tenant: number
  at: number
  actor: number
  trace: string | null
}

type Listener = (entries: readonly Entry[]) => void

const insert = `insert into log (seq, tenant, type, schema_version, at, actor, subject, trace, body, task) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

export class EventLog {
  readonly #clock: Clock
  readonly #listeners = new Set<Listener>()
  readonly #report: (error: unknown) => void
  #seq: number
  #committed: number

  private constructor(clock: Clock, seq: number, report: (error: unknown) => void) {
    this.#clock = clock
    this.#report = report
    this.#seq = seq
    this.#committed = seq
  }

  static async open(database: Database, clock: Clock, report: (error: unknown) => void = () => {}): Promise<EventLog> {
    const row = await database.get<{ seq: number | null }>(sql`select max(seq) as seq from log`)
    return new EventLog(clock, row?.seq ?? 0, report)
  }

  /** Position of the newest committed entry. */
  get head(): number {
    return this.#committed
  }

  /** Positions are taken inside a transaction; one that fails leaves a gap, never a repetition. */
  nextSeq(): number {
    this.#seq += 1
    return this.#seq
  }

  /** Appends and answers the position of the last entry. */
  async append(tx: Tx, actor: Principal, trace: string | null, entries: readonly NewEntry[]): Promise<number> {
    if (entries.length === 0) return this.#seq
    const at = this.#clock.now()
    const logged = entries.map(
      (entry): Entry => ({ ...entry, seq: this.nextSeq(), tenant: actor.tenant, at, actor: actor.id, trace }),
    )
    await tx.runMany(
      insert,
      logged.map((entry): SqlValue[] => [
        entry.seq,
        entry.tenant,
        entry.type,
        schemaVersion(entry.type),
        entry.at,
        entry.actor,
        entry.subject,
        entry.trace,
        JSON.stringify(entry.data ?? null),
        entry.task ?? null,
      ]),
    )
    tx.afterCommit(() => this.announce(logged))
    return this.#seq
  }

  /** Hands committed entries to the consumers of this process. A consumer that throws must not keep the others from hearing. */
  announce(entries: readonly Entry[]): void {
    for (const entry of entries) if (entry.seq > this.#committed) this.#committed = entry.seq
    for (const listener of this.#listeners) {
      try {
        listener(entries)
      } catch (error) {
        this.#report(error)
      }
    }
  }

  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}

export const schemaVersion = (type: string): number => events[type]?.schema_version ?? 1
