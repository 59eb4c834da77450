/** Delivery over sockets: credits, cumulative acknowledgement, plain mode, resuming, and a server that starts again. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Agent, Delivery, Message, OutputOf } from '@cadre/contract'
import { verifies } from '../../../../test/verifies.ts'
import {
  ManualClock,
  type Received,
  type Socket,
  type TestServer,
  serveFor,
  startTestServer,
  temporaryFolder,
} from '../../testing.ts'

type Registered = OutputOf<'agents.register'> & { session: string; resumed: boolean; head: number; gap: boolean }

const send = (server: TestServer, content: unknown, more: object = {}) =>
  server.call<OutputOf<'messages.send'>>('POST', '/messages', { to: 'bob', content, ...more })
const contents = (frames: readonly Received<Delivery>[]) => frames.map(({ data }) => data.content)
const status = async (server: TestServer, id: string) => (await server.call<Message>('GET', `/messages/${id}`)).status
const depth = async (server: TestServer) => (await server.call<Agent>('GET', '/agents/bob')).inbox_depth
const arrivals = (socket: Socket) => socket.settled<Delivery>('message:received')

test('credits bound what is sent; flow adds to them', async (t) => {
  const server = await serveFor(t, { clock: new ManualClock() })
  const bob = await server.leased('bob', { credits: 2 })
  for (let index = 0; index < 7; index++) await send(server, index)
  assert.deepEqual(contents(await arrivals(bob)), [0, 1])
  bob.send({ type: 'flow', credits: 3 })
  await bob.next('message:received', (data: Delivery) => data.content === 4)
  assert.deepEqual(contents(await arrivals(bob)), [0, 1, 2, 3])
  bob.send({ type: 'flow', ack: 2 })
  await bob.settled()
  assert.equal(contents(await arrivals(bob)).length, 4, 'an acknowledgement is no credit')
  const none = await server.leased('none', { credits: 0 })
  await server.call('POST', '/messages', { to: 'none', content: 'waits' })
  assert.deepEqual(await arrivals(none), [])
})

verifies('MSG-13', 'delivery numbers rise by one, and one acknowledgement covers all before it', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const bob = await server.leased('bob')
  const sent = []
  for (let index = 0; index < 5; index++) sent.push(await send(server, index))
  const received = await arrivals(bob)
  const [first] = received
  assert.deepEqual(
    received.map((frame) => (frame.seq as number) - (first?.seq as number)),
    [0, 1, 2, 3, 4],
  )
  bob.send({ type: 'flow', ack: received[2]?.seq, credits: 3 })
  await bob.settled()
  await clock.advance(10)
  const states = await Promise.all(sent.map(({ id }) => status(server, id)))
  assert.deepEqual(states, ['acknowledged', 'acknowledged', 'acknowledged', 'delivered', 'delivered'])
  assert.equal(await depth(server), 2)
  bob.send({ type: 'flow', ack: Number.MAX_SAFE_INTEGER })
  await bob.settled()
  await clock.advance(10)
  assert.equal(await depth(server), 0, 'more than was sent acknowledges what was sent')
})

test('a cumulative acknowledgement covers only what this session was sent', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const first = await server.leased('bob')
  const sent = await send(server, 'taken by the first')
  const old = await first.next<Delivery>('message:received')
  const second = await server.leased('bob', { credits: 0 })
  assert.equal((await first.closed).code, 4409)
  second.send({ type: 'flow', ack: old.seq })
  await second.settled()
  await clock.advance(10)
  assert.equal(await status(server, sent.id), 'stored', 'it waits for the second session')
  second.send({ type: 'flow', credits: 1 })
  const again = await second.next<Delivery>('message:received')
  assert.deepEqual([again.data.id, again.data.attempt], [sent.id, 2])
  assert.ok((again.seq as number) > (old.seq as number))
})

test('an acknowledgement that comes after its lease ran out neither loses the message nor the count', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock, random: () => 0.999 })
  const bob = await server.leased('bob', { credits: 1 })
  const sent = await send(server, 'slow')
  const { seq } = await bob.next<Delivery>('message:received')
  await clock.advance(30_500)
  bob.send({ type: 'flow', ack: seq })
  await bob.settled()
  await clock.advance(100)
  assert.equal(await status(server, sent.id), 'stored')
  assert.equal(await depth(server), 1)
  bob.send({ type: 'flow', credits: 5 })
  await bob.settled()
  await clock.advance(1_000)
  const again = await bob.next<Delivery>('message:received')
  assert.deepEqual([again.data.id, again.data.attempt], [sent.id, 2])
  await bob.call('messages.acknowledge', { receipts: again.data.receipt })
  assert.equal(await depth(server), 0)
})

verifies(['MSG-16', 'REL-01'], 'a receiver that dies while handling gets the same message again when it is back', async (t) => {
  const server = await serveFor(t)
  const bob = await server.leased('bob')
  const sent = await send(server, 'work')
  const first = await bob.next<Delivery>('message:received')
  bob.terminate()
  await bob.closed
  const back = await server.leased('bob')
  const again = await back.next<Delivery>('message:received')
  assert.deepEqual([again.data.id, again.data.attempt, first.data.attempt], [sent.id, 2, 1])
  assert.notEqual(again.data.receipt, first.data.receipt)
})

verifies(
  ['MSG-13', 'WSE-18'],
  'what came while the line was down comes on return, in order, nothing missed and nothing twice',
  async (t) => {
    const clock = new ManualClock()
    const server = await serveFor(t, { clock })
    const { token } = await server.call<{ token: string }>('POST', '/agents/register', { name: 'bob' })
    const bob = await server.leased('bob', { token })
    const sent = []
    for (let index = 0; index < 4; index++) sent.push(await send(server, index))
    const seen = await arrivals(bob)
    bob.send({ type: 'flow', ack: seen[1]?.seq })
    await bob.settled()
    bob.terminate()
    await bob.closed
    for (let index = 4; index < 8; index++) sent.push(await send(server, index))
    await clock.advance(10_000)
    // The client had read three of the four: it still works on the third, and never saw the fourth.
    const back = await server.socket()
    const hello = await back.call<Registered>('agent:register', { name: 'bob', token, credits: 128, last_seq: seen[2]?.seq })
    assert.deepEqual([hello.resumed, hello.gap, hello.head], [true, false, seen[3]?.seq])
    const after = await arrivals(back)
    assert.deepEqual(contents(after), [3, 4, 5, 6, 7])
    assert.deepEqual(
      after.map(({ data }) => data.attempt),
      [2, 1, 1, 1, 1],
    )
    back.send({ type: 'flow', ack: after.at(-1)?.seq })
    await back.settled()
    await clock.advance(10)
    assert.equal(await depth(server), 0, 'the one held over the break is covered as well')
    assert.deepEqual(new Set(await Promise.all(sent.map(({ id }) => status(server, id)))), new Set(['acknowledged']))
  },
)

test('a client that has seen nothing yet is sent everything at once', async (t) => {
  const server = await serveFor(t, { clock: new ManualClock() })
  const bob = await server.leased('bob')
  await send(server, 'lost on the way')
  bob.terminate()
  await bob.closed
  const back = await server.leased('bob', { last_seq: 0 })
  assert.equal((await back.next<Delivery>('message:received')).data.content, 'lost on the way')
})

verifies(
  ['MSG-14', 'REL-01'],
  'after a restart the conversation is listed, the backlog and the dead letters are as they were, and what was in hand comes again',
  async (t) => {
    const folder = temporaryFolder()
    t.after(() => folder.remove())
    const clock = new ManualClock()
    const first = await startTestServer({ clock, config: { data: folder.path } })
    const { token } = await first.call<{ token: string }>('POST', '/agents/register', { name: 'bob' })
    const bob = await first.leased('bob', { token, credits: 2 })
    for (const content of ['a', 'b', 'c']) await send(first, content, { conversation_id: 'talk' })
    const held = await bob.next<Delivery>('message:received')
    await bob.call('message:reject', { receipt: held.data.receipt, dead: true, reason: 'no' })
    const holding = await bob.next<Delivery>('message:received', (data) => data.content === 'b')
    const before = await first.call<{ items: Message[] }>('GET', '/messages')
    const epoch = (await send(first, 'd', { conversation_id: 'talk' })).receipt.store_epoch
    await first.close()

    const second = await serveFor(t, { clock, config: { data: folder.path } })
    const after = await second.call<{ items: Message[] }>('GET', '/messages')
    const without = ({ status: _status, ...message }: Message) => message
    assert.deepEqual(after.items.slice(1).map(without), before.items.map(without))
    assert.deepEqual(
      after.items.map((message) => message.status),
      ['stored', 'stored', 'stored', 'dead'],
    )
    assert.equal((await second.call<{ items: unknown[] }>('GET', '/dead-letters')).items.length, 1)
    assert.equal(await depth(second), 3)
    const back = await second.socket()
    const hello = await back.call<Registered>('agent:register', { name: 'bob', token, credits: 10, last_seq: holding.seq })
    assert.equal(hello.gap, true, 'the client is told that its position is of another process')
    assert.ok(hello.head > (holding.seq as number))
    const again = await back.next<Delivery>('message:received')
    assert.deepEqual([again.data.id, again.data.attempt], [holding.data.id, 2])
    await back.call('message:ack', { receipts: [again.data.receipt] })
    const next = await back.next<Delivery>('message:received')
    assert.deepEqual([next.data.content, next.data.sender_seq], ['c', 3])
    assert.ok((next.seq as number) > hello.head)
    assert.equal((await send(second, 'e')).receipt.store_epoch, epoch)
  },
)

test('in plain mode what was written is acknowledged', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const bob = await server.plain('bob')
  const sent = await send(server, 1)
  await bob.next('message:received')
  await clock.advance(10)
  assert.equal(await status(server, sent.id), 'acknowledged')
  assert.equal(await depth(server), 0)
  bob.terminate()
  await bob.closed
  const waits = await send(server, 2)
  assert.equal(await status(server, waits.id), 'stored')
  const back = await server.plain('bob')
  assert.deepEqual(contents(await arrivals(back)), [2])
})

verifies('MSG-13', 'an agent that was away receives exactly what it missed, in order', async (t) => {
  const server = await serveFor(t)
  const bob = await server.plain('bob')
  await send(server, 'before')
  await bob.next('message:received')
  await bob.close()
  for (let index = 0; index < 300; index++) await send(server, index, index % 2 === 0 ? { conversation_id: 'even' } : {})
  const back = await server.plain('bob')
  await back.take(
    (frame) => frame.type === 'message:received' && (frame.data as unknown as Delivery).content === 298,
    'the last of the conversation',
  )
  const missed = contents([...(await arrivals(back))])
  assert.equal(missed.length, 299)
  const even = missed.filter((content) => (content as number) % 2 === 0)
  assert.deepEqual(
    even,
    [...even].toSorted((a, b) => (a as number) - (b as number)),
  )
})

test('a conversation goes on over one socket while its first message is in the hands of the agent', async (t) => {
  const server = await serveFor(t, { clock: new ManualClock() })
  const bob = await server.leased('bob')
  for (const content of ['one', 'two', 'three']) await send(server, content, { conversation_id: 'talk' })
  const order: unknown[] = []
  for (let index = 0; index < 3; index++) {
    const { data } = await bob.next<Delivery>('message:received')
    order.push(data.content)
    assert.deepEqual(contents(await arrivals(bob)), [], 'the next is not sent before this one is settled')
    await bob.call('message:ack', { receipt: data.receipt })
  }
  assert.deepEqual(order, ['one', 'two', 'three'])
})
