/** Each close code of the protocol, in the situation it stands for; and who may hold how many connections. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, type Socket as Line, connect } from 'node:net'
import { type TestContext, test } from 'node:test'
import { type OutputOf, closeCodes } from '@cadre/contract'
import { WebSocket } from 'ws'
import { verifies } from '../../../test/verifies.ts'
import type { Caller } from '../core/context.ts'
import { Sessions } from '../core/sessions.ts'
import { ManualClock, Refused, type TestServer, openSocket, serveFor } from '../testing.ts'
import { serveSockets } from './websocket.ts'

type Connections = OutputOf<'system.connections'>
const required = { auth: 'required', allowedHosts: [] } as const
const connectionsOf = async (server: TestServer, query = '', token?: string) =>
  (await server.call<Connections>('GET', `/connections${query}`, undefined, { token })).items

/** A line on which frames are written by hand, past what a proper client would send. */
async function rawLine(t: TestContext, port: number, fields = ''): Promise<{ line: Line; code: Promise<number> }> {
  const line = connect(port, '127.0.0.1')
  t.after(() => line.destroy())
  line.write(
    `GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n${fields}\r\n`,
  )
  const [head] = (await once(line, 'data')) as [Buffer]
  assert.match(head.toString('latin1'), /^HTTP\/1\.1 101/)
  const code = new Promise<number>((resolve) => {
    let bytes = Buffer.alloc(0)
    line.on('data', (more: Buffer) => {
      bytes = Buffer.concat([bytes, more])
      const at = bytes.indexOf(0x88)
      if (at >= 0 && bytes.length >= at + 4) resolve(bytes.readUInt16BE(at + 2))
    })
  })
  return { line, code }
}
/** A masked frame whose mask is zero. */
const frame = (first: number, payload: Buffer) =>
  Buffer.concat([
    Buffer.from([first, ...(payload.length < 126 ? [0x80 | payload.length] : [0xfe, payload.length >> 8, payload.length & 255])]),
    Buffer.alloc(4),
    payload,
  ])

test('4400: what the transport cannot read is a bad frame too, whole or in pieces', async (t) => {
  const server = await serveFor(t)
  const bad: [what: string, bytes: Buffer][] = [
    ['text that is no UTF-8', frame(0x81, Buffer.from([0xc3, 0x28]))],
    ['a reserved opcode', frame(0x83, Buffer.from('x'))],
    ['a reserved bit', frame(0xc1, Buffer.from('{}'))],
    ['a continuation of nothing', frame(0x80, Buffer.from('x'))],
    ['an unmasked frame', Buffer.from([0x81, 2, 0x7b, 0x7d])],
    ['a ping in pieces', frame(0x09, Buffer.from('x'))],
    ['bytes', frame(0x82, Buffer.from('{"type":"ping"}'))],
    ['half a document in two pieces', Buffer.concat([frame(0x01, Buffer.from('{"type"')), frame(0x80, Buffer.from(':"ping"'))])],
  ]
  for (const [what, bytes] of bad) {
    const { line, code } = await rawLine(t, server.port)
    line.write(bytes)
    assert.equal(await code, closeCodes.bad_frame, what)
  }
  const { line } = await rawLine(t, server.port)
  const pong = once(line, 'data')
  line.write(Buffer.concat([frame(0x01, Buffer.from('{"type"')), frame(0x80, Buffer.from(':"ping"}'))]))
  assert.match(String((await pong)[0]), /"pong"/, 'a whole document in two pieces is fine')
})

test('4401: nobody says who it is, or says it wrongly', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock, config: required, pingMs: 160 })
  const wrong = await server.socket()
  await assert.rejects(wrong.call('auth', { token: 'cad_x_y' }), (error) => error instanceof Refused && error.status === 401)
  assert.equal((await wrong.closed).code, closeCodes.unauthorised)
  const silent = await server.socket()
  await clock.advance(10_100)
  assert.equal((await silent.closed).code, closeCodes.unauthorised)
  const proper = await server.socket()
  await proper.call('auth', { token: server.adminKey })
  await clock.advance(10_100)
  await proper.settled()
})

test('4403: a key that may not do what the first frame asks', async (t) => {
  const server = await serveFor(t, { config: required })
  const admin = { token: server.adminKey }
  const { key } = await server.call<{ key: string }>('POST', '/keys', { name: 'watcher', role: 'viewer' }, admin)
  const socket = await server.socket()
  await assert.rejects(
    socket.call('agent:register', { name: 'ada', token: key }),
    (error) => error instanceof Refused && error.status === 403,
  )
  assert.equal((await socket.closed).code, closeCodes.forbidden)
  const refused = await server.request('GET', '/connections', undefined, { token: 'cad_x_y' })
  assert.equal(refused.status, 401)
})

verifies('WSE-15', '4408: who answers no ping is gone, and the connections list and the count say so', async (t) => {
  const server = await serveFor(t, { pingMs: 80 })
  const deaf = new WebSocket(`ws://127.0.0.1:${server.port}/ws`, { autoPong: false })
  t.after(() => deaf.terminate())
  const closed = once(deaf, 'close')
  await once(deaf, 'open')
  const alive = await server.leased('ada', { credits: 7 })
  const before = await connectionsOf(server)
  assert.deepEqual(
    before.map(({ name, mode, credits }) => ({ name, mode, credits })),
    [
      { name: 'operator', mode: 'plain', credits: 0 },
      { name: 'ada', mode: 'leased', credits: 7 },
    ],
  )
  const [code] = await closed
  assert.equal(code, closeCodes.idle)
  // Several turns of the wheel later the one that answers is still there.
  const until = performance.now() + 400
  while (performance.now() < until) await alive.settled()
  const after = await connectionsOf(server, '?agent=ada')
  assert.deepEqual([after.length, after[0]?.buffered_bytes, after[0]?.in_flight], [1, 0, 0])
  assert.equal((await connectionsOf(server)).length, 1)
})

test('a line that is cut without a word leaves the list', async (t) => {
  const server = await serveFor(t)
  const watcher = await server.plain('watcher')
  const lost = await server.plain('ada')
  lost.terminate()
  await watcher.next('agent:left')
  assert.deepEqual(
    (await connectionsOf(server)).map(({ name }) => name),
    ['watcher'],
  )
})

test('the list of connections comes in pages, and is not for agents', async (t) => {
  const server = await serveFor(t, { config: required })
  const token = server.adminKey
  const sockets = []
  for (let index = 0; index < 5; index++) {
    const socket = await server.socket(undefined, { headers: { authorization: `Bearer ${token}` } })
    await socket.call('agent:register', { name: `a${index}` })
    sockets.push(socket)
  }
  await server.socket()
  const seen: (string | null)[] = []
  for (let cursor: string | null = ''; cursor !== null; ) {
    const page: Connections = await server.call('GET', `/connections?limit=2${cursor && `&cursor=${cursor}`}`, undefined, {
      token,
    })
    seen.push(...page.items.map(({ name }) => name))
    cursor = page.next
  }
  assert.equal(seen.length, 6)
  assert.deepEqual(new Set(seen), new Set(['a0', 'a1', 'a2', 'a3', 'a4', null]))
  await assert.rejects(
    sockets[0]?.call('system.connections', {}) as Promise<unknown>,
    (error) => error instanceof Refused && error.status === 403,
  )
})

test('4413: a frame over the limit, also one that is over every limit', async (t) => {
  const server = await serveFor(t)
  for (const mebibytes of [1, 5]) {
    const socket = await server.socket()
    socket.send(JSON.stringify({ type: 'ping', data: 'x'.repeat(mebibytes * 1024 * 1024) }))
    assert.equal((await socket.closed).code, closeCodes.too_large, `${mebibytes} MiB`)
  }
})

test('4429: more connections than an agent may have; those it has go on', async (t) => {
  const server = await serveFor(t, { config: { ...required, connections: { agent: 2, tenant: 5 } } })
  const { token } = await server.call<{ token: string }>('POST', '/agents/register', { name: 'ada' }, { token: server.adminKey })
  const headers = { authorization: `Bearer ${token}` }
  const [first] = [await server.socket(undefined, { headers }), await server.socket(undefined, { headers })]
  await assert.rejects(server.socket(undefined, { headers }), /refused with 429/)
  const late = await server.socket()
  await assert.rejects(
    late.call('auth', { token }),
    (error) => error instanceof Refused && error.code === 'too_many_connections' && error.problem.retryable,
  )
  assert.equal((await late.closed).code, closeCodes.rate_limited)
  await first.settled()
  await first.close()
  await first.closed
  const again = await server.socket(undefined, { headers })
  await again.settled()
  // The tenant's own limit, whoever asks.
  const admin = { authorization: `Bearer ${server.adminKey}` }
  for (let index = 0; index < 3; index++) await server.socket(undefined, { headers: admin })
  await assert.rejects(server.socket(undefined, { headers: admin }), /refused with 429/)
})

test('an upgrade that is refused is answered with a problem object', async (t) => {
  const server = await serveFor(t, { config: required })
  const headers = {
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
  }
  const answer = await server.request<{ code: string }>('GET', '/api/v1/ws', undefined, { headers })
  assert.deepEqual([answer.status, answer.body.code], [404, 'route_not_found'])
})

test('4500: the connection itself fails; the failure is logged, the others go on', async () => {
  const http = createServer().listen(0, '127.0.0.1')
  await once(http, 'listening')
  const failures: string[] = []
  const ignore = () => {}
  const sockets = serveSockets({
    server: http,
    clock: new ManualClock(),
    limits: { agent: 10, tenant: 10 },
    sessions: new Sessions(),
    logger: { debug: ignore, info: ignore, warn: ignore, error: (message) => void failures.push(message) },
    access: { authenticate: async () => ({ kind: 'person' }) as Caller, onRevoked: ignore } as never,
    rate: undefined,
    newId: () => 'ses_1',
    flow: () => {
      throw new TypeError('a fault of ours')
    },
    door: undefined as never,
    directory: undefined as never,
    attach: undefined as never,
    leasesOf: undefined as never,
  })
  const url = `ws://127.0.0.1:${(http.address() as AddressInfo).port}/ws`
  const [faulty, other] = [await openSocket(url), await openSocket(url)]
  faulty.send({ type: 'flow', credits: 1 })
  assert.equal((await faulty.closed).code, closeCodes.internal)
  assert.deepEqual(failures, ['a connection failed'])
  await other.settled()
  other.terminate()
  await sockets.close()
  http.close()
})

test('4008: who does not read is cut off, and finds everything when it is back', async (t) => {
  const server = await serveFor(t)
  const { token } = await server.call<{ token: string }>('POST', '/agents/register', { name: 'bob' })
  const { line } = await rawLine(t, server.port, `Authorization: Bearer ${token}\r\n`)
  line.write(frame(0x81, Buffer.from(JSON.stringify({ type: 'agent:register', data: { name: 'bob', credits: 200 } }))))
  await once(line, 'data')
  line.pause()
  const cut = once(line, 'close')
  const watcher = await server.plain('watcher')
  const content = 'x'.repeat(200_000)
  const sent = []
  for (let index = 0; index < 10; index++)
    sent.push((await server.call<{ id: string }>('POST', '/messages', { to: 'bob', content })).id)
  // Forty answers of two megabytes: more than the line holds.
  const asking = JSON.stringify(Array.from({ length: 40 }, (_, id) => ({ type: 'messages.list', id, data: { limit: 10 } })))
  line.write(frame(0x81, Buffer.from(asking)))
  await watcher.next('agent:left')
  line.resume()
  await cut
  const back = await server.leased('bob', { token, credits: 200 })
  const got = []
  for (let index = 0; index < sent.length; index++) got.push((await back.next('message:received')).data['id'])
  assert.deepEqual(got, sent)
})
