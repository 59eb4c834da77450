/** What happens to tasks in the commit that stores them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { OutputOf, Task } from '@cadre/contract'
import { Refused, serveFor } from '../../testing.ts'

type Dag = OutputOf<'tasks.dag'>

// Reading the whole graph again after every node took 26 s for 2,000 of them, and the server did nothing else meanwhile.
test('a graph of 2,000 tasks that name their agent is stored at once', async (t) => {
  const server = await serveFor(t)
  await server.call('POST', '/agents/register', { name: 'ada' })
  const tasks = Array.from({ length: 2_000 }, (_, index) => ({ key: `k${index}`, assign_to: 'ada' }))
  const dag = await server.call<Dag>('POST', '/tasks/dag', { name: 'wide', tasks })
  assert.deepEqual(
    dag.tasks.map(({ key, state, assigned_to, attempt }) => [key, state, assigned_to, attempt]),
    tasks.map(({ key }) => [key, 'assigned', 'ada', 1]),
  )
  assert.equal((await server.call<{ load: number }>('GET', '/agents/ada')).load, 2_000)
})

test('a failed dependency outside the graph skips all that need it, linked or not', async (t) => {
  const server = await serveFor(t)
  const { id } = await server.call<Task>('POST', '/tasks', { title: 'outside' })
  await server.call('POST', `/tasks/${id}/cancel`, {})
  const { tasks } = await server.call<Dag>('POST', '/tasks/dag', {
    name: 'linked',
    tasks: [
      { key: 'a', depends_on: [id] },
      { key: 'b', depends_on: ['a', id] },
      { key: 'c', depends_on: ['b'] },
      { key: 'free' },
    ],
  })
  const expected = { a: 'skipped', b: 'skipped', c: 'skipped', free: 'ready' }
  assert.deepEqual(Object.fromEntries(tasks.map(({ key, state }) => [key, state])), expected)
  for (const task of tasks) assert.equal((await server.call<Task>('GET', `/tasks/${task.id}`)).state, task.state)
})

test('metadata and requirements are at most 64 KiB and 64 levels', async (t) => {
  const server = await serveFor(t)
  const big = { text: 'x'.repeat(64 * 1024) }
  let deep: unknown = []
  for (let level = 0; level < 70; level++) deep = [deep]
  for (const field of ['metadata', 'requirements']) {
    const send = (value: object) => server.request('POST', '/tasks', { title: 'x', [field]: value })
    assert.equal((await send({ text: 'x'.repeat(60 * 1024) })).status, 201, field)
    assert.equal((await send(big)).status, 413, field)
    assert.equal((await send({ deep })).status, 422, field)
  }
  const { id } = await server.call<Task>('POST', '/tasks', { title: 'x' })
  await assert.rejects(
    server.call('PUT', `/tasks/${id}`, { metadata: big }),
    (error) => error instanceof Refused && error.status === 413,
  )
})
