import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Message, OutputOf, Task } from '@cadre/contract'
import { verifies } from '../../../../test/verifies.ts'
import { serveFor, startTestServer, temporaryFolder } from '../../testing.ts'

type Counts = OutputOf<'messages.counts'>
const told = ({ items }: Counts) => items.map(({ agent, sent, received }) => [agent, sent, received])

verifies('MSG-24', 'a task lists its messages, and those of a run are counted for each agent', async (t) => {
  const server = await serveFor(t)
  const [ada, bob] = [await server.plain('ada'), await server.plain('bob')]
  await server.plain('eve')
  const run = await server.call<{ run_id: string }>('POST', '/tasks/dag', {
    name: 'report',
    tasks: [
      { key: 'read', title: 'Read' },
      { key: 'write', title: 'Write', depends_on: ['read'] },
    ],
  })
  const { items: tasks } = await server.call<{ items: Task[] }>('GET', `/tasks?run_id=${run.run_id}`)
  assert.equal(tasks.length, 2)
  const [one, two] = tasks.map(({ id }) => id) as [string, string]
  for (let index = 0; index < 3; index++) await ada.call('message:send', { to: 'bob', content: `one ${index}`, task_id: one })
  await bob.call('message:send', { to: 'ada', content: 'two', task_id: two })
  await bob.call('message:send', { to: ['ada', 'eve'], content: 'two for two', task_id: two })
  await ada.call('message:send', { to: 'eve', content: 'of no task' })
  const list = async (task: string) =>
    (await server.call<{ items: Message[] }>('GET', `/messages?task_id=${task}`)).items.map(({ content }) => content)
  assert.deepEqual(
    [await list(one), await list(two)],
    [
      ['one 2', 'one 1', 'one 0'],
      ['two for two', 'two'],
    ],
  )
  const ofRun = await server.call<Counts>('GET', `/messages/counts?task_ids=${one},${two}`)
  assert.deepEqual(
    [ofRun.messages, told(ofRun)],
    [
      5,
      [
        ['ada', 3, 2],
        ['bob', 2, 3],
        ['eve', 0, 1],
      ],
    ],
  )
  assert.deepEqual(told(await server.call<Counts>('POST', '/messages/counts', { task_ids: [one] })), [
    ['ada', 3, 0],
    ['bob', 0, 3],
  ])
  assert.deepEqual(told(await server.call<Counts>('GET', '/messages/counts')), [
    ['ada', 4, 2],
    ['bob', 2, 3],
    ['eve', 0, 2],
  ])
})

test('counts go on from what was counted, are the same after a restart, and are told to agents of themselves only', async () => {
  const folder = temporaryFolder()
  const config = { data: folder.path }
  try {
    const before = await startTestServer({ config })
    const { token } = await before.call<{ token: string }>('POST', '/agents/register', { name: 'ada' })
    await before.call('POST', '/agents/register', { name: 'bob' })
    const count = async (as?: { token: string }) => before.call<Counts>('GET', '/messages/counts', undefined, as)
    for (let index = 0; index < 4; index++) {
      await before.call('POST', '/messages', { to: index % 2 === 0 ? 'ada' : 'bob', content: index }, { token })
      assert.equal((await count()).messages, index + 1)
    }
    await before.call('POST', '/messages', { to: 'ada', content: 'of the operator' })
    const last = await count()
    assert.deepEqual(
      [last.messages, told(last)],
      [
        5,
        [
          ['ada', 4, 3],
          ['bob', 0, 2],
        ],
      ],
    )
    assert.deepEqual(told(await count({ token })), [['ada', 4, 3]])
    assert.deepEqual(told(await before.call<Counts>('GET', '/messages/counts?limit=1')), [['ada', 4, 3]])
    await before.close()
    const after = await startTestServer({ config })
    assert.deepEqual(await after.call<Counts>('GET', '/messages/counts'), last)
    await after.close()
  } finally {
    folder.remove()
  }
})
