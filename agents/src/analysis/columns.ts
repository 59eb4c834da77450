/** What each column of a table holds: numbers, points in time, groups, names or free text. */
import { monthNumber, parseNumber } from '../text/quantities.ts'
import type { Table } from './table.ts'

export type ColumnKind = 'number' | 'time' | 'category' | 'id' | 'text'

/** `unit` is a currency sign or "%" that the cells carry. `additive` columns are summed over rows, others averaged. */
export type Column = {
  index: number
  name: string
  label: string
  kind: ColumnKind
  unit: string
  additive: boolean
  filled: number
  distinct: number
}

/** The numbers of a column by row, NaN where the cell has none. */
export type NumericColumn = { column: Column; values: Float64Array }

export type Period = { order: number; label: string; month: string }

const sampleRows = 2000

export function describeColumns(table: Table): Column[] {
  return table.columns.map((name, index) => describeColumn(table, name, index))
}

function describeColumn(table: Table, name: string, index: number): Column {
  const step = Math.max(1, Math.floor(table.rows.length / sampleRows))
  const cells: string[] = []
  for (let at = 0; at * step < table.rows.length; at += 1) {
    // An even step can fall in with a pattern of the rows (every 40th store): each step takes another place within it.
    const row = Math.min(table.rows.length - 1, at * step + ((at * 7919) % step))
    const cell = table.rows[row]?.cells[index] ?? ''
    if (!isBlank(cell)) cells.push(cell)
  }
  const label = readableName(name)
  const base = { index, name, label, unit: '', additive: false, filled: cells.length, distinct: new Set(cells).size }
  if (cells.length === 0) return { ...base, kind: 'text' }
  const share = (test: (cell: string) => boolean) => cells.filter(test).length / cells.length
  const integers = share((cell) => /^\d{1,18}$/.test(cell))
  if (
    /^(?:id|nr|key|index|row|pos|#|sku|zip|plz|phone|uuid|code)$|(?:[_ -])(?:id|nr|no|code|number|key|zip|phone|uuid)$|[a-z]Id$/i.test(
      name,
    ) &&
    share((cell) => !/[.,]\d/.test(cell)) > 0.95
  )
    return { ...base, kind: 'id' }
  if (index === 0 && integers === 1 && countsRows(cells)) return { ...base, kind: 'id' }
  const yearNamed = /year|jahr|annee|année/i.test(name) && integers > 0.9
  if (
    (yearNamed && share((cell) => /^(?:1[89]|20|21)\d\d$/.test(cell)) > 0.9) ||
    share((cell) => !isPlainNumber(cell) && parsePeriod(cell) !== undefined) > 0.8
  )
    return { ...base, kind: 'time' }
  const european =
    cells.some((cell) => /\d\.\d{3},\d/.test(cell)) ||
    (cells.some((cell) => /^-?\d+,\d{1,2}$/.test(cell)) && !cells.some((cell) => /\d\.\d{1,2}$/.test(cell)))
  if (!mixedUnits(cells) && share((cell) => !Number.isNaN(cellNumber(cell, european))) > 0.8) {
    const unit = commonUnit(cells)
    const level =
      unit === '%' ||
      /rate|ratio|percent|pct|%|price|preis|avg|average|mean|median|score|temp|age\b|index|margin|latency|response|per[_ ]|share|rating|level|quote|anteil|p\d\d\b|_ms\b|uptime|utili[sz]ation|load|weight|height|speed|salary|wage|gehalt|lohn|duration|year|yield|efficien|accura|pressure|humidity|voltage|density|concentration/i.test(
        name,
      )
    return { ...base, kind: 'number', unit: european ? `,${unit}` : unit, additive: !level }
  }
  const groups = base.distinct <= Math.max(12, cells.length * 0.2) && base.distinct < cells.length
  const short = share((cell) => cell.length <= 60) > 0.95
  return { ...base, kind: groups && short ? 'category' : 'text' }
}

/** A first column that counts up by ones numbers the rows (week 35, 36, 37): adding those numbers up says nothing. */
function countsRows(cells: string[]): boolean {
  const steps = cells.slice(1).map((cell, at) => Number(cell) - Number(cells[at]))
  return cells.length >= 4 && steps.every((step) => step > 0) && steps.filter((step) => step === 1).length >= steps.length * 0.7
}

function isBlank(cell: string): boolean {
  return cell === '' || /^(?:-|–|—|n\/?a|null|none|nan|#n\/a|\.|\?)$/i.test(cell)
}

function isPlainNumber(cell: string): boolean {
  return /^-?\d+(?:\.\d+)?$/.test(cell)
}

/** "net_revenue_eur" -> "net revenue eur": how a sentence names a column. */
export function readableName(name: string): string {
  return name
    .replace(/([a-z])([A-Z])/g, '$1 $2')
    .replace(/[_]+/g, ' ')
    .replace(/\s+/g, ' ')
    .trim()
}

function commonUnit(cells: string[]): string {
  for (const unit of ['%', '$', '€', '£', '¥'])
    if (cells.filter((cell) => cell.includes(unit)).length > cells.length / 2) return unit
  return ''
}

/** A list of unlike things ("annual fee: $95, interest: 19 %"): its numbers cannot be compared with each other. */
function mixedUnits(cells: string[]): boolean {
  const percents = cells.filter((cell) => cell.includes('%')).length
  return percents > 0 && percents < cells.length * 0.9 && cells.some((cell) => /[$€£¥]|\b(?:USD|EUR|GBP|CHF)\b/.test(cell))
}

/** "$1,234.50", "(45)", "12 %", "1.234,56" with `european` set. NaN for anything that is more than a number and its sign. */
export function cellNumber(cell: string, european = false): number {
  if (isBlank(cell) || cell.length > 40) return Number.NaN
  const bare = cell.replace(/^(?:USD|EUR|GBP|CHF)\s?|\s?(?:USD|EUR|GBP|CHF|%)$|[$€£¥\s\u00a0]/g, '')
  const negative = /^\(.*\)$/.test(bare) || /^[-−]/.test(bare)
  const digits = bare.replace(/^[-−+(]+|\)$/g, '')
  if (/^\d+(?:\.\d+)?(?:[eE][-+]?\d+)?$/.test(digits) && !(european && /^\d{1,3}\.\d{3}$/.test(digits)))
    return negative ? -Number(digits) : Number(digits)
  if (!/^[\d.,']+$/.test(digits) || !/\d/.test(digits)) return Number.NaN
  const value = european ? Number(digits.replace(/[.']/g, '').replace(',', '.')) : (parseNumber(digits) ?? Number.NaN)
  return negative ? -value : value
}

export function numbersOf(table: Table, column: Column): NumericColumn {
  const european = column.unit.startsWith(',')
  const values = new Float64Array(table.rows.length)
  for (const [row, { cells }] of table.rows.entries()) values[row] = cellNumber(cells[column.index] ?? '', european)
  return { column: { ...column, unit: column.unit.replace(',', '') }, values }
}

/** A cell as a point in time; days, months, quarters, weeks and years each order among their like. `month` is the month it lies in, for grouping days. */
export function parsePeriod(cell: string): Period | undefined {
  const text = cell.trim()
  if (text.length < 3 || text.length > 40) return undefined
  const iso = /^(\d{4})[-/](\d{1,2})(?:[-/](\d{1,2})(?:[T ](\d{2}):(\d{2})(?::(\d{2}))?.*)?)?$/.exec(text)
  if (iso !== null)
    return period(
      text,
      Number(iso[1]),
      Number(iso[2]),
      Number(iso[3] ?? 1),
      Number(iso[4] ?? 0) + Number(iso[5] ?? 0) / 60 + Number(iso[6] ?? 0) / 3600,
    )
  const dotted = /^(\d{1,2})\.(\d{1,2})\.(\d{4})/.exec(text)
  if (dotted !== null) return period(text, Number(dotted[3]), Number(dotted[2]), Number(dotted[1]))
  const slashed = /^(\d{1,2})\/(\d{1,2})\/(\d{4})/.exec(text)
  if (slashed !== null) {
    const [a, b] = [Number(slashed[1]), Number(slashed[2])]
    return a > 12 ? period(text, Number(slashed[3]), b, a) : period(text, Number(slashed[3]), a, b)
  }
  const quarter = /^(?:(\d{4})[- ]?Q([1-4])|Q([1-4])[-/ ]?(\d{4}))$/i.exec(text)
  if (quarter !== null) return period(text, Number(quarter[1] ?? quarter[4]), (Number(quarter[2] ?? quarter[3]) - 1) * 3 + 1, 1)
  const week = /^(\d{4})-?W(\d{1,2})$/i.exec(text)
  if (week !== null) return { order: Number(week[1]) * 366 + Number(week[2]) * 7, label: text, month: text }
  const named = /^(?:(\d{1,2})\.?\s+)?([\p{L}]{3,10})\.?(?:[\s-]+'?(\d{4}|\d{2}))?$/u.exec(text)
  const month = named === null ? undefined : monthNumber((named[2] ?? '').toLowerCase())
  if (named !== null && month !== undefined) {
    const year = named[3] === undefined ? 2000 : Number(named[3]) < 100 ? 2000 + Number(named[3]) : Number(named[3])
    return period(text, year, month, Number(named[1] ?? 1))
  }
  const written = /^([\p{L}]{3,10})\.?\s+(\d{1,2}),?\s+(\d{4})$/u.exec(text)
  const writtenMonth = written === null ? undefined : monthNumber((written[1] ?? '').toLowerCase())
  if (written !== null && writtenMonth !== undefined) return period(text, Number(written[3]), writtenMonth, Number(written[2]))
  if (/^(?:1[89]|20|21)\d\d$/.test(text)) return period(text, Number(text), 1, 1)
  return undefined
}

function period(label: string, year: number, month: number, day: number, hours = 0): Period | undefined {
  if (month < 1 || month > 12 || day < 1 || day > 31) return undefined
  return {
    order: Date.UTC(year, month - 1, day) / 86_400_000 + hours / 24,
    label,
    month: `${year}-${String(month).padStart(2, '0')}`,
  }
}
