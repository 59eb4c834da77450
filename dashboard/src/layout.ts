/**
 * Layered drawing of a dependency graph, left to right.
 *   layer   column of a node: one more than the furthest of those it depends on
 *   bend    place that an edge over several layers passes through, so that it runs between the nodes and not over them
 */
export interface GraphNode {
  id: string
  depends_on: readonly string[]
}
export interface Point {
  x: number
  y: number
}
export interface Layout {
  width: number
  height: number
  /** Top left corner of each node. */
  places: ReadonlyMap<string, Point>
  edges: readonly { from: string; to: string; path: string }[]
}
export interface Measures {
  width: number
  height: number
  gapX: number
  gapY: number
}

interface Cell {
  key: string
  layer: number
  node: string | undefined
  before: Cell[]
  after: Cell[]
  order: number
  y: number
}

/** Past this many nodes edges go straight: bends would outnumber the nodes many times. */
const bendLimit = 300
const sweeps = 6

export function layOut(nodes: readonly GraphNode[], measures: Measures): Layout {
  const known = new Map(nodes.map((node) => [node.id, node]))
  const layers = layersOf(known)
  const cells = new Map<string, Cell>()
  for (const node of nodes) cells.set(node.id, cellOf(node.id, layers.get(node.id) ?? 0, node.id))
  const chains: { from: string; to: string; cells: Cell[] }[] = []
  for (const node of nodes) {
    for (const source of new Set(node.depends_on)) {
      const from = cells.get(source)
      const to = cells.get(node.id)
      if (from === undefined || to === undefined || from.layer >= to.layer) continue
      chains.push({ from: source, to: node.id, cells: chain(from, to, nodes.length <= bendLimit, cells) })
    }
  }
  const columns = columnsOf(cells.values())
  orderColumns(columns)
  placeColumns(columns, measures)
  const x = (cell: Cell) => cell.layer * (measures.width + measures.gapX)
  const bottoms = [...cells.values()].map((cell) => cell.y + (cell.node === undefined ? measures.gapY : measures.height))
  return {
    width: Math.max(0, columns.length * (measures.width + measures.gapX) - measures.gapX),
    height: Math.max(0, ...bottoms),
    places: new Map(nodes.map((node) => [node.id, { x: x(cells.get(node.id)!), y: cells.get(node.id)!.y }])),
    edges: chains.map(({ from, to, cells: run }) => ({ from, to, path: pathOf(run, x, measures) })),
  }
}

/** Longest path from the roots. Edges to unknown nodes and those closing a cycle do not count. */
function layersOf(nodes: ReadonlyMap<string, GraphNode>): Map<string, number> {
  const layers = new Map<string, number>()
  const waiting = new Map<string, number>()
  const dependants = new Map<string, string[]>()
  for (const node of nodes.values()) {
    const sources = [...new Set(node.depends_on)].filter((id) => nodes.has(id) && id !== node.id)
    waiting.set(node.id, sources.length)
    for (const source of sources) dependants.set(source, [...(dependants.get(source) ?? []), node.id])
  }
  const open = [...nodes.keys()].filter((id) => waiting.get(id) === 0)
  for (let id = open.shift(); id !== undefined; id = open.shift()) {
    const layer = layers.get(id) ?? 0
    layers.set(id, layer)
    for (const next of dependants.get(id) ?? []) {
      layers.set(next, Math.max(layers.get(next) ?? 0, layer + 1))
      const left = (waiting.get(next) ?? 0) - 1
      waiting.set(next, left)
      if (left === 0) open.push(next)
    }
  }
  return layers
}

const cellOf = (key: string, layer: number, node: string | undefined): Cell => ({
  key,
  layer,
  node,
  before: [],
  after: [],
  order: 0,
  y: 0,
})

function chain(from: Cell, to: Cell, bends: boolean, cells: Map<string, Cell>): Cell[] {
  const run = [from]
  const last = bends ? to.layer : from.layer + 1
  for (let layer = from.layer + 1; layer < last; layer++) {
    const bend = cellOf(`${from.key}\u0000${to.key}\u0000${layer}`, layer, undefined)
    cells.set(bend.key, bend)
    run.push(bend)
  }
  run.push(to)
  for (const [index, cell] of run.entries()) {
    const next = run[index + 1]
    if (next === undefined) break
    cell.after.push(next)
    next.before.push(cell)
  }
  return run
}

function columnsOf(cells: Iterable<Cell>): Cell[][] {
  const columns: Cell[][] = []
  for (const cell of cells) {
    while (columns.length <= cell.layer) columns.push([])
    columns[cell.layer]?.push(cell)
  }
  return columns
}

/** Fewer crossings: each column in turn is sorted by the mean place of its neighbours, forwards and backwards. */
function orderColumns(columns: readonly Cell[][]): void {
  const number = (column: Cell[]) => {
    for (const [index, cell] of column.entries()) cell.order = index
  }
  columns.forEach(number)
  for (let sweep = 0; sweep < sweeps; sweep++) {
    const forward = sweep % 2 === 0
    for (const column of forward ? columns : columns.toReversed()) {
      const weight = new Map(
        column.map((cell) => [cell, mean(forward ? cell.before : cell.after, (other) => other.order) ?? cell.order]),
      )
      column.sort((a, b) => weight.get(a)! - weight.get(b)!)
      number(column)
    }
  }
}

/** Each cell is drawn towards its neighbours, then pushed apart; a bend needs less room than a node. */
function placeColumns(columns: readonly Cell[][], measures: Measures): void {
  const room = (cell: Cell) => (cell.node === undefined ? measures.gapY : measures.height)
  const middle = (cell: Cell) => cell.y + room(cell) / 2
  for (const column of columns)
    spread(
      column,
      column.map(() => 0),
      room,
      measures.gapY,
    )
  const tallest = Math.max(0, ...columns.map((column) => extent(column, room)))
  for (const column of columns) {
    const shift = (tallest - extent(column, room)) / 2
    for (const cell of column) cell.y += shift
  }
  for (let sweep = 0; sweep < sweeps; sweep++) {
    const forward = sweep % 2 === 0
    for (const column of forward ? columns : columns.toReversed()) {
      const wanted = column.map((cell) => {
        const near = sweep === sweeps - 1 ? [...cell.before, ...cell.after] : forward ? cell.before : cell.after
        // A node lines up with nodes; a bend beside them would pull a straight chain out of line.
        const nodes = near.filter((other) => other.node !== undefined)
        return (mean(nodes.length > 0 ? nodes : near, middle) ?? middle(cell)) - room(cell) / 2
      })
      spread(column, wanted, room, measures.gapY)
    }
  }
  const top = Math.min(...columns.flat().map((cell) => cell.y))
  for (const cell of columns.flat()) cell.y = Math.round(cell.y - top)
}

const extent = (column: readonly Cell[], room: (cell: Cell) => number): number => {
  const last = column.at(-1)
  return last === undefined ? 0 : last.y + room(last)
}

/** As near to the wanted places as order and gaps allow: pushed down from the top, then the whole block moved by the mean error. */
function spread(column: readonly Cell[], wanted: readonly number[], room: (cell: Cell) => number, gap: number): void {
  let free = Number.NEGATIVE_INFINITY
  for (const [index, cell] of column.entries()) {
    cell.y = Math.max(wanted[index] ?? 0, free)
    free = cell.y + room(cell) + gap
  }
  const error = mean([...column.keys()], (index) => (wanted[index] ?? 0) - (column[index]?.y ?? 0)) ?? 0
  for (const cell of column) cell.y += error
}

function mean<T>(items: readonly T[], value: (item: T) => number): number | undefined {
  return items.length === 0 ? undefined : items.reduce((sum, item) => sum + value(item), 0) / items.length
}

/** From the right side of the first cell to the left side of the last, level where it passes a layer. */
function pathOf(run: readonly Cell[], x: (cell: Cell) => number, measures: Measures): string {
  const y = (cell: Cell) => Math.round(cell.node === undefined ? cell.y + measures.gapY / 2 : cell.y + measures.height / 2)
  const first = run[0]!
  const parts = [`M${x(first) + measures.width} ${y(first)}`]
  let from = { x: x(first) + measures.width, y: y(first) }
  for (const cell of run.slice(1)) {
    const to = { x: x(cell), y: y(cell) }
    const bend = Math.min((to.x - from.x) / 2, measures.gapX / 2 + 8)
    parts.push(`C${from.x + bend} ${from.y} ${to.x - bend} ${to.y} ${to.x} ${to.y}`)
    if (cell.node === undefined) parts.push(`H${to.x + measures.width}`)
    from = { x: to.x + (cell.node === undefined ? measures.width : 0), y: to.y }
  }
  return parts.join('')
}
