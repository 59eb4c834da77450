/** Sentences about the groups of a category column: totals, shares, who grew and who shrank, and plain counts. */
import type { Column, NumericColumn } from './columns.ts'
import { type Finding, makeFinding, type Reading } from './finding.ts'
import { seriesOf } from './series.ts'
import type { Table } from './table.ts'
import { amount, number, percent } from './wording.ts'

type Group = { name: string; value: number; rows: number[] }

export function groupsOf(table: Table, numbers: NumericColumn, category: Column, rows: number[]): Group[] {
  const groups = new Map<string, Group>()
  for (const row of rows) {
    const name = table.rows[row]?.cells[category.index] ?? ''
    if (name === '') continue
    const group = groups.get(name) ?? { name, value: 0, rows: [] }
    group.value += numbers.values[row] ?? 0
    group.rows.push(row)
    groups.set(name, group)
  }
  const list = [...groups.values()]
  if (!numbers.column.additive) for (const group of list) group.value /= group.rows.length
  return list.sort((a, b) => b.value - a.value)
}

export function groupFindings(reading: Reading, numbers: NumericColumn, category: Column, rows: number[]): Finding[] {
  const { column } = numbers
  const groups = groupsOf(reading.table, numbers, category, rows)
  const [top, second] = groups
  const last = groups.at(-1)
  if (top === undefined || second === undefined || last === undefined || groups.length > 60) return []
  const say = (value: number) => amount(value, column.unit)
  const key = `${column.name}:${category.name}`
  const columns = [column.name, category.name]
  const strength = 0.55 + (groups.length <= 8 ? 0.05 : 0)
  if (!column.additive) {
    const text =
      groups.length <= 6
        ? `By ${category.label}, average ${column.label}: ${groups.map((group) => `${group.name} (${say(group.value)})`).join(', ')}.`
        : `By ${category.label}, average ${column.label} is highest for ${top.name} (${say(top.value)}) and lowest for ${last.name} (${say(last.value)}).`
    return [
      makeFinding(reading, 'group', key, text, 'all', strength, columns),
      ...groupTrends(reading, numbers, category, groups),
    ]
  }
  const total = groups.reduce((sum, group) => sum + group.value, 0)
  const positive = groups.every((group) => group.value >= 0) && total > 0
  const share = (value: number) => (positive ? `, ${percent(value / total, false)}` : '')
  const named = groups.slice(0, 5).map((group) => `${group.name} (${say(group.value)}${share(group.value)})`)
  const rest = groups.length > 5 ? `; the other ${groups.length - 5} share the rest` : ''
  const text = `By ${category.label}, ${column.label} totals: ${named.join(', ')}${rest}.`
  return [makeFinding(reading, 'group', key, text, 'all', strength, columns), ...groupTrends(reading, numbers, category, groups)]
}

/** Which group grew and which shrank most between the first and the last period. */
function groupTrends(reading: Reading, numbers: NumericColumn, category: Column, groups: Group[]): Finding[] {
  const { time, table } = reading
  const { column } = numbers
  if (time === undefined || groups.length > 12) return []
  const changes = groups.flatMap((group) => {
    const member = new Set(group.rows)
    const { points } = seriesOf(table, time, numbers, (row) => member.has(row))
    const first = points[0]
    const last = points.at(-1)
    if (points.length < 3 || first === undefined || last === undefined || first.value <= 0) return []
    return [{ name: group.name, change: (last.value - first.value) / first.value, first, last }]
  })
  if (changes.length < 2) return []
  changes.sort((a, b) => b.change - a.change)
  const best = changes[0]
  const worst = changes.at(-1)
  if (best === undefined || worst === undefined || best.change - worst.change < 0.05) return []
  const tell = (entry: typeof best) =>
    `${entry.name} (${percent(entry.change)}, from ${amount(entry.first.value, column.unit)} to ${amount(entry.last.value, column.unit)})`
  const text = `Between ${best.first.label} and ${best.last.label}, ${column.label} developed best for ${tell(best)} and worst for ${tell(worst)}.`
  const rows = [best.first, best.last, worst.first, worst.last].flatMap((point) => point.rows.slice(0, 2))
  return [makeFinding(reading, 'group', `${column.name}:${category.name}:change`, text, rows, 0.58, [column.name, category.name])]
}

/** Tables without numbers are still counted: tickets by status, people by team. */
export function countFindings(reading: Reading): Finding[] {
  const { table } = reading
  if (reading.numeric.length > 1 || table.rows.length > 5000) return []
  return reading.categories.flatMap((category) => {
    const counts = new Map<string, number>()
    for (const { cells } of table.rows) {
      const name = cells[category.index] ?? ''
      if (name !== '') counts.set(name, (counts.get(name) ?? 0) + 1)
    }
    const sorted = [...counts].sort((a, b) => b[1] - a[1])
    if (sorted.length < 2 || sorted.length > 40) return []
    const named = sorted.slice(0, 5).map(([name, count]) => `${name} (${number(count)})`)
    const rest = sorted.length > 5 ? ` and ${sorted.length - 5} more` : ''
    const text = `Of ${number(table.rows.length)} rows, by ${category.label}: ${named.join(', ')}${rest}.`
    return [makeFinding(reading, 'group', `count:${category.name}`, text, 'all', 0.45, [category.name])]
  })
}
