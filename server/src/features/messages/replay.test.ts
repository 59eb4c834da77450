/** Replay: old messages once more, in order, marked, through the inbox or as pages; what became of them stays as it was. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { Delivery, OutputOf } from '@cadre/contract'
import { verifies } from '../../../../test/verifies.ts'
import { ManualClock, Refused, serveFor } from '../../testing.ts'

type Sent = OutputOf<'messages.send'>
type Replayed = OutputOf<'messages.replay'>
type Receipt = OutputOf<'messages.receipt'>

const refused = (status: number, code: string) => (error: unknown) => {
  assert.ok(error instanceof Refused, String(error))
  assert.deepEqual([error.status, error.code], [status, code], error.message)
  return true
}

async function open(t: TestContext) {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const ada = await server.plain('ada')
  const publish = (content: unknown, topic = 'prices.eu') => ada.call<Sent>('topic:publish', { topic, content })
  return {
    clock,
    server,
    ada,
    publish,
    replay: (input: object, token?: string) => server.call<Replayed>('POST', '/messages/replay', input, { token }),
    receipt: (id: string) => server.call<Receipt>('GET', `/messages/${id}/receipt`),
  }
}

verifies(
  'MSG-15',
  'from a position or a time a topic is replayed to a newcomer, in order, each marked as replayed',
  async (t) => {
    const { clock, server, ada, publish, replay, receipt } = await open(t)
    const bob = await server.plain('bob')
    await bob.call('topic:subscribe', { topic: 'prices.*' })
    const old: Sent[] = []
    for (let index = 0; index < 6; index++) {
      old.push(await publish(index))
      await clock.advance(60_000)
    }
    await publish('other', 'weather.eu')
    await ada.call('message:send', { to: 'bob', content: 'for bob alone' })
    const before = await Promise.all(old.map(({ id }) => receipt(id)))
    assert.deepEqual(new Set(before.map(({ status }) => status)), new Set(['acknowledged']))

    const eve = await server.leased('eve')
    await eve.call('topic:subscribe', { topic: 'prices.eu' })
    const third = new Date(Date.parse(old[2]?.created_at as string)).toISOString()
    const since = await eve.call<Replayed>('message:replay', { since: third, topic: 'prices.eu', deliver: true })
    assert.deepEqual([since.queued, since.skipped, since.items, since.next], [4, 0, [], null])
    const received = []
    for (let index = 0; index < 4; index++) received.push((await eve.next<Delivery>('message:received')).data)
    assert.deepEqual(
      received.map(({ id, content, replay: isReplay, topic, sender, priority, attempt }) => [
        id,
        content,
        isReplay,
        topic,
        sender,
        priority,
        attempt,
      ]),
      [2, 3, 4, 5].map((index) => [old[index]?.id, index, true, 'prices.eu', 'ada', 3, 1]),
    )
    await eve.call('message:ack', { receipt: received.map((delivery) => delivery.receipt) })
    const fresh = await publish('fresh')
    const { data } = await eve.next<Delivery>('message:received')
    assert.deepEqual([data.id, data.replay], [fresh.id, false])

    const from = await replay({ agent: 'eve', after: old[3]?.receipt.seq, topic: 'prices.*', deliver: true })
    assert.equal(from.queued, 2, 'what eve still holds is left out')
    assert.equal(from.skipped, 1)
    assert.deepEqual(
      [(await eve.next<Delivery>('message:received')).data.id, (await eve.next<Delivery>('message:received')).data.id],
      [old[4]?.id, old[5]?.id],
    )
    assert.deepEqual(await Promise.all(old.map(({ id }) => receipt(id))), before, 'what became of them is as it was')
  },
)

test('a client without a socket reads pages, and everything comes once', async (t) => {
  const { server, publish, replay } = await open(t)
  const { token } = await server.call<{ token: string }>('POST', '/agents/register', { name: 'eve' })
  await server.call('POST', '/subscriptions', { topic: '#', agent: 'eve' })
  const sent = []
  for (let index = 0; index < 25; index++) sent.push(await publish(index, `news.${index % 3}`))
  const seen: string[] = []
  let next: string | null | undefined
  let calls = 0
  do {
    const page: Replayed = await replay({ after: 0, limit: 10, ...(next && { cursor: next }) }, token)
    assert.ok(page.items.length <= 10)
    assert.ok(page.items.every((item) => item.replay))
    seen.push(...page.items.map(({ id }) => id))
    next = page.next
    calls += 1
  } while (next !== null)
  assert.deepEqual(
    seen,
    sent.map(({ id }) => id),
  )
  assert.ok(calls <= 4)
  const some = await replay({ after: 0, topic: 'news.1' }, token)
  assert.deepEqual(
    some.items.map(({ content }) => content),
    [1, 4, 7, 10, 13, 16, 19, 22],
  )
})

test('a conversation is replayed from its first message, by sender and time too', async (t) => {
  const { clock, server, ada, replay } = await open(t)
  const bob = await server.plain('bob')
  const first = await ada.call<Sent>('message:send', { to: 'bob', content: 'a1' })
  await clock.advance(1_000)
  await bob.call('message:reply', { reply_to: first.id, content: 'b1' })
  await ada.call('message:send', { to: 'bob', content: 'elsewhere' })
  await clock.advance(1_000)
  const last = await ada.call<Sent>('message:send', { to: 'bob', content: 'a2', conversation_id: first.id })
  const contents = async (more: object) =>
    (await replay({ conversation_id: first.id, ...more })).items.map(({ content }) => content)
  assert.deepEqual(await contents({}), ['a1', 'b1', 'a2'])
  assert.deepEqual(await contents({ sender: 'ada' }), ['a1', 'a2'])
  assert.deepEqual(await contents({ since: last.created_at }), ['a2'])
  assert.deepEqual(await contents({ until: first.created_at }), ['a1'])
})

test('copies wait for an agent that is away, come again when rejected, and end without a dead letter', async (t) => {
  const { clock, server, ada, replay, receipt } = await open(t)
  const { token } = await server.call<{ token: string }>('POST', '/agents/register', { name: 'eve' })
  const receive = async () => (await server.call<{ items: Delivery[] }>('POST', '/agents/eve/inbox/receive', {}, { token })).items
  const acknowledge = (receipts: string[]) => server.call('POST', '/messages/acknowledge', { receipts }, { token })
  const sent = await ada.call<Sent>('message:send', { to: 'eve', content: 'once' })
  await acknowledge((await receive()).map((delivery) => delivery.receipt))
  const answer = await replay({ agent: 'eve', after: 0, deliver: true })
  assert.equal(answer.queued, 1)
  assert.equal((await replay({ agent: 'eve', after: 0, deliver: true })).skipped, 1, 'a copy waits already')
  await ada.call('message:send', { to: 'eve', content: 'low', priority: 9 })
  const [low, copy] = await receive()
  assert.deepEqual([low?.content, low?.replay, copy?.id, copy?.replay], ['low', false, sent.id, true])
  await acknowledge([low?.receipt as string])
  let current = (copy as Delivery).receipt
  for (let attempt = 1; attempt <= 5; attempt++) {
    assert.deepEqual((await receipt(sent.id)).status, 'acknowledged', 'what became of the message stays')
    const { state } = await server.call('POST', '/messages/reject', { receipt: current, delay_ms: 0 }, { token })
    assert.equal(state, attempt < 5 ? 'ready' : 'dead')
    const [again] = await receive()
    assert.equal(again?.attempt, attempt < 5 ? attempt + 1 : undefined)
    current = again?.receipt ?? ''
  }
  assert.deepEqual((await server.call<OutputOf<'messages.dead_letters'>>('GET', '/dead-letters')).items, [])
  assert.equal((await receipt(sent.id)).status, 'acknowledged')
  await clock.advance(1_000)
  assert.deepEqual(await ada.settled('message:received'), [], 'nothing bounced')
})

test('a dead letter stays one while it is replayed, and is redriven after that', async (t) => {
  const { server, ada, replay, receipt } = await open(t)
  const bob = await server.leased('bob')
  const sent = await ada.call<Sent>('message:send', { to: 'bob', content: 1 })
  const first = await bob.next<Delivery>('message:received')
  await bob.call('message:reject', { receipt: first.data.receipt, dead: true })
  await replay({ agent: 'bob', after: 0, deliver: true, conversation_id: sent.id })
  const copy = await bob.next<Delivery>('message:received')
  assert.equal(copy.data.replay, true)
  assert.equal((await receipt(sent.id)).status, 'dead')
  const letters = () => server.call<OutputOf<'messages.dead_letters'>>('GET', '/dead-letters?agent=bob')
  const { id } = (await letters()).items[0] as { id: string }
  await assert.rejects(server.call('POST', `/dead-letters/${id}/redrive`), refused(409, 'conflict'))
  await bob.call('message:ack', { receipt: copy.data.receipt })
  assert.equal((await letters()).items.length, 1)
  await server.call('POST', `/dead-letters/${id}/redrive`)
  const again = await bob.next<Delivery>('message:received')
  assert.deepEqual([again.data.id, again.data.replay], [sent.id, false])
})

test('agents replay what they could have seen; operators for anybody', async (t) => {
  const { server, ada, publish, replay } = await open(t)
  const [bob, eve] = await Promise.all(
    ['bob', 'eve'].map((name) => server.call<{ token: string }>('POST', '/agents/register', { name })),
  )
  await ada.call('message:send', { to: 'bob', content: 'private' })
  await ada.call('message:send', { to: ['bob', 'ada'], content: 'shared' })
  await publish('public')
  const contents = async (token: string | undefined) => (await replay({ after: 0 }, token)).items.map(({ content }) => content)
  assert.deepEqual(await contents(bob?.token), ['private', 'shared'])
  assert.deepEqual(await contents(eve?.token), [])
  await server.call('POST', '/subscriptions', { topic: 'prices.#' }, { token: eve?.token })
  assert.deepEqual(await contents(eve?.token), ['public'])
  assert.deepEqual(await contents(undefined), ['private', 'shared', 'public'])
  await assert.rejects(replay({ after: 0, agent: 'bob', deliver: true }, eve?.token), refused(403, 'forbidden'))
  const { key } = await server.call<{ key: string }>('POST', '/keys', { name: 'k', role: 'operator' })
  assert.equal((await replay({ after: 0 }, key)).items.length, 3)
  await assert.rejects(replay({ after: 0, deliver: true }, key), refused(422, 'invalid_request'))
  await assert.rejects(replay({ topic: 'prices.eu' }), refused(422, 'invalid_request'))
  await assert.rejects(replay({ since: 'yesterday' }), refused(422, 'invalid_request'))
})

test('the same call under its key puts nothing into the inbox twice', async (t) => {
  const { server, ada, replay } = await open(t)
  await server.call('POST', '/agents/register', { name: 'eve' })
  await ada.call('message:send', { to: 'ada', content: 1 })
  const body = { agent: 'eve', after: 0, deliver: true }
  const one = await server.call<Replayed>('POST', '/messages/replay', body, { key: 'k' })
  const two = await server.call<Replayed>('POST', '/messages/replay', body, { key: 'k' })
  assert.deepEqual([one.queued, two.queued], [1, 1], 'the answer of the first time')
  assert.equal((await replay(body)).skipped, 1)
  assert.equal((await server.call<OutputOf<'messages.inbox'>>('GET', '/agents/eve/inbox')).depth, 1)
})
