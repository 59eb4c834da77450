/** A commit that fails loses no acknowledgement, keeps nobody waiting for ever, and takes nobody else down. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CadreError } from '@cadre/contract'
import { openHouse } from './house.suite.ts'

test('acknowledgements survive the commit they were to ride on', async (t) => {
  const house = await openHouse(t)
  const session = house.session('leased', 10)
  await house.attach(session)
  await house.send('m')
  house.deliveries.acknowledgeUpTo(session, session.got[0]?.seq ?? 0)
  house.fail(2)
  await assert.rejects(house.send('not stored'), /the disk failed/)
  assert.equal((await house.inbox()).length, 1)
  for (let round = 0; round < 2; round++) {
    await house.clock.advance(1_000)
    await house.quiet()
  }
  assert.deepEqual(await house.inbox(), [])
  assert.deepEqual(house.deliveries.totals(), { waiting: 0, leased: 0 })
  assert.equal(house.deliveries.counters.acknowledged, 1)
})

test('a failed send gives its credit back', async (t) => {
  const house = await openHouse(t)
  const session = house.session('leased', 1)
  await house.attach(session)
  house.fail(1)
  await assert.rejects(house.send('not stored'), /the disk failed/)
  await house.send('stored')
  await house.quiet()
  assert.deepEqual(
    session.got.map(({ data }) => data.content),
    ['stored'],
  )
})

test('a message that cannot be stored fails alone', async (t) => {
  const house = await openHouse(t)
  // Text that the store reads back as another one: the retry is not found under it and meets the unique index.
  await house.send('first', {}, '\ud800')
  const sends = await Promise.allSettled([
    house.send(1),
    house.send('again', {}, '\ud800'),
    house.send(2),
    house.send(3, {}, 'k'),
  ])
  assert.deepEqual(
    sends.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled', 'fulfilled'],
  )
  assert.equal((await house.inbox()).length, 4)
})

for (const late of [false, true]) {
  test(`an answer whose commit failed ${late ? 'after the deadline ends the wait' : 'can be given again'}`, async (t) => {
    const house = await openHouse(t)
    const session = house.session('leased', 10)
    await house.attach(session)
    const { handlers } = house.messages
    const asking = handlers['messages.ask'](house.context(house.ada, { operation: 'messages.ask' }), {
      to: 'bob',
      content: 'q',
      timeout_ms: 1_000,
    })
    await house.quiet()
    const request = session.got[0]?.data.id as string
    const reply = () =>
      handlers['messages.reply'](house.context(house.bob, { operation: 'messages.reply' }), { reply_to: request, content: 'a' })
    house.fail(1)
    await assert.rejects(reply(), /the disk failed/)
    if (late) {
      const ended = assert.rejects(asking, (error) => error instanceof CadreError && error.code === 'deadline_exceeded')
      await house.clock.advance(1_001)
      await ended
    } else {
      await reply()
      assert.equal((await asking).reply.content, 'a')
    }
  })
}
