/** The small parts everything leans on: ids, the clock of tests, calls of one turn. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ManualClock, base32, fromBase32, makeIds } from './clock.ts'
import { coalesce } from './coalesce.ts'

test('ids sort in the order in which they were made, also within one millisecond and when the clock goes back', () => {
  let now = 1_767_225_600_000
  const newId = makeIds({ now: () => now, after: () => () => {} })
  const ids: string[] = []
  for (let index = 0; index < 5_000; index++) {
    now += [0, 0, 1, 3_600_000, -3_600_000][index % 5] as number
    ids.push(newId('x'))
  }
  assert.deepEqual(ids.toSorted(), ids)
  assert.equal(new Set(ids).size, ids.length)
})

test('base 32 of a fixed width sorts like the number and comes back as it', () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), fc.maxSafeNat(), (a, b) => {
      const [left, right] = [base32(a, 11), base32(b, 11)]
      assert.equal(fromBase32(left), a)
      assert.equal(left.length, 11)
      assert.equal(left < right, a < b)
    }),
  )
  assert.ok(Number.isNaN(fromBase32('il')))
})

test('a manual clock runs what is due in the order of its times, what that schedules included, and not what was cancelled', async () => {
  const clock = new ManualClock(0)
  const ran: [string, number][] = []
  const note = (name: string) => () => void ran.push([name, clock.now()])
  clock.after(30, note('c'))
  clock.after(10, () => {
    note('a')()
    clock.after(10, note('b'))
  })
  clock.after(20, note('cancelled'))()
  clock.after(41, note('later'))
  await clock.advance(40)
  assert.deepEqual(ran, [
    ['a', 10],
    ['b', 20],
    ['c', 30],
  ])
  assert.equal(clock.now(), 40)
})

test('calls of one turn are one batch, each with its own outcome; a batch that fails fails them all', async () => {
  const batches: number[][] = []
  const call = coalesce<number, number>(async (items) => {
    batches.push(items)
    if (items.includes(-1)) throw new Error('all')
    return items.map((item) => (item === 2 ? { error: new Error('two') } : { value: item * 10 }))
  }, 3)
  const outcomes = await Promise.allSettled([1, 2, 3, 4].map(call))
  assert.deepEqual(batches, [[1, 2, 3], [4]])
  assert.deepEqual(
    outcomes.map((outcome) => (outcome.status === 'fulfilled' ? outcome.value : String(outcome.reason))),
    [10, 'Error: two', 30, 40],
  )
  const failed = await Promise.allSettled([5, -1].map(call))
  assert.ok(failed.every((outcome) => outcome.status === 'rejected'))
})
