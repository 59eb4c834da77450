/**
 * The database port. It carries a connection, not a repository: stores write SQL once and stay the same on every driver.
 *
 * What a driver promises:
 * - `transaction` is atomic and durable when its promise resolves. Calls made in one turn of the event loop share one commit (group
 *   commit, at most 256); each gets its own result, and one that fails is rolled back alone.
 * - Inside a transaction only its own `tx` may be awaited: anything else would hold the commit of everybody in the group.
 * - `read` sees committed state only, never the inside of an open transaction, and is never rolled back with one.
 * - Callbacks given to `tx.afterCommit` run in commit order, after the commit and before any promise of the group resolves.
 */
import type { Sql, SqlValue } from './sql.ts'

export type Row = Record<string, unknown>

export interface Reader {
  all<T = Row>(query: Sql): Promise<T[]>
  get<T = Row>(query: Sql): Promise<T | undefined>
}

export interface Tx extends Reader {
  /** Number of rows changed. */
  run(query: Sql): Promise<number>
  /** One statement for many rows of values; set-based writes go through here. */
  runMany(text: string, rows: readonly (readonly SqlValue[])[]): Promise<void>
  afterCommit(callback: () => void): void
}

/** Named differences between databases. */
export interface Dialect {
  readonly name: 'sqlite' | 'postgres'
  /** Rows of a JSON array bound as text, as a table of one column `value`. */
  readonly values: (jsonArray: string) => Sql
  /** True when the JSON array in a column holds the value; false for null. */
  readonly jsonArrayHas: (column: string, value: SqlValue) => Sql
  /** Rows of a full-text index that hold any of the words: `chunk_id` and `score` (higher is better). */
  readonly fullText: (index: string, words: readonly string[]) => Sql
  /** Adds a row to a full-text index, or removes it. */
  readonly fullTextAdd: (index: string, id: number, text: string) => Sql
  readonly fullTextRemove: (index: string, id: number) => Sql
  /** DDL of a full-text index, and the suffix of a table kept in the order of its key. */
  readonly fullTextIndex: (name: string) => string
  readonly clustered: string
}

export interface DatabaseInfo {
  driver: string
  durability: string
  journal: string
}

export interface Database extends Reader {
  readonly dialect: Dialect
  /** `rows`: about how many it writes, 1 unless given; a driver does not let a commit grow without bound. */
  transaction<T>(work: (tx: Tx) => Promise<T>, rows?: number): Promise<T>
  /** Reads the settings back from the running connection. */
  info(): DatabaseInfo
  close(): Promise<void>
}
