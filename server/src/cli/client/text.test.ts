import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { bytes, duration, relative } from './look.ts'
import { makeProbe } from './probe.suite.ts'
import { table } from './table.ts'
import { fit, pad, printable, widthOf } from './text.ts'

test('wide, joined and combining characters are measured as they are shown', () => {
  assert.deepEqual(['abc', '日本', 'e\u0301', '👩‍🚀', 'ok ✓'].map(widthOf), [3, 4, 1, 2, 4])
  assert.equal(fit('日本語です', 5), '日本…')
  assert.equal(pad('日', 4), '日  ')
})

test('a text that is cut never takes more than its width', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.integer({ min: 1, max: 30 }), (any, width) => {
      const cut = fit(printable(any), width)
      assert.ok(widthOf(cut) <= width, `${JSON.stringify(cut)} in ${width}`)
    }),
    { numRuns: 300 },
  )
})

test('times and amounts read as a person says them', () => {
  const now = Date.parse('2026-01-02T00:00:00Z')
  const at = (ms: number) => relative(new Date(now + ms).toISOString(), now)
  assert.deepEqual([-400, -5_000, -125_000, -7_200_000, 90_000, -40 * 86_400_000].map(at), [
    'now',
    '5 s ago',
    '2 min ago',
    '2 h ago',
    'in 1 min',
    '2025-11-23',
  ])
  assert.deepEqual([12, 4_200, 61_000].map(duration), ['12 ms', '4.2 s', '1 min'])
  assert.deepEqual([12, 1_234, 135_000_000].map(bytes), ['12 B', '1.2 kB', '135 MB'])
})

const rows = [
  {
    id: 'tsk_1',
    task_id: 'tsk_1',
    title: 'A title of some length that goes on',
    state: 'running',
    status: 'running',
    error: null,
    assigned_to: 'ada',
  },
  { id: 'tsk_2', task_id: 'tsk_2', title: 'B', state: 'pending', status: 'pending', error: null, assigned_to: null },
]

test('a table keeps to the window, whole ids first; into a pipe nothing is cut', () => {
  const narrow = table(rows, makeProbe({ size: { columns: 48, rows: 20 } }).terminal)
  for (const line of narrow.split('\n')) assert.ok(widthOf(line) <= 48, line)
  assert.match(narrow, /^tsk_1 .*… +◐ running +ada$/m)
  assert.doesNotMatch(narrow, /TASK ID|STATUS|ERROR/)
  assert.match(table(rows, makeProbe().terminal), /A title of some length that goes on/)
})

test('colour comes with marks and words, never alone', () => {
  const plain = table(rows, makeProbe().terminal)
  const coloured = table(rows, makeProbe({ colour: true }).terminal)
  assert.ok(coloured.includes('\u001b[36m◐ running'))
  // oxlint-disable-next-line no-control-regex
  assert.equal(coloured.replaceAll(/\u001b\[\d+m/g, '').replaceAll(/ +$/gm, ''), plain.replaceAll(/ +$/gm, ''))
})
