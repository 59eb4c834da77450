import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { makeExactIndex } from './exact.ts'
import type { VectorRow } from './port.ts'

const dimensions = 6

async function* batches(rows: readonly VectorRow[], size: number): AsyncGenerator<VectorRow[]> {
  for (let start = 0; start < rows.length; start += size) yield rows.slice(start, start + size)
}

const vector = fc
  .array(fc.integer({ min: -9, max: 9 }), { minLength: dimensions, maxLength: dimensions })
  .map((values) => Float32Array.from(values))
const change = fc.oneof(
  fc.record({ add: fc.integer({ min: 1, max: 30 }), vector }),
  fc.record({ remove: fc.integer({ min: 1, max: 30 }) }),
)

function nearestOf(rows: ReadonlyMap<number, Float32Array>, query: Float32Array, limit: number) {
  return [...rows]
    .map(([id, each]) => ({ id, score: each.reduce((sum, value, at) => sum + value * (query[at] as number), 0) }))
    .toSorted((a, b) => b.score - a.score || a.id - b.id)
    .slice(0, limit)
}

test('answers what comparing every vector answers, after any additions and removals', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(vector, { maxLength: 20 }),
      fc.array(change, { maxLength: 60 }),
      vector,
      async (stored, changes, query) => {
        const rows = stored.map((each, at): VectorRow => ({ id: at + 1, vector: each }))
        const expected = new Map(rows.map((row) => [row.id, row.vector]))
        const index = makeExactIndex({ dimensions, source: () => batches(rows, 7) })
        await index.search('s', query, 1)
        for (const each of changes) {
          if ('add' in each) {
            index.add('s', [{ id: each.add, vector: each.vector }])
            expected.set(each.add, each.vector)
          } else {
            index.remove('s', [each.remove])
            expected.delete(each.remove)
          }
        }
        // Equal scores at the edge may fall either way, so scores are compared, and ids where all are answered.
        const limit = 5
        assert.deepEqual(
          (await index.search('s', query, limit)).map(({ score }) => score),
          nearestOf(expected, query, limit).map(({ score }) => score),
        )
        assert.deepEqual(await index.search('s', query, 100), nearestOf(expected, query, 100))
        assert.deepEqual(
          await index.search('s', query, 100, (id) => id % 2 === 0),
          nearestOf(new Map([...expected].filter(([id]) => id % 2 === 0)), query, 100),
        )
      },
    ),
    { numRuns: 100 },
  )
})

test('changes that commit while a scope is being read are kept', async () => {
  const one = Float32Array.of(1, 0, 0, 0, 0, 0)
  let release = () => {}
  const held = new Promise<void>((done) => (release = done))
  const index = makeExactIndex({
    dimensions,
    async *source() {
      yield [{ id: 1, vector: one }]
      await held
      yield [
        { id: 2, vector: one },
        { id: 3, vector: one },
      ]
    },
  })
  const found = index.search('s', one, 10)
  await new Promise((done) => setImmediate(done))
  index.remove('s', [1, 2])
  index.add('s', [{ id: 4, vector: one }])
  index.add('s', [{ id: 3, vector: Float32Array.of(0.5, 0, 0, 0, 0, 0) }])
  release()
  assert.deepEqual(await found, [
    { id: 4, score: 1 },
    { id: 3, score: 0.5 },
  ])
})

test('scopes not searched for longest make room, and are read again when asked for', async () => {
  const reads: string[] = []
  const rows = Array.from({ length: 100 }, (_, at): VectorRow => ({ id: at + 1, vector: Float32Array.of(1, 0, 0, 0, 0, at) }))
  const index = makeExactIndex({
    dimensions,
    maxBytes: 10_000,
    source(scope) {
      reads.push(scope)
      return batches(rows, 10)
    },
  })
  const query = Float32Array.of(0, 0, 0, 0, 0, 1)
  for (const scope of ['a', 'b', 'a', 'c', 'a', 'b']) assert.equal((await index.search(scope, query, 1))[0]?.id, 100)
  assert.deepEqual(reads, ['a', 'b', 'c', 'b'])
  assert.ok(index.size().bytes <= 10_000)
})

test('a scope that could not be read is tried again', async () => {
  let failures = 1
  const index = makeExactIndex({
    dimensions,
    async *source() {
      if (failures-- > 0) throw new Error('the disk is away')
      yield [{ id: 1, vector: new Float32Array(dimensions) }]
    },
  })
  await assert.rejects(index.search('s', new Float32Array(dimensions), 1), /the disk is away/)
  assert.equal((await index.search('s', new Float32Array(dimensions), 1)).length, 1)
})

test('other work runs during a long search', async () => {
  const rows = Array.from({ length: 30_000 }, (_, at): VectorRow => ({ id: at + 1, vector: Float32Array.of(at, 0, 0, 0, 0, 0) }))
  let pauses = 0
  const index = makeExactIndex({ dimensions, source: () => batches(rows, 30_000), pause: async () => (pauses += 1) })
  assert.equal((await index.search('s', Float32Array.of(1, 0, 0, 0, 0, 0), 1))[0]?.id, 30_000)
  assert.ok(pauses >= 3)
})
