/** Deadlines of requests only shrink, and a reply outlives the requester that should have been handed it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Delivery, Message, OutputOf } from '@cadre/contract'
import { ManualClock, Refused, serveFor } from '../../testing.ts'
import { openHouse } from './house.suite.ts'

type Asked = OutputOf<'messages.ask'>

const overdue = (timeout: number) => (error: unknown) => {
  assert.ok(error instanceof Refused, String(error))
  assert.deepEqual([error.code, error.problem.parameters?.['timeout_ms']], ['deadline_exceeded', timeout])
  return true
}

test('what is asked to answer a request is due with that request', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const [ada, bob, eve] = [await server.leased('ada'), await server.leased('bob'), await server.leased('eve')]
  const asking = ada.call<Asked>('message:ask', { to: 'bob', content: 'q', timeout_ms: 10_000 })
  const outer = assert.rejects(asking, overdue(10_000))
  const request = await bob.next<Delivery>('message:received')
  await clock.advance(4_000)
  const inner = assert.rejects(
    bob.call('message:ask', { to: 'eve', content: 'sub', reply_to: request.data.id, timeout_ms: 30_000 }),
    overdue(6_000),
  )
  const shorter = assert.rejects(
    bob.call('message:ask', { to: 'eve', content: 'sub', reply_to: request.data.id, timeout_ms: 1_000 }),
    overdue(1_000),
  )
  const sub = await eve.next<Delivery>('message:received')
  await eve.next('message:received')
  await clock.advance(1_001)
  await shorter
  await clock.advance(5_000)
  await Promise.all([inner, outer])
  const late = await eve.call<Message>('message:reply', { reply_to: sub.data.id, content: 'too late' })
  assert.equal(late.late, true)
  await assert.rejects(bob.call('message:ask', { to: 'eve', content: 'sub', reply_to: request.data.id }), overdue(0))
  const { items } = await server.call<{ items: Message[] }>('GET', '/messages?kind=request')
  assert.equal(items.length, 3, 'the last one was not stored')
})

test('in the conversation of an open request the same holds; once it is over, no more', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const [ada, bob, eve] = [await server.leased('ada'), await server.leased('bob'), await server.leased('eve')]
  const outer = assert.rejects(ada.call<Asked>('message:ask', { to: 'bob', content: 'q', timeout_ms: 5_000 }), overdue(5_000))
  const { id } = (await bob.next<Delivery>('message:received')).data
  const ask = async (expected: number) => {
    const asking = bob.call('message:ask', { to: 'eve', content: 'sub', conversation_id: id, timeout_ms: 7_000 })
    const ended = assert.rejects(asking, overdue(expected))
    const { data } = await eve.next<Delivery>('message:received')
    await eve.call('message:ack', { receipt: data.receipt })
    return { ended }
  }
  const during = await ask(5_000)
  await clock.advance(5_001)
  await Promise.all([outer, during.ended])
  const after = await ask(7_000)
  await clock.advance(7_001)
  await after.ended
})

test('a reply is in the inbox of its requester until the answer has left, and not after that', async (t) => {
  const house = await openHouse(t)
  const { handlers } = house.messages
  const asking = handlers['messages.ask'](house.context(house.ada, { operation: 'messages.ask' }), {
    to: 'bob',
    content: 'q',
    timeout_ms: 1_000,
  })
  await house.quiet()
  const { items } = await handlers['messages.receive'](house.context(house.bob), { limit: 1, wait_ms: 0 })
  const [request] = items
  const reply = handlers['messages.reply'](house.context(house.bob, { operation: 'messages.reply' }), {
    reply_to: request?.id as string,
    content: 'a',
    receipt: request?.receipt,
  })
  let rows: { seq: number; state: number }[] | undefined
  const stored = reply.then(async () => (rows = await house.inbox()))
  assert.equal((await asking).reply.content, 'a')
  await stored
  assert.deepEqual(
    rows?.map(({ state }) => state),
    [1],
    'were the server to end now, the reply would be there',
  )
  await house.clock.advance(10)
  await house.quiet()
  assert.deepEqual(await house.inbox(), [])
  assert.equal(house.deliveries.depth(house.ada.id), 0)
})

test('a requester that hung up while its reply was stored finds it in its inbox', async (t) => {
  const house = await openHouse(t)
  const { handlers } = house.messages
  const gone = new AbortController()
  const context = house.context(house.ada, { operation: 'messages.ask', signal: gone.signal })
  const asking = handlers['messages.ask'](context, { to: 'bob', content: 'q', timeout_ms: 1_000 })
  await house.quiet()
  const { items } = await handlers['messages.receive'](house.context(house.bob), { limit: 1, wait_ms: 0 })
  await handlers['messages.reply'](house.context(house.bob, { operation: 'messages.reply' }), {
    reply_to: items[0]?.id as string,
    content: 'a',
  })
  gone.abort()
  await asking
  await house.quiet()
  await house.quiet()
  const waiting = await handlers['messages.receive'](house.context(house.ada), { limit: 1, wait_ms: 0 })
  assert.deepEqual(
    waiting.items.map(({ content, attempt }) => [content, attempt]),
    [['a', 1]],
  )
})
