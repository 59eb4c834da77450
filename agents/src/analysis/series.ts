/** One number per period: rows of the same period are added up, or averaged where adding makes no sense. */
import { type Column, type NumericColumn, parsePeriod } from './columns.ts'
import type { Table } from './table.ts'

export type Point = { label: string; order: number; value: number; rows: number[] }

/** `step` says what a period is for a sentence: the time column's own entries, or months when days were too many. */
export type Series = { points: Point[]; monthly: boolean; combined: boolean }

/** Beyond this many periods of single days the series is told by months. */
const maxPeriods = 60

export function seriesOf(table: Table, time: Column, numbers: NumericColumn, only?: (row: number) => boolean): Series {
  const daily = collect(table, time, numbers, only, (period) => period.label)
  if (daily.points.length <= maxPeriods) return daily
  const monthly = collect(table, time, numbers, only, (period) => period.month)
  return monthly.points.length >= 3 ? { ...monthly, monthly: true } : daily
}

function collect(
  table: Table,
  time: Column,
  numbers: NumericColumn,
  only: ((row: number) => boolean) | undefined,
  keyOf: (period: { label: string; month: string }) => string,
): Series {
  const groups = new Map<string, Point>()
  for (const [row, { cells }] of table.rows.entries()) {
    const value = numbers.values[row] ?? Number.NaN
    if (Number.isNaN(value) || (only !== undefined && !only(row))) continue
    const period = parsePeriod(cells[time.index] ?? '')
    if (period === undefined) continue
    const key = keyOf(period)
    const point = groups.get(key)
    if (point === undefined) groups.set(key, { label: key, order: period.order, value, rows: [row] })
    else {
      point.value += value
      point.rows.push(row)
      point.order = Math.min(point.order, period.order)
    }
  }
  const points = [...groups.values()].sort((a, b) => a.order - b.order)
  if (!numbers.column.additive) for (const point of points) point.value /= point.rows.length
  return { points, monthly: false, combined: points.some((point) => point.rows.length > 1) }
}
