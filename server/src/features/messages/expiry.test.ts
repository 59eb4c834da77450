/** Expiry: a copy that nobody took in its time is taken out by itself, recorded, and told to its sender. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { Bounce, Delivery, OutputOf } from '@cadre/contract'
import { ManualClock, serveFor } from '../../testing.ts'
import { openHouse } from './house.suite.ts'

type Sent = OutputOf<'messages.send'>
type Inbox = OutputOf<'messages.inbox'>

async function open(t: TestContext) {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const ada = await server.leased('ada')
  const { token } = await server.call<{ token: string }>('POST', '/agents/register', { name: 'bob' })
  const as = { token }
  return {
    clock,
    server,
    ada,
    as,
    send: (content: unknown, more: object = {}) => ada.call<Sent>('message:send', { to: 'bob', content, ...more }),
    status: async (id: string) => (await server.call<{ status: string }>('GET', `/messages/${id}`)).status,
    receive: async () => (await server.call<{ items: Delivery[] }>('POST', '/agents/bob/inbox/receive', {}, as)).items,
    inbox: () => server.call<Inbox>('GET', '/agents/bob/inbox'),
  }
}

test('what waits past its time expires without anybody looking, and its sender hears of it', async (t) => {
  const { clock, server, ada, send, status, inbox } = await open(t)
  const brief = await send('brief', { ttl: 5_000 })
  const kept = await send('kept', { ttl: 60_000 })
  await clock.advance(4_000)
  assert.equal(await status(brief.id), 'stored')
  await clock.advance(2_000)
  assert.deepEqual([await status(brief.id), await status(kept.id)], ['expired', 'stored'])
  const { data } = await ada.next<Delivery>('message:received')
  assert.equal(data.type, 'message.bounced')
  const { message_id, recipient, attempts, status: how } = data.content as Bounce
  assert.deepEqual([message_id, recipient, attempts, how], [brief.id, 'bob', 0, 'expired'])
  assert.deepEqual([(await inbox()).depth, (await inbox()).dead], [1, 0])
  const log = await server.call<OutputOf<'events.list'>>('GET', '/events?types=message.expired')
  assert.deepEqual(
    log.items.map(({ topic, subject, data }) => [topic, subject, (data as { expires_at: string }).expires_at]),
    [['dead.letter', brief.id, brief.expires_at]],
  )
})

test('what an agent holds does not expire; given back, it does, with the errors of its attempts', async (t) => {
  const { clock, server, as, ada, send, status, receive } = await open(t)
  const sent = await send('work', { ttl: 5_000 })
  const [held] = await receive()
  await clock.advance(10_000)
  assert.equal(await status(sent.id), 'delivered')
  await server.call('POST', '/messages/reject', { receipt: held?.receipt, reason: 'too late for me', delay_ms: 60_000 }, as)
  await clock.advance(2_000)
  assert.equal(await status(sent.id), 'expired')
  const { content } = (await ada.next<Delivery>('message:received')).data
  assert.equal((content as Bounce).attempts, 1)
  assert.deepEqual(await receive(), [])
})

test('one that expires lets go what waits behind it, and is not handed out between two sweeps', async (t) => {
  const { clock, ada, send, receive, inbox } = await open(t)
  await send('first', { ttl: 1_500, conversation_id: 'talk' })
  await send('second', { conversation_id: 'talk' })
  await send('third', { ttl: 1_500, conversation_id: 'talk' })
  assert.deepEqual([(await inbox()).ready, (await inbox()).behind], [1, 2])
  await clock.advance(1_600)
  assert.deepEqual(await receive(), [], 'second became ready with the commit that took first out')
  assert.deepEqual(
    (await receive()).map(({ content }) => content),
    ['second'],
  )
  await clock.advance(1_000)
  const told = [await ada.next<Delivery>('message:received'), await ada.next<Delivery>('message:received')]
  assert.deepEqual(
    told.map(({ data }) => (data.content as Bounce).status),
    ['expired', 'expired'],
  )
  const { depth, leased, behind } = await inbox()
  assert.deepEqual({ depth, leased, behind }, { depth: 1, leased: 1, behind: 0 })
})

test('one sweep takes out a bounded number, the next the rest, and the counts agree', async (t) => {
  const house = await openHouse(t)
  const all = 256 * 8 + 100
  for (let index = 0; index < all; index += 100)
    await Promise.all(Array.from({ length: Math.min(100, all - index) }, (_, at) => house.send(index + at, { ttl: 500 })))
  assert.equal(house.deliveries.depth(house.bob.id), all)
  await house.clock.advance(1_000)
  await house.quiet()
  assert.equal(house.deliveries.counters.expired, 256 * 8)
  await house.clock.advance(1_000)
  await house.quiet()
  assert.equal(house.deliveries.counters.expired, all)
  assert.equal(house.deliveries.depth(house.bob.id), 0)
})
