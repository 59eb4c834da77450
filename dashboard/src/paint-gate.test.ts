import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createPaintGate } from './paint-gate.ts'

/** A clock moved by hand; one timer at a time is all the gate may hold. */
function byHand() {
  let now = 0
  let timer: { run: () => void; at: number } | undefined
  return {
    timers: {
      now: () => now,
      set: (run: () => void, ms: number) => {
        assert.equal(timer, undefined)
        timer = { run, at: now + ms }
        return timer
      },
      clear: () => {
        timer = undefined
      },
    },
    move(ms: number) {
      const end = now + ms
      while (timer !== undefined && timer.at <= end) {
        const { run, at } = timer
        timer = undefined
        now = Math.max(now, at)
        run()
      }
      now = end
    },
  }
}

test('a thousand changes in a second are at most five paints, the last one painted', () => {
  const clock = byHand()
  let value = 0
  const painted: number[] = []
  const gate = createPaintGate(() => painted.push(value), 250, clock.timers)
  for (let step = 0; step < 1000; step++) {
    value = step
    gate.request()
    clock.move(1)
  }
  clock.move(250)
  assert.ok(painted.length >= 4 && painted.length <= 5, `${painted.length} paints`)
  assert.equal(painted.at(-1), 999)
})

test('a lone change is painted at once, and nothing is painted without one', () => {
  const clock = byHand()
  let paints = 0
  const gate = createPaintGate(() => paints++, 250, clock.timers)
  clock.move(1000)
  assert.equal(paints, 0)
  gate.request()
  clock.move(0)
  assert.equal(paints, 1)
  clock.move(1000)
  assert.equal(paints, 1)
})

test('a hidden page paints nothing and catches up when shown', () => {
  const clock = byHand()
  let paints = 0
  const gate = createPaintGate(() => paints++, 250, clock.timers)
  gate.setHidden(true)
  gate.request()
  clock.move(1000)
  assert.equal(paints, 0)
  gate.setHidden(false)
  clock.move(0)
  assert.equal(paints, 1)
})

test('closed, it paints no more', () => {
  const clock = byHand()
  let paints = 0
  const gate = createPaintGate(() => paints++, 250, clock.timers)
  gate.request()
  gate.close()
  gate.request()
  clock.move(1000)
  assert.equal(paints, 0)
})
