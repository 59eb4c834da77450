import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { type GraphNode, layOut } from './layout.ts'

const measures = { width: 100, height: 40, gapX: 50, gapY: 10 }
const node = (id: string, ...depends_on: string[]): GraphNode => ({ id, depends_on })

test('nodes stand right of everything they depend on', () => {
  const { places, width } = layOut([node('c', 'b', 'a'), node('a'), node('b', 'a')], measures)
  assert.deepEqual(
    ['a', 'b', 'c'].map((id) => places.get(id)?.x),
    [0, 150, 300],
  )
  assert.equal(width, 400)
})

test('a diamond is symmetrical and its edges do not cross', () => {
  const { places, edges } = layOut([node('a'), node('b', 'a'), node('c', 'a'), node('d', 'b', 'c')], measures)
  const y = (id: string) => places.get(id)!.y
  assert.equal(y('a'), y('d'))
  assert.equal(y('b') + y('c'), 2 * y('a'))
  assert.equal(edges.length, 4)
})

test('a straight chain stays straight beside an edge that spans it', () => {
  const { places } = layOut([node('a'), node('b', 'a'), node('c', 'b', 'a')], measures)
  assert.equal(places.get('a')?.y, places.get('b')?.y)
})

test('unknown dependencies and cycles draw no edge and lose no node', () => {
  const { places, edges } = layOut([node('a', 'ghost'), node('b', 'c'), node('c', 'b'), node('d', 'd')], measures)
  assert.equal(places.size, 4)
  assert.deepEqual(edges, [])
})

test('nothing to draw has no size', () => {
  assert.deepEqual(layOut([], measures), { width: 0, height: 0, places: new Map(), edges: [] })
})

test('no two nodes overlap, all lie within the drawing, each known dependency is one edge', () => {
  const graph = fc
    .array(fc.array(fc.nat(24), { maxLength: 4 }), { minLength: 1, maxLength: 25 })
    .map((rows) => rows.map((sources, index) => node(String(index), ...sources.filter((source) => source < index).map(String))))
  fc.assert(
    fc.property(graph, (nodes) => {
      const layout = layOut(nodes, measures)
      const places = [...layout.places.values()]
      for (const [index, a] of places.entries()) {
        assert.ok(a.x >= 0 && a.y >= 0 && a.x + measures.width <= layout.width && a.y + measures.height <= layout.height)
        for (const b of places.slice(index + 1)) assert.ok(a.x !== b.x || Math.abs(a.y - b.y) >= measures.height)
      }
      const wanted = nodes.flatMap((each) => [...new Set(each.depends_on)].map((source) => `${source}>${each.id}`))
      assert.deepEqual(layout.edges.map((edge) => `${edge.from}>${edge.to}`).sort(), wanted.sort())
    }),
    { numRuns: 200 },
  )
})
