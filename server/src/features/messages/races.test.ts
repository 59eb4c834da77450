/** Deliveries while a session is replaced: nobody gets a copy of what another was just sent, nothing is stuck, and the counts stay true. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock, serveFor } from '../../testing.ts'
import { openHouse } from './house.suite.ts'

test('what the former session was about to be sent goes to the new one at once', async (t) => {
  const house = await openHouse(t)
  const first = house.session('leased', 0)
  await house.attach(first)
  await house.send('moves on')
  house.deliveries.addCredits(first, 1)
  const second = house.session('leased', 100)
  await house.attach(second)
  await house.quiet()
  assert.deepEqual(
    second.got.map(({ data }) => [data.content, data.attempt]),
    [['moves on', 1]],
  )
  assert.deepEqual(first.got, [])
  assert.deepEqual(house.deliveries.totals(), { waiting: 0, leased: 1 })
})

for (const mode of ['plain', 'leased'] as const) {
  test(`a message stored while a ${mode} session takes over reaches it once`, async (t) => {
    const house = await openHouse(t)
    const first = house.session(mode, 100)
    await house.attach(first)
    const second = house.session(mode, 100)
    const sending = house.send('once')
    await new Promise((resolve) => setImmediate(resolve))
    await house.attach(second)
    await sending
    await house.quiet()
    await house.clock.advance(10)
    await house.quiet()
    assert.equal(first.got.length + second.got.length, 1, JSON.stringify([first.got, second.got]))
    assert.deepEqual(house.deliveries.totals(), { waiting: 0, leased: mode === 'plain' ? 0 : 1 })
    assert.equal(house.deliveries.counters.delivered, 1)
    assert.equal((await house.inbox()).length, mode === 'plain' ? 0 : 1)
  })
}

test('a session that goes away without a successor gives back what it was not sent', async (t) => {
  const house = await openHouse(t)
  const first = house.session('leased', 0)
  await house.attach(first)
  await house.send('nobody is there')
  house.deliveries.addCredits(first, 1)
  house.sessions.end(first)
  await house.quiet()
  assert.deepEqual(
    (await house.inbox()).map(({ state, attempt }) => [state, attempt]),
    [[0, 0]],
  )
  assert.deepEqual(house.deliveries.totals(), { waiting: 1, leased: 0 })
})

test('a session that ended while it was taking over is sent nothing', async (t) => {
  const house = await openHouse(t)
  await house.send('waits')
  const session = house.session('leased', 10)
  const attaching = house.attach(session)
  house.sessions.end(session)
  await attaching
  await house.send('waits too')
  await house.quiet()
  assert.deepEqual(session.got, [])
  assert.deepEqual(house.deliveries.totals(), { waiting: 2, leased: 0 })
})

test('the counts are those of the store after any number of replaced sessions', async (t) => {
  const house = await openHouse(t)
  for (let round = 0; round < 3; round++) {
    const first = house.session('leased', 0)
    await house.attach(first)
    await house.send(round)
    house.deliveries.addCredits(first, 1)
    await Promise.resolve()
    const second = house.session('leased', 100)
    await house.attach(second)
    await house.quiet()
    assert.equal(house.deliveries.depth(house.bob.id), (await house.inbox()).length)
    house.deliveries.acknowledgeUpTo(second, Number.MAX_SAFE_INTEGER)
    await house.clock.advance(10)
    await house.quiet()
    assert.deepEqual([await house.inbox(), house.deliveries.depth(house.bob.id)], [[], 0])
  }
})

test('one credit is one delivery, however many messages come in one turn', async (t) => {
  const server = await serveFor(t, { clock: new ManualClock() })
  const bob = await server.leased('bob', { credits: 1 })
  const sender = await server.socket()
  sender.send(Array.from({ length: 600 }, (_, id) => ({ type: 'message:send', id, data: { to: 'bob', content: id } })))
  await sender.take((frame) => frame.ref === 599, 'the last acknowledgement')
  assert.deepEqual(
    (await bob.settled('message:received')).map(({ data }) => data['content']),
    [0],
  )
  bob.send({ type: 'flow', credits: 2 })
  await bob.next('message:received', (data) => data['content'] === 2)
})
