/** From a document to its tables, their statistics and the findings worth telling for a goal. */
import { documentKind } from '../documents/document.ts'
import { contentStems } from '../text/tokens.ts'
import { meansSame } from '../text/thesaurus.ts'
import { type Column, describeColumns, numbersOf } from './columns.ts'
import { parseCsv } from './csv.ts'
import type { Finding } from './finding.ts'
import { findingsOf } from './findings.ts'
import { jsonLinesTable, jsonTables } from './json.ts'
import { lookupFindings } from './lookup.ts'
import { markdownTables } from './markdown-table.ts'
import { type Summary, summarise } from './statistics.ts'
import type { Table } from './table.ts'
import { capital } from './wording.ts'

export type ColumnReport = { table: string; name: string; kind: Column['kind']; unit: string; filled: number; distinct: number }
export type StatisticsReport = { table: string; column: string } & Summary

/** The fixed form every analysis takes; lists are ordered by what the goal asks for. */
export type AnalysisReport = {
  columns: ColumnReport[]
  statistics: StatisticsReport[]
  trends: Finding[]
  outliers: Finding[]
  insights: Finding[]
  recommendations: string[]
}

export function tablesOf(document: string, text: string): Table[] {
  const name = document.slice(document.lastIndexOf('/') + 1).replace(/\.[^.]+$/, '')
  const kind = documentKind(document)
  if (kind === 'csv' || kind === 'tsv') return present(parseCsv(text, name))
  if (kind === 'json') return jsonTables(text, name)
  if (kind === 'jsonl') return present(jsonLinesTable(text, name))
  return text.includes('|') ? markdownTables(text, name) : []
}

function present(table: Table | undefined): Table[] {
  return table === undefined ? [] : [table]
}

/** Everything computed from one document. With a goal, columns it names come first and rows it asks for are looked up. */
export function analyseDocument(document: string, text: string, goal = ''): AnalysisReport {
  const tables = tablesOf(document, text)
  const findings = tables.flatMap((table, index) => tableFindings(table, index, goal))
  findings.sort((a, b) => b.strength - a.strength)
  const columns = tables.flatMap((table) =>
    describeColumns(table).map(({ name, kind, unit, filled, distinct }) => ({
      table: table.name,
      name,
      kind,
      unit: unit.replace(',', ''),
      filled,
      distinct,
    })),
  )
  return {
    columns,
    statistics: tables.flatMap(statisticsOf),
    trends: findings.filter((finding) => finding.kind === 'trend'),
    outliers: findings.filter((finding) => finding.kind === 'outlier'),
    insights: findings.filter((finding) => finding.kind !== 'trend' && finding.kind !== 'outlier'),
    recommendations: recommend(findings, tables),
  }
}

function tableFindings(table: Table, index: number, goal: string, focus: string[] = []): Finding[] {
  const asked = focus.length > 0 ? focus : goalColumns(table, goal)
  const findings = [...findingsOf(table, `${index}:`, asked), ...(goal === '' ? [] : lookupFindings(table, `${index}:`, goal))]
  if (asked.length === 0) return findings
  // What the goal names comes first; the rest stays, for "what stands out".
  return findings.map((finding) => {
    const hits = finding.columns.filter((column) => asked.includes(column)).length
    return { ...finding, strength: Number((hits > 0 ? Math.min(1, finding.strength + 0.12) : finding.strength * 0.6).toFixed(4)) }
  })
}

/** The columns whose names the goal speaks of, in the order of the table. */
function goalColumns(table: Table, goal: string): string[] {
  const wanted = contentStems(goal)
  return table.columns.filter((name) =>
    contentStems(name.replace(/([a-z])([A-Z])/g, '$1 $2').replace(/[_-]+/g, ' ')).some((stem) =>
      wanted.some((word) => meansSame(stem, word)),
    ),
  )
}

function statisticsOf(table: Table): StatisticsReport[] {
  return describeColumns(table)
    .filter((column) => column.kind === 'number')
    .slice(0, 20)
    .map((column) => {
      const values = [...numbersOf(table, column).values].filter((value) => !Number.isNaN(value))
      return { table: table.name, column: column.name, ...summarise(values) }
    })
}

/** What a person should look at next; these are proposals and not claims, so they carry no citation. */
export function recommend(findings: Finding[], tables: Pick<Table, 'name' | 'truncated'>[] = []): string[] {
  const out: string[] = []
  const outlier = findings.find((finding) => finding.kind === 'outlier')
  if (outlier !== undefined)
    out.push(`Check what lies behind the outlier in ${outlier.columns[0]?.replaceAll('_', ' ')}: an event or a faulty entry.`)
  const falling = findings.find((finding) => finding.kind === 'trend' && finding.text.includes('significant downward'))
  if (falling !== undefined) out.push(`Find out why ${falling.columns[0]?.replaceAll('_', ' ')} is falling.`)
  if (findings.some((finding) => finding.kind === 'correlation'))
    out.push('Test the correlations before acting on them: they do not show a cause.')
  const cut = tables.find((table) => table.truncated)
  if (cut !== undefined) out.push(`${capital(cut.name)} is larger than what was read: compute it whole before deciding on it.`)
  return out
}

/** Findings of every kind in one list, the strongest first. */
export function allFindings(report: AnalysisReport): Finding[] {
  return [...report.trends, ...report.outliers, ...report.insights].sort((a, b) => b.strength - a.strength)
}

export type Recomputed = { confirmed: boolean; reason: string }

/**
 * Computes a finding again from the document's text: same key, same sentence, same rows. `goal` is the one the lookups were asked with.
 * A sentence whose numbers were changed, or whose citations point at other rows, is not confirmed.
 */
export function recompute(finding: Computed, document: string, text: string, goal = ''): Recomputed {
  return recomputer(document, text, goal)(finding)
}

export type Computed = Pick<Finding, 'key' | 'text' | 'citations' | 'columns'>

/** `recompute` for several findings of one document: its tables are read once, and computed once for each set of columns. */
export function recomputer(document: string, text: string, goal = ''): (finding: Computed) => Recomputed {
  const tables = tablesOf(document, text)
  const computed = new Map<string, Finding[]>()
  const findingsFor = (index: number, columns: string[]): Finding[] => {
    const table = tables[index]
    if (table === undefined) return []
    const key = JSON.stringify([index, columns])
    const known = computed.get(key) ?? tableFindings(table, index, goal, columns)
    computed.set(key, known)
    return known
  }
  return (finding) => {
    const again = findingsFor(Number.parseInt(finding.key, 10), finding.columns).find((other) => other.key === finding.key)
    if (again === undefined) return { confirmed: false, reason: 'The table gives no such result.' }
    if (again.text !== finding.text) return { confirmed: false, reason: `Computed again, the table says: "${again.text}"` }
    const cited = new Set(again.citations.map((range) => `${range.start}:${range.end}`))
    const exact = finding.citations.length > 0 && finding.citations.every((range) => cited.has(`${range.start}:${range.end}`))
    return exact
      ? { confirmed: true, reason: '' }
      : { confirmed: false, reason: 'It cites other rows than it was computed from.' }
  }
}
