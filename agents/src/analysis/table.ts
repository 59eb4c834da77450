/** A table in memory with the exact place of each row in the document's text. */

export type Row = { start: number; end: number; cells: string[] }

/** `header` is the range that names the columns; undefined where every row carries its names (JSON) or there are none. */
export type Table = {
  columns: string[]
  header: { start: number; end: number } | undefined
  rows: Row[]
  truncated: boolean
  name: string
}

export type TableLimits = { rows: number; cells: number; columns: number }

export const tableLimits: TableLimits = { rows: 500_000, cells: 3_000_000, columns: 200 }

/** Every row must fit the names: missing cells become empty, surplus ones are dropped. */
export function makeTable(name: string, columns: string[], header: Table['header'], rows: Row[], truncated: boolean): Table {
  const names = uniqueNames(columns)
  for (const row of rows) {
    while (row.cells.length < names.length) row.cells.push('')
    if (row.cells.length > names.length) row.cells.length = names.length
  }
  return { name, columns: names, header, rows, truncated }
}

function uniqueNames(columns: string[]): string[] {
  const used = new Map<string, number>()
  return columns.map((raw, index) => {
    const base =
      raw
        .replace(/^\uFEFF/, '')
        .replace(/\s+/g, ' ')
        .trim() || `column ${index + 1}`
    const count = (used.get(base) ?? 0) + 1
    used.set(base, count)
    return count === 1 ? base : `${base} (${count})`
  })
}
