/** One sentence computed from a table: the rows it rests on, and the key by which it can be computed again. */
import type { Column, NumericColumn } from './columns.ts'
import type { Table } from './table.ts'

export type FindingKind = 'summary' | 'trend' | 'extreme' | 'outlier' | 'group' | 'correlation' | 'comparison' | 'lookup'

/** `strength` 0..1 orders findings; `columns` are the names the sentence speaks of; `key` names the calculation within its document. */
export type Finding = {
  key: string
  kind: FindingKind
  text: string
  citations: { start: number; end: number }[]
  strength: number
  columns: string[]
}

/** A table with its columns understood: what every calculation starts from. */
export type Reading = { table: Table; prefix: string; time: Column | undefined; categories: Column[]; numeric: NumericColumn[] }

const maxCitedRows = 6

export function makeFinding(
  reading: Reading,
  kind: FindingKind,
  key: string,
  text: string,
  rows: number[] | 'all',
  strength: number,
  columns: string[],
): Finding {
  return {
    kind,
    key: `${reading.prefix}${kind}:${key}`,
    text,
    citations: cite(reading.table, rows),
    strength: Number(Math.min(1, strength).toFixed(4)),
    columns,
  }
}

/** A small table is cited whole, so that a reader can compute the sentence again from the quote; of a large one, the header and the rows named. */
function cite(table: Table, rows: number[] | 'all'): { start: number; end: number }[] {
  const first = table.rows[0]
  const last = table.rows.at(-1)
  if (first === undefined || last === undefined) return []
  const start = Math.min(table.header?.start ?? first.start, first.start)
  const whole = { start, end: last.end }
  if (rows === 'all' && whole.end - whole.start <= 3000) return [whole]
  const chosen = rows === 'all' ? [0, table.rows.length - 1] : [...new Set(rows)].slice(0, maxCitedRows)
  const ranges = chosen.toSorted((a, b) => a - b).flatMap((row) => table.rows[row] ?? [])
  const seen = new Set<number>()
  const parts = [
    ...(table.header === undefined ? [] : [table.header]),
    ...ranges.map(({ start: from, end }) => ({ start: from, end })),
  ]
  return parts.filter(({ start: from }) => !seen.has(from) && seen.add(from) !== undefined)
}
