import assert from 'node:assert/strict'
import { test } from 'node:test'
import { operations } from '@cadre/contract'
import { CadreClientError } from '../src/errors.ts'
import { makeKeys } from '../src/keys.ts'
import { isQuery } from '../src/queries.ts'
import { Refusal, ScriptedServer, join, silence, turn } from './scripted-server.ts'

const code = (expected: string) => (error: unknown) => error instanceof CadreClientError && error.code === expected

test('the verbs of reading operations are those of the contract', () => {
  const all = Object.values(operations)
  assert.deepEqual(
    all.filter(({ name }) => isQuery(name)).map(({ name }) => name),
    all.filter(({ kind }) => kind === 'query').map(({ name }) => name),
    'bring src/queries.ts up to date',
  )
})

test('keys are UUIDv7: unique, dated, in the order of their milliseconds', () => {
  let now = Date.UTC(2026, 0, 1)
  const newKey = makeKeys(() => now)
  const keys = Array.from({ length: 2000 }, () => {
    now += 1
    return newKey()
  })
  for (const key of keys) assert.match(key, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  assert.equal(new Set(keys).size, 2000)
  assert.deepEqual(keys.toSorted(), keys)
  assert.equal(Number.parseInt((keys[0] ?? '').replaceAll('-', '').slice(0, 12), 16), Date.UTC(2026, 0, 1) + 1)
})

test('a change carries a key, a question does not, and a given key is used', async () => {
  const server = new ScriptedServer()
  const hub = await join(server)
  server.on('tasks.list', () => ({ items: [], next: null }))
  await Promise.all([hub.send('ann', 'hi'), hub.task.list(), hub.send('ann', 'hi', { idempotencyKey: 'mine', priority: 'high' })])
  const [first, second] = server.sent('messages.send')
  assert.match(first?.key ?? '', /-7/)
  assert.equal(second?.key, 'mine')
  assert.deepEqual(second?.data, { to: 'ann', content: 'hi', priority: 'high', return: 'minimal' })
  assert.equal(server.sent('tasks.list')[0]?.key, undefined)
  await hub.close()
})

test('what was not answered is sent again on the next connection, in order, under the same keys', async () => {
  const server = new ScriptedServer()
  const hub = await join(server)
  server.on('messages.send', () => silence)
  const sends = [hub.send('ann', 1), hub.send('ann', 2)]
  await turn()
  const keys = server.sent('messages.send').map((frame) => frame.key)
  server.drop()
  sends.push(hub.send('ann', 3))
  server.on('messages.send', ({ content }) => ({ id: `msg_${String(content)}` }))
  await server.clock.advance(400)
  assert.deepEqual(
    (await Promise.all(sends)).map((sent) => sent.id),
    ['msg_1', 'msg_2', 'msg_3'],
  )
  const again = server.socket.frames.filter((frame) => frame.type === 'messages.send')
  assert.deepEqual(
    again.map((frame) => (frame.data as { content: number }).content),
    [1, 2, 3],
  )
  assert.deepEqual(
    again.slice(0, 2).map((frame) => frame.key),
    keys,
  )
  await hub.close()
})

test('drain tells that what waited for a connection has been answered', async () => {
  const server = new ScriptedServer()
  const hub = await join(server, { queue: 2 })
  let drains = 0
  hub.on('drain', () => drains++)
  await hub.send('ann', 0)
  assert.equal(drains, 0)
  server.accepts = 'refused'
  server.drop()
  const sends = [hub.send('ann', 1), hub.send('ann', 2)]
  assert.equal(hub.outbox.pending(), 2)
  assert.ok(hub.outbox.bytes > 0)
  let room = false
  void hub.outbox.ready().then(() => (room = true))
  server.accepts = 'open'
  await turn()
  assert.equal(room, false)
  await server.clock.advance(2000)
  await Promise.all(sends)
  assert.deepEqual([drains, room, hub.outbox.pending(), hub.outbox.bytes], [1, true, 0, 0])
  await hub.ask('ann', 'x').catch(() => {})
  assert.equal(drains, 1)
  await hub.close()
})

test('a call refused by a stopping server waits for the next connection', async () => {
  const server = new ScriptedServer()
  const hub = await join(server)
  server.on('messages.send', () => new Refusal('draining', { retryable: true }))
  const send = hub.send('ann', 'hi')
  await turn()
  server.on('messages.send', () => ({ id: 'msg_1' }))
  server.drop(4503)
  await server.clock.advance(400)
  assert.equal((await send).id, 'msg_1')
  await hub.close()
})

test('while offline only so many calls wait, and they end in time', async () => {
  const server = new ScriptedServer()
  const hub = await join(server, { queue: 2 })
  server.accepts = 'refused'
  server.drop()
  const waiting = [hub.send('ann', 1), hub.send('ann', 2)]
  await assert.rejects(hub.send('ann', 3), code('queue_full'))
  const ended = waiting.map((send) =>
    assert.rejects(send, (error) => code('timeout')(error) && (error as CadreClientError).retryable),
  )
  await server.clock.advance(30_000)
  await Promise.all(ended)
  // Room again: what ended no longer counts.
  const abort = new AbortController()
  const later = hub.send('ann', 4, { signal: abort.signal })
  abort.abort(new Error('changed my mind'))
  await assert.rejects(later, /changed my mind/)
  await hub.close()
})

test('a refusal carries every field of the problem', async () => {
  const server = new ScriptedServer()
  const hub = await join(server)
  const errors = [{ pointer: '/key', detail: 'too short' }]
  server.on('memory.set', () => new Refusal('invalid_request', { status: 422, errors, trace_id: 't1', parameters: { key: '' } }))
  await assert.rejects(hub.memory.set('', 1), (error) => {
    assert.ok(error instanceof CadreClientError)
    assert.deepEqual(
      { code: error.code, status: error.status, retryable: error.retryable, errors: error.errors, traceId: error.traceId },
      { code: 'invalid_request', status: 422, retryable: false, errors, traceId: 't1' },
    )
    assert.match(error.message, /\/key: too short/)
    return true
  })
  await hub.close()
})

test('an ask waits as long as it was told, and a little for the answer of the server', async () => {
  const server = new ScriptedServer()
  const hub = await join(server)
  server.on('messages.ask', ({ content }) => ({ request_id: 'msg_1', reply: { id: 'msg_2', content: `re ${String(content)}` } }))
  assert.equal((await hub.ask('ann', 'hi', { timeout: 2000 })).content, 're hi')
  assert.deepEqual(server.data('messages.ask')[0], { to: 'ann', content: 'hi', timeout_ms: 2000 })
  server.on('messages.ask', () => silence)
  const silent = assert.rejects(hub.ask('ann', 'hi', { timeout: 2000 }), code('timeout'))
  await server.clock.advance(7000)
  await silent
  await hub.close()
})

test('closing ends what is on its way, and everything after it', async () => {
  const server = new ScriptedServer()
  const hub = await join(server)
  server.on('tasks.get', () => silence)
  const ended = assert.rejects(hub.task.get('t1'), code('closed'))
  await turn()
  await hub.close()
  await ended
  await assert.rejects(hub.broadcast('x'), code('closed'))
})

test('text comes in deltas and whole; a half-told text is not told twice', async () => {
  const server = new ScriptedServer()
  const hub = await join(server)
  const input = { messages: [{ role: 'user' as const, content: 'go on' }] }
  server.on('models.generate', () => silence)
  const heard: string[] = []
  const generation = hub.models.generate(input, { onDelta: (text) => heard.push(text) })
  await turn()
  const ref = server.sent('models.generate')[0]?.id
  server.socket.push(
    { type: 'stream:delta', ref, index: 0, data: { text: 'a' } },
    { type: 'stream:delta', ref, index: 1, data: 'b' },
  )
  server.socket.push({ type: 'stream:delta', ref, index: 1, data: 'b' })
  server.socket.push({ type: 'ack', ref, ok: true, data: { text: 'ab' } })
  const read: string[] = []
  for await (const text of generation) read.push(text)
  assert.deepEqual([heard.join(''), read.join(''), (await generation).text], ['ab', 'ab', 'ab'])

  const cut = hub.models.generate(input)
  await turn()
  server.socket.push({ type: 'stream:delta', ref: server.sent('models.generate')[1]?.id, index: 0, data: 'a' })
  server.drop()
  await assert.rejects(cut, (error) => code('connection_lost')(error) && (error as CadreClientError).retryable)
  await hub.close()
})
