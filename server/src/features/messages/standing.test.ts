/** In whose name a message speaks: answers come from who was asked, and messages of a task from who holds it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Assignment, Delivery, OutputOf } from '@cadre/contract'
import { ManualClock, Refused, serveFor } from '../../testing.ts'

type Asked = OutputOf<'messages.ask'>

const refused = (status: number, code: string) => (error: unknown) => {
  assert.ok(error instanceof Refused, String(error))
  assert.deepEqual([error.status, error.code], [status, code], error.message)
  return true
}

test('only who was asked can answer', async (t) => {
  const server = await serveFor(t)
  const [ada, bob, eve] = [await server.leased('ada'), await server.leased('bob'), await server.leased('eve')]
  const asking = ada.call<Asked>('message:ask', { to: 'bob', content: 'a secret question' })
  const request = await bob.next<Delivery>('message:received')
  for (const type of ['message:send', 'topic:publish', 'message:ask']) {
    const forged = { to: 'ada', topic: 'any', content: 'forged', kind: 'response', reply_to: request.data.id, timeout_ms: 1 }
    await assert.rejects(eve.call(type, forged), refused(404, 'not_found'))
  }
  // One who may read the request, as its sender may, is still not who was asked.
  const own = await ada.call<{ id: string }>('message:send', { to: 'ada', content: 'not it', reply_to: request.data.id })
  assert.equal((await ada.next<Delivery>('message:received')).data.id, own.id)
  await bob.call('message:send', { to: 'ada', content: 'the answer', reply_to: request.data.id })
  const answer = await asking
  assert.deepEqual([answer.reply.sender, answer.reply.content], ['bob', 'the answer'])
})

test('a repeated question is answered by who was asked, not by the first who sent something about it', async (t) => {
  const server = await serveFor(t)
  const { token } = await server.call<{ token: string }>('POST', '/agents/register', { name: 'ada' })
  const bob = await server.leased('bob')
  const body = { to: 'bob', content: 'q' }
  const first = await server.leased('ada', { token })
  first.send({ type: 'message:ask', id: '1', key: 'k', data: body })
  const { data } = await bob.next<Delivery>('message:received')
  first.terminate()
  await first.closed
  await bob.next('agent:left')
  const ada = await server.leased('ada', { token })
  await ada.call('message:send', { to: 'ada', content: 'not it', kind: 'response', reply_to: data.id })
  await bob.call('message:reply', { reply_to: data.id, content: 'the answer' })
  assert.equal((await ada.call<Asked>('message:ask', body, 'k')).reply.content, 'the answer')
})

test('a leased session names a task it holds, or held, only with the current lease', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const [ada, bob] = [await server.leased('ada'), await server.leased('bob')]
  const { id } = await server.call<{ id: string }>('POST', '/tasks', { title: 't' })
  const claim = async (socket: typeof ada) => {
    const { items } = await socket.call<{ items: Assignment[] }>('tasks.claim', { id })
    await socket.call('tasks.accept', { id, lease: items[0]?.lease })
    return (items[0] as Assignment).lease
  }
  const about = { to: 'bob', content: 1, task_id: id }
  await ada.call('message:send', { ...about, type: 'task.note' })
  const former = await claim(ada)
  for (const type of ['message:send', 'message:ask', 'topic:publish'])
    await assert.rejects(
      ada.call(type, { ...about, timeout_ms: 1, ...(type === 'topic:publish' && { topic: 'any' }) }),
      refused(409, 'lease_required'),
    )
  await ada.call('message:send', { ...about, lease: former })
  await clock.advance(40_000)
  const current = await claim(bob)
  await assert.rejects(ada.call('message:send', about), refused(409, 'stale_lease'))
  await assert.rejects(ada.call('message:send', { ...about, lease: former }), refused(409, 'stale_lease'))
  await bob.call('message:send', { to: 'ada', content: 1, task_id: id, lease: current })
  const eve = await server.leased('eve')
  await eve.call('message:send', about)
  await server.call('POST', '/messages', about)
})
