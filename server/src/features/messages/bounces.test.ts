/** Bounces: an agent hears of each message of its that was lost, once, and of nothing else. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { Bounce, Delivery, Message, OutputOf } from '@cadre/contract'
import { verifies } from '../../../../test/verifies.ts'
import { ManualClock, Refused, serveFor } from '../../testing.ts'
import { openHouse } from './house.suite.ts'

type Sent = OutputOf<'messages.send'>

async function open(t: TestContext) {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const [ada, bob] = [await server.leased('ada'), await server.leased('bob')]
  const send = (more: object = {}) => ada.call<Sent>('message:send', { to: 'bob', content: 'work', ...more })
  const bury = async (reason = 'makes no sense') => {
    const { data } = await bob.next<Delivery>('message:received')
    await bob.call('message:reject', { receipt: data.receipt, reason, dead: true })
    return data
  }
  return { clock, server, ada, bob, send, bury }
}

verifies('MSG-17', 'after the last attempt the sender is told, with the cause, by a message of the system', async (t) => {
  const { clock, server, ada, bob, send } = await open(t)
  const sent = await send({ conversation_id: 'talk', priority: 'high' })
  for (let attempt = 1; attempt <= 5; attempt++) {
    const { data } = await bob.next<Delivery>('message:received')
    assert.deepEqual([data.id, data.attempt], [sent.id, attempt])
    assert.deepEqual(await ada.settled('message:received'), [], 'not before it is dead')
    await bob.call('message:reject', { receipt: data.receipt, reason: `error ${attempt}`, delay_ms: 0 })
  }
  const { data } = await ada.next<Delivery>('message:received')
  const { kind, type, sender, reply_to, conversation_id, priority, content } = data
  assert.deepEqual(
    { kind, type, sender, reply_to, conversation_id, priority },
    { kind: 'system', type: 'message.bounced', sender: 'cadre', reply_to: sent.id, conversation_id: data.id, priority: 2 },
  )
  const letters = await server.call<OutputOf<'messages.dead_letters'>>('GET', '/dead-letters')
  const [letter] = letters.items
  assert.deepEqual(content, {
    message_id: sent.id,
    recipient: 'bob',
    recipient_id: letter?.agent_id,
    reason: '5 attempts, the last: error 5',
    attempts: 5,
    status: 'dead',
  })
  assert.equal(letter?.reason, (content as Bounce).reason)
  assert.deepEqual(
    letter?.errors.map(({ error }) => error),
    [1, 2, 3, 4, 5].map((attempt) => `error ${attempt}`),
  )
  const log = await server.call<OutputOf<'events.list'>>('GET', '/events?topics=dead.letter')
  assert.deepEqual(
    log.items.map(({ type, subject, data }) => [type, subject, data]),
    [
      [
        'message.dead',
        sent.id,
        { message_id: sent.id, agent_id: letter?.agent_id, agent: 'bob', reason: 'error 5', attempts: 5 },
      ],
    ],
  )
  await server.call('POST', `/dead-letters/${letter?.id}/redrive`)
  assert.equal((await bob.next<Delivery>('message:received')).data.id, sent.id)
  await clock.advance(1_000)
  assert.deepEqual(await ada.settled('message:received'), [], 'one death, one bounce')
})

test('a bounce waits for a sender that is away, and its own death bounces nowhere', async (t) => {
  const { server, ada, send, bury } = await open(t)
  const sent = await send()
  await ada.close()
  await bury()
  const { token } = await server.call<{ token: string }>('POST', '/agents/register', { name: 'ada' })
  const back = await server.leased('ada', { token })
  const { data } = await back.next<Delivery>('message:received')
  assert.equal((data.content as Bounce).message_id, sent.id)
  await back.call('message:reject', { receipt: data.receipt, dead: true })
  const bounces = await server.call<{ items: Message[] }>('GET', '/messages?type=message.bounced')
  assert.deepEqual(
    bounces.items.map(({ id, status }) => [id, status]),
    [[data.id, 'dead']],
  )
})

test('people and nobody at all are sent no bounce', async (t) => {
  const { server, ada, send, bury } = await open(t)
  await server.call('POST', '/messages', { to: 'bob', content: 'of the operator' })
  await bury()
  assert.equal((await send({ to: ['ghost'] })).status, 'unroutable')
  assert.equal((await ada.call<Sent>('topic:publish', { topic: 'nobody.hears', content: 1 })).status, 'unroutable')
  assert.deepEqual(await ada.settled('message:received'), [])
  const { items } = await server.call<{ items: Message[] }>('GET', '/messages?type=message.bounced')
  assert.deepEqual(items, [])
})

test('whoever waits for the reply to a message that died hears so at once', async (t) => {
  const { ada, bury } = await open(t)
  const asking = ada.call('message:ask', { to: 'bob', content: 'q', timeout_ms: 30_000 })
  const failed = assert.rejects(asking, (error) => {
    assert.ok(error instanceof Refused)
    assert.deepEqual([error.status, error.code, error.problem.retryable], [502, 'undeliverable', false])
    assert.match(error.problem.detail, /rejected for good: no idea/)
    return true
  })
  await bury('no idea')
  await failed
})

test('a death whose commit fails is told to nobody, and told once when it is committed', async (t) => {
  const house = await openHouse(t)
  const session = house.session('leased', 10)
  await house.attach(session)
  const sent = await house.send('m')
  const { receipt = '' } = session.got[0]?.data ?? {}
  const reject = () => house.messages.handlers['messages.reject'](house.context(house.bob), { receipt, reason: 'no', dead: true })
  house.fail(1)
  await assert.rejects(reject(), /the disk failed/)
  assert.equal((await house.inbox()).length, 1, 'it is still with bob, and there is no bounce')
  await reject()
  const [bounce, ...others] = await house.messages.handlers['messages.receive'](house.context(house.ada), {
    limit: 10,
    wait_ms: 0,
  }).then(({ items }) => items)
  assert.deepEqual([bounce?.reply_to, others], [sent.id, []])
})

test('who loses very many messages is told of some, and how many more there were', async (t) => {
  const house = await openHouse(t)
  for (let index = 0; index < 700; index++) await house.send(index, { ttl: 1_000 })
  await house.clock.advance(2_000)
  await house.quiet()
  const { handlers } = house.messages
  const ada = house.context(house.ada)
  /** Takes everything and acknowledges it. */
  const receive = async (): Promise<Delivery[]> => {
    const { items } = await handlers['messages.receive'](ada, { limit: 256, wait_ms: 0 })
    if (items.length === 0) return []
    await handlers['messages.acknowledge'](ada, { receipts: items.map(({ receipt }) => receipt) })
    return [...items, ...(await receive())]
  }
  assert.equal((await receive()).length, 600)
  await house.clock.advance(60_000)
  await house.send('one more', { ttl: 1_000 })
  await house.clock.advance(2_000)
  await house.quiet()
  const [next] = await receive()
  assert.equal((next as Delivery & { content: Bounce }).content.suppressed, 100)
})
