/** Sentences computed from a table, each with the rows it rests on and a key by which it can be computed again. */
import { type Column, describeColumns, type NumericColumn, numbersOf, parsePeriod } from './columns.ts'
import { type Finding, makeFinding, type Reading } from './finding.ts'
import { countFindings, groupFindings } from './groups.ts'
import { type Series, seriesOf } from './series.ts'
import { mannKendall, pearson, robustScores, type Summary, summarise, theilSen } from './statistics.ts'
import type { Table } from './table.ts'
import { amount, capital, number, percent } from './wording.ts'

const maxNumeric = 10
const maxCategories = 4

/** `focus` are column names to look at first; only the first ten numeric columns are computed. `prefix` tells the tables of one document apart. */
export function findingsOf(table: Table, prefix: string, focus: string[] = []): Finding[] {
  const columns = describeColumns(table)
  const rank = (column: Column) => {
    const at = focus.indexOf(column.name)
    return at < 0 ? focus.length : at
  }
  const order = columns.toSorted((a, b) => rank(a) - rank(b) || a.index - b.index)
  const numeric = order
    .filter((column) => column.kind === 'number')
    .slice(0, maxNumeric)
    .map((column) => numbersOf(table, column))
  const time = columns.find((column) => column.kind === 'time' && column.distinct >= 3 && isAxis(table, column, columns))
  const categories = order.filter((column) => column.kind === 'category' && column.distinct >= 2).slice(0, maxCategories)
  const reading: Reading = { table, prefix, time, categories, numeric }
  return [...numeric.flatMap((entry) => columnFindings(reading, entry)), ...correlations(reading), ...countFindings(reading)]
}

/** A list of people with their first day at work is no series over time: there, another column names each row. */
function isAxis(table: Table, time: Column, columns: Column[]): boolean {
  if (time.index === 0) return true
  if (columns.slice(0, time.index).every((column) => column.kind === 'id') && isRegular(table, time)) return true
  const named =
    /date|month|year|time|day|week|quarter|period|datum|monat|jahr|tag\b|woche|quartal/i.test(time.name) &&
    !/start|birth|born|hire|join|due|end|geburt/i.test(time.name)
  return (
    named && !columns.some((column) => column.index < time.index && column.kind === 'text' && column.distinct === column.filled)
  )
}

/** Every row a later point in time, in even steps: a series, whatever the column is called. */
function isRegular(table: Table, time: Column): boolean {
  const orders = table.rows.slice(0, 400).map(({ cells }) => parsePeriod(cells[time.index] ?? '')?.order ?? Number.NaN)
  const steps = orders.slice(1).map((order, at) => order - (orders[at] ?? 0))
  const shortest = Math.min(...steps)
  // Months differ by three days in length.
  return steps.length >= 2 && shortest > 0 && steps.every((step) => step <= shortest * 1.15)
}

function columnFindings(reading: Reading, numbers: NumericColumn): Finding[] {
  const rows = presentRows(numbers)
  if (rows.length < 2) return []
  const summary = summarise(rows.map((row) => numbers.values[row] ?? 0))
  const series = reading.time === undefined ? undefined : seriesOf(reading.table, reading.time, numbers)
  return [
    summaryFinding(reading, numbers, rows, summary),
    ...(series === undefined || series.points.length < 3
      ? []
      : [
          ...trendFindings(reading, numbers, series),
          ...seriesExtremes(reading, numbers, series),
          ...seriesOutliers(reading, numbers, series),
        ]),
    ...(series === undefined || series.points.length < 3 ? rowExtremes(reading, numbers, rows) : []),
    ...(series === undefined || series.combined ? rowOutliers(reading, numbers, rows, summary) : []),
    ...reading.categories.flatMap((category) => groupFindings(reading, numbers, category, rows)),
  ]
}

function presentRows(numbers: NumericColumn): number[] {
  const rows: number[] = []
  for (const [row, value] of numbers.values.entries()) if (!Number.isNaN(value)) rows.push(row)
  return rows
}

function summaryFinding(reading: Reading, numbers: NumericColumn, rows: number[], summary: Summary): Finding {
  const { column } = numbers
  const say = (value: number) => amount(value, column.unit)
  const total = column.additive ? `total ${say(summary.sum)}, ` : ''
  const spread = Number.isNaN(summary.sd) ? '' : `, standard deviation ${say(summary.sd)}`
  const cut = reading.table.truncated ? ' read so far' : ''
  const text = `${capital(column.label)} over ${number(rows.length)} rows${cut}: ${total}mean ${say(summary.mean)}, median ${say(summary.median)}${spread}, from ${say(summary.min)} to ${say(summary.max)}.`
  return makeFinding(reading, 'summary', column.name, text, 'all', 0.35, [column.name])
}

function trendFindings(reading: Reading, numbers: NumericColumn, series: Series): Finding[] {
  const { points } = series
  const { column } = numbers
  const first = points[0]
  const last = points.at(-1)
  if (first === undefined || last === undefined) return []
  const values = points.map((point) => point.value)
  const slope = theilSen([...points.keys()], values)
  const test = mannKendall(values)
  const say = (value: number) => amount(value, column.unit)
  const cut = reading.table.truncated ? `, in the first ${number(reading.table.rows.length)} rows` : ''
  const what = capital(series.combined ? `${column.additive ? 'total' : 'average'} ${column.label}` : column.label)
  const relative = first.value === 0 ? 0.5 : Math.abs((last.value - first.value) / first.value)
  const change = first.value === 0 || relative < 0.0005 ? '' : ` (${percent((last.value - first.value) / Math.abs(first.value))})`
  const verb = last.value > first.value ? 'rose' : last.value < first.value ? 'fell' : 'stood unchanged'
  const path =
    verb === 'stood unchanged'
      ? `${verb} at ${say(first.value)} in ${first.label} and in ${last.label}`
      : `${verb} from ${say(first.value)} in ${first.label} to ${say(last.value)} in ${last.label}${change}`
  const direction = slope > 0 ? 'upward' : 'downward'
  const significant = test.p < 0.05 && slope !== 0
  const judged =
    points.length < 5
      ? ''
      : significant
        ? `, a statistically significant ${direction} trend of about ${say(Math.abs(slope))} per ${stepName(reading, series)} (Mann-Kendall p ${pValue(test.p)})`
        : `, without a statistically significant trend over the ${points.length} periods (Mann-Kendall p ${pValue(test.p)})`
  const rows = [first.rows[0] ?? 0, last.rows[0] ?? 0]
  return [
    makeFinding(
      reading,
      'trend',
      column.name,
      `${what} ${path}${judged}${cut}.`,
      series.combined ? 'all' : reading.table.rows.length > 60 ? rows : 'all',
      0.7 + Math.min(0.2, relative / 4) + (significant ? 0.08 : 0),
      [column.name, reading.time?.name ?? ''],
    ),
  ]
}

function stepName(reading: Reading, series: Series): string {
  if (series.monthly) return 'month'
  const name = reading.time?.label.toLowerCase() ?? ''
  const known = /\b(month|year|quarter|week|day|hour|date)\b/.exec(name)?.[1]
  const [a, b] = series.points
  const gap = a === undefined || b === undefined ? 0 : b.order - a.order
  if (known !== undefined && known !== 'date') return known
  return gap > 300 ? 'year' : gap > 80 ? 'quarter' : gap > 27 ? 'month' : gap > 6 ? 'week' : gap >= 1 ? 'day' : 'period'
}

function pValue(p: number): string {
  return p < 0.001 ? '< 0.001' : `= ${p.toFixed(3)}`
}

function seriesExtremes(reading: Reading, numbers: NumericColumn, series: Series): Finding[] {
  const { column } = numbers
  const sorted = series.points.toSorted((a, b) => b.value - a.value)
  const high = sorted[0]
  const low = sorted.at(-1)
  if (high === undefined || low === undefined || high.value === low.value) return []
  const what = series.combined ? `${column.additive ? 'total' : 'average'} ${column.label}` : column.label
  const text = `${capital(what)}: highest in ${high.label} with ${amount(high.value, column.unit)}, lowest in ${low.label} with ${amount(low.value, column.unit)}.`
  return [
    makeFinding(reading, 'extreme', column.name, text, [...high.rows.slice(0, 3), ...low.rows.slice(0, 3)], 0.62, [column.name]),
  ]
}

function rowExtremes(reading: Reading, numbers: NumericColumn, rows: number[]): Finding[] {
  const { column, values } = numbers
  let high = rows[0] ?? 0
  let low = high
  for (const row of rows) {
    if ((values[row] ?? 0) > (values[high] ?? 0)) high = row
    if ((values[row] ?? 0) < (values[low] ?? 0)) low = row
  }
  const names = [rowName(reading.table, high), rowName(reading.table, low)]
  if (values[high] === values[low] || names[0] === '' || names[1] === '') return []
  const text = `${capital(column.label)}: highest ${amount(values[high] ?? 0, column.unit)} (${names[0]}), lowest ${amount(values[low] ?? 0, column.unit)} (${names[1]}).`
  return [makeFinding(reading, 'extreme', column.name, text, [high, low], 0.6, [column.name])]
}

/** The first cells of a row that are no numbers: what a person would call it. */
function rowName(table: Table, row: number): string {
  const cells = table.rows[row]?.cells ?? []
  const words = cells
    .filter((cell) => cell !== '' && cell.length <= 60 && !/^[-+$€£(]?\s?\d[\d.,\s]*%?\)?$/.test(cell))
    .slice(0, 2)
  return words.length > 0
    ? words.join(', ')
    : cells[0] === undefined || cells[0] === ''
      ? ''
      : `${readable(table.columns[0])} ${cells[0]}`
}

function readable(name: string | undefined): string {
  return (name ?? 'row').replaceAll('_', ' ')
}

const outlierScore = 3.5

function seriesOutliers(reading: Reading, numbers: NumericColumn, series: Series): Finding[] {
  if (series.points.length < 6) return []
  const { column } = numbers
  // A steady rise has no outliers at its ends: what is judged is the distance from the trend line.
  const values = series.points.map((point) => point.value)
  const slope = theilSen([...series.points.keys()], values)
  const residuals = values.map((value, index) => value - slope * index)
  const scores = robustScores(residuals)
  const middle = summarise(values).median
  const spread = Math.abs(middle) * 0.1
  return series.points
    .map((point, index) => ({
      point,
      score: scores[index] ?? 0,
      away: Math.abs((residuals[index] ?? 0) - summarise(residuals).median),
    }))
    .filter(({ score, away }) => Math.abs(score) >= outlierScore && away > spread)
    .toSorted((a, b) => Math.abs(b.score) - Math.abs(a.score))
    .slice(0, 3)
    .map(({ point, score }) => {
      const side = score > 0 ? 'above' : 'below'
      const what = series.combined ? `${column.additive ? 'total' : 'average'} ${column.label}` : column.label
      const text = `${capital(point.label)} stands out: ${what} of ${amount(point.value, column.unit)} lies far ${side} the usual course (median ${amount(middle, column.unit)}, robust z ${score.toFixed(1)}).`
      return makeFinding(
        reading,
        'outlier',
        `${column.name}:${point.label}`,
        text,
        point.rows,
        0.72 + Math.min(0.2, Math.abs(score) / 100),
        [column.name],
      )
    })
}

function rowOutliers(reading: Reading, numbers: NumericColumn, rows: number[], summary: Summary): Finding[] {
  // In a short table of unlike things every second value is an exception.
  if (rows.length < 12) return []
  const { column } = numbers
  const scores = robustScores(rows.map((row) => numbers.values[row] ?? 0))
  const found = rows
    .map((row, index) => ({ row, score: scores[index] ?? 0 }))
    .filter(({ score }) => Math.abs(score) >= outlierScore)
  // Many "outliers" are a skewed distribution, not exceptions.
  if (found.length > Math.max(3, rows.length * 0.04)) return []
  return found
    .toSorted((a, b) => Math.abs(b.score) - Math.abs(a.score))
    .slice(0, 3)
    .map(({ row, score }) => {
      const name = rowName(reading.table, row)
      const text = `An outlier: ${column.label} of ${amount(numbers.values[row] ?? 0, column.unit)}${name === '' ? '' : ` (${name})`} lies far ${score > 0 ? 'above' : 'below'} the median of ${amount(summary.median, column.unit)} (robust z ${score.toFixed(1)}).`
      return makeFinding(
        reading,
        'outlier',
        `${column.name}:row${row}`,
        text,
        [row],
        0.66 + Math.min(0.2, Math.abs(score) / 100),
        [column.name],
      )
    })
}

function correlations(reading: Reading): Finding[] {
  const found: Finding[] = []
  const numeric = reading.numeric.slice(0, 6)
  for (const [index, a] of numeric.entries()) {
    for (const b of numeric.slice(index + 1)) {
      const x: number[] = []
      const y: number[] = []
      for (const [row, value] of a.values.entries()) {
        const other = b.values[row] ?? Number.NaN
        if (Number.isNaN(value) || Number.isNaN(other)) continue
        x.push(value)
        y.push(other)
      }
      const r = pearson(x, y)
      // |r| must pass about three standard errors, and be worth a sentence.
      if (x.length < 8 || Number.isNaN(r) || Math.abs(r) < 0.6 || Math.abs(r) < 3 / Math.sqrt(x.length)) continue
      const text = `${capital(a.column.label)} and ${b.column.label} move ${r > 0 ? 'together' : 'in opposite directions'} (correlation ${r.toFixed(2)} over ${number(x.length)} rows), which does not prove that one causes the other.`
      found.push(
        makeFinding(reading, 'correlation', `${a.column.name}:${b.column.name}`, text, 'all', 0.4 + Math.abs(r) / 10, [
          a.column.name,
          b.column.name,
        ]),
      )
    }
  }
  return found.sort((a, b) => b.strength - a.strength).slice(0, 3)
}
