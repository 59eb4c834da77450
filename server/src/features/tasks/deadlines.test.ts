/** Deadlines of tasks and limits of attempts. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { Assignment, OutputOf, Task } from '@cadre/contract'
import { ManualClock, Refused, serveFor } from '../../testing.ts'

type Full = OutputOf<'tasks.get'>
const start = Date.UTC(2026, 0, 1)

async function open(t: TestContext) {
  const clock = new ManualClock(start)
  const server = await serveFor(t, { clock })
  const get = (id: string) => server.call<Full>('GET', `/tasks/${id}`)
  const create = (body: object) => server.call<Task>('POST', '/tasks', { title: 'x', ...body })
  /** Waits for the event that says so, moving the clock by a sweep at a time. */
  const until = async (id: string, state: string) => {
    for (let sweeps = 0; sweeps < 40; sweeps++) {
      const task = await get(id)
      if (task.state === state) return task
      await clock.advance(250)
    }
    return assert.fail(`${id} did not become ${state}, it is ${(await get(id)).state}`)
  }
  return { clock, server, get, create, until }
}

test('a deadline ends a task whatever its state, with its children, and tells the holder', async (t) => {
  const { clock, server, create, until, get } = await open(t)
  const bob = await server.leased('bob', { concurrency: 10 })
  const deadline = new Date(start + 5_000).toISOString()
  const ready = await create({ deadline })
  const pending = await create({ deadline_ms: 5_000, depends_on: [ready.id] })
  const scheduled = await create({ deadline, delay_ms: 60_000 })
  const assigned = await create({ deadline, assign_to: 'bob', lease_ms: 60_000 })
  const running = await create({ deadline, assign_to: 'bob', lease_ms: 60_000 })
  const { data: held } = await bob.next<Assignment>('task:assigned', (task) => task.id === running.id)
  await bob.call('tasks.accept', { id: held.id, lease: held.lease })
  const child = await create({ parent_id: running.id, deadline: new Date(start + 60_000).toISOString() })
  const later = await create({ deadline: new Date(start + 60_000).toISOString() })
  assert.deepEqual(
    [child.deadline, later.deadline],
    [deadline, new Date(start + 60_000).toISOString()],
    'a deadline only comes nearer',
  )
  await clock.advance(4_900)
  assert.equal((await get(ready.id)).state, 'ready')
  for (const task of [ready, pending, scheduled, assigned, running, child]) {
    const ended = await until(task.id, 'failed')
    assert.equal(ended.error?.code, 'deadline_exceeded')
  }
  assert.equal((await get(later.id)).state, 'ready')
  await bob.next('task:cancelled', (data) => data['id'] === running.id)
  await assert.rejects(
    bob.call('tasks.complete', { id: held.id, lease: held.lease }),
    (error) => error instanceof Refused && error.code === 'stale_lease',
  )
  assert.deepEqual(
    (await get(running.id)).attempts.map((attempt) => attempt.outcome),
    ['failed'],
  )
})

test('what ended in time is left alone, and a graph has one deadline for all', async (t) => {
  const { clock, server, create, until, get } = await open(t)
  const done = await create({ deadline_ms: 2_000 })
  await server.call('POST', `/tasks/${done.id}/complete`, {})
  const dag = await server.call<OutputOf<'tasks.dag'>>('POST', '/tasks/dag', {
    name: 'g',
    deadline_ms: 2_000,
    tasks: [{ key: 'a' }, { key: 'b', depends_on: ['a'] }, { key: 'c', deadline_ms: 60_000 }],
  })
  await clock.advance(2_000)
  for (const task of dag.tasks) assert.equal((await until(task.id, 'failed')).error?.code, 'deadline_exceeded')
  assert.equal((await get(done.id)).state, 'completed')
})

test('an attempt that takes too long is failed and tried again, and its lease is void', async (t) => {
  const { clock, server, create, until, get } = await open(t)
  const bob = await server.leased('bob')
  const task = await create({ assign_to: 'bob', timeout_ms: 2_000, lease_ms: 600_000, max_retries: 1 })
  const { data: first } = await bob.next<Assignment>('task:assigned')
  await clock.advance(3_000)
  assert.equal((await get(task.id)).state, 'assigned', 'the time counts from its begin')
  await bob.call('tasks.accept', { id: task.id, lease: first.lease })
  await clock.advance(1_500)
  await bob.call('tasks.progress', { id: task.id, lease: first.lease, progress: 0.5 })
  assert.equal((await get(task.id)).state, 'running')
  await until(task.id, 'scheduled')
  await bob.next('task:cancelled')
  await assert.rejects(
    bob.call('tasks.complete', { id: task.id, lease: first.lease }),
    (error) => error instanceof Refused && error.code === 'stale_lease',
  )
  await until(task.id, 'assigned')
  const { data: second } = await bob.next<Assignment>('task:assigned')
  await bob.call('tasks.accept', { id: task.id, lease: second.lease })
  const ended = await until(task.id, 'failed')
  assert.deepEqual([ended.error?.code, ended.attempt], ['max_retries_exceeded', 2])
  assert.match(ended.attempts[0]?.error ?? '', /more than 2000 ms/)
})
