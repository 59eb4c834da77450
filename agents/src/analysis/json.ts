/** JSON with the character range of every value, and the tables inside it: arrays of objects, objects of arrays, at any of the first levels. */
import { makeTable, type Row, type Table, type TableLimits, tableLimits } from './table.ts'

export type JsonNode = { start: number; end: number } & (
  | { type: 'object'; entries: [string, JsonNode][] }
  | { type: 'array'; items: JsonNode[] }
  | { type: 'value'; value: string | number | boolean | null }
)

const maxDepth = 200

/** The tree with offsets, or undefined when the text is not JSON. Validity is the platform's word; this only finds the places. */
export function parseJson(text: string): JsonNode | undefined {
  const from = text.charCodeAt(0) === 0xfeff ? 1 : 0
  try {
    JSON.parse(from === 0 ? text : text.slice(from))
  } catch {
    return undefined
  }
  const reader = { text, at: from }
  return readValue(reader, 0)
}

type Reader = { text: string; at: number }

function readValue(reader: Reader, depth: number): JsonNode | undefined {
  if (depth > maxDepth) return undefined
  skipSpace(reader)
  const start = reader.at
  const first = reader.text[start]
  if (first === '{') {
    const entries: [string, JsonNode][] = []
    reader.at += 1
    for (;;) {
      skipSpace(reader)
      if (reader.text[reader.at] === '}') break
      if (reader.text[reader.at] === ',') {
        reader.at += 1
        continue
      }
      const key = readString(reader)
      skipSpace(reader)
      reader.at += 1
      const value = readValue(reader, depth + 1)
      if (value === undefined) return undefined
      entries.push([key, value])
    }
    reader.at += 1
    return { type: 'object', entries, start, end: reader.at }
  }
  if (first === '[') {
    const items: JsonNode[] = []
    reader.at += 1
    for (;;) {
      skipSpace(reader)
      if (reader.text[reader.at] === ']') break
      if (reader.text[reader.at] === ',') {
        reader.at += 1
        continue
      }
      const value = readValue(reader, depth + 1)
      if (value === undefined) return undefined
      items.push(value)
    }
    reader.at += 1
    return { type: 'array', items, start, end: reader.at }
  }
  if (first === '"') {
    const value = readString(reader)
    return { type: 'value', value, start, end: reader.at }
  }
  while (reader.at < reader.text.length && !',]} \t\r\n'.includes(reader.text[reader.at] ?? '')) reader.at += 1
  const raw = reader.text.slice(start, reader.at)
  const value = raw === 'true' ? true : raw === 'false' ? false : raw === 'null' ? null : Number(raw)
  return { type: 'value', value, start, end: reader.at }
}

function readString(reader: Reader): string {
  const start = reader.at
  let at = start + 1
  let escaped = false
  for (; at < reader.text.length; at += 1) {
    const code = reader.text.charCodeAt(at)
    if (code === 0x22) break
    if (code === 0x5c) {
      escaped = true
      at += 1
    }
  }
  reader.at = at + 1
  const raw = reader.text.slice(start + 1, at)
  return escaped ? String(JSON.parse(reader.text.slice(start, at + 1))) : raw
}

function skipSpace(reader: Reader): void {
  while (reader.at < reader.text.length) {
    const code = reader.text.charCodeAt(reader.at)
    if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) break
    reader.at += 1
  }
}

/** At most eight tables of one document, the largest arrays first come first. */
export function jsonTables(text: string, name: string, limits: TableLimits = tableLimits): Table[] {
  const root = parseJson(text)
  if (root === undefined) return []
  const tables: Table[] = []
  const pending: { node: JsonNode; name: string; depth: number }[] = [{ node: root, name, depth: 0 }]
  for (let next = pending.shift(); next !== undefined && tables.length < 8; next = pending.shift()) {
    const { node, depth } = next
    const table = tableOf(node, next.name, limits)
    if (table !== undefined) {
      tables.push(table)
      continue
    }
    if (node.type !== 'object' || depth >= 4) continue
    for (const [key, value] of node.entries)
      if (value.type !== 'value') pending.push({ node: value, name: depth === 0 ? key : `${next.name}.${key}`, depth: depth + 1 })
  }
  return tables
}

/** Each line an object. Lines that are none are passed over; below two objects there is no table. */
export function jsonLinesTable(text: string, name: string, limits: TableLimits = tableLimits): Table | undefined {
  const objects: JsonNode[] = []
  let truncated = false
  for (let at = 0; at < text.length; ) {
    const newline = text.indexOf('\n', at)
    const end = newline < 0 ? text.length : newline
    const line = text.slice(at, end)
    if (line.includes('{')) {
      const node = parseJson(line)
      if (node !== undefined) objects.push(shift(node, at))
    }
    at = end + 1
    if (objects.length >= limits.rows) {
      truncated = true
      break
    }
  }
  return fromObjects(objects, name, truncated, limits)
}

function shift(node: JsonNode, by: number): JsonNode {
  if (node.type === 'object')
    return {
      ...node,
      start: node.start + by,
      end: node.end + by,
      entries: node.entries.map(([key, value]) => [key, shift(value, by)]),
    }
  if (node.type === 'array')
    return { ...node, start: node.start + by, end: node.end + by, items: node.items.map((item) => shift(item, by)) }
  return { ...node, start: node.start + by, end: node.end + by }
}

function tableOf(node: JsonNode, name: string, limits: TableLimits): Table | undefined {
  if (node.type === 'array') {
    const objects = node.items.slice(0, limits.rows)
    return (
      fromObjects(objects, name, node.items.length > objects.length, limits) ?? fromArrays(node.items.slice(0, limits.rows), name)
    )
  }
  if (node.type === 'object') return fromColumns(node.entries, name, limits)
  return undefined
}

function fromObjects(items: JsonNode[], name: string, cut: boolean, limits: TableLimits): Table | undefined {
  const objects = items.filter((item) => item.type === 'object')
  if (objects.length < 2 || objects.length < items.length * 0.8) return undefined
  const columns = new Map<string, number>()
  const rows: Row[] = []
  let cells = 0
  for (const object of objects) {
    if (cells > limits.cells) return makeTable(name, [...columns.keys()], undefined, rows, true)
    const row: string[] = []
    for (const [key, value] of flatEntries(object.entries, '', 0)) {
      let column = columns.get(key)
      if (column === undefined) {
        if (columns.size >= limits.columns) continue
        column = columns.size
        columns.set(key, column)
      }
      while (row.length < column) row.push('')
      row[column] = value
    }
    cells += row.length
    rows.push({ start: object.start, end: object.end, cells: row })
  }
  return columns.size === 0 ? undefined : makeTable(name, [...columns.keys()], undefined, rows, cut)
}

/** Nested objects become "address.city"; arrays inside a row are no cells. */
function flatEntries(entries: [string, JsonNode][], prefix: string, depth: number): [string, string][] {
  return entries.flatMap(([key, node]): [string, string][] => {
    if (node.type === 'value') return [[prefix + key, node.value === null ? '' : String(node.value)]]
    return node.type === 'object' && depth < 2 ? flatEntries(node.entries, `${prefix}${key}.`, depth + 1) : []
  })
}

/** [["month", "sales"], ["2024-01", 5]]: the first row names the columns when it is all text. */
function fromArrays(items: JsonNode[], name: string): Table | undefined {
  const rows: Row[] = []
  for (const item of items) {
    if (item.type !== 'array' || item.items.some((cell) => cell.type !== 'value')) return undefined
    rows.push({
      start: item.start,
      end: item.end,
      cells: item.items.map((cell) => (cell.type === 'value' && cell.value !== null ? String(cell.value) : '')),
    })
  }
  const head = rows[0]
  if (
    head === undefined ||
    rows.length < 3 ||
    head.cells.length < 2 ||
    head.cells.some((cell) => cell === '' || !Number.isNaN(Number(cell)))
  )
    return undefined
  return makeTable(name, head.cells, { start: head.start, end: head.end }, rows.slice(1), false)
}

/** {"month": [..], "sales": [..]}: the columns stand apart, so a row has no range of its own and cites the whole of them. */
function fromColumns(entries: [string, JsonNode][], name: string, limits: TableLimits): Table | undefined {
  const arrays = entries.flatMap(([key, node]) =>
    node.type === 'array' && node.items.length > 1 && node.items.every((item) => item.type === 'value') ? [{ key, node }] : [],
  )
  const length = arrays[0]?.node.items.length ?? 0
  if (arrays.length < 2 || arrays.some(({ node }) => node.items.length !== length)) return undefined
  const start = Math.min(...arrays.map(({ node }) => node.start))
  const end = Math.max(...arrays.map(({ node }) => node.end))
  const rows: Row[] = []
  for (let index = 0; index < Math.min(length, limits.rows); index += 1) {
    const cells = arrays.map(({ node }) => {
      const item = node.items[index]
      return item?.type === 'value' && item.value !== null ? String(item.value) : ''
    })
    rows.push({ start, end, cells })
  }
  return makeTable(
    name,
    arrays.map(({ key }) => key),
    undefined,
    rows,
    length > limits.rows,
  )
}
