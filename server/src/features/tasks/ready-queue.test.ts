import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ReadyQueue, type Wanted } from './ready-queue.ts'

const wanted = (type: number): Wanted => ({ tenant: 1, type: `t${type}`, capabilities: [], strategy: null, affinity: null })
const place = fc.record({ id: fc.nat({ max: 40 }), type: fc.nat({ max: 3 }), priority: fc.integer({ min: 1, max: 9 }) })
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('add' as const), place }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('remove' as const), place }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('take' as const), place }) },
)
type Entry = { id: string; type: number; priority: number }
const inOrder = (a: Entry, b: Entry) => a.priority - b.priority || (a.id < b.id ? -1 : 1)

test('added, moved, removed and taken in any order, the most urgent of all comes first', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), fc.nat({ max: 3 }), (steps, asked) => {
      const queue = new ReadyQueue()
      const model = new Map<string, Entry>()
      const takeNext = () => {
        const group = queue.groups().at(-1)
        return group && queue.take(group)?.id
      }
      for (const { do: what, place: at } of steps) {
        const id = String(at.id).padStart(2, '0')
        if (what === 'add') {
          queue.add(wanted(at.type), at.priority, id)
          model.set(id, { id, type: at.type, priority: at.priority })
        } else if (what === 'remove') {
          queue.remove(id)
          model.delete(id)
        } else {
          const first = [...model.values()].toSorted(inOrder)[0]
          assert.equal(takeNext(), first?.id)
          if (first) model.delete(first.id)
        }
        assert.equal(queue.size, model.size)
      }
      const left = [...model.values()].toSorted(inOrder)
      const ofType = left.filter((entry) => entry.type === asked).map((entry) => entry.id)
      const found = queue.first((group) => group.type === `t${asked}`, 100).map((entry) => entry.id)
      assert.deepEqual([...new Set(found)], ofType)
      const groups = queue.groups()
      const taken: string[] = []
      for (let group = groups.pop(); group; group = groups.pop()) {
        taken.push(queue.take(group)?.id ?? 'none')
        queue.replace(groups, group)
      }
      assert.deepEqual(
        taken,
        left.map((entry) => entry.id),
      )
    }),
    { seed: 7, numRuns: 300 },
  )
})

test('what left the queue does not stay in its memory', () => {
  const queue = new ReadyQueue()
  for (let index = 0; index < 10_000; index++) queue.add(wanted(0), 3, `k${index}`)
  for (let index = 0; index < 10_000; index++) if (index !== 5_000) queue.remove(`k${index}`)
  const [group] = queue.groups()
  assert.ok(group && group.heap.length < 100, `${group?.heap.length} places for one task`)
})

test('alerts are due for what came in long enough ago, once, and keep their time when they move', () => {
  const queue = new ReadyQueue()
  queue.add(wanted(0), 3, 'a', null, 10)
  queue.add(wanted(1), 3, 'b', null, 10)
  queue.add(wanted(0), 3, 'c', null, 50)
  queue.add(wanted(0), 1, 'a', null, 60)
  const due = queue.unserved(20, (group) => group.type === 't0', 10)
  assert.deepEqual(
    due.map((entry) => entry.id),
    ['a'],
  )
  for (const entry of due) entry.alerted = true
  assert.deepEqual(
    queue.unserved(100, () => true, 1).map((entry) => entry.id),
    ['b'],
  )
})
