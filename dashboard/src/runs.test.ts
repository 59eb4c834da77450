import assert from 'node:assert/strict'
import { test } from 'node:test'
import { chooseRun, groupRuns, progressOf, workTime } from './runs.ts'
import { sampleTask } from './sample.ts'

const at = (second: number) => `2026-01-01T00:00:${String(second).padStart(2, '0')}.000Z`
const mapOf = (...tasks: ReturnType<typeof sampleTask>[]) => new Map(tasks.map((task) => [task.id, task]))

test('tasks group by run, newest first, and single tasks apart', () => {
  const runs = groupRuns(
    mapOf(
      sampleTask('a', { run_id: 'old', created_at: at(1) }),
      sampleTask('b', { run_id: 'new', created_at: at(5) }),
      sampleTask('c', { created_at: at(9) }),
    ),
  )
  assert.deepEqual(
    runs.map((run) => run.id),
    ['loose', 'new', 'old'],
  )
  assert.equal(chooseRun(runs, null)?.id, 'new')
  assert.equal(chooseRun(runs, 'old')?.id, 'old')
  assert.equal(chooseRun(runs, 'gone')?.id, 'new')
  assert.equal(chooseRun([], null), undefined)
})

test('a run is called by its goal, else by the task above, else by its last task', () => {
  const label = (...tasks: ReturnType<typeof sampleTask>[]) => groupRuns(mapOf(...tasks)).find((run) => run.id === 'r')?.label
  assert.equal(label(sampleTask('a', { run_id: 'r', input: { goal: 'Find out' } })), 'Find out')
  assert.equal(label(sampleTask('p', { title: 'The job' }), sampleTask('a', { run_id: 'r', parent_id: 'p' })), 'The job')
  assert.equal(
    label(sampleTask('a', { run_id: 'r' }), sampleTask('b', { run_id: 'r', depends_on: ['a'], created_at: at(0) })),
    'b',
  )
})

test('progress counts ended tasks whole and running ones in part; the time stops with the last', () => {
  const tasks = [
    sampleTask('a', { state: 'completed', created_at: at(0), completed_at: at(4) }),
    sampleTask('b', { state: 'running', progress: 0.5, created_at: at(0) }),
  ]
  const open = progressOf(tasks, Date.parse(at(10)))
  assert.deepEqual([open.share, open.completed, open.running, open.elapsed_ms], [0.75, 1, 1, 10_000])
  const over = progressOf([tasks[0]!], Date.parse(at(10)))
  assert.equal(over.elapsed_ms, 4000)
  assert.deepEqual(progressOf([], 0), { total: 0, completed: 0, running: 0, failed: 0, ended: 0, share: 0, elapsed_ms: 0 })
})

test('the time at work runs from the start to the end or to now', () => {
  assert.equal(workTime(sampleTask('a'), 0), undefined)
  assert.equal(workTime(sampleTask('a', { state: 'running', started_at: at(1) }), Date.parse(at(3))), 2000)
  assert.equal(workTime(sampleTask('a', { state: 'completed', started_at: at(1), completed_at: at(6) }), 0), 5000)
  assert.equal(workTime(sampleTask('a', { state: 'ready', started_at: at(1) }), Date.parse(at(3))), undefined)
})
