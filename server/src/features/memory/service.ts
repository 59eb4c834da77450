/**
 * Shared memory. The versions of a key are 1, 2, 3... without gaps; deleting and expiring write a tombstone, which is a version too. A
 * key whose time is over reads as not found at once; its tombstone is written when it is next touched or swept.
 */
import { CadreError, type OutputOf, type ParsedInputOf } from '@cadre/contract'
import { type Clock, iso, isoOrNull } from '../../core/clock.ts'
import type { Caller, Context, WriteTx } from '../../core/context.ts'
import type { Directory } from '../../core/directory.ts'
import type { Handlers } from '../../core/invoke.ts'
import { serialise } from '../../core/limits.ts'
import { decodeCursor, encodeCursor, numberCursor } from '../../core/paging.ts'
import type { Database, Tx } from '../../drivers/database/port.ts'
import { isOperator, mayReadRow, mayWriteRow, owns, toAccessControl, toLists } from './grants.ts'
import {
  type MemoryRow,
  type Named,
  type Sized,
  countMemory,
  findExpired,
  findMemory,
  findVersion,
  listMemory,
  listVersions,
  readMemory,
  readVersions,
  saveMemory,
} from './store.ts'

export { mayRead } from './grants.ts'

export interface MemoryParts {
  database: Database
  directory: Directory
  clock: Clock
  newId: (prefix: string) => string
  engine: () => Context
  /** Throws unless the caller holds the task under this lease; writes in the name of a task go through it. */
  checkLease: (tx: Tx, claim: { task_id: string; lease: string | undefined; caller: Caller; strict: boolean }) => Promise<void>
  /** How many versions of a key are kept; 1000 unless given. */
  keepVersions?: number
}

export interface Memory {
  handlers: Pick<Handlers, 'memory.set' | 'memory.get' | 'memory.delete' | 'memory.list' | 'memory.query' | 'memory.history'>
  /** Writes the tombstones of at most 500 keys whose time is over; runs every minute by itself. Answers how many it wrote. */
  purgeExpired(): Promise<number>
  /** Keys of a tenant that exist. */
  count(tenant: number): Promise<number>
  close(): Promise<void>
}

const maxValueBytes = 1024 * 1024
const maxMetadataBytes = 64 * 1024
const maxDescription = 4_000
/** Keys that one query looks at: a few milliseconds' work. */
const maxLooked = 5_000
const lookRows = 500
const maxPageChars = 8 * 1024 * 1024
const sweepEvery = 60_000
const sweepRows = 500
const tombstone = 'null'

export function makeMemory(parts: MemoryParts): Memory {
  const { database, directory, clock, newId } = parts
  const keep = parts.keepVersions ?? 1000
  let sweeping: Promise<unknown> | undefined
  let closed = false
  let cancelSweep = clock.after(sweepEvery, sweep)

  function sweep(): void {
    sweeping = purgeExpired()
      .catch(() => 0)
      .finally(() => {
        sweeping = undefined
        if (!closed) cancelSweep = clock.after(sweepEvery, sweep)
      })
  }

  const isLive = (row: MemoryRow) => row.deleted === 0 && !isExpired(row)
  const isExpired = (row: MemoryRow) => row.deleted === 0 && row.expires_at !== null && row.expires_at <= clock.now()
  /** The version a reader would see: an expired key counts its tombstone already. */
  const versionOf = (row: MemoryRow | undefined) => (row === undefined ? 0 : isExpired(row) ? row.version + 1 : row.version)

  const nameOf = (id: number) => directory.nameOf(id) ?? 'unknown'

  const view = (row: MemoryRow): OutputOf<'memory.get'> => ({
    id: row.id,
    key: row.key,
    value: JSON.parse(row.value),
    description: row.description,
    version: row.version,
    created_by: nameOf(row.created_by),
    updated_by: nameOf(row.updated_by),
    task_id: row.task,
    access_control: toAccessControl(directory, row),
    metadata: JSON.parse(row.metadata),
    created_at: iso(row.created_at),
    updated_at: iso(row.updated_at),
    expires_at: isoOrNull(row.expires_at),
  })

  async function save(tx: WriteTx, row: MemoryRow): Promise<void> {
    await saveMemory(tx, row, keep)
    const data = {
      key: row.key,
      version: row.version,
      value: JSON.parse(row.value),
      deleted: row.deleted === 1,
      updated_by: nameOf(row.updated_by),
      access_control: toAccessControl(directory, row, true),
    }
    tx.emit({ type: 'memory.updated', subject: row.key, data, task: row.task })
  }

  /** The value goes; who owns the key and who may use it stays, because the history is still there to read. */
  const buried = (row: MemoryRow, by: number): MemoryRow => ({
    ...row,
    version: row.version + 1,
    value: tombstone,
    description: null,
    metadata: '{}',
    deleted: 1,
    updated_by: by,
    task: null,
    updated_at: clock.now(),
    expires_at: null,
  })

  function checkVersion(context: Context, key: string, row: MemoryRow | undefined, expected: number | undefined): void {
    if (expected === undefined) return
    const live = row !== undefined && isLive(row)
    const version = versionOf(row)
    if (expected === 0 ? !live : expected === version) return
    const value = live && mayReadRow(context, row) ? JSON.parse(row.value) : null
    throw new CadreError('version_mismatch', { key, version, value, deleted: !live, expected })
  }

  async function set(
    context: Context,
    tx: WriteTx,
    input: ParsedInputOf<'memory.set'>,
    value: string,
    metadata: string | undefined,
  ) {
    const { key } = input
    const now = clock.now()
    let row = await findMemory(tx, context.tenant, key)
    if (row && !mayWriteRow(context, row)) throw forbidden(key, 'write')
    checkVersion(context, key, row, input.if_version)
    if (row && isExpired(row)) await save(tx, (row = buried(row, context.caller.id)))
    const unowned = row === undefined || (row.deleted === 1 && row.readers === null && row.writers === null)
    const mayOwn = unowned || owns(context, row as MemoryRow)
    if (input.access_control && !mayOwn) {
      throw new CadreError('forbidden', {
        reason: `Only ${nameOf((row as MemoryRow).created_by)}, who created ${key}, may change who may use it.`,
      })
    }
    const begins = row === undefined || (row.deleted === 1 && (unowned || row.created_by === context.caller.id))
    const next: MemoryRow = {
      tenant: context.tenant,
      key,
      id: begins ? newId('mem') : (row as MemoryRow).id,
      version: (row?.version ?? 0) + 1,
      value,
      description: describe(input) ?? row?.description ?? null,
      deleted: 0,
      created_by: begins ? context.caller.id : (row as MemoryRow).created_by,
      updated_by: context.caller.id,
      task: input.task_id ?? null,
      ...(input.access_control
        ? toLists(directory, context.tenant, input.access_control)
        : { readers: row?.readers ?? null, writers: row?.writers ?? null }),
      metadata: metadata ?? row?.metadata ?? '{}',
      created_at: begins ? now : (row as MemoryRow).created_at,
      updated_at: now,
      expires_at: input.ttl === undefined ? null : now + input.ttl,
    }
    await save(tx, next)
    return view(next)
  }

  async function readable(context: Context, key: string): Promise<MemoryRow> {
    const row = await findMemory(database, context.tenant, key)
    if (!row) throw missing(key)
    if (!mayReadRow(context, row)) throw forbidden(key, 'read')
    return row
  }

  async function purgeExpired(): Promise<number> {
    const engine = parts.engine()
    const due = await findExpired(database, engine.tenant, clock.now(), sweepRows)
    if (due.length === 0) return 0
    let written = 0
    await engine.write(async (tx) => {
      for (const { key } of due) {
        const row = await findMemory(tx, engine.tenant, key)
        if (!row || !isExpired(row)) continue
        await save(tx, buried(row, engine.caller.id))
        written += 1
      }
      return {}
    })
    return written
  }

  const handlers: Memory['handlers'] = {
    'memory.set': async (context, input) => {
      const value = serialise(input.value, 'value', maxValueBytes)
      const metadata = input.metadata && serialise(input.metadata, 'metadata', maxMetadataBytes)
      const answer = await context.write(async (tx) => {
        const { task_id, lease } = input
        if (task_id !== undefined) {
          const strict = context.session?.mode === 'leased'
          await parts.checkLease(tx, { task_id, lease, caller: context.caller, strict })
        }
        return set(context, tx, input, value, metadata)
      })
      return answer as OutputOf<'memory.set'>
    },

    'memory.get': async (context, { key, version }) => {
      const row = await readable(context, key)
      if (version === undefined || (version === row.version && isLive(row))) {
        if (!isLive(row)) throw missing(key)
        return view(row)
      }
      const former = await findVersion(database, context.tenant, key, version)
      if (!former || former.deleted === 1) throw missing(`${key} version ${version}`)
      return view({ ...row, ...former, expires_at: null })
    },

    'memory.delete': async (context, { key, if_version }) => {
      const answer = await context.write(async (tx) => {
        const row = await findMemory(tx, context.tenant, key)
        if (row && !mayWriteRow(context, row)) throw forbidden(key, 'write')
        if (!row || !isLive(row)) throw missing(key)
        checkVersion(context, key, row, if_version)
        const next = buried(row, context.caller.id)
        await save(tx, next)
        return { key, version: next.version, deleted: true as const }
      })
      return answer as OutputOf<'memory.delete'>
    },

    'memory.list': async (context, { prefix, limit, cursor }) => {
      const before = decodeCursor(cursor)
      const found = await listMemory(database, database.dialect, {
        tenant: context.tenant,
        prefix,
        before: before === undefined ? undefined : String(before),
        reader: isOperator(context) ? undefined : context.caller.id,
        now: clock.now(),
        limit: limit + 1,
      })
      const { ids, next } = fit(found, limit)
      const rows = await readMemory(database, database.dialect, context.tenant, ids)
      return { items: rows.map(view), next }
    },

    'memory.query': async (context, { pattern, limit, cursor }) => {
      const wanted = pattern.toLowerCase()
      const matches = (text: string | null) => text !== null && text.toLowerCase().includes(wanted)
      const given = decodeCursor(cursor)
      let before = given === undefined ? undefined : String(given)
      const found: Named[] = []
      let looked = 0
      let isLast = false
      // Here and not in SQL, where lower case is that of ASCII on one database and that of the locale on another.
      while (!isLast && looked < maxLooked && found.length <= limit) {
        const rows = await listMemory(database, database.dialect, {
          tenant: context.tenant,
          prefix: undefined,
          before,
          reader: isOperator(context) ? undefined : context.caller.id,
          now: clock.now(),
          limit: lookRows,
        })
        found.push(...rows.filter((row) => matches(row.key) || matches(row.description)))
        looked += rows.length
        isLast = rows.length < lookRows
        before = rows.at(-1)?.at ?? before
      }
      const { ids, next } = fit(found, limit)
      const rows = await readMemory(database, database.dialect, context.tenant, ids)
      return { items: rows.map(view), next: next ?? (isLast || before === undefined ? null : encodeCursor(before)) }
    },

    'memory.history': async (context, { key, limit, cursor }) => {
      await readable(context, key)
      const found = await listVersions(database, context.tenant, key, numberCursor(cursor), limit + 1)
      const { ids, next } = fit(found, limit)
      const rows = await readVersions(database, database.dialect, context.tenant, key, ids)
      const items = rows.map((row) => ({
        key,
        version: row.version,
        value: JSON.parse(row.value),
        deleted: row.deleted === 1,
        updated_by: nameOf(row.updated_by),
        task_id: row.task,
        updated_at: iso(row.updated_at),
      }))
      return { items, next }
    },
  }

  return {
    handlers,
    purgeExpired,
    count: (tenant) => countMemory(database, tenant, clock.now()),
    async close() {
      closed = true
      cancelSweep()
      await sweeping
    },
  }
}

/** Cuts a page where its values would outgrow `maxPageChars`; one always fits. */
function fit(found: readonly Sized[], limit: number): { ids: (string | number)[]; next: string | null } {
  let chars = 0
  let count = 0
  for (const { size } of found.slice(0, limit)) {
    chars += size
    if (count > 0 && chars > maxPageChars) break
    count += 1
  }
  const last = found[count - 1]
  return { ids: found.slice(0, count).map(({ at }) => at), next: count < found.length && last ? encodeCursor(last.at) : null }
}

/** Many put it into the metadata, as they would anywhere. */
function describe({ description, metadata }: ParsedInputOf<'memory.set'>): string | undefined {
  const told = metadata?.['description']
  return description ?? (typeof told === 'string' ? told.slice(0, maxDescription) : undefined)
}

const missing = (key: string) => new CadreError('not_found', { entity: 'memory key', id: key })

const forbidden = (key: string, verb: 'read' | 'write') =>
  new CadreError('forbidden', { reason: `You may not ${verb} ${key}; ask its owner to list you in access_control.`, key })
