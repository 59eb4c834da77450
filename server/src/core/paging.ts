/** Keyset cursors: opaque text that names the last key seen, so that a page never shifts when rows come or go. */
import { CadreError } from '@cadre/contract'

export const encodeCursor = (key: string | number): string => Buffer.from(JSON.stringify(key)).toString('base64url')

export function decodeCursor(cursor: string | undefined): string | number | undefined {
  if (cursor === undefined) return undefined
  try {
    const key: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString())
    if (typeof key === 'string' || (typeof key === 'number' && Number.isFinite(key))) return key
  } catch {
    // Falls through to the refusal below.
  }
  throw new CadreError(
    'invalid_request',
    {},
    { fields: [{ pointer: '/cursor', detail: 'Pass the `next` of an earlier page unchanged.' }] },
  )
}

export function numberCursor(cursor: string | undefined): number | undefined {
  const key = decodeCursor(cursor)
  if (key === undefined || typeof key === 'number') return key
  throw new CadreError(
    'invalid_request',
    {},
    { fields: [{ pointer: '/cursor', detail: 'Pass the `next` of an earlier page unchanged.' }] },
  )
}

/** Turns `limit + 1` rows into a page. */
export function toPage<T, U>(
  rows: readonly T[],
  limit: number,
  key: (row: T) => string | number,
  view: (row: T) => U,
): { items: U[]; next: string | null } {
  const items = rows.slice(0, limit)
  const last = items.at(-1)
  return { items: items.map(view), next: rows.length > limit && last !== undefined ? encodeCursor(key(last)) : null }
}

/** A page of rows in memory, ordered by falling key. */
export function pageOf<T>(
  rows: readonly T[],
  limit: number,
  cursor: string | undefined,
  key: (row: T) => number,
): { items: T[]; next: string | null } {
  const before = numberCursor(cursor)
  const rest = before === undefined ? rows : rows.filter((row) => key(row) < before)
  return toPage(rest.slice(0, limit + 1), limit, key, (row) => row)
}

const rowsPerRead = 64
const maxPageChars = 2 * 1024 * 1024

/**
 * Reads at most `limit` rows, and ends the page early, after one row at least, when they are large: 500 rows of a quarter of a megabyte
 * each would hold everybody up. `more` says that rows are left.
 */
export async function boundedRows<T>(
  limit: number,
  read: (last: T | undefined, count: number) => Promise<T[]>,
  size: (row: T) => number,
): Promise<{ rows: T[]; more: boolean }> {
  const page: T[] = []
  let chars = 0
  for (;;) {
    // One more than fits tells whether anything is left.
    const count = Math.min(rowsPerRead, limit - page.length + 1)
    const rows = await read(page.at(-1), count)
    for (const row of rows) {
      chars += size(row)
      if (page.length === limit || (page.length > 0 && chars > maxPageChars)) return { rows: page, more: true }
      page.push(row)
    }
    if (rows.length < count) return { rows: page, more: false }
  }
}

/** The page of rows that `boundedRows` read. */
export function pageFrom<T, U>(
  { rows, more }: { rows: readonly T[]; more: boolean },
  key: (row: T) => string | number,
  view: (row: T) => U,
): { items: U[]; next: string | null } {
  const last = rows.at(-1)
  return { items: rows.map(view), next: more && last !== undefined ? encodeCursor(key(last)) : null }
}
