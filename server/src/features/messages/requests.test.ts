/** Ask and reply: exactly one of reply and deadline reaches who asked; nothing late is lost. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Delivery, Message, OutputOf } from '@cadre/contract'
import { verifies } from '../../../../test/verifies.ts'
import { ManualClock, Refused, serveFor } from '../../testing.ts'

type Asked = OutputOf<'messages.ask'>
type Sent = OutputOf<'messages.send'>

const refused = (status: number, code: string) => (error: unknown) => {
  assert.ok(error instanceof Refused, String(error))
  assert.deepEqual([error.status, error.code], [status, code], error.message)
  return true
}

verifies(['MSG-05', 'MSG-08'], 'who asks gets the answer, and it is not put into the inbox as well', async (t) => {
  const server = await serveFor(t, { clock: new ManualClock() })
  const [ada, bob] = [await server.leased('ada'), await server.leased('bob')]
  const asking = ada.call<Asked>('message:ask', { to: 'bob', content: { q: 'how many?' }, timeout_ms: 30_000 })
  const request = await bob.next<Delivery>('message:received')
  assert.equal(request.data.kind, 'request')
  const reply = await bob.call<Sent>('message:reply', {
    reply_to: request.data.id,
    content: { a: 3 },
    receipt: request.data.receipt,
  })
  const answer = await asking
  assert.deepEqual([answer.request_id, answer.reply.id, answer.reply.content], [request.data.id, reply.id, { a: 3 }])
  const { kind, sender, reply_to, conversation_id, late } = answer.reply
  assert.deepEqual(
    { kind, sender, reply_to, conversation_id, late },
    { kind: 'response', sender: 'bob', reply_to: request.data.id, conversation_id: request.data.conversation_id, late: false },
  )
  assert.deepEqual(await ada.settled('message:received'), [])
  assert.equal(
    (await server.call<Message>('GET', `/messages/${request.data.id}`)).status,
    'acknowledged',
    'the reply settled the request',
  )
})

test('over HTTP too, also when the answer takes its time', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const bob = await server.plain('bob')
  const asking = server.call<Asked>('POST', '/messages/ask', { to: 'bob', content: 'ping' })
  const request = await bob.next<Delivery>('message:received')
  await clock.advance(29_000)
  await server.call(
    'POST',
    `/messages/${request.data.id}/reply`,
    { content: 'pong' },
    { token: (await server.call<{ token: string }>('POST', '/agents/register', { name: 'bob' })).token },
  )
  assert.equal((await asking).reply.content, 'pong')
})

verifies('MSG-05', 'no answer in time is a typed error; the late one is kept, flagged, and delivered to the inbox', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const [ada, bob] = [await server.leased('ada'), await server.leased('bob')]
  const asking = ada.call<Asked>('message:ask', { to: 'bob', content: 'how many?', timeout_ms: 5_000 })
  const inTime = assert.rejects(asking, (error) => {
    refused(504, 'deadline_exceeded')(error)
    assert.deepEqual((error as Refused).problem.parameters, { timeout_ms: 5000, conversation_id: request.data.conversation_id })
    return (error as Refused).problem.retryable
  })
  const request = await bob.next<Delivery>('message:received')
  await clock.advance(5_001)
  await inTime
  const reply = await bob.call<Sent>('message:reply', { reply_to: request.data.id, content: 'sorry, three' })
  assert.equal(reply.late, true)
  const received = await ada.next<Delivery>('message:received')
  assert.deepEqual([received.data.id, received.data.late, received.data.content], [reply.id, true, 'sorry, three'])
  const talk = await server.call<{ items: Message[] }>('GET', `/messages?conversation_id=${request.data.conversation_id}`)
  assert.deepEqual(
    talk.items.map((message) => [message.kind, message.late]),
    [
      ['response', true],
      ['request', false],
    ],
  )
})

test('the first answer wins; a second one goes to the inbox', async (t) => {
  const server = await serveFor(t)
  const [ada, bob] = [await server.leased('ada'), await server.leased('bob')]
  const asking = ada.call<Asked>('message:ask', { to: 'bob', content: 'q' })
  const { data } = await bob.next<Delivery>('message:received')
  const [first, second] = await Promise.all(
    ['first', 'second'].map((content) => bob.call<Sent>('message:reply', { reply_to: data.id, content })),
  )
  assert.equal((await asking).reply.id, first?.id)
  assert.equal((await ada.next<Delivery>('message:received')).data.id, second?.id)
})

test('an answer for a requester that went away waits in its inbox', async (t) => {
  const server = await serveFor(t)
  const [ada, bob] = [await server.leased('ada'), await server.leased('bob')]
  ada.send({ type: 'message:ask', id: '1', data: { to: 'bob', content: 'q' } })
  const { data } = await bob.next<Delivery>('message:received')
  ada.terminate()
  await ada.closed
  await bob.next('agent:left')
  await bob.call('message:reply', { reply_to: data.id, content: 'a' })
  const back = await server.leased('ada')
  assert.equal((await back.next<Delivery>('message:received')).data.content, 'a')
})

test('asking again with the same key waits on, or gets the answer that came meanwhile', async (t) => {
  const server = await serveFor(t)
  const bob = await server.leased('bob')
  const { token } = await server.call<{ token: string }>('POST', '/agents/register', { name: 'ada' })
  const first = await server.leased('ada', { token })
  const body = { to: 'bob', content: 'q' }
  first.send({ type: 'message:ask', id: '1', key: 'k', data: body })
  const { data } = await bob.next<Delivery>('message:received')
  // The line drops; the client comes back and asks again before the server has noticed.
  const second = await server.leased('ada', { token })
  const asking = second.call<Asked>('message:ask', body, 'k')
  await second.settled()
  await first.closed
  await second.settled()
  await bob.call('message:reply', { reply_to: data.id, content: 'a' })
  assert.equal((await asking).reply.content, 'a')
  assert.deepEqual(await bob.settled('message:received'), [], 'it was asked once')
  assert.equal((await second.call<Asked>('message:ask', body, 'k')).reply.content, 'a')
})

test('two callers of one key both get the answer', async (t) => {
  const server = await serveFor(t)
  const bob = await server.leased('bob')
  const body = { to: 'bob', content: 'q' }
  const both = [1, 2].map(() => server.call<Asked>('POST', '/messages/ask', body, { key: 'k' }))
  const { data } = await bob.next<Delivery>('message:received')
  // Both have been read when a later request on the same server is answered.
  await server.call('GET', '/whoami')
  await bob.call('message:reply', { reply_to: data.id, content: 'a' })
  assert.deepEqual(
    (await Promise.all(both)).map((answer) => answer.reply.content),
    ['a', 'a'],
  )
})

test('a reply goes to who sent the message, in its conversation, with its task and priority', async (t) => {
  const server = await serveFor(t)
  const [ada, bob] = [await server.leased('ada'), await server.leased('bob')]
  const task = await server.call<{ id: string }>('POST', '/tasks', { title: 'a task' })
  await ada.call('message:send', { to: 'bob', content: 1, conversation_id: 'talk', priority: 'high', task_id: task.id })
  const { data } = await bob.next<Delivery>('message:received')
  const reply = await bob.call<Sent>('message:reply', { reply_to: data.id, content: 2 })
  const { recipients, conversation_id, priority, task_id } = reply
  assert.deepEqual(
    { recipients, conversation_id, priority, task_id },
    { recipients: ['ada'], conversation_id: 'talk', priority: 2, task_id: task.id },
  )
  await assert.rejects(bob.call('message:reply', { reply_to: 'msg_00000zzzzzz', content: 1 }), refused(404, 'not_found'))
  const eve = await server.plain('eve')
  await assert.rejects(eve.call('message:reply', { reply_to: data.id, content: 1 }), refused(404, 'not_found'))
})

test('a reply with a stale receipt is refused whole: nothing is sent', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const [ada, bob] = [await server.leased('ada'), await server.leased('bob')]
  await ada.call('message:send', { to: 'bob', content: 1 })
  const first = await bob.next<Delivery>('message:received')
  await clock.advance(31_000)
  const second = await bob.next<Delivery>('message:received')
  const reply = (receipt: string) => bob.call('message:reply', { reply_to: first.data.id, content: 'done', receipt })
  await assert.rejects(reply(first.data.receipt), refused(409, 'stale_receipt'))
  assert.deepEqual(await ada.settled('message:received'), [])
  await reply(second.data.receipt)
  assert.equal((await ada.settled('message:received')).length, 1)
})

test('asking somebody unknown is refused at once', async (t) => {
  const server = await serveFor(t)
  await assert.rejects(server.call('POST', '/messages/ask', { to: 'ghost', content: 1 }), refused(404, 'not_found'))
})
