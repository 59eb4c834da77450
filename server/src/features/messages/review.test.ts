/** Order in a conversation named by its first message: what follows waits for that, and goes on, however it is stored and whatever happens to it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { WriteTx } from '../../core/context.ts'
import { sql } from '../../drivers/database/sql.ts'
import { decodeReceipt } from './envelope.ts'
import { openHouse } from './house.suite.ts'

test('what waits behind a message that a killed server had in flight goes on when that is acknowledged', async (t) => {
  const house = await openHouse(t)
  const before = house.session('leased', 100)
  await house.attach(before)
  const first = await house.send('first')
  await house.send('second', { conversation_id: first.id })
  await house.quiet()
  assert.deepEqual(
    before.got.map(({ data }) => data.content),
    ['first'],
  )
  // Nothing is closed: the store is what a killed server leaves.
  const after = await openHouse(t, {}, house.database)
  const session = after.session('leased', 100)
  await after.attach(session)
  await after.quiet()
  assert.deepEqual(
    session.got.map(({ data }) => [data.content, data.attempt]),
    [['first', 2]],
  )
  after.deliveries.acknowledgeUpTo(session, session.got[0]?.seq ?? 0)
  await after.clock.advance(10)
  await after.quiet()
  assert.deepEqual(
    session.got.map(({ data }) => data.content),
    ['first', 'second'],
  )
})

test('one that expires in a conversation lets nobody past the message that is in flight before both', async (t) => {
  const house = await openHouse(t)
  const session = house.session('leased', 100)
  await house.attach(session)
  const first = await house.send('first')
  await house.send('second', { conversation_id: first.id })
  await house.send('third', { conversation_id: first.id, ttl: 2_000 })
  await house.clock.advance(4_000)
  await house.quiet()
  assert.equal((await house.database.all(sql`select seq from dead_letters`)).length, 1)
  assert.deepEqual(
    session.got.map(({ data }) => data.content),
    ['first'],
  )
  house.deliveries.acknowledgeUpTo(session, session.got[0]?.seq ?? 0)
  await house.clock.advance(10)
  await house.quiet()
  assert.deepEqual(
    session.got.map(({ data }) => data.content),
    ['first', 'second'],
  )
})

test('what expired behind a message in flight waits behind it again when it is sent on its way once more', async (t) => {
  const house = await openHouse(t)
  const session = house.session('leased', 100)
  await house.attach(session)
  const first = await house.send('first')
  const second = await house.send('second', { conversation_id: first.id, ttl: 2_000 })
  await house.clock.advance(4_000)
  await house.quiet()
  const write = <T>(work: (tx: WriteTx) => Promise<T>) =>
    house.database.transaction(async (tx) => ({ ...(await work(Object.assign(tx, { emit: () => {} }))), receipt: null }))
  const operator = house.context(house.ada, { caller: { ...house.ada, role: 'operator' }, write })
  await house.messages.handlers['messages.redrive'](operator, { id: `${second.id}.${house.bob.publicId}` })
  await house.quiet()
  assert.deepEqual(
    session.got.map(({ data }) => data.content),
    ['first'],
  )
})

test('what joins a conversation in the commit in which its first message comes back and is taken again goes on after it', async (t) => {
  const house = await openHouse(t)
  const first = await house.send('first')
  const receive = () => house.deliveries.receive(1, house.bob.id, 10, 30_000, 0, new AbortController().signal)
  const place = (receipt: string) => decodeReceipt(receipt, 1, 'e')
  const [taken] = await receive()
  const [, [again]] = await Promise.all([
    house.deliveries.reject(place(taken?.receipt ?? ''), 'not now', 0, false),
    receive(),
    house.send('second', { conversation_id: first.id }),
  ])
  assert.deepEqual([again?.content, again?.attempt], ['first', 2])
  assert.deepEqual(await receive(), [])
  await house.deliveries.acknowledge([place(again?.receipt ?? '')])
  assert.deepEqual(
    (await receive()).map(({ content }) => content),
    ['second'],
  )
})
