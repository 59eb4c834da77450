/** The fourteen socket events of the communication document, one by one, and the frames around them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Agent, Assignment, Delivery, OutputOf, Task } from '@cadre/contract'
import { verifies } from '../../../test/verifies.ts'
import { ManualClock, Refused, type Socket, serveFor } from '../testing.ts'

const refused = (status: number, code: string) => (error: unknown) => {
  assert.ok(error instanceof Refused, String(error))
  assert.deepEqual([error.status, error.code], [status, code], error.message)
  return true
}
// 100 ms locally is the promise; a shared machine in a test run gets ten times as much.
const prompt = async <T>(frame: Promise<T>): Promise<T> => {
  const since = performance.now()
  const arrived = await frame
  assert.ok(performance.now() - since < 1_000, `took ${performance.now() - since} ms`)
  return arrived
}
/** Sends the frame as it is and answers its acknowledgement. */
async function exchange(socket: Socket, frame: { id: string | number; [field: string]: unknown }) {
  socket.send(frame)
  return socket.take((received) => received.type === 'ack' && received.ref === frame.id, `the answer to ${String(frame['type'])}`)
}

verifies('WSE-01', 'agent:register', async (t) => {
  const server = await serveFor(t)
  const socket = await server.socket()
  const ack = await exchange(socket, {
    type: 'agent:register',
    id: '1',
    data: { name: 'research_agent', agent_type: 'llm', server_url: 'http://localhost:8000', metadata: { a: 1 } },
  })
  assert.equal(ack.ok, true)
  const { name, type, agent_type, agent_id, id, status, presence, session, heartbeat_ms, resumed, gap, leases, token, metadata } =
    ack.data
  assert.deepEqual(
    { name, type, agent_type, status, presence, heartbeat_ms, resumed, gap, leases, metadata },
    {
      name: 'research_agent',
      type: 'llm',
      agent_type: 'llm',
      status: 'idle',
      presence: 'online',
      heartbeat_ms: 10_000,
      resumed: false,
      gap: false,
      leases: [],
      metadata: { a: 1 },
    },
  )
  assert.equal(agent_id, id)
  assert.match(String(session), /^ses_/)
  assert.match(String(token), /^cad_/)
  const wrong = await exchange(socket, { type: 'agent:register', id: 2, data: { name: '' } })
  assert.deepEqual([wrong.ok, wrong.ref, wrong.data['code']], [false, 2, 'invalid_request'])
  assert.equal((wrong.data['errors'] as { pointer: string }[])[0]?.pointer, '/name')
})

verifies('WSE-02', 'agent:heartbeat', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const socket = await server.plain('a')
  const bare = await exchange(socket, { type: 'agent:heartbeat', id: '1' })
  assert.deepEqual(
    [bare.ok, bare.data['presence'], bare.data['lost'], bare.data['server_time']],
    [true, 'online', [], '2026-01-01T00:00:00.000Z'],
  )
  const named = await exchange(socket, { type: 'agent:heartbeat', id: '2', data: { agent_id: 'a', status: 'idle' } })
  assert.equal(named.ok, true)
  assert.equal((await exchange(socket, { type: 'agent:heartbeat', id: '3', data: { agent_id: 'b' } })).ok, false)
})

verifies(['WSE-03', 'WSE-09'], 'message:send, and message:received by a second client', async (t) => {
  const server = await serveFor(t)
  const [sender, receiver] = [await server.plain('research_agent'), await server.plain('analysis_agent')]
  const arriving = prompt(receiver.next<Delivery>('message:received'))
  const ack = await exchange(sender, {
    type: 'message:send',
    id: '17',
    data: { content: 'Starting research task...', recipients: ['analysis_agent'] },
  })
  assert.deepEqual([ack.ok, ack.data['content'], ack.data['recipients']], [true, 'Starting research task...', ['analysis_agent']])
  const { seq, data } = await arriving
  assert.equal(typeof seq, 'number')
  const {
    id,
    message_id,
    sender: from,
    content,
    message_type,
    task_id,
    metadata,
    attempt,
    receipt,
    lease_until,
    created_at,
  } = data
  assert.deepEqual(
    { id, message_id, from, content, message_type, task_id, metadata, attempt },
    {
      id: ack.data['id'],
      message_id: ack.data['id'],
      from: 'research_agent',
      content: 'Starting research task...',
      message_type: 'message',
      task_id: null,
      metadata: {},
      attempt: 1,
    },
  )
  for (const text of [receipt, lease_until, created_at]) assert.equal(typeof text, 'string')
  const wrong = await exchange(sender, { type: 'message:send', id: '18', data: { recipients: ['analysis_agent'] } })
  assert.deepEqual([wrong.ok, wrong.data['code']], [false, 'invalid_request'])
})

verifies(
  ['WSE-04', 'WSE-05', 'WSE-06', 'WSE-10', 'WSE-11'],
  'task:create, task:assign, task:update; task:assigned and task:updated by the others',
  async (t) => {
    const server = await serveFor(t)
    const [creator, worker] = [await server.plain('research_agent'), await server.plain('analysis_agent')]
    const created = await exchange(creator, {
      type: 'task:create',
      id: '1',
      data: { title: 'Analyze data', description: 'Process the dataset', priority: 1 },
    })
    assert.deepEqual([created.ok, created.data['status'], created.data['creator']], [true, 'pending', 'research_agent'])
    const id = created.data['id'] as string
    const arriving = prompt(worker.next<Assignment>('task:assigned'))
    const ack = await exchange(creator, { type: 'task:assign', id: '2', data: { task_id: id, agent_id: 'analysis_agent' } })
    assert.deepEqual([ack.ok, ack.data['assigned_to'], ack.data['status']], [true, 'analysis_agent', 'assigned'])
    const { data } = await arriving
    assert.deepEqual(
      [data.id, data.task_id, data.title, data.description, data.priority, data.attempt, typeof data.lease],
      [id, id, 'Analyze data', 'Process the dataset', 1, 1, 'string'],
    )
    assert.equal((await prompt(creator.next<Task>('task:updated'))).data.status, 'assigned')
    const running = await exchange(worker, {
      type: 'task:update',
      id: '3',
      data: { task_id: id, status: 'running', progress: 0.5 },
    })
    assert.deepEqual([running.ok, running.data['status']], [true, 'running'])
    const done = await exchange(worker, {
      type: 'task:update',
      id: '4',
      data: { task_id: id, status: 'completed', result: { findings: 3 } },
    })
    assert.deepEqual([done.ok, done.data['status'], done.data['result']], [true, 'completed', { findings: 3 }])
    const update = await prompt(creator.next<Task>('task:updated', (task) => task.status === 'completed'))
    assert.deepEqual([update.data.id, update.data.result], [id, { findings: 3 }])
    assert.deepEqual(
      (await exchange(worker, { type: 'task:update', id: '5', data: { task_id: id, status: 'completed' } })).ok,
      true,
    )
    const refusals = [
      { type: 'task:create', data: {} },
      { type: 'task:assign', data: { task_id: id, agent_id: 'analysis_agent' } },
      { type: 'task:update', data: { task_id: id, status: 'running' } },
    ]
    for (const [index, frame] of refusals.entries())
      assert.equal((await exchange(creator, { ...frame, id: `r${index}` })).ok, false)
  },
)

verifies('WSE-10', 'a task created with assign_to goes to that agent at once', async (t) => {
  const server = await serveFor(t)
  const [creator, worker] = [await server.plain('research_agent'), await server.plain('analysis_agent')]
  const arriving = prompt(worker.next<Assignment>('task:assigned'))
  await exchange(creator, {
    type: 'task:create',
    id: '1',
    data: { title: 'Analyze data', description: 'Process the dataset', priority: 1, assign_to: 'analysis_agent' },
  })
  assert.equal((await arriving).data.assigned_to, 'analysis_agent')
})

verifies(['WSE-07', 'WSE-08', 'WSE-12'], 'memory:set and memory:get, and memory:updated by a second client', async (t) => {
  const server = await serveFor(t)
  const [writer, reader] = [await server.plain('research_agent'), await server.plain('analysis_agent')]
  const arriving = prompt(reader.next('memory:updated'))
  const ack = await exchange(writer, {
    type: 'memory:set',
    id: '1',
    data: { key: 'research_results', value: { findings: '...' } },
  })
  assert.deepEqual([ack.ok, ack.data['key'], ack.data['version']], [true, 'research_results', 1])
  const { data } = await arriving
  assert.deepEqual([data['key'], data['value'], data['version']], ['research_results', { findings: '...' }, 1])
  const got = await exchange(reader, { type: 'memory:get', id: '2', data: { key: 'research_results' } })
  assert.deepEqual([got.ok, got.data['value'], got.data['created_by']], [true, { findings: '...' }, 'research_agent'])
  const absent = await exchange(reader, { type: 'memory:get', id: '3', data: { key: 'nothing' } })
  assert.deepEqual([absent.ok, absent.data['code'], absent.data['status']], [false, 'not_found', 404])
})

verifies(['WSE-13', 'WSE-14'], 'agent:joined and agent:left', async (t) => {
  const server = await serveFor(t)
  const watcher = await server.plain('watcher')
  const joining = prompt(watcher.next('agent:joined'))
  const other = await server.plain('other', { type: 'writer', capabilities: ['prose'] })
  const { id } = await server.call<Agent>('GET', '/agents/other')
  assert.deepEqual((await joining).data, { agent_id: id, name: 'other', type: 'writer', capabilities: ['prose'] })
  assert.deepEqual(await other.settled('agent:joined'), [], 'nobody hears of itself')
  const leaving = prompt(watcher.next('agent:left'))
  other.terminate()
  assert.deepEqual((await leaving).data, { agent_id: id, name: 'other', reason: 'disconnected' })
})

test('connections are counted, and a newer session takes the place of an older one', async (t) => {
  const server = await serveFor(t)
  const count = async () => (await server.call<OutputOf<'system.metrics'>>('GET', '/api/v1/metrics')).connections
  const first = await server.plain('a')
  const bare = await server.socket()
  assert.equal(await count(), 2)
  const second = await server.plain('a')
  assert.deepEqual(await first.closed, { code: 4409, reason: 'A newer session speaks for this agent' })
  assert.equal(await count(), 2)
  assert.equal(
    (await server.call<Agent>('GET', '/agents/a')).presence,
    'online',
    'the end of the old one does not take the agent away',
  )
  await bare.close()
  await second.close()
  const last = await server.socket()
  await last.settled()
  assert.equal(await count(), 1)
})

test('every operation answers to its own name, and ids may be text, numbers or absent', async (t) => {
  const server = await serveFor(t)
  const socket = await server.plain('a')
  assert.equal((await exchange(socket, { type: 'system.whoami', id: 0 })).data['name'], 'a')
  assert.equal((await exchange(socket, { type: 'tasks.create', id: 'x', data: { title: 't' } })).data['title'], 't')
  socket.send({ type: 'system.whoami' })
  assert.equal((await socket.take((frame) => frame.type === 'ack' && frame.ref === null, 'the answer')).ok, true)
  const unknown = await exchange(socket, { type: 'no:such', id: '9' })
  assert.deepEqual([unknown.ok, unknown.data['code']], [false, 'unknown_operation'])
  await socket.settled()
})

test('the key of a frame makes it safe to repeat', async (t) => {
  const server = await serveFor(t)
  const socket = await server.plain('a')
  const frames = [
    { type: 'task:create', data: { title: 'once' } },
    { type: 'message:send', data: { content: 'once', to: 'a' } },
    { type: 'memory:set', data: { key: 'k', value: 1 } },
  ]
  for (const frame of frames) {
    const first = await exchange(socket, { ...frame, id: '1', key: 'same' })
    const again = await exchange(socket, { ...frame, id: '2', key: 'same' })
    const receipts = [first, again].map((ack) => ack.data['receipt'] as { id: string; duplicate: boolean })
    assert.deepEqual(
      receipts.map((receipt) => receipt.duplicate),
      [false, true],
      frame.type,
    )
    assert.equal(receipts[0]?.id, receipts[1]?.id)
  }
})

test('a message may be an array of frames; those who say so are sent arrays too', async (t) => {
  const server = await serveFor(t)
  const socket = await server.leased('a')
  socket.send([1, 2, 3].map((id) => ({ type: 'memory:set', id, data: { key: `k${id}`, value: id } })))
  for (const id of [1, 2, 3]) assert.equal((await socket.take((frame) => frame.ref === id, `ack ${id}`)).ok, true)
})

test('a hand-written client without a subprotocol gets one frame a message', async (t) => {
  const server = await serveFor(t)
  const plain = await server.plain('a')
  const texts: string[] = []
  const bare = new WebSocket(`ws://127.0.0.1:${server.port}/ws`)
  await new Promise((done) => (bare.onopen = done))
  const three = new Promise<void>((done) => {
    bare.onmessage = ({ data }) => {
      texts.push(String(data))
      if (texts.length === 3) done()
    }
  })
  bare.send(JSON.stringify([1, 2, 3].map((id) => ({ type: 'system.whoami', id }))))
  await three
  assert.ok(texts.every((text) => text.startsWith('{')))
  const closed = new Promise((done) => (bare.onclose = done))
  bare.close()
  await closed
  await plain.settled()
})

test('what is no frame is answered and the line is closed', async (t) => {
  const server = await serveFor(t)
  const bad: [sent: string | Buffer, code: number][] = [
    ['{', 4400],
    ['null', 4400],
    ['"text"', 4400],
    ['{"id":"1"}', 4400],
    ['{"type":7}', 4400],
    ['{"type":"ping","id":{}}', 4400],
    ['[{"type":"ping"},3]', 4400],
    [`{"type":"${'x'.repeat(129)}"}`, 4400],
    ['{"type":"flow","credits":"many"}', 4400],
  ]
  for (const [sent, code] of bad) {
    const socket = await server.socket()
    socket.send(sent)
    const ack = await socket.next('ack')
    assert.deepEqual([ack.ref, ack.ok, ack.data['code']], [null, false, 'malformed'], String(sent))
    assert.equal((await socket.closed).code, code)
  }
  const large = await server.socket()
  large.send(JSON.stringify({ type: 'ping', data: 'x'.repeat(1024 * 1024) }))
  assert.equal((await large.closed).code, 4413)
})

test('unknown fields of a frame are no reason to fail, and ping is answered', async (t) => {
  const server = await serveFor(t)
  const socket = await server.socket({ name: 'a', favourite_colour: 'green' })
  assert.equal((await exchange(socket, { type: 'system.whoami', id: '1', extra: true, data: { more: 1 } })).ok, true)
  socket.send({ type: 'ping', extra: 1 })
  await socket.next('pong')
})

test('a follower of the log sees everything from its position on, in order, once', async (t) => {
  const server = await serveFor(t)
  const sender = await server.plain('a')
  for (let index = 0; index < 700; index++) sender.send({ type: 'message:send', id: index, data: { to: 'a', content: index } })
  await sender.take((frame) => frame.type === 'ack' && frame.ref === 699, 'the last answer')
  const follower = await server.socket()
  const { head } = await follower.call<{ head: number }>('events.watch', { after: 0, types: ['message.sent'] })
  for (let index = 700; index < 750; index++) await sender.call('message:send', { to: 'a', content: index })
  const seen: { seq: number; data: { content: unknown } }[] = []
  for (let count = 0; count < 750; count++)
    seen.push((await follower.next<{ seq: number; data: { content: unknown } }>('event')).data)
  assert.deepEqual(
    seen.map((entry) => entry.data.content),
    Array.from({ length: 750 }, (_, index) => index),
  )
  assert.ok(seen.every((entry, index) => index === 0 || entry.seq > (seen[index - 1]?.seq as number)))
  assert.ok(head >= 700)
  await follower.call('events.unwatch')
  await sender.call('message:send', { to: 'a', content: 'unseen' })
  assert.deepEqual(await follower.settled('event'), [])
  const ada = await server.socket({
    name: 'ada',
    token: (await server.call<{ token: string }>('POST', '/agents/register', { name: 'ada' })).token,
  })
  await assert.rejects(ada.call('events.watch', {}), refused(403, 'forbidden'))
  await assert.rejects(server.call('POST', '/events/watch', {}), refused(404, 'route_not_found'))
})

test('many calls at once on one line are all answered', async (t) => {
  const server = await serveFor(t)
  const socket = await server.plain('a')
  const answers = await Promise.all(
    Array.from({ length: 6_000 }, (_, index) =>
      socket.call<{ name: string }>(index % 50 === 0 ? 'agents.get' : 'system.whoami', index % 50 === 0 ? { id: 'a' } : {}),
    ),
  )
  assert.equal(answers.length, 6_000)
})
