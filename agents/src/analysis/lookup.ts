/** Single rows and single groups that a goal names: "What was the revenue in March?", "Compare North and South". */
import { comparedSides } from '../text/question.ts'
import { contentStems, fold, tokenize } from '../text/tokens.ts'
import { describeColumns, numbersOf, readableName } from './columns.ts'
import type { Finding } from './finding.ts'
import { groupsOf } from './groups.ts'
import type { Table } from './table.ts'
import { amount, capital, percent } from './wording.ts'

const maxRows = 3
const maxScanned = 50_000

export function lookupFindings(table: Table, prefix: string, goal: string): Finding[] {
  return [...comparisons(table, prefix, goal), ...rowsNamed(table, prefix, goal)]
}

/** Rows with a cell whose every word the goal says; the more such cells, the better. Words that are common in the column select nothing. */
function rowsNamed(table: Table, prefix: string, goal: string): Finding[] {
  const said = new Set(tokenize(goal).map((token) => token.folded))
  for (const stem of contentStems(goal)) said.add(stem)
  const columns = describeColumns(table).filter((column) => column.kind !== 'number')
  const hits: { row: number; cells: number }[] = []
  for (const [row, { cells }] of table.rows.slice(0, maxScanned).entries()) {
    let matched = 0
    for (const column of columns) {
      const cell = cells[column.index] ?? ''
      if (cell === '' || cell.length > 60) continue
      const words = contentWords(cell)
      if (words.length > 0 && words.every((word) => said.has(word))) matched += 1
    }
    if (matched > 0) hits.push({ row, cells: matched })
  }
  const most = Math.max(0, ...hits.slice(0, 1000).map((hit) => hit.cells))
  const best = hits.filter((hit) => hit.cells === most)
  // Half of a table is no answer to "which row".
  if (best.length === 0 || best.length > Math.max(maxRows, table.rows.length * 0.1) || best.length > 12) return []
  return best.slice(0, maxRows).map(({ row, cells }): Finding => {
    const entry = table.rows[row]
    const told = table.columns.flatMap((name, index) => {
      const cell = (entry?.cells[index] ?? '').replace(/\s+/g, ' ')
      return cell === '' || cell.length > 200 ? [] : [`${readableName(name)} ${cell}`]
    })
    const citations = [
      ...(table.header === undefined ? [] : [table.header]),
      ...(entry === undefined ? [] : [{ start: entry.start, end: entry.end }]),
    ]
    return {
      kind: 'lookup',
      key: `${prefix}lookup:${row}`,
      text: `${capital(readableName(table.name))}: ${told.slice(0, 12).join(', ')}.`,
      citations,
      strength: 0.8 + Math.min(0.15, cells * 0.05),
      columns: table.columns.slice(0, 12),
    }
  })
}

function contentWords(cell: string): string[] {
  const tokens = tokenize(cell)
  const content = tokens.filter((token) => !token.stop)
  return (content.length > 0 ? content : tokens).map((token) => (/\d/.test(token.text) ? fold(token.text) : token.stem))
}

/** Two groups of one category column, where the goal compares them. */
function comparisons(table: Table, prefix: string, goal: string): Finding[] {
  const sides = comparedSides(goal).map((side) => new Set(contentStems(side)))
  const [left, right] = sides
  if (left === undefined || right === undefined) return []
  const columns = describeColumns(table)
  const found: Finding[] = []
  for (const category of columns.filter((column) => column.kind === 'category' || column.kind === 'text')) {
    const names = new Set<string>()
    for (const { cells } of table.rows.slice(0, maxScanned)) if (names.size < 500) names.add(cells[category.index] ?? '')
    const named = (side: Set<string>) =>
      [...names].find(
        (name) => name !== '' && contentStems(name).every((stem) => side.has(stem)) && contentStems(name).length > 0,
      )
    const [a, b] = [named(left), named(right)]
    if (a === undefined || b === undefined || a === b) continue
    for (const column of columns.filter((entry) => entry.kind === 'number').slice(0, 6)) {
      const numbers = numbersOf(table, column)
      const rows = [...table.rows.keys()].filter((row) => !Number.isNaN(numbers.values[row] ?? Number.NaN))
      const groups = groupsOf(table, numbers, category, rows)
      const [one, two] = [groups.find((group) => group.name === a), groups.find((group) => group.name === b)]
      if (one === undefined || two === undefined) continue
      const [high, low] = one.value >= two.value ? [one, two] : [two, one]
      const unit = numbers.column.unit
      const single = one.rows.length === 1 && two.rows.length === 1
      const what = capital(`${single ? '' : column.additive ? 'total ' : 'average '}${column.label}`)
      const gap =
        low.value > 0
          ? `, ${percent((high.value - low.value) / low.value, false)} more than for ${low.name} (${amount(low.value, unit)})`
          : ` and ${amount(low.value, unit)} for ${low.name}`
      const text =
        high.value === low.value
          ? `${what} is the same for ${high.name} and ${low.name}: ${amount(high.value, unit)}.`
          : `${what} is ${amount(high.value, unit)} for ${high.name}${gap}.`
      const cited = [...one.rows.slice(0, 3), ...two.rows.slice(0, 3)]
        .flatMap((row) => table.rows[row] ?? [])
        .map(({ start, end }) => ({ start, end }))
      found.push({
        kind: 'comparison',
        key: `${prefix}comparison:${column.name}:${category.name}:${a}:${b}`,
        text,
        citations: [...(table.header === undefined ? [] : [table.header]), ...cited],
        strength: 0.9,
        columns: [column.name, category.name],
      })
    }
  }
  return found
}
