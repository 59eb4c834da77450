/** Loop brakes through the public doors: what is stopped, what is not, and how it goes on. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Brake, Delivery, LogEntry, OutputOf } from '@cadre/contract'
import { verifies } from '../../../../test/verifies.ts'
import { ManualClock, Refused, type Socket, type TestServer, serveFor, startTestServer, temporaryFolder } from '../../testing.ts'

type Sent = OutputOf<'messages.send'>
type Tripped = {
  brake_id: string
  rule: string
  parties: string[]
  count: number
  reason: string
  message_ids: string[]
  task_id: string | null
}

const isLoop = (error: unknown) => error instanceof Refused && error.code === 'loop_stopped'
const stopped = (promise: Promise<unknown>) =>
  assert.rejects(promise, (error) => {
    assert.ok(isLoop(error), String(error))
    return true
  })
const trips = async (server: TestServer) =>
  (await server.call<{ items: LogEntry[] }>('GET', '/events?types=brake.tripped')).items.map(({ data }) => data as Tripped)
const configure = (server: TestServer, settings: object) => server.call('PATCH', '/brakes/settings', settings)
const held = async (server: TestServer) => (await server.call<{ items: Brake[] }>('GET', '/brakes?held=true')).items

/** Answers whatever comes with what `answer` makes of it, until it is refused; resolves with the refusal. */
async function alwaysReply(agent: Socket, answer: (delivery: Delivery) => Promise<unknown>): Promise<Refused> {
  for (;;) {
    const { data } = await agent.next<Delivery>('message:received')
    try {
      await answer(data)
    } catch (error) {
      if (isLoop(error)) return error as Refused
      throw error
    }
  }
}

const number = (content: unknown) => Number(/\d+/.exec(String(content))?.[0])
/** The ways in which two agents answer each other for ever, and the rule that ends each. */
const ways = [
  {
    way: 'replies that say something else each time',
    rule: 'hops',
    most: 33,
    first: {},
    answer: (agent: Socket) => (it: Delivery) =>
      agent.call('message:reply', { reply_to: it.id, content: `thought ${number(it.content) + 1}` }),
  },
  {
    way: 'replies that thank',
    rule: 'ping_pong',
    most: 24,
    first: {},
    answer: (agent: Socket) => (it: Delivery) => agent.call('message:reply', { reply_to: it.id, content: 'Thank you!' }),
  },
  {
    way: 'plain messages that thank, nearly in the same words',
    rule: 'ping_pong',
    most: 24,
    first: {},
    answer: (agent: Socket) => (it: Delivery) =>
      agent.call('message:send', { to: it.sender, content: String(it.content).endsWith('!') ? 'thank you' : 'Thank you!' }),
  },
  {
    way: 'plain messages in a conversation that say something else each time',
    rule: 'ping_pong',
    most: 202,
    first: { conversation_id: 'talk' },
    answer: (agent: Socket) => (it: Delivery) =>
      agent.call('message:send', { to: it.sender, conversation_id: 'talk', content: `thought ${number(it.content) + 1}` }),
  },
  {
    way: 'plain messages that say something else each time',
    rule: 'ping_pong',
    most: 202,
    first: {},
    answer: (agent: Socket) => (it: Delivery) =>
      agent.call('message:send', { to: it.sender, content: `thought ${number(it.content) + 1}` }),
  },
] as const

for (const { way, rule, most, first, answer } of ways) {
  verifies('BYD-08', `two agents that always answer are stopped by rule and the timeline says why: ${way}`, async (t) => {
    const clock = new ManualClock()
    const server = await serveFor(t, { clock })
    const [ada, bob] = [await server.plain('ada'), await server.plain('bob')]
    const eve = await server.plain('eve')
    const { id: task_id } = await server.call<{ id: string }>('POST', '/tasks', { title: 'Talk' })
    const loop = [alwaysReply(ada, answer(ada)), alwaysReply(bob, answer(bob))]
    await ada.call<Sent>('message:send', { to: 'bob', content: 'thought 0', task_id, ...first })
    const refusal = await Promise.race(loop)

    const between = (await server.call<{ items: Sent[] }>('GET', '/messages?limit=500')).items.filter(
      ({ kind }) => kind !== 'system',
    )
    assert.ok(between.length <= most, `${between.length} messages`)
    assert.ok(between.length >= 20, 'a short exchange is left alone')
    const [tripped, ...more] = await trips(server)
    assert.ok(tripped)
    assert.deepEqual(more, [], 'said once')
    assert.deepEqual([tripped.rule, tripped.parties], [rule, ['ada', 'bob']])
    assert.match(tripped.reason, /limit is \d+/)
    assert.equal(tripped.message_ids[0], between[0]?.id, 'it names the last messages')
    // A reply goes on with the task of what it answers, and so does the entry about it.
    assert.equal(tripped.task_id, between[0]?.task_id)
    if (way.startsWith('replies')) assert.equal(tripped.task_id, task_id)
    assert.equal(refusal.status, 409)
    assert.equal(refusal.problem.retryable, false)
    assert.match(refusal.message, new RegExp(tripped.brake_id))
    assert.ok(refusal.message.includes(tripped.reason))

    // Both directions are held, others are not.
    const [brake] = await held(server)
    assert.deepEqual([brake?.id, brake?.state], [tripped.brake_id, 'held'])
    const where = brake?.conversation_id == null ? {} : { conversation_id: brake.conversation_id }
    const again = (from: Socket, to: string) => from.call<Sent>('message:send', { to, content: 'and now', ...where })
    await stopped(again(ada, 'bob'))
    await stopped(again(bob, 'ada'))
    await again(eve, 'ada')
    await again(ada, 'eve')
    assert.equal((await trips(server)).length, 1, 'what is held is not reported again')
    const notice = await server.call<{ items: Sent[] }>('GET', '/messages?type=brake.tripped')
    assert.deepEqual(
      notice.items.map(({ recipients, content }) => [recipients, (content as Tripped).brake_id]),
      [[['operator'], tripped.brake_id]],
    )
  })
}

test('what was sent before the stop is delivered', async (t) => {
  const server = await serveFor(t, { clock: new ManualClock() })
  const [ada, bob] = [await server.plain('ada'), await server.plain('bob')]
  const heard: unknown[] = []
  const answer = (agent: Socket) => (it: Delivery) => {
    heard.push(it.content)
    return agent.call('message:reply', { reply_to: it.id, content: number(it.content) + 1 })
  }
  const loop = [alwaysReply(ada, answer(ada)), alwaysReply(bob, answer(bob))]
  await ada.call('message:send', { to: 'bob', content: 0 })
  await Promise.race(loop)
  assert.deepEqual(
    heard,
    Array.from({ length: 33 }, (_, index) => index),
  )
})

test('an operator lets it go on, and the next loop is stopped again', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  await configure(server, { hop_limit: 3 })
  const [ada, bob] = [await server.plain('ada'), await server.plain('bob')]
  const reply = (agent: Socket, to: Sent) =>
    agent.call<Sent>('message:reply', { reply_to: to.id, content: `after ${to.receipt.seq}` })
  let last: Sent = await ada.call<Sent>('message:send', { to: 'bob', content: 'go' })
  const round = async () => {
    for (let index = 0; index < 3; index++) last = await reply(index % 2 === 0 ? bob : ada, last)
  }
  await round()
  await stopped(reply(ada, last))
  const [brake] = await held(server)
  assert.ok(brake)
  await assert.rejects(
    ada.call('brakes.reset', { id: brake.id }),
    (error) => error instanceof Refused && error.code === 'forbidden',
  )
  const reset = await server.call<Brake>('POST', `/brakes/${brake.id}/reset`)
  assert.deepEqual([reset.state, reset.reset_by], ['reset', 'operator'])
  assert.deepEqual(await held(server), [])
  // Again: nothing changes, and nothing is logged.
  assert.equal((await server.call<{ receipt: unknown }>('POST', `/brakes/${brake.id}/reset`)).receipt, null)
  const events = await server.call<{ items: LogEntry[] }>('GET', '/events?types=brake.reset')
  assert.equal(events.items.length, 1)

  last = await reply(ada, last)
  last = await reply(bob, last)
  last = await reply(ada, last)
  await stopped(reply(bob, last))
  assert.equal((await trips(server)).length, 2)
})

test('it goes on by itself when the time to hold it is over', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  await configure(server, { ping_pong_turns: 2, cooldown_ms: 1_000 })
  const [ada, bob] = [await server.plain('ada'), await server.plain('bob')]
  const say = (from: Socket, to: string) => from.call('message:send', { to, content: 'hm' })
  const loop = async () => {
    for (let turn = 0; turn < 10; turn++) await (turn % 2 === 0 ? say(ada, 'bob') : say(bob, 'ada'))
  }
  await stopped(loop())
  await clock.advance(999)
  await stopped(say(ada, 'bob'))
  await clock.advance(1)
  await say(ada, 'bob')
  const list = await server.call<{ items: Brake[] }>('GET', '/brakes')
  assert.deepEqual(
    list.items.map(({ state }) => state),
    ['cooled'],
  )
  await stopped(loop())
  assert.equal((await trips(server)).length, 2)
})

verifies('BYD-08', 'a restart keeps what is held, what counts as a beginning, and the limits', async (t) => {
  const folder = temporaryFolder()
  t.after(() => folder.remove())
  const clock = new ManualClock()
  const open = () => startTestServer({ clock, config: { data: folder.path } })
  let server = await open()
  await configure(server, { hop_limit: 4 })
  await server.call('POST', '/brakes/exemptions', { conversation_id: 'free' })
  let [ada, bob] = [await server.plain('ada'), await server.plain('bob')]
  const reply = (agent: Socket, to: { id: string }, content: string) =>
    agent.call<Sent>('message:reply', { reply_to: to.id, content })
  const first = await ada.call<Sent>('message:send', { to: 'bob', content: 'go' })
  const third = await reply(ada, await reply(bob, first, 'a'), 'b')
  await server.close()

  // Two replies are in the log; this process has seen none of them.
  server = await open()
  ;[ada, bob] = [await server.plain('ada'), await server.plain('bob')]
  const fifth = await reply(ada, await reply(bob, third, 'c'), 'd')
  await stopped(reply(bob, fifth, 'e'))
  const [brake] = await held(server)
  await server.close()

  server = await open()
  ;[ada, bob] = [await server.plain('ada'), await server.plain('bob')]
  assert.deepEqual(
    (await held(server)).map(({ id }) => id),
    [brake?.id],
  )
  await stopped(reply(bob, fifth, 'f'))
  const settings = await server.call<OutputOf<'brakes.settings'>>('GET', '/brakes/settings')
  assert.deepEqual([settings.hop_limit, settings.exempt_conversations], [4, ['free']])
  await server.call('POST', `/brakes/${brake?.id}/reset`)
  await server.close()

  server = await open()
  ;[ada, bob] = [await server.plain('ada'), await server.plain('bob')]
  const on = await reply(bob, fifth, 'g')
  await server.close()
  server = await open()
  ;[ada, bob] = [await server.plain('ada'), await server.plain('bob')]
  let last = on
  for (let index = 0; index < 3; index++) last = await reply(index % 2 === 0 ? ada : bob, last, `h${index}`)
  await stopped(reply(bob, last, 'i'))
  await server.close()
})

test('a retry of what was stored is answered while its exchange is held', async (t) => {
  const server = await serveFor(t, { clock: new ManualClock() })
  await configure(server, { hop_limit: 1 })
  const [ada, bob] = [await server.plain('ada'), await server.plain('bob')]
  const first = await ada.call<Sent>('message:send', { to: 'bob', content: 'go', conversation_id: 'talk' })
  const answer = { reply_to: first.id, content: 'yes' }
  const second = await bob.call<Sent>('message:reply', answer, 'key-1')
  await stopped(ada.call('message:reply', { reply_to: second.id, content: 'and' }, 'key-2'))
  const again = await bob.call<Sent>('message:reply', answer, 'key-1')
  assert.deepEqual([again.id, again.receipt.duplicate], [second.id, true])
  await stopped(bob.call('message:reply', answer, 'key-3'))
})

test('the message of a person begins an exchange anew', async (t) => {
  const server = await serveFor(t, { clock: new ManualClock() })
  await configure(server, { hop_limit: 1 })
  const [ada] = [await server.plain('ada')]
  let last = await ada.call<Sent>('message:send', { to: 'operator', content: 'may I?' })
  for (let round = 0; round < 5; round++) {
    last = await server.call<Sent>('POST', `/messages/${last.id}/reply`, { content: `yes, ${round}` })
    last = await ada.call<Sent>('message:reply', { reply_to: last.id, content: `and ${round}?` })
  }
  assert.deepEqual(await trips(server), [])
})

test('a burst of the same is stopped, of different contents it is not', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  await configure(server, { burst_messages: 200 })
  const [ada] = [await server.plain('ada'), await server.plain('bob'), await server.plain('eve')]
  const send = (content: unknown, to = 'bob') => ada.call('message:send', { to, content })
  for (let index = 0; index < 1_000; index++) await send({ index, filler: 'x' })
  const burst = async () => {
    for (let index = 0; index < 500; index++) await send({ status: index % 3 })
  }
  await stopped(burst())
  const [tripped] = await trips(server)
  assert.equal(tripped?.rule, 'burst')
  assert.ok(tripped.count <= 300, `stopped at ${tripped.count}`)
  await send('x', 'eve')
  await server.call('POST', `/brakes/${tripped.brake_id}/reset`)
  // The same, but slower than the limit.
  for (let index = 0; index < 300; index++) {
    await send('tick')
    await clock.advance(6)
  }
  assert.equal((await trips(server)).length, 1)
})

verifies('BYD-08', 'the same tool call over and over is refused, another call and a retry are not', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const [provider, ada, bob] = [await server.leased('provider'), await server.leased('ada'), await server.leased('bob')]
  await provider.call('tool:register', { name: 'look', description: 'Looks', grants: ['*'] })
  let ran = 0
  const call = async (agent: Socket, given: object, key?: string) => {
    const answered = agent.call('tool:call', { name: 'look', arguments: given, ...(key !== undefined && { key }) })
    const { data } = await provider.next<{ invocation: string }>('tool:invoke')
    ran += 1
    await provider.call('tools.result', { invocation: data.invocation, result: ran })
    return answered
  }
  for (let index = 0; index < 24; index++) await call(ada, { at: 'x', deep: { a: 1, b: 2 } })
  await call(ada, { deep: { b: 2, a: 1 }, at: 'x' }, 'key-25')
  await ada.call('tool:call', { name: 'look', arguments: { at: 'x', deep: { a: 1, b: 2 } }, key: 'key-25' })
  await stopped(ada.call('tool:call', { name: 'look', arguments: { at: 'x', deep: { a: 1, b: 2 } } }))
  const [tripped] = await trips(server)
  assert.deepEqual([tripped?.rule, tripped?.parties, tripped?.count], ['repeated_call', ['ada'], 26])
  assert.match(tripped?.reason ?? '', /ada called look 26 times/)
  await stopped(ada.call('tool:call', { name: 'look', arguments: { at: 'x', deep: { a: 1, b: 2 } } }))
  const recalled = await ada.call<{ attempts: number }>('tool:call', {
    name: 'look',
    arguments: { at: 'x', deep: { a: 1, b: 2 } },
    key: 'key-25',
  })
  assert.equal(recalled.attempts, 3, 'a key that ran before is answered from the ledger')
  await call(ada, { at: 'y' })
  await call(bob, { at: 'x', deep: { a: 1, b: 2 } })
  await server.call('POST', `/brakes/${tripped?.brake_id}/reset`)
  await call(ada, { at: 'x', deep: { a: 1, b: 2 } })
  assert.equal((await trips(server)).length, 1)
})

test('questions somebody waits on may repeat, and so may what carries artifacts or is exempt', async (t) => {
  const server = await serveFor(t, { clock: new ManualClock() })
  await configure(server, { ping_pong_turns: 3, dialogue_turns: 6 })
  const [ada, bob] = [await server.plain('ada'), await server.plain('bob')]
  for (let round = 0; round < 20; round++) {
    const asked = ada.call('message:ask', { to: 'bob', content: 'ready?', conversation_id: 'poll' })
    const { data } = await bob.next<Delivery>('message:received')
    await bob.call('message:reply', { reply_to: data.id, content: 'not yet' })
    await asked
  }
  const turn = async (fields: object) => {
    await ada.call('message:send', { to: 'bob', ...fields })
    await bob.call('message:send', { to: 'ada', ...fields })
  }
  for (let round = 0; round < 10; round++) {
    const { id } = await ada.call<{ id: string }>('artifacts.upload', { content: `draft ${round}` })
    await turn({ content: 'draft', artifacts: [id], conversation_id: 'work' })
  }
  await server.call('POST', '/brakes/exemptions', { conversation_id: 'free' })
  for (let round = 0; round < 10; round++) await turn({ content: 'draft', conversation_id: 'free' })
  assert.deepEqual(await trips(server), [])
  await server.call('POST', '/brakes/exemptions', { conversation_id: 'free', exempt: false })
  await stopped(
    (async () => {
      for (let round = 0; round < 10; round++) await turn({ content: 'draft', conversation_id: 'free' })
    })(),
  )
})

test('a third voice in a conversation lets two go on', async (t) => {
  const server = await serveFor(t, { clock: new ManualClock() })
  await configure(server, { dialogue_turns: 6 })
  const [ada, bob, eve] = [await server.plain('ada'), await server.plain('bob'), await server.plain('eve')]
  const say = (agent: Socket, to: string, content: string) =>
    agent.call('message:send', { to, content, conversation_id: 'three' })
  for (let round = 0; round < 10; round++) {
    await say(ada, 'bob', `a${round}`)
    await say(bob, 'ada', `b${round}`)
    if (round % 3 === 2) await say(eve, 'ada', `e${round}`)
  }
  assert.deepEqual(await trips(server), [])
})

test('a loop over a topic is stopped by its hops', async (t) => {
  const server = await serveFor(t, { clock: new ManualClock() })
  await configure(server, { hop_limit: 5 })
  const [ada, bob, eve] = [await server.plain('ada'), await server.plain('bob'), await server.plain('eve')]
  for (const agent of [ada, bob, eve]) await agent.call('topic:subscribe', { topic: 'chat' })
  let last = await ada.call<Sent>('topic:publish', { topic: 'chat', content: 0 })
  for (let hop = 1; hop <= 5; hop++)
    last = await [ada, bob, eve][hop % 3]!.call<Sent>('topic:publish', { topic: 'chat', content: hop, reply_to: last.id })
  await stopped(ada.call('topic:publish', { topic: 'chat', content: 6, reply_to: last.id }))
  await bob.call('topic:publish', { topic: 'chat', content: 'new' })
  await stopped(ada.call('topic:publish', { topic: 'chat', content: 'held' }))
  await ada.call('topic:publish', { topic: 'other', content: 'free' })
})

test('brakes that are off stop nothing, and bad limits are refused', async (t) => {
  const server = await serveFor(t, { clock: new ManualClock() })
  const [ada, bob] = [await server.plain('ada'), await server.plain('bob')]
  const refusedWith = (code: string) => (error: unknown) => error instanceof Refused && error.code === code
  await assert.rejects(configure(server, { hop_limit: -1 }), refusedWith('invalid_request'))
  await assert.rejects(ada.call('brakes.configure', { enabled: false }), refusedWith('forbidden'))
  await assert.rejects(ada.call('brakes.exempt', { conversation_id: 'x' }), refusedWith('forbidden'))
  await assert.rejects(ada.call('brakes.list', {}), refusedWith('forbidden'))
  await assert.rejects(server.call('GET', '/brakes/brk_none'), refusedWith('not_found'))
  await assert.rejects(server.call('POST', '/brakes/brk_none/reset'), refusedWith('not_found'))
  await configure(server, { enabled: false, hop_limit: 1, ping_pong_turns: 1 })
  let last = await ada.call<Sent>('message:send', { to: 'bob', content: 'x' })
  for (let hop = 0; hop < 6; hop++)
    last = await (hop % 2 ? ada : bob).call<Sent>('message:reply', { reply_to: last.id, content: 'x' })
  assert.deepEqual(await trips(server), [])
})

test('content that is too deep is refused for that', async (t) => {
  const server = await serveFor(t)
  const ada = await server.plain('ada')
  const deep = `${'['.repeat(50_000)}${']'.repeat(50_000)}`
  ada.send(`{"type":"message:send","id":"deep","data":{"to":"ada","content":${deep}}}`)
  const { data } = await ada.take((frame) => frame.ref === 'deep', 'the refusal')
  assert.equal(data['code'], 'invalid_request')
})
