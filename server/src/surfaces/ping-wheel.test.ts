import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PingWheel } from './ping-wheel.ts'

test('each is looked at once a turn, a sixteenth at a time; who left is not', (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] })
  let ticks = 0
  const wheel = new PingWheel(16_000, () => void (ticks += 1))
  const checks = Array.from({ length: 160 }, () => 0)
  const spokes = checks.map((_, index) => {
    const each = { checkAlive: () => void (checks[index] = (checks[index] ?? 0) + 1) }
    return { each, spoke: wheel.add(each) }
  })
  const total = () => checks.reduce((sum, count) => sum + count, 0)
  for (let second = 1; second <= 16; second++) {
    t.mock.timers.tick(1_000)
    assert.deepEqual([total(), ticks], [second * 10, second])
  }
  assert.deepEqual(new Set(checks), new Set([1]))
  const [gone] = spokes
  wheel.delete((gone as (typeof spokes)[0]).each, (gone as (typeof spokes)[0]).spoke)
  t.mock.timers.tick(16_000)
  assert.deepEqual([checks[0], checks[1]], [1, 2])
  wheel.stop()
  t.mock.timers.tick(16_000)
  assert.equal(ticks, 32)
})
