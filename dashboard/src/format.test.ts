import assert from 'node:assert/strict'
import { test } from 'node:test'
import { curl } from './curl.ts'
import { formatAgo, formatCount, formatDuration, prettyOf, previewOf } from './format.ts'
import { heldRows } from './held-rows.ts'

test('durations', () => {
  const cases: [number, string][] = [
    [0, '0.0s'],
    [940, '0.9s'],
    [59_900, '59.9s'],
    [59_960, '1m 00s'],
    [245_000, '4m 05s'],
    [7_620_000, '2h 07m'],
    [273_600_000, '3d 4h'],
    [-5, '0.0s'],
    [Number.NaN, '0.0s'],
  ]
  for (const [ms, text] of cases) assert.equal(formatDuration(ms), text)
})

test('times ago', () => {
  const now = Date.parse('2026-01-02T00:00:00Z')
  const ago = (ms: number) => formatAgo(new Date(now - ms).toISOString(), now)
  assert.deepEqual(
    [ago(-9000), ago(2000), ago(12_000), ago(300_000), ago(7_200_000), ago(172_800_000)],
    ['now', 'now', '12s ago', '5m ago', '2h ago', '2d ago'],
  )
  assert.equal(formatAgo('no time', now), '')
})

test('counts', () => assert.deepEqual([formatCount(1204), formatCount(12_345)], ['1,204', '12.3K']))

test('a preview is one line and shows the speaking field', () => {
  assert.equal(previewOf('a\n b'), 'a b')
  assert.equal(previewOf({ id: 1, text: 'hello' }), 'hello')
  assert.equal(previewOf({ id: 1 }), '{"id":1}')
  assert.equal(previewOf('abcdef', 4), 'abc…')
  assert.equal(previewOf(null), '')
})

test('a huge payload is cut and says so', () =>
  assert.equal(prettyOf('x'.repeat(12), 10), `${'x'.repeat(10)}\n… 2 more characters`))

test('curl lines are quoted for a shell, and name a key off this machine', () => {
  assert.equal(
    curl('POST', '/messages', { content: "it's" }, 'http://localhost:8000'),
    `curl -X POST http://localhost:8000/api/v1/messages -H 'content-type: application/json' -d '{"content":"it'\\''s"}'`,
  )
  assert.equal(
    curl('GET', '/tasks', undefined, 'https://cadre.example'),
    'curl https://cadre.example/api/v1/tasks -H "Authorization: Bearer $CADRE_API_KEY"',
  )
  assert.match(curl('GET', '/tasks', undefined, 'http://localhost.evil.example'), /Authorization/)
})

test('a held list keeps its rows in place, in their newest form, and counts what waits', () => {
  const row = (id: string, value: number) => ({ id, value })
  const current = [row('c', 1), row('b', 2), row('a', 1)]
  assert.deepEqual(heldRows(null, current), { rows: current, waiting: 0 })
  assert.deepEqual(heldRows([row('b', 1), row('gone', 1)], current), { rows: [row('b', 2), row('gone', 1)], waiting: 2 })
})
