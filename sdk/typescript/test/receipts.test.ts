/** What became of a message, and content that is more than plain JSON, against the real server. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { verifies } from '../../../test/verifies.ts'
import { CadreClientError, Reject } from '../src/index.ts'
import { pack, unpack } from '../src/binary.ts'
import { openHouse } from './house.ts'
import { ScriptedServer, gate, join, silence, turn } from './scripted-server.ts'

const code = (expected: string) => (error: unknown) => error instanceof CadreClientError && error.code === expected

verifies('SDK-03', 'the sender learns that its message was delivered, and that it was acknowledged', async (t) => {
  const { join: enter } = await openHouse(t)
  const [ann, bob] = [await enter('ann'), await enter('bob')]
  const taken = gate()
  const finish = gate()
  const sent = await ann.send('bob', 'work')
  await assert.rejects(sent.delivered({ timeout: 50 }), (error) => {
    assert.ok(error instanceof CadreClientError)
    return error.code === 'timeout' && error.retryable && error.parameters['message_id'] === sent.id
  })
  bob.onMessage(async (message) => {
    if (message.content === 'never') throw new Reject('not mine')
    taken.open()
    await finish.opened
  })
  await taken.opened
  assert.equal((await sent.delivered()).reached, true)
  await assert.rejects(sent.acknowledged({ timeout: 50 }), code('timeout'))
  const acknowledged = sent.acknowledged()
  finish.open()
  const receipt = await acknowledged
  assert.deepEqual([receipt.reached, receipt.status, receipt.counts.acknowledged], [true, 'acknowledged', 1])
  const doomed = await ann.send('bob', 'never')
  await assert.rejects(doomed.acknowledged(), (error) => {
    assert.ok(error instanceof CadreClientError)
    return error.code === 'message_dead' && JSON.stringify(error.parameters['deliveries']).includes('not mine')
  })
  const abort = new AbortController()
  await enter('cid')
  const waiting = assert.rejects((await ann.send('cid', 1)).acknowledged({ signal: abort.signal }), /no longer/)
  abort.abort(new Error('no longer'))
  await waiting
})

test('expired and unroutable are told', async (t) => {
  const { join: enter } = await openHouse(t)
  const ann = await enter('ann')
  await assert.rejects((await ann.broadcast('anyone?')).delivered(), code('unroutable'))
  await enter('bob')
  await assert.rejects((await ann.send('bob', 'soon over', { ttl: 1 })).acknowledged(), code('expired'))
})

test('the methods of a receipt do not show, and one question follows another until it is reached', async () => {
  const server = new ScriptedServer()
  const hub = await join(server)
  server.on('messages.send', () => ({ id: 'msg_1' }))
  const sent = await hub.send('ann', 1)
  assert.deepEqual(sent, { id: 'msg_1' })
  assert.deepEqual([Object.keys(sent), JSON.stringify(sent)], [['id'], '{"id":"msg_1"}'])
  const open = { counts: { dead: 0, expired: 0 }, status: 'stored', reached: false }
  server.on('messages.wait', () => silence)
  const reached = sent.acknowledged({ timeout: 60_000 })
  await turn()
  await server.clock.advance(25_000)
  server.socket.push({ type: 'ack', ref: server.sent('messages.wait')[0]?.id, ok: true, data: open })
  server.on('messages.wait', () => ({ ...open, reached: true, status: 'acknowledged' }))
  assert.equal((await reached).reached, true)
  assert.deepEqual(server.data('messages.wait'), [
    { id: 'msg_1', state: 'acknowledged', timeout_ms: 25_000 },
    { id: 'msg_1', state: 'acknowledged', timeout_ms: 25_000 },
  ])
  await hub.close()
})

test('bytes are packed and unpacked whole; anything else stays as it is', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      const wire = JSON.parse(JSON.stringify({ content: pack(bytes) }))
      assert.deepEqual(wire, { content: { $binary: Buffer.from(bytes).toString('base64') } })
      assert.deepEqual(unpack(wire), { content: bytes })
      const inner = new Uint8Array([9, ...bytes, 9])
      assert.deepEqual(pack(inner.subarray(1, -1)), pack(bytes))
      assert.deepEqual(pack(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength)), pack(bytes))
    }),
  )
  fc.assert(fc.property(fc.jsonValue(), (content) => assert.equal(pack(content), content)))
  for (const content of [null, 'text', { $binary: 'not base64!' }, { $binary: 'AA==', more: 1 }, { $binary: 1 }, [], undefined]) {
    assert.deepEqual(unpack({ content }), { content })
  }
})

test('bytes and every kind of text arrive as they were sent', async (t) => {
  const { join: enter } = await openHouse(t)
  const [ann, bob] = [await enter('ann'), await enter('bob')]
  const got: unknown[] = []
  const all = gate()
  const every = Uint8Array.from({ length: 256 }, (_, byte) => byte)
  const sent = [
    every,
    'a\0b',
    '\u2028\u2029\ufeff\u0085',
    '😀 ⁧ ‮ e\u0301',
    { 'k\0\u2028ey': ['\\u0000', '\u0001\u001f', '"\\/'] },
    '\ud800 high alone',
    'low alone \udc00',
    { '\udfff': 1 },
    { nested: { $binary: 'AA==' } },
    [],
    null,
    0,
    '',
    'x'.repeat(100_000) + '\0',
  ]
  bob.onMessage((message) => {
    if (message.kind === 'request') return message.content
    got.push(message.content)
    if (got.length === sent.length) all.open()
    return undefined
  })
  for (const content of sent) await ann.send('bob', content)
  await all.opened
  assert.deepEqual(got, sent)
  assert.ok(got[0] instanceof Uint8Array)
  assert.deepEqual((await ann.ask('bob', every)).content, every)
  const raw = await (await enter(undefined)).call('messages.list', { limit: 100 })
  const wire = raw.items.map(({ content }) => content).find((content) => JSON.stringify(content).startsWith('{"$binary'))
  assert.deepEqual(wire, { $binary: Buffer.from(every).toString('base64') })
})
