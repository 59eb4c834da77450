/** Order inside a conversation, the first message included, at a cost that does not grow with its backlog. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Delivery, OutputOf } from '@cadre/contract'
import { ManualClock, type Socket, serveFor } from '../../testing.ts'
import type { Sql } from '../../drivers/database/sql.ts'
import { openHouse } from './house.suite.ts'
import { advanceLine, readyDeliveries } from './store.ts'

type Sent = OutputOf<'messages.send'>
const contents = async (socket: Socket) => (await socket.settled<Delivery>('message:received')).map(({ data }) => data.content)

test('a message that names the first one is next in its conversation and waits for it', async (t) => {
  const server = await serveFor(t, { clock: new ManualClock() })
  const [ada, bob] = [await server.leased('ada'), await server.leased('bob')]
  const first = await ada.call<Sent>('message:send', { to: 'bob', content: 1 })
  const follow = (content: number) =>
    ada.call<Sent>('message:send', { to: 'bob', content, conversation_id: first.conversation_id })
  const [second, third] = [await follow(2), await follow(3)]
  assert.deepEqual(
    [first, second, third].map(({ sender_seq }) => sender_seq),
    [1, 2, 3],
  )
  assert.deepEqual(await contents(bob), [1])
  for (const expected of [1, 2, 3]) {
    const { data } = await bob.next<Delivery>('message:received')
    assert.equal(data.content, expected)
    assert.deepEqual(await contents(bob), [], 'the next is not sent before this one is settled')
    await bob.call('message:ack', { receipts: [data.receipt] })
  }
})

test('a follow-up waits for a first message that went back to the inbox, and goes on when that dies', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const [ada, bob] = [await server.leased('ada'), await server.leased('bob')]
  const first = await ada.call<Sent>('message:send', { to: 'bob', content: 1 })
  await ada.call<Sent>('message:send', { to: 'bob', content: 2, conversation_id: first.id })
  const one = await bob.next<Delivery>('message:received')
  await bob.call('message:reject', { receipt: one.data.receipt, delay_ms: 1_000 })
  assert.deepEqual(await contents(bob), [])
  await clock.advance(2_000)
  const again = await bob.next<Delivery>('message:received')
  assert.deepEqual([again.data.content, again.data.attempt], [1, 2])
  await bob.call('message:reject', { receipt: again.data.receipt, dead: true })
  assert.equal((await bob.next<Delivery>('message:received')).data.content, 2)
})

test('the answer of another agent in the conversation does not wait for it', async (t) => {
  const server = await serveFor(t, { clock: new ManualClock() })
  const [ada, bob] = [await server.leased('ada'), await server.leased('bob')]
  const first = await ada.call<Sent>('message:send', { to: 'bob', content: 'q' })
  await bob.call('message:reply', { reply_to: first.id, content: 'a' })
  assert.equal((await ada.next<Delivery>('message:received')).data.content, 'a')
})

test('messages behind an expired one come on', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  await server.call('POST', '/agents/register', { name: 'bob' })
  const talk = { to: 'bob', conversation_id: 'talk' }
  await server.call('POST', '/messages', { ...talk, content: 1, ttl: 1_000 })
  await server.call('POST', '/messages', { ...talk, content: 2, ttl: 1_000 })
  await server.call('POST', '/messages', { ...talk, content: 3 })
  await clock.advance(2_000)
  const bob = await server.leased('bob')
  assert.equal((await bob.next<Delivery>('message:received')).data.content, 3)
  assert.equal((await server.call<{ inbox_depth: number }>('GET', '/agents/bob')).inbox_depth, 1)
})

test('several conversations and plain messages pass one another', async (t) => {
  const server = await serveFor(t, { clock: new ManualClock() })
  const bob = await server.leased('bob')
  const sender = await server.socket()
  const sends = ['a1', 'a2', 'b1', 'b2', 'plain'].map((content, id) => ({
    type: 'message:send',
    id,
    data: { to: 'bob', content, ...(content !== 'plain' && { conversation_id: content.slice(0, 1) }) },
  }))
  sender.send(sends)
  await sender.take((frame) => frame.ref === 4, 'the last acknowledgement')
  assert.deepEqual(new Set(await contents(bob)), new Set(['a1', 'b1', 'plain']))
})

test('of a long conversation only the head is ready, and each acknowledgement brings the next', async (t) => {
  const house = await openHouse(t)
  const total = 400
  await Promise.all(Array.from({ length: total }, (_, index) => house.send(index, { conversation_id: 'talk' })))
  const held = (await house.inbox()).filter(({ state }) => state === 0)
  assert.equal(held.length, 1, 'only the head of the line is ready')
  assert.equal(house.deliveries.depth(house.bob.id), total)
  const session = house.session('leased', 1_000)
  await house.attach(session)
  for (let round = 0; round < total; round++) {
    await house.quiet()
    assert.equal(session.got.length, round + 1)
    house.deliveries.acknowledgeUpTo(session, session.got[round]?.seq ?? 0)
  }
  await house.clock.advance(10)
  await house.quiet()
  assert.deepEqual(
    session.got.map(({ data }) => data.content),
    Array.from({ length: total }, (_, index) => index),
  )
  assert.equal(house.deliveries.depth(house.bob.id), 0)
})

test('neither what is handed out next nor who follows is found by walking through an inbox', async (t) => {
  const { database } = await openHouse(t)
  const asked: Sql[] = []
  await database.transaction(async (tx) => {
    const spy = {
      ...tx,
      run: async (query: Sql) => asked.push(query),
      get: async (query: Sql) => (asked.push(query), { priority: 3, seq: 1 } as never),
      all: async (query: Sql) => (asked.push(query), []),
      runMany: async () => {},
      afterCommit: () => {},
    }
    await readyDeliveries(spy, 1, 2, 0, 10)
    await advanceLine(spy, { tenant: 1, agent: 2, conversation: 'talk', sender: 3 })
  })
  for (const { text, values } of asked) {
    const plan = await database.all<{ detail: string }>({ text: `explain query plan ${text}`, values })
    const steps = plan
      .map(({ detail }) => detail)
      .filter((detail) => detail.startsWith('SEARCH inbox') || detail.startsWith('SCAN inbox'))
    assert.notEqual(steps.length, 0)
    for (const step of steps)
      assert.match(
        step,
        /inbox_ready \(tenant=\? AND agent=\? AND state|AND conversation=\? AND sender=\?|AND priority=\? AND seq=\?/,
      )
  }
})
