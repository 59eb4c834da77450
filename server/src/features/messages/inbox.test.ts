/** The inbox over HTTP: lease, acknowledge, reject, extend, back-off, dead letters. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { Agent, Delivery, LogEntry, Message, OutputOf } from '@cadre/contract'
import { verifies } from '../../../../test/verifies.ts'
import { ManualClock, Refused, type TestServerOptions, serveFor } from '../../testing.ts'

type Received = OutputOf<'messages.receive'>
type Dead = OutputOf<'messages.dead_letters'>

const refused = (status: number, code: string) => (error: unknown) => {
  assert.ok(error instanceof Refused, String(error))
  assert.deepEqual([error.status, error.code], [status, code], error.message)
  return true
}

async function open(t: TestContext, options: TestServerOptions = {}) {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock, ...options })
  const { token } = await server.call<{ token: string }>('POST', '/agents/register', { name: 'bob' })
  const as = { token }
  return {
    server,
    clock,
    as,
    send: (content: unknown, more: object = {}) =>
      server.call<OutputOf<'messages.send'>>('POST', '/messages', { to: 'bob', content, ...more }),
    receive: async (more: object = {}) => (await server.call<Received>('POST', '/agents/bob/inbox/receive', more, as)).items,
    acknowledge: (receipts: string | string[]) => server.call('POST', '/messages/acknowledge', { receipts }, as),
    reject: (receipt: string, more: object = {}) =>
      server.call<OutputOf<'messages.reject'>>('POST', '/messages/reject', { receipt, ...more }, as),
    status: async (id: string) => (await server.call<Message>('GET', `/messages/${id}`)).status,
    depth: async () => (await server.call<Agent>('GET', '/agents/bob')).inbox_depth,
    events: async (type: string) =>
      (await server.call<{ items: LogEntry[] }>('GET', `/events?types=${type}`)).items.map(
        (entry) => entry.data as Record<string, unknown>,
      ),
  }
}
const contents = (deliveries: readonly Delivery[]) => deliveries.map((delivery) => delivery.content)

verifies('MSG-21', 'a message waits in the inbox until it is leased and acknowledged, and the depth says so', async (t) => {
  const { send, receive, acknowledge, status, depth } = await open(t)
  const sent = [await send('one'), await send('two'), await send('three')]
  assert.equal(await depth(), 3)
  const first = await receive({ limit: 2 })
  assert.deepEqual(contents(first), ['one', 'two'])
  assert.deepEqual(
    first.map((delivery) => [delivery.attempt, delivery.replay, delivery.lease_until]),
    [
      [1, false, '2026-01-01T00:00:30.000Z'],
      [1, false, '2026-01-01T00:00:30.000Z'],
    ],
  )
  assert.deepEqual(contents(await receive()), ['three'])
  assert.deepEqual(await receive(), [])
  assert.equal(await depth(), 3, 'leased ones are still in the inbox')
  assert.deepEqual(await acknowledge(first.map((delivery) => delivery.receipt)), { acknowledged: 2, already: 0 })
  assert.equal(await depth(), 1)
  assert.deepEqual(await Promise.all(sent.map((message) => status(message.id))), ['acknowledged', 'acknowledged', 'delivered'])
})

test('the same acknowledgement again is fine, also within one call', async (t) => {
  const { send, receive, acknowledge, depth } = await open(t)
  await send(1)
  const [delivery] = await receive()
  const { receipt } = delivery as Delivery
  assert.deepEqual(await acknowledge([receipt, receipt]), { acknowledged: 1, already: 1 })
  assert.deepEqual(await acknowledge(receipt), { acknowledged: 0, already: 1 })
  assert.equal(await depth(), 0)
})

verifies(
  ['MSG-16', 'REL-01'],
  'a lease that runs out brings the same message again, and only the newest receipt counts',
  async (t) => {
    const { server, clock, as, send, receive, acknowledge, reject, events } = await open(t)
    const sent = await send('work')
    const [first] = await receive()
    await clock.advance(29_000)
    assert.deepEqual(await receive(), [])
    await clock.advance(2_000)
    const [second] = await receive()
    assert.deepEqual([second?.id, second?.attempt, first?.attempt], [sent.id, 2, 1])
    assert.notEqual(second?.receipt, first?.receipt)
    const stale = first?.receipt as string
    await assert.rejects(acknowledge(stale), refused(409, 'stale_receipt'))
    await assert.rejects(reject(stale), refused(409, 'stale_receipt'))
    await assert.rejects(server.call('POST', '/messages/extend', { receipt: stale }, as), refused(409, 'stale_receipt'))
    await assert.rejects(acknowledge([second?.receipt as string, stale]), refused(409, 'stale_receipt'))
    assert.deepEqual(
      await acknowledge(second?.receipt as string),
      { acknowledged: 1, already: 0 },
      'the refused call had no effect',
    )
    assert.deepEqual(
      (await events('message.redelivered')).map(({ message_id, agent, attempt, reason }) => ({
        message_id,
        agent,
        attempt,
        reason,
      })),
      [{ message_id: sent.id, agent: 'bob', attempt: 2, reason: 'lease expired' }],
    )
  },
)

test('a receipt of before its delivery went back to the inbox settles nothing', async (t) => {
  const { clock, send, receive, acknowledge, depth } = await open(t, { random: () => 0.999 })
  await send('work')
  const [first] = await receive()
  await clock.advance(31_000)
  await assert.rejects(acknowledge(first?.receipt as string), refused(409, 'stale_receipt'))
  assert.equal(await depth(), 1)
  await clock.advance(1_000)
  assert.deepEqual(contents(await receive()), ['work'])
})

test('a lease is as long as asked for, and can be extended', async (t) => {
  const { server, clock, as, send, receive, acknowledge } = await open(t)
  await send(1)
  const [delivery] = await receive({ lease_ms: 1_000 })
  assert.equal(delivery?.lease_until, '2026-01-01T00:00:01.000Z')
  const extended = await server.call('POST', '/messages/extend', { receipt: delivery?.receipt, lease_ms: 60_000 }, as)
  assert.deepEqual(extended, { lease_until: '2026-01-01T00:01:00.000Z' })
  await clock.advance(59_000)
  assert.deepEqual(await acknowledge(delivery?.receipt as string), { acknowledged: 1, already: 0 })
})

test('a rejection comes again after the back-off, or after the delay it names', async (t) => {
  const { clock, send, receive, reject } = await open(t, { random: () => 0.5 })
  await send(1)
  const [first] = await receive()
  const back = await reject(first?.receipt as string, { reason: 'busy' })
  assert.deepEqual(back, { state: 'ready', attempt: 1, available_at: '2026-01-01T00:00:00.500Z' })
  await clock.advance(499)
  assert.deepEqual(await receive(), [])
  await clock.advance(1)
  const [second] = await receive()
  assert.equal(second?.attempt, 2)
  assert.equal((await reject(second?.receipt as string, { delay_ms: 90_000 })).available_at, '2026-01-01T00:01:30.500Z')
  await clock.advance(89_999)
  assert.deepEqual(await receive(), [])
  await clock.advance(1)
  assert.equal((await receive())[0]?.attempt, 3)
})

verifies('MSG-17', 'after five attempts a message is dead with the error of each; it can be redriven', async (t) => {
  const { server, clock, as, send, receive, reject, acknowledge, status, depth, events } = await open(t, {
    random: () => 0.999_999,
  })
  const sent = await send({ job: 7 })
  const waits: number[] = []
  for (let attempt = 1; attempt <= 5; attempt++) {
    const [delivery] = await receive()
    assert.deepEqual([delivery?.id, delivery?.attempt], [sent.id, attempt])
    const { state, available_at } = await reject(delivery?.receipt as string, { reason: `error ${attempt}` })
    assert.equal(state, attempt < 5 ? 'ready' : 'dead')
    if (available_at === null) break
    const wait = Date.parse(available_at) - clock.now()
    waits.push(wait)
    await clock.advance(wait - 1)
    assert.deepEqual(await receive(), [], `attempt ${attempt + 1} came before its time`)
    await clock.advance(1)
  }
  assert.deepEqual(waits, [999, 1999, 3999, 7999], 'full jitter below 1, 2, 4 and 8 s')
  assert.equal(await status(sent.id), 'dead')
  assert.equal(await depth(), 0)
  const [letter, ...others] = (await server.call<Dead>('GET', '/dead-letters')).items
  assert.deepEqual(others, [])
  assert.deepEqual(
    [letter?.agent, letter?.attempts, letter?.reason, letter?.message.content],
    ['bob', 5, '5 attempts, the last: error 5', { job: 7 }],
  )
  assert.deepEqual(
    letter?.errors.map(({ attempt, error }) => [attempt, error]),
    [1, 2, 3, 4, 5].map((attempt) => [attempt, `error ${attempt}`]),
  )
  assert.deepEqual(
    (await events('message.dead')).map((data) => [data['message_id'], data['attempts']]),
    [[sent.id, 5]],
  )

  const redriven = await server.call('POST', `/dead-letters/${letter?.id}/redrive`, {}, as)
  assert.equal(redriven['message_id'], sent.id)
  assert.deepEqual((await server.call<Dead>('GET', '/dead-letters?agent=bob')).items, [])
  const [again] = await receive()
  assert.deepEqual([again?.id, again?.attempt], [sent.id, 1])
  await acknowledge(again?.receipt as string)
  assert.equal(await status(sent.id), 'acknowledged')
  await assert.rejects(server.call('POST', `/dead-letters/${letter?.id}/redrive`, {}), refused(404, 'not_found'))
})

test('an agent may bury a message at once', async (t) => {
  const { server, send, receive, reject, acknowledge } = await open(t)
  await send(1)
  const [delivery] = await receive()
  const buried = await reject(delivery?.receipt as string, { reason: 'makes no sense', dead: true })
  assert.deepEqual(buried, { state: 'dead', attempt: 1, available_at: null })
  const [letter] = (await server.call<Dead>('GET', '/dead-letters')).items
  assert.deepEqual([letter?.reason, letter?.attempts], ['rejected for good: makes no sense', 1])
  await assert.rejects(acknowledge(delivery?.receipt as string), refused(409, 'stale_receipt'))
})

test('leases that keep running out end as a dead letter too', async (t) => {
  const { server, clock, send, receive } = await open(t)
  await send('poison')
  for (let attempt = 1; attempt <= 5; attempt++) {
    assert.equal((await receive())[0]?.attempt, attempt)
    await clock.advance(31_000)
  }
  assert.deepEqual(await receive(), [])
  const [letter] = (await server.call<Dead>('GET', '/dead-letters')).items
  assert.deepEqual(
    letter?.errors.map(({ error }) => error),
    Array.from({ length: 5 }, () => 'lease expired'),
  )
})

test('a copy that was not taken in time expires, which is recorded, and is no dead letter', async (t) => {
  const { server, clock, send, receive, status, depth } = await open(t)
  const brief = await send('brief', { ttl: 5_000 })
  assert.equal(brief.expires_at, '2026-01-01T00:00:05.000Z')
  const taken = await send('taken', { ttl: 5_000 })
  const kept = await send('kept')
  await clock.advance(5_000)
  assert.deepEqual(contents(await receive()), ['kept'])
  assert.deepEqual(await Promise.all([brief, taken, kept].map((message) => status(message.id))), [
    'expired',
    'expired',
    'delivered',
  ])
  assert.equal(await depth(), 1)
  assert.deepEqual((await server.call<Dead>('GET', '/dead-letters')).items, [])
})

test('within a conversation of one sender nothing overtakes, not even what comes again', async (t) => {
  const { server, clock, send, receive, acknowledge, reject } = await open(t, { random: () => 0.5 })
  await server.call('POST', '/agents/register', { name: 'eve' })
  const other = await server.call<{ token: string }>('POST', '/agents/register', { name: 'eve' })
  for (const content of ['a1', 'a2', 'a3']) await send(content, { conversation_id: 'talk' })
  await server.call('POST', '/messages', { to: 'bob', content: 'e1', conversation_id: 'talk' }, { token: other.token })
  await send('b1', { conversation_id: 'other', priority: 'low' })
  await send('alone')
  const [a1, e1, alone, b1, ...rest] = await receive()
  assert.deepEqual(contents([a1, e1, alone, b1] as Delivery[]), ['a1', 'e1', 'alone', 'b1'])
  assert.deepEqual(rest, [])
  assert.deepEqual([a1?.sender_seq, e1?.sender_seq], [1, 1])
  await reject(a1?.receipt as string)
  assert.deepEqual(await receive(), [], 'a2 waits while a1 is in its back-off')
  await clock.advance(500)
  const [again] = await receive()
  assert.deepEqual([again?.content, again?.attempt], ['a1', 2])
  await acknowledge(again?.receipt as string)
  const [a2] = await receive()
  assert.deepEqual([a2?.content, a2?.sender_seq], ['a2', 2])
  assert.deepEqual((await reject(a2?.receipt as string, { dead: true })).state, 'dead')
  assert.deepEqual(contents(await receive()), ['a3'], 'a dead one does not block the line')
})

verifies('MSG-11', 'with 100 normal messages waiting, a critical one is handled next', async (t) => {
  const { send, receive } = await open(t)
  await Promise.all(Array.from({ length: 100 }, (_, index) => send(index)))
  await send('low', { priority: 'low' })
  await send('critical', { priority: 'critical' })
  await send('high', { priority: 2 })
  assert.deepEqual(contents(await receive({ limit: 3 })), ['critical', 'high', 0])
  const rest = contents(await receive({ limit: 256 }))
  assert.deepEqual(rest, [...Array.from({ length: 99 }, (_, index) => index + 1), 'low'])
})

test('receiving waits for the first message, and at most as long as asked', async (t) => {
  const { clock, send, receive } = await open(t)
  const waiting = receive({ wait_ms: 20_000 })
  await send('at last')
  assert.deepEqual(contents(await waiting), ['at last'])
  const inVain = receive({ wait_ms: 5_000 })
  let ended = false
  void inVain.then(() => (ended = true))
  await receive()
  assert.equal(ended, false)
  while (!ended) {
    await clock.advance(1_000)
    await receive()
  }
  assert.deepEqual(await inVain, [])
  assert.ok(clock.now() >= Date.UTC(2026, 0, 1, 0, 0, 5))
})

verifies('SEC-04', 'an inbox is closed to other agents, and receipts are of no use to them', async (t) => {
  const { server, send, receive } = await open(t)
  const eve = await server.call<{ token: string }>('POST', '/agents/register', { name: 'eve' })
  const asEve = { token: eve.token }
  await send('secret')
  await assert.rejects(server.call('POST', '/agents/bob/inbox/receive', {}, asEve), refused(403, 'forbidden'))
  await assert.rejects(server.call('GET', '/dead-letters?agent=bob', undefined, asEve), refused(403, 'forbidden'))
  const [delivery] = await receive()
  const receipt = delivery?.receipt
  await assert.rejects(server.call('POST', '/messages/acknowledge', { receipts: receipt }, asEve), refused(403, 'forbidden'))
  await assert.rejects(server.call('POST', '/messages/reject', { receipt }, asEve), refused(403, 'forbidden'))
  await assert.rejects(server.call('POST', '/messages/extend', { receipt }, asEve), refused(403, 'forbidden'))
  for (const wrong of ['', 'rcp_', 'rcp_00000000001_4_3_1', 'x'.repeat(300)]) {
    await assert.rejects(server.call('POST', '/messages/acknowledge', { receipts: wrong }), refused(422, 'invalid_request'))
  }
  await assert.rejects(
    server.call('POST', '/messages/acknowledge', { receipts: `${receipt}`.replace(/[^_]+$/, 'ffffffff') }),
    refused(409, 'stale_receipt'),
  )
})
