/** What a hostile or clumsy client sends: refused, and the server goes on. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import { Refused, serveFor } from '../testing.ts'

const required = { auth: 'required', allowedHosts: [] } as const

test('an upgrade to an address that is none, without a credential, ends that connection only', async (t) => {
  const server = await serveFor(t, { config: required })
  for (const path of ['//', '/ws/../x', '/\\', '/elsewhere']) {
    const socket = connect(server.port, '127.0.0.1')
    socket.on('error', () => {})
    const ended = once(socket, 'close')
    socket.end(
      `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`,
    )
    socket.resume()
    await ended
  }
  assert.equal((await server.request('GET', '/health')).status, 200)
})

test('every header of a proxy takes the operator rights away', async (t) => {
  const server = await serveFor(t)
  for (const name of [
    'forwarded',
    'via',
    'x-real-ip',
    'x-forwarded-for',
    'x-forwarded-port',
    'x-forwarded-server',
    'x-forwarded-prefix',
  ]) {
    assert.equal((await server.request('GET', '/agents', undefined, { headers: { [name]: '1' } })).status, 401, name)
  }
  assert.equal((await server.request('GET', '/agents')).status, 200)
})

test('a body under another content type is refused, not taken for an empty one', async (t) => {
  const server = await serveFor(t)
  const { id } = await server.call<{ id: string }>('POST', '/tasks', { title: 'sum' })
  for (const type of ['application/x-www-form-urlencoded', 'text/plain']) {
    const answer = await server.request('POST', `/tasks/${id}/complete`, '{"result":42}', { headers: { 'content-type': type } })
    assert.equal(answer.status, 400, type)
  }
  assert.equal((await server.call<{ state: string }>('GET', `/tasks/${id}`)).state, 'ready')
})

test('a tool may not bring regular expressions, but may have an argument of that name', async (t) => {
  const server = await serveFor(t)
  const tools = await server.leased('toolsmith')
  const register = (name: string, input_schema: object) => tools.call('tools.register', { name, input_schema })
  for (const schema of [
    { pattern: '^(a+)+$' },
    { properties: { a: { pattern: 'x' } } },
    { anyOf: [{ patternProperties: {} }] },
  ]) {
    await assert.rejects(
      register('slow', schema),
      (error) => error instanceof Refused && error.problem.code === 'invalid_request',
    )
  }
  await register('find', { type: 'object', properties: { pattern: { type: 'string' } } })
})

test('a list of large rows is cut into pages by their size, and nothing is skipped', async (t) => {
  const server = await serveFor(t)
  const content = 'x'.repeat(250_000)
  for (let number = 0; number < 12; number++)
    await server.call('POST', '/messages', { to: 'operator', content, metadata: { number } })
  const seen: number[] = []
  let pages = 0
  for (let cursor: string | null = ''; cursor !== null; pages++) {
    const query: string = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`
    const page = await server.call<{ items: { metadata: { number: number } }[]; next: string | null }>(
      'GET',
      `/messages?limit=500${query}`,
    )
    assert.ok(page.items.length <= 9)
    seen.push(...page.items.map((item) => item.metadata.number))
    cursor = page.next
  }
  assert.ok(pages > 1)
  assert.deepEqual(seen, [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0])
})

test('a revoked key ends the connections that came with it', async (t) => {
  const server = await serveFor(t, { config: required })
  const admin = { token: server.adminKey }
  const { id, key } = await server.call<{ id: string; key: string }>('POST', '/keys', { name: 'other', role: 'admin' }, admin)
  const socket = await server.socket(undefined, { headers: { authorization: `Bearer ${key}` } })
  await socket.call('agents.list', {})
  await server.call('DELETE', `/keys/${id}`, undefined, admin)
  const { code } = await socket.closed
  assert.equal(code, 4401)
})

test('an agent ends with the key it was registered with, also when its connection speaks for somebody else since', async (t) => {
  const server = await serveFor(t, { config: required })
  const admin = { token: server.adminKey }
  const { id, key } = await server.call<{ id: string; key: string }>('POST', '/keys', { name: 'other', role: 'operator' }, admin)
  const socket = await server.socket({ name: 'ada', token: key, credits: 10 })
  await socket.call('auth', { token: server.adminKey })
  await server.call('DELETE', `/keys/${id}`, undefined, admin)
  assert.equal((await socket.closed).code, 4401)
})

test('a client that goes away while a model writes for it is no failure of ours', async (t) => {
  const server = await serveFor(t)
  const messages = [{ role: 'user', content: 'Write a long report about bridges.' }]
  for (let round = 0; round < 5; round++) {
    const socket = await server.socket()
    for (let id = 0; id < 20; id++) socket.send({ type: 'models.generate', id, data: { messages } })
    await socket.take((frame) => frame.type === 'stream:delta', 'the first part')
    socket.terminate()
    await socket.closed
  }
  await server.call('POST', '/models/generate', { messages })
  assert.deepEqual(server.failures, [])
})
