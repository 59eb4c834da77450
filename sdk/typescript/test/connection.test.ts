import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { CadreClientError } from '../src/errors.ts'
import { Hub } from '../src/hub.ts'
import { resolveEndpoints } from '../src/socket.ts'
import { Refusal, ScriptedServer, join, silence, turn } from './scripted-server.ts'

const code = (expected: string) => (error: unknown) => error instanceof CadreClientError && error.code === expected

test('an address becomes a socket address and an HTTP address', () => {
  const cases: [string, string, string][] = [
    ['http://localhost:8000', 'ws://localhost:8000/ws', 'http://localhost:8000'],
    ['https://cadre.test/', 'wss://cadre.test/ws', 'https://cadre.test'],
    ['ws://localhost:8000/ws', 'ws://localhost:8000/ws', 'http://localhost:8000'],
    ['wss://host/behind/proxy', 'wss://host/behind/proxy/ws', 'https://host/behind/proxy'],
  ]
  for (const [given, socket, http] of cases) assert.deepEqual(resolveEndpoints(given), { socket, http })
  assert.throws(() => resolveEndpoints('ftp://cadre.test'), /begins with http/)
})

test('an agent registers with its profile and learns the token that was issued', async () => {
  const server = new ScriptedServer()
  server.welcome = { token: 'cad_issued' }
  const hub = await join(server, { type: 'analyst', capabilities: ['csv'], concurrency: 3, token: 'cad_key' })
  const [first] = server.socket.frames
  assert.equal(first?.type, 'agent:register')
  assert.deepEqual(first?.data, {
    name: 'bob',
    type: 'analyst',
    capabilities: ['csv'],
    concurrency: 3,
    token: 'cad_key',
    credits: 0,
    short: true,
    presence: false,
  })
  assert.equal(hub.token, 'cad_issued')
  server.drop()
  await server.clock.advance(400)
  assert.equal(server.data('agent:register')[1]?.['token'], 'cad_issued')
  await hub.close()
})

test('without an agent the token is the first frame, and without a token there is none', async () => {
  const server = new ScriptedServer()
  const operator = await join(server, { agent: undefined, token: 'cad_key' })
  assert.deepEqual(server.socket.frames[0], { type: 'auth', id: '0', data: { token: 'cad_key' } })
  const browser = await join(server, { agent: undefined })
  assert.ok(!server.socket.frames.some((frame) => frame.type === 'auth'))
  await Promise.all([operator.close(), browser.close()])
})

test('a refusal for good ends connecting with its reason, and nothing is tried again', async () => {
  const server = new ScriptedServer()
  server.on('agent:register', () => new Refusal('name_taken', { parameters: { name: 'bob' } }))
  await assert.rejects(
    join(server),
    (error) => code('name_taken')(error) && (error as CadreClientError).parameters['name'] === 'bob',
  )
  await server.clock.advance(60_000)
  assert.equal(server.sockets.length, 1)
})

for (const [close, expected] of [
  [4401, 'unauthenticated'],
  [4403, 'forbidden'],
  [4409, 'replaced'],
] as const) {
  test(`close code ${close} is final: calls end with ${expected}`, async () => {
    const server = new ScriptedServer()
    const hub = await join(server)
    const errors: unknown[] = []
    hub.on('error', (error) => errors.push(error))
    server.on('tasks.list', () => silence)
    const pending = hub.task.list()
    await turn()
    server.drop(close)
    await assert.rejects(pending, code(expected))
    await assert.rejects(hub.memory.get('k'), code(expected))
    await hub.closed
    assert.equal(errors.length, 1)
    await server.clock.advance(60_000)
    assert.equal(server.sockets.length, 1)
  })
}

test('a server that is not there yet is waited for, then given up with a sentence', async () => {
  const server = new ScriptedServer()
  server.accepts = 'refused'
  const waiting = join(server)
  await turn()
  await server.clock.advance(1000)
  server.accepts = 'open'
  await server.clock.advance(2000)
  const hub = await waiting
  assert.ok(server.sockets.length > 2)
  await hub.close()

  const absent = new ScriptedServer()
  absent.accepts = 'refused'
  const failed = assert.rejects(
    join(absent, { timeout: 5000 }),
    /No Cadre server accepted the connection within 5000 ms \(1006\)/,
  )
  await turn()
  await absent.clock.advance(5000)
  await failed
})

test('a server that accepts and then says nothing is left', async () => {
  const server = new ScriptedServer()
  server.on('agent:register', () => silence)
  const waiting = assert.rejects(join(server, { timeout: 25_000 }), code('timeout'))
  await server.clock.advance(25_000)
  await waiting
  assert.ok(server.sockets.length >= 2)
  assert.ok(server.sockets[0]?.closed)
})

test('waits between attempts grow, stay within 0.2 s and 10 s, and start again after a connection that held', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.double({ min: 0, max: 0.999, noNaN: true }), { minLength: 9, maxLength: 9 }),
      async (chances) => {
        const server = new ScriptedServer()
        let next = 0
        const hub = new Hub('http://cadre.test', {
          WebSocket: server.WebSocket,
          clock: server.clock,
          random: () => chances[next++] ?? 0,
          timeout: 600_000,
          token: 'cad_key',
        })
        await hub.start()
        server.accepts = 'refused'
        await server.clock.advance(6000)
        server.drop()
        const waits: number[] = []
        for (let attempt = 1; attempt <= 8; attempt++) {
          const from = server.clock.now()
          const seen = server.sockets.length
          while (server.sockets.length === seen) await server.clock.advance(50)
          waits.push(server.clock.now() - from)
          const ceiling = Math.min(10_000, 200 * 2 ** attempt)
          assert.ok((waits.at(-1) ?? 0) >= 200 && (waits.at(-1) ?? 0) <= ceiling + 50, `attempt ${attempt}: ${waits.at(-1)}`)
        }
        await hub.close()
      },
    ),
    { numRuns: 5 },
  )
})

test('frames of one turn leave as one text, also those that answers wake', async () => {
  const server = new ScriptedServer()
  const hub = await join(server, { agent: undefined, token: 'cad_key' })
  const before = server.socket.texts.length
  const writing = Array.from({ length: 10 }, async (_, index) => {
    await hub.memory.set(`k${index}`, 1)
    await hub.memory.set(`k${index}`, 2)
  })
  await Promise.all(writing)
  const texts = server.socket.texts.slice(before)
  assert.deepEqual(
    texts.map((text) => (JSON.parse(text) as unknown[]).length),
    [10, 10],
  )
  await hub.close()
})

test('a text stays below the frame limit of the server', async () => {
  const server = new ScriptedServer()
  server.welcome = { max_frame: 60_000 }
  const hub = await join(server)
  await Promise.all(Array.from({ length: 20 }, (_, index) => hub.memory.set(`k${index}`, 'ü'.repeat(4000))))
  assert.ok(server.socket.texts.length > 3)
  for (const text of server.socket.texts) assert.ok(Buffer.byteLength(text) <= 60_000)
  await assert.rejects(hub.memory.set('k', 'x'.repeat(60_000)), code('too_large'))
  assert.equal(hub.online, true)
  await hub.close()
})

test('an agent says it lives every heartbeat; others ping', async () => {
  const server = new ScriptedServer()
  const hub = await join(server)
  assert.equal(server.sent('agents.heartbeat').length, 1)
  await server.clock.advance(30_000)
  assert.equal(server.sent('agents.heartbeat').length, 4)
  assert.equal(server.sent('agents.heartbeat')[0]?.key, undefined)
  await hub.close()
  const operator = await join(server, { agent: undefined })
  await server.clock.advance(20_000)
  assert.equal(server.sent('ping').length, 3)
  await operator.close()
})

test('a server that falls silent is left without waiting for its close', async () => {
  const server = new ScriptedServer()
  const hub = await join(server)
  const losses: string[] = []
  hub.on('offline', ({ reason }) => losses.push(reason))
  server.on('agents.heartbeat', () => silence)
  await server.clock.advance(31_000)
  assert.deepEqual(losses, ['the server fell silent'])
  assert.equal(server.sockets.length, 2)
  assert.equal(hub.online, true)
  await hub.close()
})

test('draining, resync and noise are told', async () => {
  const server = new ScriptedServer()
  const hub = await join(server)
  const told: string[] = []
  hub.on('draining', () => told.push('draining'))
  hub.on('resync', ({ reason }) => told.push(`resync ${reason}`))
  hub.on('error', () => told.push('error'))
  hub.on('online', ({ resumed }) => told.push(`online ${resumed}`))
  server.socket.push({ type: 'system:draining', data: {} }, { type: 'resync', data: { reason: 'restored' } })
  server.socket.fire('message', { data: 'no json' })
  server.socket.push({ type: 'ack', ref: null, ok: false, data: { code: 'malformed' } })
  server.socket.push({ type: 'something:new', data: {} })
  server.welcome = { resumed: true, gap: true }
  server.drop(4503)
  await server.clock.advance(400)
  assert.deepEqual(told.slice(0, 5), ['draining', 'resync restored', 'error', 'error', 'online true'])
  assert.match(told[5] ?? '', /^resync/)
  await hub.close()
})

test('an abort signal closes, before and after connecting', async () => {
  const server = new ScriptedServer()
  await assert.rejects(join(server, { signal: AbortSignal.abort(new Error('no')) }), /no/)
  const abort = new AbortController()
  const hub = await join(server, { signal: abort.signal })
  abort.abort()
  await hub.closed
  assert.equal(server.socket.closed?.code, 1000)
})
