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
