/** What happened to a task, as its history tells it. */
import assert from 'node:assert/strict'
import type { Assignment, OutputOf, Task } from '@cadre/contract'
import { verifies } from '../../../../test/verifies.ts'
import { ManualClock, serveFor } from '../../testing.ts'

type History = OutputOf<'tasks.history'>

verifies('TSK-18', 'every wait, assignment and attempt of a task: since when, who, and why', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const bob = await server.leased('bob')
  const first = await server.call<Task>('POST', '/tasks', { title: 'first' })
  const task = await server.call<Task>('POST', '/tasks', { title: 'second', depends_on: [first.id], assign_to: 'bob' })
  await clock.advance(4_000)
  await server.call('POST', `/tasks/${first.id}/complete`, {})
  const { data } = await bob.next<Assignment>('task:assigned')
  await bob.call('tasks.accept', { id: data.id, lease: data.lease })
  await clock.advance(1_500)
  await bob.call('messages.send', { to: 'operator', content: 'on it', task_id: data.id, lease: data.lease })
  await bob.call('tasks.fail', { id: data.id, lease: data.lease, error: 'no network', retry_after_ms: 60_000 })
  await server.call('POST', `/tasks/${task.id}/cancel`, { reason: 'never mind' })
  const items: History['items'] = []
  let next: string | null = ''
  while (next !== null) {
    const page: History = await server.call('GET', `/tasks/${task.id}/history?limit=4${next === '' ? '' : `&cursor=${next}`}`)
    items.push(...page.items)
    next = page.next
  }
  assert.deepEqual(
    items.map(({ type, by, from, to, agent, attempt, reason }) => [type, by, from, to, agent, attempt, reason]),
    [
      ['task.created', 'operator', null, 'pending', null, 0, null],
      ['task.ready', 'operator', 'pending', 'ready', null, 0, 'its dependencies ended'],
      ['task.assigned', 'operator', 'ready', 'assigned', 'bob', 1, 'named in the task'],
      ['task.started', 'bob', 'assigned', 'running', 'bob', 1, null],
      ['task.released', 'bob', 'running', 'scheduled', 'bob', 1, 'no network'],
      ['task.cancelled', 'operator', 'scheduled', 'cancelled', 'bob', 1, 'never mind'],
    ],
  )
  assert.deepEqual(items.map((item) => item.after_ms).slice(0, 4), [null, 4_000, 0, 0])
  assert.equal(items[4]?.at, '2026-01-01T00:00:05.500Z')
})
