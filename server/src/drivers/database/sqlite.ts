/** SQLite through node:sqlite: WAL, synced before anything is answered, one writer connection with group commit and one reader connection. */
import { join } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { CadreError } from '@cadre/contract'
import { Checkpointing } from './checkpointing.ts'
import type { Database, Dialect, Row, Tx } from './port.ts'
import { type Sql, type SqlValue, sql } from './sql.ts'
import { WalSync } from './wal-sync.ts'

const maxGroup = 256
/**
 * Rows after which a group is committed although more members wait: their senders work on the answers while the next group runs. With 256
 * messages a commit everybody waited for everybody.
 */
const maxGroupRows = 64
const maxStatements = 500

interface Member {
  rows: number
  work: (tx: Tx) => Promise<unknown>
  resolve: (value: unknown) => void
  reject: (error: unknown) => void
}

/**
 * Opens or creates the store in `folder` (`:memory:` keeps it in memory). Throws a sentence when another process holds the folder.
 */
export function openSqlite(folder: string, report: (error: unknown) => void = () => {}): Database {
  const inMemory = folder === ':memory:'
  const lock = inMemory ? undefined : holdFolder(folder)
  const path = inMemory ? ':memory:' : join(folder, 'cadre.db')
  const writer = new Connection(path, false)
  writer.exec('pragma journal_mode = wal')
  // NORMAL syncs the log before it is copied into the database, and `sync` syncs it before anybody hears of a commit. Without the latter
  // 60 simulated power losses took a third of the acknowledged writes; with it, as with FULL, none.
  writer.exec('pragma synchronous = normal')
  writer.exec('pragma foreign_keys = on; pragma busy_timeout = 5000; pragma cache_size = -16000; pragma wal_autocheckpoint = 0')
  // A reader of its own: a statement on the writer while a transaction is open would join it and be rolled back with it.
  const reader = inMemory ? undefined : new Connection(path, false)
  reader?.exec('pragma query_only = on; pragma busy_timeout = 5000; pragma cache_size = -16000')

  if (!inMemory) writer.exec('begin immediate; commit')
  const sync = inMemory ? undefined : new WalSync(`${path}-wal`)
  const finishCheckpoint = () => {
    try {
      if (!writer.inTransaction) writer.exec('pragma wal_checkpoint(passive)')
    } catch (error) {
      report(error)
    }
  }
  const checkpointing = inMemory ? undefined : new Checkpointing(path, finishCheckpoint, report)

  const queue: Member[] = []
  let scheduled = false
  let running: Promise<void> | undefined
  /** Reads that wait for a sync. */
  let readers = 0
  let closed = false
  let closing: Promise<void> | undefined

  const schedule = () => {
    if (scheduled || running) return
    scheduled = true
    setImmediate(() => {
      scheduled = false
      running = flush().finally(() => {
        running = undefined
        if (queue.length > 0) schedule()
      })
    })
  }

  async function flush(): Promise<void> {
    // A read sees whatever was committed when its turn comes, so nothing is committed between the sync it waits for and that turn.
    if (readers > 0) await sync?.settled()
    const group = nextGroup()
    const callbacks: (() => void)[] = []
    const settled: (() => void)[] = []
    try {
      writer.step('begin immediate')
      for (const member of group) await runMember(member, group.length > 1, callbacks, settled)
      writer.step('commit')
    } catch (error) {
      if (writer.inTransaction) writer.step('rollback')
      for (const member of group) member.reject(asCadreError(error))
      return
    }
    const told = (error: unknown) => {
      if (error !== undefined) for (const member of group) member.reject(unsynced(error))
      else conclude(callbacks, settled)
    }
    const rows = group.reduce((sum, member) => sum + member.rows, 0)
    checkpointing?.committed(rows)
    if (sync) sync.add(rows, told)
    else told(undefined)
  }

  function nextGroup(): Member[] {
    let rows = 0
    let size = 0
    for (const member of queue) {
      if (size === maxGroup || (size > 0 && rows + member.rows > maxGroupRows)) break
      rows += member.rows
      size += 1
    }
    return queue.splice(0, size)
  }

  // The commit stands: a callback that fails must not keep the others, or the callers, from hearing of it.
  function conclude(callbacks: readonly (() => void)[], settled: readonly (() => void)[]): void {
    for (const callback of callbacks) {
      try {
        callback()
      } catch (error) {
        report(error)
      }
    }
    for (const settle of settled) settle()
  }

  // A group of one needs no savepoint: its failure is the failure of the whole transaction.
  async function runMember(member: Member, savepoint: boolean, callbacks: (() => void)[], settled: (() => void)[]) {
    const own: (() => void)[] = []
    const tx = new Transaction(writer, own)
    if (savepoint) writer.step('savepoint member')
    try {
      const value = await member.work(tx)
      if (savepoint) writer.step('release member')
      callbacks.push(...own)
      settled.push(() => member.resolve(value))
    } catch (error) {
      // A full disk or an I/O error ends the whole transaction in SQLite; then nobody in the group was stored.
      if (!writer.inTransaction) throw error
      if (savepoint) {
        writer.step('rollback to member')
        writer.step('release member')
      } else {
        writer.step('rollback')
        writer.step('begin immediate')
      }
      settled.push(() => member.reject(asCadreError(error)))
    } finally {
      tx.end()
    }
  }

  const transaction = <T>(work: (tx: Tx) => Promise<T>, rows = 1): Promise<T> => {
    if (closed) return Promise.reject(new CadreError('draining'))
    if (sync?.failure !== undefined) return Promise.reject(unsynced(sync.failure))
    return new Promise<T>((resolve, reject) => {
      queue.push({ rows, work, resolve: resolve as (value: unknown) => void, reject })
      schedule()
    })
  }

  async function read<T>(run: () => Promise<T>): Promise<T> {
    const pending = sync?.settled()
    if (!pending) return run()
    readers += 1
    await pending
    readers -= 1
    return run()
  }

  return {
    dialect: sqliteDialect,
    transaction,
    all: <T>(query: Sql) => read(() => (reader ? reader.all<T>(query) : transaction((tx) => tx.all<T>(query)))),
    get: <T>(query: Sql) => read(() => (reader ? reader.get<T>(query) : transaction((tx) => tx.get<T>(query)))),
    info: () => ({
      driver: `node:sqlite ${process.versions['sqlite'] ?? ''}`.trim(),
      durability: sync ? durabilityOf(Number(writer.pragma('synchronous'))) : 'none',
      journal: String(writer.pragma('journal_mode')),
    }),
    close() {
      closed = true
      return (closing ??= finish())
    },
  }

  async function finish(): Promise<void> {
    while (running || queue.length > 0) await (running ?? new Promise((done) => setImmediate(done)))
    await sync?.settled()
    await checkpointing?.close()
    sync?.close()
    reader?.close()
    writer.close()
    lock?.close()
  }
}

const unsynced = (cause: unknown): CadreError =>
  new CadreError(
    'unavailable',
    { reason: 'The disk did not confirm what was written; look at it, then restart the server.' },
    { cause },
  )

/** What the running connection says, and what is done beside it. */
function durabilityOf(synchronous: number): string {
  const level = ['off', 'normal', 'full', 'extra'][synchronous] ?? 'unknown'
  // The log is synced by us before a commit is told: the same promise, kept outside SQLite.
  return level === 'normal' ? 'full' : level
}

const sqliteDialect: Dialect = {
  name: 'sqlite',
  clustered: 'without rowid',
  values: (jsonArray) => sql`(select value from json_each(${jsonArray}))`,
  jsonArrayHas: (column, value) =>
    sql`(${sql.raw(column)} is not null and ${value} in (select value from json_each(${sql.raw(column)})))`,
  fullText(index, words) {
    const name = sql.raw(index)
    const match = words.map((word) => `"${word.replaceAll('"', '""')}"`).join(' OR ')
    return sql`(select rowid as chunk_id, -bm25(${name}) as score from ${name} where ${name} match ${match})`
  },
  fullTextAdd: (index, id, text) => sql`insert into ${sql.raw(index)} (rowid, text) values (${id}, ${text})`,
  fullTextRemove: (index, id) => sql`delete from ${sql.raw(index)} where rowid = ${id}`,
  // Contentless: the text stands in its own table already.
  fullTextIndex: (name) =>
    `create virtual table ${name} using fts5 (text, content = '', contentless_delete = 1, tokenize = 'porter unicode61 remove_diacritics 2')`,
}

class Connection {
  readonly #database: DatabaseSync
  readonly #statements = new Map<string, StatementSync>()

  constructor(path: string, readOnly: boolean) {
    this.#database = new DatabaseSync(path, { readOnly })
  }

  get inTransaction(): boolean {
    return this.#database.isTransaction
  }

  /** A statement of transaction control, prepared once: `exec` would compile it anew for every member of every group. */
  step(text: string): void {
    this.#prepare(text).run()
  }

  exec(text: string): void {
    this.#database.exec(text)
  }

  pragma(name: string): unknown {
    return Object.values(this.#prepare(`pragma ${name}`).get() as Row)[0]
  }

  all<T>(query: Sql): Promise<T[]> {
    return settle(() => this.#prepare(query.text).all(...(query.values as SqlValue[])) as T[])
  }

  get<T>(query: Sql): Promise<T | undefined> {
    return settle(() => this.#prepare(query.text).get(...(query.values as SqlValue[])) as T | undefined)
  }

  run(query: Sql): Promise<number> {
    return settle(() => Number(this.#prepare(query.text).run(...(query.values as SqlValue[])).changes))
  }

  runMany(text: string, rows: readonly (readonly SqlValue[])[]): Promise<void> {
    return settle(() => {
      const statement = this.#prepare(text)
      for (const row of rows) statement.run(...row)
    })
  }

  // Preparing costs more than running: keep the statement of each text. The map keeps insertion order, so the first is the oldest.
  #prepare(text: string): StatementSync {
    let statement = this.#statements.get(text)
    if (!statement) {
      statement = this.#database.prepare(text)
      if (this.#statements.size >= maxStatements) {
        const oldest = this.#statements.keys().next().value
        if (oldest !== undefined) this.#statements.delete(oldest)
      }
      this.#statements.set(text, statement)
    }
    return statement
  }

  close(): void {
    this.#statements.clear()
    this.#database.close()
  }
}

/** Statements of a member that outlives its turn are refused, or they would join the next member's savepoint. */
class Transaction implements Tx {
  readonly #connection: Connection
  readonly #callbacks: (() => void)[]
  #ended = false

  constructor(connection: Connection, callbacks: (() => void)[]) {
    this.#connection = connection
    this.#callbacks = callbacks
  }

  end(): void {
    this.#ended = true
  }

  #open(): Connection {
    if (this.#ended) throw new Error('This transaction has ended; await every statement inside it')
    return this.#connection
  }

  all<T>(query: Sql): Promise<T[]> {
    return this.#open().all<T>(query)
  }
  get<T>(query: Sql): Promise<T | undefined> {
    return this.#open().get<T>(query)
  }
  run(query: Sql): Promise<number> {
    return this.#open().run(query)
  }
  runMany(text: string, rows: readonly (readonly SqlValue[])[]): Promise<void> {
    return this.#open().runMany(text, rows)
  }
  afterCommit(callback: () => void): void {
    this.#open()
    this.#callbacks.push(callback)
  }
}

function settle<T>(run: () => T): Promise<T> {
  try {
    return Promise.resolve(run())
  } catch (error) {
    return Promise.reject(error)
  }
}

/** Primary result codes that say the store cannot write at the moment: busy, locked, read-only, input or output, cannot open. */
const unavailableCodes = new Set([5, 6, 8, 10, 14])

function asCadreError(error: unknown): unknown {
  const code = (error as { errcode?: number } | null)?.errcode
  if (code === undefined) return error
  const primary = code & 0xff
  if (primary === 13) return new CadreError('storage_full', {}, { cause: error })
  return unavailableCodes.has(primary)
    ? new CadreError('unavailable', { reason: 'The store cannot be written at the moment; try again.' }, { cause: error })
    : error
}

/** The kernel drops the lock with the process, so a killed server never leaves the folder locked. */
function holdFolder(folder: string): DatabaseSync {
  const lock = new DatabaseSync(join(folder, 'lock.db'))
  try {
    lock.exec('pragma locking_mode = exclusive; begin exclusive')
    return lock
  } catch (error) {
    lock.close()
    throw new CadreError(
      'conflict',
      { reason: `Another Cadre server uses the data folder ${folder}; stop it or set CADRE_DATA to another folder.` },
      { cause: error },
    )
  }
}
