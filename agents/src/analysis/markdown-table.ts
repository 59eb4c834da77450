/** Pipe tables inside markdown and extracted HTML. */
import { makeTable, type Row, type Table } from './table.ts'

export function markdownTables(text: string, name: string): Table[] {
  const tables: Table[] = []
  let heading = ''
  let open: Row[] = []
  const flush = () => {
    const [head, ...rows] = open
    if (head !== undefined && rows.length >= 2 && tables.length < 20) {
      tables.push(makeTable(heading === '' ? name : heading, head.cells, { start: head.start, end: head.end }, rows, false))
    }
    open = []
  }
  for (let at = 0; at < text.length; ) {
    const newline = text.indexOf('\n', at)
    const end = newline < 0 ? text.length : newline
    const first = text.charCodeAt(at)
    if (first === 0x7c || first === 0x20) {
      const line = text.slice(at, Math.min(end, at + 4000)).trimEnd()
      const bare = line.trimStart()
      if (bare.startsWith('|') && bare.length > 2) {
        if (!/^[\s|:-]+$/.test(bare)) {
          const start = at + (line.length - bare.length)
          open.push({ start, end: start + bare.length, cells: cellsOf(bare) })
        }
      } else flush()
    } else {
      flush()
      if (first === 0x23)
        heading = text
          .slice(at, Math.min(end, at + 160))
          .replace(/^#+\s*/, '')
          .replace(/[*_`#\r]+/g, '')
          .trim()
    }
    at = end + 1
  }
  flush()
  return tables
}

function cellsOf(line: string): string[] {
  const inner = line.replace(/^\|/, '').replace(/\|$/, '')
  return inner.split(/(?<!\\)\|/).map((cell) =>
    cell
      .replaceAll('\\|', '|')
      .replace(/\*\*|`/g, '')
      .trim(),
  )
}
