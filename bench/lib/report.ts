/** The result of a scenario as JSON and as a table. */
import { readFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os'
import type { Cell, Sample, Series } from './rounds.ts'
import { median, rounded, spread } from './statistics.ts'

/** Nulls: absent (the durability says so) or void. At a fixed rate `in_flight` is null. */
export interface Row {
  name: string
  durability: string
  in_flight: number | null
  connections?: number
  per_second: number | null
  p50_ms: number | null
  p99_ms: number | null
  /** Clients and server. */
  cpu_us_per_op: number | null
  /** The server's share; null also where there is no server process. */
  server_cpu_us_per_op: number | null
  /** Where all is stored first and then worked on: the rate of the storing. */
  enqueued_per_second?: number | null
  /** Of the limit's rate at the same load in the same run. */
  percent_of_limit?: number | null
  /** Resident memory of the server, of one connection that does nothing. */
  kib_per_connection?: number | null
}

export interface Ratio {
  ours: string
  against: string
  in_flight: number | null
  connections?: number
  median: number
  min: number
  max: number
}

/** `value` and `met` are null where the comparison could not be made. */
export interface Target {
  name: string
  target: number
  value: number | null
  met: boolean | null
}

export interface Report {
  scenario: string
  machine: Record<string, unknown>
  rows: Row[]
  ratios: Ratio[]
  targets: Target[]
  /** What a reader must know to read the rows. */
  notes: string[]
}

export type Measure = 'per_second' | 'p50' | 'p99'

export interface Comparison {
  cell: Cell
  measure: Measure
}

export interface Goal {
  name: string
  ours: string
  against: string
  inFlight: number | null
  connections?: number
  target: number
  bound: 'at least' | 'at most'
}

export interface Names {
  /** The subject whose ratios are formed. */
  ours: string
  others: readonly string[]
  absent: ReadonlyMap<string, string>
  /** Those of `others` that are a bound and no peer: what they store is not compared. */
  bounds?: readonly string[]
  /** The row whose rate the others are told a percentage of. */
  limit?: string | undefined
}

const measures: Record<Measure, { field: (sample: Sample) => number; suffix: string }> = {
  per_second: { field: (sample) => sample.perSecond, suffix: '' },
  p50: { field: (sample) => sample.p50, suffix: ' p50' },
  p99: { field: (sample) => sample.p99, suffix: ' p99' },
}

/** One row a cell and subject; a subject that does not suit a cell has none. */
export function toRows<C extends Cell>(
  series: Series,
  cells: readonly C[],
  names: Names,
  suits: (name: string, cell: C) => boolean,
): Row[] {
  const rows: Row[] = []
  for (const cell of cells) {
    for (const name of [names.ours, ...names.others]) {
      const head = (durability: string) => ({ name: name + cell.suffix, durability, ...load(cell) })
      const nothing = { per_second: null, p50_ms: null, p99_ms: null, cpu_us_per_op: null, server_cpu_us_per_op: null }
      if (names.absent.has(name)) {
        rows.push({ ...head('absent'), ...nothing })
        continue
      }
      if (!suits(name, cell)) continue
      const durability = series.durability.get(name) ?? 'unknown'
      const samples = series.samples.get(cell.key)?.get(name) ?? []
      const good = samples.filter((sample) => sample !== undefined)
      if (good.length < samples.length || good.length === 0 || series.faults.has(`${cell.key} ${name}`)) {
        rows.push({ ...head(durability), ...nothing })
        continue
      }
      const of = (field: (sample: Sample) => number) => known(median(good.map(field)))
      rows.push({
        ...head(durability),
        per_second: of((sample) => sample.perSecond),
        p50_ms: of((sample) => sample.p50),
        p99_ms: of((sample) => sample.p99),
        cpu_us_per_op: of((sample) => sample.cpuUs),
        server_cpu_us_per_op: of((sample) => sample.serverCpuUs),
        ...(good.some((sample) => Number.isFinite(sample.enqueuedPerSecond)) && {
          enqueued_per_second: of((sample) => sample.enqueuedPerSecond ?? Number.NaN),
        }),
      })
    }
    const bound = rows.find((row) => row.name === `${names.limit}${cell.suffix}` && row.in_flight === cell.inFlight)?.per_second
    // At a fixed rate everyone is as fast as that.
    if (bound && cell.inFlight !== null) {
      for (const row of rows)
        if (row.in_flight === cell.inFlight && row.per_second !== null)
          row.percent_of_limit = rounded((100 * row.per_second) / bound)
    }
  }
  return rows
}

const load = (cell: Cell) => ({
  in_flight: cell.inFlight,
  ...(cell.connections !== undefined && { connections: cell.connections }),
})

/** Ours over each other subject, formed in each round; only within one class of durability and never with a void row. */
export function toRatios(series: Series, comparisons: readonly Comparison[], names: Names): Ratio[] {
  const ratios: Ratio[] = []
  for (const { cell, measure } of comparisons) {
    const { field, suffix } = measures[measure]
    const samples = series.samples.get(cell.key)
    const ours = samples?.get(names.ours) ?? []
    for (const name of names.others) {
      const theirs = samples?.get(name) ?? []
      const isVoid = [name, names.ours].some((each) => series.faults.has(`${cell.key} ${each}`))
      const mixed = !names.bounds?.includes(name) && series.durability.get(name) !== series.durability.get(names.ours)
      const values = ours.flatMap((sample, round) => {
        const other = theirs[round]
        return sample && other ? [field(sample) / field(other)] : []
      })
      if (isVoid || mixed || values.length === 0 || !values.every(Number.isFinite)) continue
      const { median: middle, min, max } = spread(values)
      ratios.push({
        ours: names.ours,
        against: name + cell.suffix + suffix,
        ...load(cell),
        median: rounded(middle),
        min: rounded(min),
        max: rounded(max),
      })
    }
  }
  return ratios
}

export function toTargets(ratios: readonly Ratio[], goals: readonly Goal[]): Target[] {
  return goals.map(({ name, ours, against, inFlight, connections, target, bound }) => {
    const ratio = ratios.find(
      (each) => each.ours === ours && each.against === against && each.in_flight === inFlight && each.connections === connections,
    )
    return judge(name, ratio?.median ?? null, target, bound)
  })
}

export function judge(name: string, value: number | null, target: number, bound: Goal['bound']): Target {
  const met = value === null ? null : bound === 'at least' ? value >= target : value <= target
  return { name: `${name}, ${bound}`, target, value, met }
}

const known = (value: number): number | null => (Number.isFinite(value) ? rounded(value) : null)

/** Jiffies of all processors: total and stolen by other machines on the same host. */
export function processorTimes(): { total: number; stolen: number } | undefined {
  try {
    const fields = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0]?.trim().split(/\s+/).slice(1, 9).map(Number) ?? []
    return { total: fields.reduce((sum, value) => sum + value, 0), stolen: fields[7] ?? 0 }
  } catch {
    return undefined
  }
}

export function describeMachine(before: ReturnType<typeof processorTimes>): Record<string, unknown> {
  const after = processorTimes()
  const stolen = before && after ? (100 * (after.stolen - before.stolen)) / Math.max(1, after.total - before.total) : Number.NaN
  return {
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memory_gb: Math.round(totalmem() / 2 ** 30),
    system: `${process.platform} ${process.arch}`,
    node: process.version,
    load_1m: rounded(loadavg()[0] ?? 0),
    steal_percent: known(stolen),
  }
}

interface Column {
  head: string
  cell: (row: Row) => string
}

const figure = (value: number | null | undefined): string => (value === null || value === undefined ? '' : String(value))

/** Columns that no row fills are left out. */
export function toTable(report: Report): string {
  const isVoid = (row: Row) => row.per_second === null && row.kib_per_connection === undefined
  const show = (row: Row, value: number | null) =>
    value !== null ? String(value) : row.durability === 'absent' ? 'absent' : isVoid(row) ? 'void' : ''
  const has = (field: keyof Row) => report.rows.some((row) => typeof row[field] === 'number')
  const optional = (field: keyof Row, head: string, unit = ''): Column[] =>
    has(field) ? [{ head, cell: (row) => figure(row[field] as number | null | undefined) + (row[field] ? unit : '') }] : []
  const columns: Column[] = [
    { head: '', cell: (row) => row.name },
    { head: 'durability', cell: (row) => row.durability },
    ...optional('in_flight', 'in flight'),
    ...optional('connections', 'connections'),
    { head: 'per second', cell: (row) => show(row, row.per_second) },
    { head: 'p50 ms', cell: (row) => show(row, row.p50_ms) },
    { head: 'p99 ms', cell: (row) => show(row, row.p99_ms) },
    { head: 'CPU us/op', cell: (row) => show(row, row.cpu_us_per_op) },
    ...optional('server_cpu_us_per_op', 'server'),
    ...optional('enqueued_per_second', 'stored per second'),
    ...optional('percent_of_limit', 'of limit', ' %'),
    ...optional('kib_per_connection', 'KiB/connection'),
  ]
  const machine = Object.entries(report.machine).map(([name, value]) => `${name} ${String(value)}`)
  const ratios = report.ratios.map(({ ours, against, in_flight, connections, median: middle, min, max }) => [
    ours,
    against,
    figure(connections ?? in_flight),
    `${middle} [${min}..${max}]`,
  ])
  const targets = report.targets.map(({ name, target, value, met }) => [
    name,
    String(target),
    value === null ? 'not measured' : String(value),
    met === null ? '' : met ? 'met' : 'missed',
  ])
  return [
    `# ${report.scenario}`,
    machine.join(', '),
    table(
      columns.map((column) => column.head),
      report.rows.map((row) => columns.map((column) => column.cell(row))),
    ),
    table(['ours', 'against', has('connections') ? 'connections' : 'in flight', 'ratio, median [min..max] of rounds'], ratios),
    table(['target', 'goal', 'measured', ''], targets),
    ...report.notes,
  ].join('\n\n')
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const width = (column: number) => Math.max(3, ...[head, ...rows].map((row) => row[column]?.length ?? 0))
  const widths = head.map((_, column) => width(column))
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] as number)).join(' | ')} |`
  return [line(head), `| ${widths.map((each) => '-'.repeat(each)).join(' | ')} |`, ...rows.map(line)].join('\n')
}
