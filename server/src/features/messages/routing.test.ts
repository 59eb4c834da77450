/** Routing by what an agent is, and what each message tells of its way. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Delivery, Message, OutputOf } from '@cadre/contract'
import { verifies } from '../../../../test/verifies.ts'
import { ManualClock, Refused, serveFor } from '../../testing.ts'

type Sent = OutputOf<'messages.send'>
type Asked = OutputOf<'messages.ask'>

const refused = (status: number, code: string, pointer?: string) => (error: unknown) => {
  assert.ok(error instanceof Refused, String(error))
  assert.deepEqual([error.status, error.code], [status, code], error.message)
  if (pointer !== undefined)
    assert.deepEqual(
      error.problem.errors?.map((field) => field.pointer),
      [pointer],
      error.message,
    )
  return true
}

test('by type and by capability: in turn among those that fit, never the sender, spelled either way', async (t) => {
  const server = await serveFor(t)
  const ada = await server.plain('ada', { type: 'analyst' })
  await server.plain('one', { type: 'analyst', capabilities: ['sql', 'charts'] })
  await server.plain('two', { type: 'analysis_agent', capabilities: ['SQL'] })
  await server.plain('red', { type: 'writer', capabilities: ['sql'] })
  const to = async (fields: object) => ada.call<Sent>('message:send', { content: 0, ...fields })
  const turns = []
  for (let count = 0; count < 4; count++) turns.push((await to({ agent_type: 'Analysis' })).recipients[0])
  assert.deepEqual([turns[0] !== turns[1], turns[0] === turns[2], turns[1] === turns[3]], [true, true, true])
  assert.deepEqual(new Set(turns), new Set(['one', 'two']))
  const typed = await to({ agent_type: 'analyst', strategy: 'round_robin' })
  assert.deepEqual(typed.route, {
    by: 'type',
    strategy: 'round_robin',
    agent_type: 'analyst',
    reason: 'the next of 2 online agents of type analyst',
  })
  const able = await to({ capabilities: ['charts', 'sql'] })
  assert.deepEqual([able.recipients, able.route.by, able.route.capabilities], [['one'], 'capability', ['charts', 'sql']])
  const both = await to({ agent_type: 'writer', capabilities: ['sql'] })
  assert.deepEqual([both.recipients, both.route.reason], [['red'], 'the next of 1 online agent of type writer with sql'])
  const all = await to({ agent_type: 'analyst', strategy: 'all' })
  assert.deepEqual([all.recipients.toSorted(), all.route.reason], [['one', 'two'], 'all 2 agents of type analyst'])
})

test('the least busy is the one with the fewest tasks, then the fewest messages; chance picks by the draw', async (t) => {
  let draw = 0
  const server = await serveFor(t, { clock: new ManualClock(), random: () => draw })
  const names = ['one', 'two', 'three']
  const [one] = [
    await server.leased('one', { type: 'w' }),
    await server.leased('two', { type: 'w' }),
    await server.leased('three', { type: 'w' }),
  ]
  const { id } = await server.call<{ id: string }>('POST', '/tasks', { title: 't', assign_to: 'one' })
  const { data } = await one.next<{ lease: string }>('task:assigned')
  await one.call('tasks.accept', { id, lease: data.lease })
  await server.call('POST', '/messages', { to: 'two', content: 'keeps it busy' })
  const send = (strategy: string) => server.call<Sent>('POST', '/messages', { agent_type: 'w', strategy, content: 0 })
  assert.deepEqual((await send('least_busy')).recipients, ['three'])
  const among = await server.call<Sent>('POST', '/messages', { recipients: ['one', 'two'], strategy: 'least_busy', content: 0 })
  assert.deepEqual(
    [among.recipients, among.route],
    [['two'], { by: 'list', strategy: 'least_busy', reason: 'the least busy of 2 online agents named' }],
  )
  const chosen = []
  for (draw of [0, 0.5, 0.999]) chosen.push((await send('random')).recipients[0])
  assert.deepEqual(chosen, names)
})

test('nobody fits: the message is stored as unroutable with the reason, and a question is refused at once', async (t) => {
  const server = await serveFor(t)
  const ada = await server.plain('ada', { type: 'analyst' })
  const sent = await ada.call<Sent>('message:send', { agent_type: 'analyst', content: 0 })
  assert.deepEqual(
    [sent.status, sent.recipients, sent.metadata['unroutable_reason'], sent.route.reason],
    ['unroutable', [], 'no other agent of type analyst is registered', 'no other agent of type analyst is registered'],
  )
  assert.equal((await server.call<Message>('GET', `/messages/${sent.id}`)).status, 'unroutable')
  await assert.rejects(ada.call('message:ask', { agent_type: 'analyst', content: 0 }), refused(503, 'unavailable'))
  await assert.rejects(ada.call('message:ask', { content: 0 }), refused(422, 'invalid_request', '/to'))
  await assert.rejects(
    ada.call('message:ask', { agent_type: 'x', strategy: 'all', content: 0 }),
    refused(422, 'invalid_request', '/strategy'),
  )
  for (const type of ['message:send', 'message:ask'])
    await assert.rejects(
      ada.call(type, { to: 'ada', agent_type: 'analyst', content: 0 }),
      refused(422, 'invalid_request', '/agent_type'),
    )
  assert.equal((await server.call<OutputOf<'messages.list'>>('GET', '/messages')).items.length, 1)
})

test('a question by type is answered by the one that was chosen, and a retry waits for the same', async (t) => {
  const server = await serveFor(t)
  const { token } = await server.call<{ token: string }>('POST', '/agents/register', { name: 'ada' })
  const first = await server.leased('ada', { token })
  const sockets = { one: await server.leased('one', { type: 'w' }), two: await server.leased('two', { type: 'w' }) }
  const body = { agent_type: 'w', content: 'q' }
  first.send({ type: 'message:ask', id: '1', key: 'k', data: body })
  const asked = await Promise.race(
    Object.entries(sockets).map(async ([name, socket]) => ({ name, request: await socket.next<Delivery>('message:received') })),
  )
  assert.deepEqual([asked.request.data.route?.by, asked.request.data.kind], ['type', 'request'])
  const again = first.call<Asked>('message:ask', body, 'k')
  const winner = asked.name === 'one' ? sockets.one : sockets.two
  await winner.call('message:reply', { reply_to: asked.request.data.id, content: 'a' })
  const { reply } = await again
  assert.deepEqual(
    [reply.sender, reply.content, reply.route],
    [asked.name, 'a', { by: 'reply', reason: 'answers the sender of a message' }],
  )
  const loser = asked.name === 'one' ? sockets.two : sockets.one
  assert.deepEqual(await loser.settled('message:received'), [])
  const [mine] = await first.settled('message:received')
  assert.equal(mine, undefined)
})

verifies('MSG-28', 'every way of addressing is told: by name, by list, to all, to a topic, as an answer', async (t) => {
  const server = await serveFor(t)
  const [ada, bob] = [await server.leased('ada'), await server.leased('bob')]
  await server.call('POST', '/agents/register', { name: 'eve' })
  await bob.call('topic:subscribe', { topic: 'news' })
  const list = await ada.call<Sent>('message:send', { recipients: ['bob', 'eve'], content: 0 })
  assert.deepEqual([list.recipients.toSorted(), list.recipient_count], [['bob', 'eve'], 2])
  const direct = await ada.call<Sent>('message:send', { to: 'bob', content: 0 })
  const half = await ada.call<Sent>('message:send', { to: ['bob', 'ghost'], content: 0 })
  const all = await ada.call<Sent>('message:send', { content: 0 })
  const topic = await ada.call<Sent>('topic:publish', { topic: 'news', content: 0 })
  const answer = await bob.call<Sent>('message:reply', { reply_to: direct.id, content: 0 })
  // A kind of the sender's choice does not change what is told.
  const odd = await ada.call<Sent>('message:send', { to: 'bob', kind: 'broadcast', content: 0 })
  const loud = await ada.call<Sent>('message:send', { broadcast: true, kind: 'event', content: 0 })
  const expected: [Sent, string, string][] = [
    [list, 'list', 'listed by the sender'],
    [direct, 'direct', 'named by the sender'],
    [half, 'direct', 'named by the sender; no agent is called ghost'],
    [all, 'broadcast', 'sent to everyone'],
    [topic, 'topic', 'subscribed to news'],
    [answer, 'reply', 'answers the sender of a message'],
    [odd, 'direct', 'named by the sender'],
    [loud, 'broadcast', 'sent to everyone'],
  ]
  const { items } = await server.call<OutputOf<'messages.list'>>('GET', '/messages?limit=100')
  for (const [sent, by, reason] of expected) {
    assert.deepEqual(sent.route, { by, reason })
    assert.deepEqual(items.find((message) => message.id === sent.id)?.route, sent.route)
  }
  // A plain delivery carries no route: it is what everybody expects.
  const received = await bob.settled<Delivery>('message:received')
  assert.deepEqual(
    received.filter(({ data }) => data.id === direct.id).map(({ data }) => data.route),
    [undefined],
  )
})

test('a retry of a message for whoever fits is the first one, and another wish under its key is refused', async (t) => {
  const server = await serveFor(t)
  for (const name of ['one', 'two']) await server.call('POST', '/agents/register', { name, type: 'w' })
  const send = (fields: object) => server.call<Sent>('POST', '/messages', { content: 0, ...fields }, { key: 'k' })
  const once = await send({ agent_type: 'w' })
  const again = await send({ agent_type: 'w' })
  assert.deepEqual([again.id, again.receipt.duplicate, again.recipients], [once.id, true, once.recipients])
  for (const fields of [{ agent_type: 'v' }, { agent_type: 'w', strategy: 'all' }, { to: once.recipients[0] }, {}])
    await assert.rejects(send(fields), refused(422, 'idempotency_conflict'))
})
