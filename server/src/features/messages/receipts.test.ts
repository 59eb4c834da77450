/** Receipts: what became of a message, told to who sent it, and waited for. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { Delivery, OutputOf } from '@cadre/contract'
import { verifies } from '../../../../test/verifies.ts'
import { ManualClock, Refused, type TestServerOptions, serveFor } from '../../testing.ts'

type Receipt = OutputOf<'messages.receipt'>
type Waited = OutputOf<'messages.wait'>
type Sent = OutputOf<'messages.send'>

const refused = (status: number, code: string) => (error: unknown) => {
  assert.ok(error instanceof Refused, String(error))
  assert.deepEqual([error.status, error.code], [status, code], error.message)
  return true
}

async function open(t: TestContext, options: TestServerOptions = {}) {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock, ...options })
  const receipt = (id: string) => server.call<Receipt>('GET', `/messages/${id}/receipt`)
  return {
    clock,
    server,
    receipt,
    states: async (id: string) => (await receipt(id)).deliveries.map(({ agent, state, attempt }) => [agent, state, attempt]),
    wait: (id: string, state: string, timeout_ms = 30_000) =>
      server.call<Waited>('GET', `/messages/${id}/wait?state=${state}&timeout_ms=${timeout_ms}`),
    register: async (name: string) => ({
      token: (await server.call<{ token: string }>('POST', '/agents/register', { name })).token,
    }),
  }
}

verifies('MSG-01', 'only who it is for receives a message, and its sender sees it delivered, then acknowledged', async (t) => {
  const { server, receipt } = await open(t)
  const [ada, bob, eve] = [await server.leased('ada'), await server.leased('bob'), await server.leased('eve')]
  const sent = await ada.call<Sent>('message:send', { to: 'bob', content: 'for bob' })
  const taken = await bob.next<Delivery>('message:received')
  assert.deepEqual([taken.data.id, taken.data.content], [sent.id, 'for bob'])
  assert.deepEqual([await ada.settled('message:received'), await eve.settled('message:received')], [[], []])
  const delivered = await ada.call<Waited>('message:wait', { id: sent.id, state: 'delivered' })
  assert.deepEqual([delivered.reached, delivered.status], [true, 'delivered'])
  const acknowledged = ada.call<Waited>('message:wait', { id: sent.id, state: 'acknowledged' })
  await bob.call('message:ack', { receipt: taken.data.receipt })
  assert.deepEqual(await acknowledged, { ...(await receipt(sent.id)), reached: true })
  assert.deepEqual(await receipt(sent.id), {
    message_id: sent.id,
    status: 'acknowledged',
    recipient_count: 1,
    counts: { ready: 0, leased: 0, acknowledged: 1, dead: 0, expired: 0 },
    deliveries: [
      {
        agent_id: (await receipt(sent.id)).deliveries[0]?.agent_id,
        agent: 'bob',
        state: 'acknowledged',
        attempt: null,
        at: null,
        reason: null,
      },
    ],
  })
})

test('a receipt follows a copy through its inbox: ready, leased, back with its reason, dead', async (t) => {
  const { server, clock, receipt, states, register } = await open(t)
  const as = await register('bob')
  const { id } = await server.call<Sent>('POST', '/messages', { to: 'bob', content: 1 })
  assert.deepEqual(await states(id), [['bob', 'ready', 0]])
  const receive = async () =>
    (await server.call<{ items: Delivery[] }>('POST', '/agents/bob/inbox/receive', {}, as)).items[0] as Delivery
  const first = await receive()
  assert.deepEqual(await states(id), [['bob', 'leased', 1]])
  await server.call('POST', '/messages/reject', { receipt: first.receipt, reason: 'busy' }, as)
  const [back] = (await receipt(id)).deliveries
  assert.deepEqual([back?.state, back?.attempt, back?.reason], ['ready', 1, 'busy'])
  const second = await receive()
  await clock.advance(10)
  await server.call('POST', '/messages/reject', { receipt: second.receipt, reason: 'nonsense', dead: true }, as)
  const { status, counts, deliveries } = await receipt(id)
  assert.deepEqual([status, counts.dead, deliveries[0]?.attempt], ['dead', 1, 2])
  assert.deepEqual(
    [deliveries[0]?.reason, deliveries[0]?.at],
    ['rejected for good: nonsense', new Date(clock.now()).toISOString()],
  )
})

test('an acknowledgement by number and one on write end the wait too', async (t) => {
  const { clock, server, wait } = await open(t)
  const bob = await server.leased('bob')
  await server.plain('eve')
  const sent = await server.call<Sent>('POST', '/messages', { to: ['bob', 'eve'], content: 1 })
  const delivered = await wait(sent.id, 'delivered')
  assert.equal(delivered.reached, true)
  const acknowledged = wait(sent.id, 'acknowledged')
  const { seq } = await bob.next<Delivery>('message:received')
  bob.send({ type: 'flow', ack: seq })
  await bob.settled()
  await clock.advance(100)
  const { reached, status, counts } = await acknowledged
  assert.deepEqual([reached, status, counts.acknowledged], [true, 'acknowledged', 2])
})

test('a wait ends as soon as the state is reached, from whichever side it comes', async (t) => {
  const { server, wait, register } = await open(t)
  const as = await register('bob')
  const { id } = await server.call<Sent>('POST', '/messages', { to: 'bob', content: 1 })
  const [delivered, acknowledged] = [wait(id, 'delivered'), wait(id, 'acknowledged')]
  const now = await wait(id, 'delivered', 0)
  assert.deepEqual([now.reached, now.status], [false, 'stored'], 'a look does not wait')
  const taken = await server.call<{ items: Delivery[] }>('POST', '/agents/bob/inbox/receive', {}, as)
  assert.deepEqual([(await delivered).reached, (await delivered).status], [true, 'delivered'])
  await server.call('POST', '/messages/acknowledge', { receipts: taken.items[0]?.receipt }, as)
  assert.deepEqual([(await acknowledged).reached, (await acknowledged).status], [true, 'acknowledged'])
  assert.equal((await wait(id, 'acknowledged', 0)).reached, true)
})

test('a wait ends too when the state can never be reached, and by its deadline', async (t) => {
  const { server, clock, wait, register } = await open(t)
  const as = await register('bob')
  const { id } = await server.call<Sent>('POST', '/messages', { to: 'bob', content: 1 })
  const inVain = wait(id, 'acknowledged', 5_000)
  await server.call('GET', '/whoami')
  await clock.advance(5_000)
  assert.deepEqual([(await inVain).reached, (await inVain).status], [false, 'stored'])

  const dying = wait(id, 'acknowledged')
  const { items } = await server.call<{ items: Delivery[] }>('POST', '/agents/bob/inbox/receive', {}, as)
  await server.call('POST', '/messages/reject', { receipt: items[0]?.receipt, dead: true }, as)
  assert.deepEqual([(await dying).reached, (await dying).status], [false, 'dead'])
  const taken = await wait(id, 'delivered', 0)
  assert.deepEqual([taken.reached, taken.status], [true, 'dead'], 'bob took it, though nothing came of it')

  const brief = await server.call<Sent>('POST', '/messages', { to: 'bob', content: 1, ttl: 2_000 })
  const expiring = wait(brief.id, 'delivered')
  await server.call('GET', '/whoami')
  await clock.advance(3_000)
  assert.deepEqual([(await expiring).reached, (await expiring).status], [false, 'expired'])

  const nowhere = await server.call<Sent>('POST', '/messages', { to: ['ghost'], content: 1 })
  const unroutable = await wait(nowhere.id, 'delivered')
  assert.deepEqual([unroutable.reached, unroutable.status, unroutable.deliveries], [false, 'unroutable', []])
})

test('of a broadcast the last copy counts, and what is lost stands first', async (t) => {
  const { server, receipt, wait, register } = await open(t)
  const names = Array.from({ length: 120 }, (_, index) => `agent-${index}`)
  const keys = await Promise.all(names.map(register))
  const { id } = await server.call<Sent>('POST', '/messages', { content: 'all', broadcast: true })
  const all = wait(id, 'acknowledged')
  const take = async (index: number) => {
    const path = `/agents/${names[index]}/inbox/receive`
    return (await server.call<{ items: Delivery[] }>('POST', path, {}, keys[index])).items[0]?.receipt
  }
  for (let index = 0; index < 119; index++)
    await server.call('POST', '/messages/acknowledge', { receipts: await take(index) }, keys[index])
  const nearly = await receipt(id)
  assert.deepEqual(nearly.counts, { ready: 1, leased: 0, acknowledged: 119, dead: 0, expired: 0 })
  assert.deepEqual([nearly.status, nearly.recipient_count, nearly.deliveries.length], ['stored', 120, 100])
  assert.equal(nearly.deliveries[0]?.agent, 'agent-119')
  await server.call('POST', '/messages/acknowledge', { receipts: await take(119) }, keys[119])
  assert.deepEqual([(await all).reached, (await all).counts.acknowledged], [true, 120])
})

test('the receipt is for the sender and for operators', async (t) => {
  const { server, register } = await open(t)
  const [ada, bob, eve] = [await register('ada'), await register('bob'), await register('eve')]
  const { id } = await server.call<Sent>('POST', '/messages', { to: ['bob', 'eve'], content: 1 }, ada)
  assert.equal((await server.call<Receipt>('GET', `/messages/${id}/receipt`, undefined, ada)).recipient_count, 2)
  for (const path of ['receipt', 'wait']) {
    await assert.rejects(server.call('GET', `/messages/${id}/${path}`, undefined, bob), refused(403, 'forbidden'))
  }
  const own = await server.call<Sent>('POST', '/messages', { to: 'bob', content: 1 }, ada)
  await assert.rejects(server.call('GET', `/messages/${own.id}/receipt`, undefined, eve), refused(404, 'not_found'))
  await assert.rejects(server.call('GET', '/messages/msg_00000zzzzzz/receipt'), refused(404, 'not_found'))
  await assert.rejects(server.call('GET', `/messages/${id}/wait?state=dead`), refused(422, 'invalid_request'))
  await assert.rejects(server.call('GET', `/messages/${id}/wait?timeout_ms=30001`), refused(422, 'invalid_request'))
})

test('waits are bounded, and one that is given up makes room', async (t) => {
  const { server } = await open(t)
  const ada = await server.leased('ada')
  await server.call('POST', '/agents/register', { name: 'bob' })
  const { id } = await ada.call<Sent>('message:send', { to: 'bob', content: 1 })
  for (let index = 0; index < 256; index++) ada.send({ type: 'message:wait', id: index, data: { id } })
  await assert.rejects(ada.call('message:wait', { id }), refused(429, 'rate_limited'))
  const { token } = await server.call<{ token: string }>('POST', '/agents/register', { name: 'ada' })
  ada.terminate()
  await ada.closed
  const again = await server.leased('ada', { token })
  const look = await again.call<Waited>('message:wait', { id, timeout_ms: 0 })
  assert.equal(look.reached, false)
})

test('a server that stops answers those who wait', async (t) => {
  const { server } = await open(t)
  await server.call('POST', '/agents/register', { name: 'bob' })
  const { id } = await server.call<Sent>('POST', '/messages', { to: 'bob', content: 1 })
  const waiting = server.call('GET', `/messages/${id}/wait`)
  const ended = assert.rejects(waiting)
  await server.call('GET', '/whoami')
  await server.close()
  await ended
})
