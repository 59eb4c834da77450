/** Agents that may not hand work on. */
import assert from 'node:assert/strict'
import type { Message, Task } from '@cadre/contract'
import { verifies } from '../../../../test/verifies.ts'
import { ManualClock, Refused, serveFor } from '../../testing.ts'

const forbidden = (error: unknown) => {
  assert.ok(error instanceof Refused, String(error))
  assert.equal(error.code, 'forbidden')
  assert.match(error.message, /may not delegate/)
  return true
}

verifies('AGT-31', 'an agent that may not delegate has its delegate intent and its assignments to others refused', async (t) => {
  const server = await serveFor(t, { clock: new ManualClock() })
  const { token } = await server.call<{ token: string }>('POST', '/agents/register', { name: 'ada', allow_delegation: false })
  await server.leased('bob')
  const free = await server.leased('eve')
  const asAda = { token }
  const delegate = { to: 'bob', intent: 'delegate', content: 'do it' }
  const say = (body: object) => server.call<Message>('POST', '/messages', body, asAda)
  await assert.rejects(say(delegate), forbidden)
  await assert.rejects(say({ agent_type: 'nobody yet', intent: 'delegate', content: 'do it' }), forbidden)
  await say({ to: 'bob', intent: 'ask', content: 'may I?' })
  await assert.rejects(server.call('POST', '/tasks', { title: 'x', assign_to: 'bob' }, asAda), forbidden)
  await assert.rejects(server.call('POST', '/tasks', { title: 'x', fallback: ['bob'] }, asAda), forbidden)
  const own = await server.call<Task>('POST', '/tasks', { title: 'x', assign_to: 'ada' }, asAda)
  await assert.rejects(server.call('POST', `/tasks/${own.id}/assign`, { agent: 'bob' }, asAda), forbidden)
  assert.equal((await server.call<Task>('GET', `/tasks/${own.id}`)).assigned_to, 'ada')
  const { items } = await server.call<{ items: Task[] }>('GET', '/tasks')
  assert.deepEqual(
    items.map(({ id }) => id),
    [own.id],
    'a refused delegation leaves no task',
  )
  const again = await server.call('POST', '/agents/register', { name: 'ada', allow_delegation: true }, asAda)
  assert.equal(again['allow_delegation'], false, 'it does not allow itself what an operator forbade')
  await free.call('messages.send', delegate)
  await server.call('POST', '/agents/register', { name: 'ada', allow_delegation: true })
  await say(delegate)
})
