/** CSV and TSV by one scan that keeps each record's character range, which the usual parsers do not give. */
import { makeTable, type Row, type Table, type TableLimits, tableLimits } from './table.ts'

/** The table, or undefined when the text is none: one column, or no two records of equal width. */
export function parseCsv(text: string, name: string, limits: TableLimits = tableLimits): Table | undefined {
  const from = text.charCodeAt(0) === 0xfeff ? 1 : 0
  const delimiter = sniffDelimiter(text.slice(from, from + 20_000))
  if (delimiter === undefined) return undefined
  const rows: Row[] = []
  let cells = 0
  let truncated = false
  for (const row of records(text, from, delimiter)) {
    if (rows.length > limits.rows || cells > limits.cells) {
      truncated = true
      break
    }
    if (row.cells.length === 1 && row.cells[0]?.trim() === '') continue
    cells += row.cells.length
    rows.push(row)
  }
  // Titles and notes above the header are narrower than the table.
  const width = commonWidth(rows)
  if (width < 2 || width > limits.columns) return undefined
  const first = rows.findIndex((row) => row.cells.length === width)
  const head = rows[first]
  if (first < 0 || head === undefined) return undefined
  const body = rows.slice(first + 1).filter((row) => row.cells.length >= Math.min(width, 2))
  if (!looksLikeHeader(head.cells, body)) {
    return makeTable(
      name,
      head.cells.map((_, index) => `column ${index + 1}`),
      undefined,
      [head, ...body],
      truncated,
    )
  }
  return body.length === 0 ? undefined : makeTable(name, head.cells, { start: head.start, end: head.end }, body, truncated)
}

/** Records with RFC 4180 quoting; a quote inside an unquoted cell is a plain character. Ranges leave out the line break. */
export function* records(text: string, from: number, delimiter: string): Generator<Row> {
  let at = from
  while (at < text.length) {
    const start = at
    const cells: string[] = []
    let end = at
    for (;;) {
      if (text.charCodeAt(at) === 0x22) {
        const [value, next] = quoted(text, at)
        at = next
        const stop = cellEnd(text, at, delimiter)
        cells.push(value + text.slice(at, stop).trim())
        at = stop
      } else {
        const stop = cellEnd(text, at, delimiter)
        cells.push(text.slice(at, stop).trim())
        at = stop
      }
      end = at
      if (text[at] !== delimiter) break
      at += 1
    }
    if (text.charCodeAt(at) === 0x0d) at += 1
    if (text.charCodeAt(at) === 0x0a) at += 1
    yield { start, end, cells }
  }
}

function cellEnd(text: string, from: number, delimiter: string): number {
  const code = delimiter.charCodeAt(0)
  for (let at = from; at < text.length; at += 1) {
    const here = text.charCodeAt(at)
    if (here === code || here === 0x0a || here === 0x0d) return at
  }
  return text.length
}

/** The value of the quoted cell at `open` and the offset past its closing quote. An unclosed quote ends with the text, or after 1 MB. */
function quoted(text: string, open: number): [string, number] {
  let at = open + 1
  let doubled = false
  const limit = Math.min(text.length, open + 1_000_000)
  while (at < limit) {
    const close = text.indexOf('"', at)
    if (close < 0 || close >= limit) break
    if (text.charCodeAt(close + 1) !== 0x22) {
      const raw = text.slice(open + 1, close)
      return [doubled ? raw.replaceAll('""', '"') : raw, close + 1]
    }
    doubled = true
    at = close + 2
  }
  // Never closed: the quote was a character, the cell ends where an unquoted one would.
  return ['"', open + 1]
}

function sniffDelimiter(sample: string): string | undefined {
  let best: string | undefined
  let bestScore = 0
  for (const delimiter of [',', ';', '\t', '|']) {
    const widths: number[] = []
    for (const row of records(sample, 0, delimiter)) {
      if (row.cells.length === 1 && row.cells[0] === '') continue
      widths.push(row.cells.length)
      if (widths.length >= 60) break
    }
    const common = mode(widths)
    if (common < 2) continue
    const agreeing = widths.filter((width) => width === common).length / widths.length
    const score = agreeing * 10 + Math.min(common, 20) / 20
    if (agreeing >= 0.5 && score > bestScore) {
      best = delimiter
      bestScore = score
    }
  }
  return best
}

function mode(values: number[]): number {
  const counts = new Map<number, number>()
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1)
  return [...counts].reduce((top, entry) => (entry[1] > top[1] ? entry : top), [0, 0])[0]
}

function commonWidth(rows: Row[]): number {
  return mode(rows.slice(0, 500).map((row) => row.cells.length))
}

/** A header has no numbers where the column below has some, and no empty majority. */
function looksLikeHeader(head: string[], body: Row[]): boolean {
  if (body.length === 0) return true
  const numeric = (cell: string) => /^[-+(]?[$€£]?\s?\d[\d.,\s]*%?\)?$/.test(cell)
  if (head.some((cell) => numeric(cell) && !/^(?:19|20)\d\d$/.test(cell))) return false
  return head.filter((cell) => cell !== '').length > head.length / 2
}
