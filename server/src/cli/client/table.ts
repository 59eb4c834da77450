/** Aligned tables that fit the window; into a pipe nothing is cut. */
import { type Cell, cell, isEmpty, paint } from './look.ts'
import type { Terminal } from './terminal.ts'
import { fit, oneLine, pad, widthOf } from './text.ts'

type Row = Readonly<Record<string, unknown>>

/** Columns in the order they are shown; the number says which go first where there is no room (the highest). */
const columns: readonly (readonly [field: string, dispensable: number])[] = [
  ['score', 4],
  ['seq', 0],
  ['at', 2],
  ['id', 0],
  ['document_id', 3],
  ['name', 0],
  ['key', 0],
  ['version', 2],
  ['group', 0],
  ['tool', 0],
  ['title', 1],
  ['state', 0],
  ['status', 0],
  ['outcome', 0],
  ['presence', 3],
  ['attempt', 4],
  ['priority', 7],
  ['role', 2],
  ['sender', 1],
  ['recipients', 1],
  ['agent', 1],
  ['rule', 1],
  ['parties', 1],
  ['assigned_to', 2],
  ['topic', 3],
  ['topics', 2],
  ['partitions', 2],
  ['lag', 1],
  ['members', 4],
  ['when', 1],
  ['to', 1],
  ['kind', 6],
  ['type', 3],
  ['caller', 4],
  ['collection', 3],
  ['media_type', 4],
  ['size', 3],
  ['documents', 2],
  ['chunks', 4],
  ['load', 6],
  ['mode', 3],
  ['credits', 4],
  ['in_flight', 3],
  ['buffered_bytes', 4],
  ['since', 2],
  ['inbox_depth', 5],
  ['executions', 4],
  ['progress', 4],
  ['provider', 2],
  ['online', 5],
  ['grants', 5],
  ['capabilities', 4],
  ['attempts', 4],
  ['receipt', 3],
  ['lease', 3],
  ['lease_until', 4],
  ['held_until', 3],
  ['reason', 2],
  ['error', 3],
  ['detail', 1],
  ['updated_by', 5],
  ['created_at', 5],
  ['updated_at', 4],
  ['started_at', 4],
  ['ended_at', 5],
  ['last_seen', 4],
  ['last_used_at', 4],
  ['dead_at', 4],
  ['description', 6],
  ['value', 1],
  ['content', 1],
  ['text', 1],
  ['data', 1],
]
const known = new Map(columns.map(([field, dispensable], order) => [field, { dispensable, order }]))
const maxColumns = 8
/** Columns that shrink before any goes. */
const elastic = new Set([
  'title',
  'description',
  'value',
  'content',
  'text',
  'data',
  'reason',
  'error',
  'detail',
  'capabilities',
  'recipients',
  'grants',
  'parties',
  'when',
  'to',
  'lag',
])
const elasticWidth = 16
const gap = 2

const isScalar = (value: unknown) => typeof value !== 'object' || value === null
const isPlainList = (value: unknown) => Array.isArray(value) && value.every(isScalar)

/** A field that says again what another says: `task_id` beside `id`, `status` beside `state`, `agent_id` beside `agent`. */
export function isRedundant(field: string, rows: readonly Row[]): boolean {
  if (field === 'status' && rows.every((row) => row['state'] !== undefined)) return true
  const short = field.slice(field.indexOf('_') + 1)
  if (field.includes('_') && rows.every((row) => Object.hasOwn(row, short) && row[short] === row[field])) return true
  if (field === 'content' && rows.every((row) => row['text'] === row['content'])) return true
  return field.endsWith('_id') && rows.every((row) => !isEmpty(row[field.slice(0, -3)]))
}

/** The fields worth a column, in order: not empty everywhere, not redundant, the most telling ones. */
export function columnsOf(rows: readonly Row[]): string[] {
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))]
  const full = names.filter((name) => rows.some((row) => !isEmpty(row[name])) && !isRedundant(name, rows))
  const chosen = full.filter((name) => known.has(name))
  const rest = full.filter((name) => !known.has(name) && rows.every((row) => isScalar(row[name]) || isPlainList(row[name])))
  const ranked = (chosen.length >= 2 ? chosen : [...chosen, ...rest]).toSorted((a, b) => dispensability(a) - dispensability(b))
  return ranked.slice(0, maxColumns).toSorted((a, b) => (known.get(a)?.order ?? 1_000) - (known.get(b)?.order ?? 1_000))
}

const dispensability = (field: string): number => known.get(field)?.dispensable ?? 9

const heading = (field: string): string => field.replace(/_at$/, '').replaceAll('_', ' ').toUpperCase()

export function table(
  rows: readonly Row[],
  terminal: Terminal,
  options: { indent?: string; columns?: readonly string[] } = {},
): string {
  if (rows.length === 0) return ''
  const indent = options.indent ?? ''
  let fields = [...(options.columns ?? columnsOf(rows))]
  const now = terminal.now()
  const size = terminal.size()
  const room = size === undefined ? Number.POSITIVE_INFINITY : size.columns - indent.length
  const cells = new Map<string, Cell[]>(
    fields.map((field) => [
      field,
      rows.map((row) => {
        const shown = cell(field, row[field], now)
        // Past some thousand characters no window shows the rest.
        return { ...shown, text: oneLine(size === undefined ? shown.text : shown.text.slice(0, 4_000)) }
      }),
    ]),
  )
  const natural = (field: string) =>
    Math.max(widthOf(heading(field)), ...(cells.get(field) as Cell[]).map(({ text }) => widthOf(text)))
  const widths = new Map(fields.map((field) => [field, natural(field)]))
  const total = () => fields.reduce((sum, field) => sum + (widths.get(field) as number) + gap, -gap)
  const smallest = () =>
    fields.reduce(
      (sum, field) =>
        sum + (elastic.has(field) ? Math.min(elasticWidth, widths.get(field) as number) : (widths.get(field) as number)) + gap,
      -gap,
    )
  while (fields.length > 2 && smallest() > room) {
    const least = fields.toSorted((a, b) => dispensability(b) - dispensability(a))[0]
    fields = fields.filter((field) => field !== least)
  }
  for (let over = total() - room; over > 0; over = total() - room) {
    const widest = fields
      .filter((field) => elastic.has(field) && (widths.get(field) as number) > elasticWidth)
      .toSorted((a, b) => (widths.get(b) as number) - (widths.get(a) as number))[0]
    if (widest === undefined) break
    widths.set(widest, Math.max(elasticWidth, (widths.get(widest) as number) - over))
  }
  const isNumber = (field: string) => rows.every((row) => typeof row[field] === 'number' || isEmpty(row[field]))
  const line = (texts: readonly string[], tone: (field: string, text: string) => string) =>
    `${indent}${fields
      .map((field, index) => {
        const width = widths.get(field) as number
        const text = fit(texts[index] as string, width)
        const right = isNumber(field)
        const isLast = index === fields.length - 1 && !right
        return tone(field, isLast ? text : pad(text, width, right))
      })
      .join(' '.repeat(gap))}`.trimEnd()
  const { colours } = terminal
  return [
    line(fields.map(heading), (_, text) => colours.dim(text)),
    ...rows.map((_, row) => {
      const at = (field: string) => (cells.get(field) as Cell[])[row] as Cell
      return line(
        fields.map((field) => at(field).text),
        (field, text) => paint(colours, at(field).tone, text),
      )
    }),
    '',
  ].join('\n')
}
