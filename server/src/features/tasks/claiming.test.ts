/** Claims: what an agent that pulls is given. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Assignment, Task } from '@cadre/contract'
import { type Socket, serveFor } from '../../testing.ts'

const claim = async (agent: Socket, input: object = {}) => (await agent.call<{ items: Assignment[] }>('tasks.claim', input)).items

test('tasks for others, however many, hide none from an agent that claims', async (t) => {
  const server = await serveFor(t)
  const ada = await server.leased('ada', { type: 'w', capabilities: ['reading'] })
  await server.call('PUT', '/agents/ada/status', { status: 'failed' })
  const others = Array.from({ length: 600 }, (_, index) => ({ key: `k${index}`, agent_type: 'nobody', priority: 1 }))
  await server.call('POST', '/tasks/dag', { name: 'others', tasks: others })
  const create = (body: object) => server.call<Task>('POST', '/tasks', { title: 'x', ...body })
  const open = await create({})
  const skilled = await create({ capabilities: ['reading'], agent_type: 'w' })
  const urgent = await create({ capabilities: ['reading'], priority: 2 })
  assert.deepEqual(
    (await claim(ada, { limit: 10 })).map(({ id }) => id),
    [urgent.id, open.id, skilled.id],
  )
})

test('claims of one turn are given different tasks', async (t) => {
  const server = await serveFor(t)
  const ada = await server.leased('ada', { type: 'w' })
  await server.call('PUT', '/agents/ada/status', { status: 'failed' })
  const tasks = Array.from({ length: 200 }, (_, index) => ({ key: `k${index}`, agent_type: 'w' }))
  await server.call('POST', '/tasks/dag', { name: 'many', tasks })
  const claimed = (await Promise.all(tasks.map(() => claim(ada)))).flat()
  assert.equal(new Set(claimed.map(({ id }) => id)).size, 200)
})

test('what was handed out is not handed out again, but by its id', async (t) => {
  const server = await serveFor(t)
  const ada = await server.leased('ada')
  await server.call('POST', '/tasks', { title: 'x' })
  const [first] = await claim(ada)
  assert.ok(first)
  assert.deepEqual(await claim(ada), [])
  const [named] = await claim(ada, { id: first.id })
  assert.equal(named?.lease, first.lease)
  const pushed = await server.call<Task>('POST', '/tasks', { title: 'y', assign_to: 'ada' })
  assert.equal((await ada.next<Assignment>('task:assigned', ({ id }) => id === pushed.id)).data.id, pushed.id)
  assert.deepEqual(await claim(ada), [])
})

test('what was given to an agent that only polls is handed out once', async (t) => {
  const server = await serveFor(t)
  const { token } = await server.call<{ token: string }>('POST', '/agents/register', { name: 'poller', concurrency: 5 })
  const { id } = await server.call<Task>('POST', '/tasks', { title: 'x', assign_to: 'poller' })
  const poll = async () => (await server.call<{ items: Assignment[] }>('POST', '/tasks/claim', {}, { token })).items
  assert.deepEqual(
    (await poll()).map((task) => task.id),
    [id],
  )
  assert.deepEqual(await poll(), [])
})
