/** Who may do what, tried from outside: local and required mode, browsers, proxies, keys, roles. */
import assert from 'node:assert/strict'
import { readFileSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { type LogEntry, type Operation, type OutputOf, operations, roleGrants } from '@cadre/contract'
import { verifies } from '../../../test/verifies.ts'
import {
  ManualClock,
  Refused,
  type TestServer,
  makeHttp,
  openSocket,
  serveFor,
  startTestServer,
  temporaryFolder,
} from '../testing.ts'
import { systemClock } from './clock.ts'

type Key = OutputOf<'keys.create'>
type Me = OutputOf<'system.whoami'>

const refused = (status: number, code: string) => (error: unknown) => {
  assert.ok(error instanceof Refused, String(error))
  assert.deepEqual([error.status, error.code], [status, code], error.message)
  return true
}
const required = { auth: 'required', allowedHosts: [] } as const
const ask = (server: TestServer, headers: Record<string, string>, path = '/whoami') =>
  server.request<Me & { code: string; detail: string }>('GET', path, undefined, { headers })
const outcome = async (server: TestServer, headers: Record<string, string>) => {
  const { status, body } = await ask(server, headers)
  return status === 200 ? body.role : `${status} ${body.code}`
}
const createKey = (server: TestServer, role: string, token?: string) =>
  server.call<Key>('POST', '/keys', { name: `a ${role}`, role }, { token })

verifies('SEC-04', 'on loopback a program needs no key, a browser and a proxy do, and the host has to be ours', async (t) => {
  const server = await serveFor(t)
  const table: [headers: Record<string, string>, expected: string][] = [
    [{}, 'admin'],
    [{ 'sec-fetch-mode': 'cors' }, 'admin'],
    [{ host: `localhost:${server.port}` }, 'admin'],
    [{ host: 'LOCALHOST' }, 'admin'],
    [{ host: `[::1]:${server.port}` }, 'admin'],
    [{ origin: `http://localhost:${server.port}` }, '401 unauthenticated'],
    [{ origin: 'https://evil.example' }, '401 unauthenticated'],
    [{ origin: 'null' }, '401 unauthenticated'],
    [{ 'sec-fetch-site': 'same-origin' }, '401 unauthenticated'],
    [{ 'sec-fetch-site': 'none' }, '401 unauthenticated'],
    [{ forwarded: 'for=10.0.0.1' }, '401 unauthenticated'],
    [{ 'x-forwarded-for': '10.0.0.1' }, '401 unauthenticated'],
    [{ 'x-forwarded-host': 'a' }, '401 unauthenticated'],
    [{ 'x-forwarded-proto': 'https' }, '401 unauthenticated'],
    [{ 'x-real-ip': '10.0.0.1' }, '401 unauthenticated'],
    [{ host: 'evil.example' }, '403 forbidden'],
    [{ host: `evil.example:${server.port}` }, '403 forbidden'],
    [{ host: 'localhost.evil.example' }, '403 forbidden'],
    [{ host: '127.0.0.1.nip.io' }, '403 forbidden'],
    [{ authorization: 'Bearer cad_x_y' }, '401 unauthenticated'],
    [{ authorization: 'Basic YTpi' }, '401 unauthenticated'],
  ]
  for (const [headers, expected] of table) assert.equal(await outcome(server, headers), expected, JSON.stringify(headers))
  const named = await serveFor(t, { config: { allowedHosts: ['localhost', '127.0.0.1', 'cadre.lan'] } })
  assert.equal(await outcome(named, { host: 'cadre.lan:8000' }), 'admin')
  assert.equal(await outcome(named, { host: 'other.lan' }), '403 forbidden')
})

test('a key works from behind a proxy and in a browser', async (t) => {
  const server = await serveFor(t)
  const { key } = await createKey(server, 'operator')
  for (const headers of [{ forwarded: 'for=1.2.3.4' }, { origin: 'https://app.example' }, { 'sec-fetch-site': 'cross-site' }]) {
    assert.equal(await outcome(server, { ...headers, authorization: `bearer ${key}` }), 'operator')
  }
  assert.equal(await outcome(server, { host: 'evil.example', authorization: `Bearer ${key}` }), '403 forbidden')
})

test('anyone may ask for the health, and nothing else', async (t) => {
  const server = await serveFor(t, { config: required })
  for (const path of ['/health', '/api/health']) assert.equal((await ask(server, {}, path)).status, 200)
  assert.equal((await server.request('GET', '/healthz')).status, 200)
  assert.equal((await server.request('GET', '/readyz')).status, 200)
  assert.equal((await server.request('GET', '/metrics')).status, 401)
})

verifies(['SEC-03', 'SEC-01'], 'in required mode every route that is not public denies whoever has no key', async (t) => {
  const server = await serveFor(t, { config: required })
  let routes = 0
  for (const operation of Object.values(operations) as Operation[]) {
    for (const { method, path } of operation.routes ?? []) {
      for (const prefix of ['/api/v1', '/api']) {
        const answer = await server.request<{ code: string }>(
          method,
          prefix + path.replaceAll(/\{\w+\}/g, 'x'),
          ['GET', 'DELETE'].includes(method) ? undefined : 'not even JSON',
        )
        if (operation.permission === 'public') assert.equal(answer.status, 200, path)
        else {
          assert.deepEqual([answer.status, answer.body.code], [401, 'unauthenticated'], `${method} ${prefix}${path}`)
          assert.equal(answer.headers['www-authenticate'], 'Bearer')
        }
        routes += 1
      }
    }
  }
  assert.ok(routes > 100)
})

verifies('SEC-03', 'every role may do what its grants say, and is refused the rest, operation by operation', async (t) => {
  const server = await serveFor(t, { config: required })
  const admin = server.adminKey as string
  const tokens: Record<string, string> = { admin }
  for (const role of ['operator', 'viewer']) tokens[role] = (await createKey(server, role, admin)).key
  tokens['agent'] = (await server.call<{ token: string }>('POST', '/agents/register', { name: 'ada' }, { token: admin })).token
  for (const [role, token] of Object.entries(tokens)) {
    for (const operation of Object.values(operations) as Operation[]) {
      const [route] = operation.routes ?? []
      if (!route || operation.permission === 'public') continue
      // Input no operation can do anything with: a permitted call fails later, by validation or because nothing is found.
      const body = ['GET', 'DELETE'].includes(route.method)
        ? undefined
        : { name: 7, to: 7, content: 7, tasks: 7, receipts: 7, receipt: 7, priority: 'x', wait_ms: 'x', agent: 7 }
      const path = `${route.path.replaceAll(/\{\w+\}/g, 'ghost')}${route.method === 'GET' || body ? '' : '?force=perhaps&topic='}`
      const answer = await server.request<{ code: string; parameters?: { permission?: string } }>(route.method, path, body, {
        token,
      })
      const denied = answer.status === 403 && answer.body.parameters?.permission === operation.permission
      assert.equal(
        denied,
        !roleGrants[role as keyof typeof roleGrants].includes(operation.permission),
        `${role} ${operation.name}: ${answer.status} ${answer.text.slice(0, 200)}`,
      )
    }
  }
  await assert.rejects(
    server.call('POST', '/agents/spawn', { name: 'x', type: 'writer' }, { token: tokens['viewer'] }),
    refused(403, 'forbidden'),
  )
  const denials = await server.call<{ items: LogEntry[] }>('GET', '/events?types=access.denied&limit=1000', undefined, {
    token: admin,
  })
  const last = denials.items.at(-1) as LogEntry & { data: { operation: string } }
  assert.deepEqual([last.actor, last.data.operation], ['key:a viewer', 'agents.spawn'], 'the refusal is audited')
})

verifies('SEC-01', 'keys are created, shown once, listed without their secret, and revoked at once', async (t) => {
  const server = await serveFor(t, { config: required })
  const admin = { token: server.adminKey }
  const created = await server.request<Key>('POST', '/keys', { name: 'ci', role: 'operator' }, { ...admin, key: 'k' })
  assert.equal(created.status, 201)
  const { key, id } = created.body
  assert.match(key, /^cad_[0-9a-z]+_[\w-]{43}$/)
  const again = await server.request<Key>('POST', '/keys', { name: 'ci', role: 'operator' }, { ...admin, key: 'k' })
  assert.deepEqual([again.status, again.body.key], [200, key], 'a retry of the same request is answered the same')
  await assert.rejects(server.call('POST', '/keys', { name: 'ci' }, admin), refused(409, 'name_taken'))
  await assert.rejects(server.call('POST', '/keys', { name: 'x', role: 'agent' }, admin), refused(422, 'invalid_request'))
  const list = await server.request<{ items: { id: string; name: string; role: string }[] }>('GET', '/keys', undefined, admin)
  assert.deepEqual(new Set(list.body.items.map((item) => `${item.name} ${item.role}`)), new Set(['admin admin', 'ci operator']))
  assert.ok(!list.text.includes(key.split('_')[2] as string))
  assert.equal((await server.call<Me>('GET', '/whoami', undefined, { token: key })).name, 'key:ci')
  await assert.rejects(server.call('GET', '/keys', undefined, { token: key }), refused(403, 'forbidden'))
  // The note of its use was queued before this write, so it is stored with it or earlier.
  await server.call('POST', '/tasks', { title: 'by key' }, { token: key })
  const used = await server.call<{ items: { id: string; last_used_at: string | null }[] }>('GET', '/keys', undefined, admin)
  assert.ok(used.items.find((item) => item.id === id)?.last_used_at)
  await server.call('DELETE', `/keys/${id}`, undefined, admin)
  await assert.rejects(server.call('GET', '/whoami', undefined, { token: key }), refused(401, 'unauthenticated'))
  await assert.rejects(server.call('DELETE', `/keys/${id}`, undefined, admin), refused(404, 'not_found'))
  for (const wrong of [`${key}x`, key.slice(0, -1), key.replace(/^cad_[0-9a-z]+/, 'cad_zzz'), 'cad__', 'x']) {
    await assert.rejects(server.call('GET', '/whoami', undefined, { token: wrong }), refused(401, 'unauthenticated'), wrong)
  }
})

verifies(
  'SEC-01',
  'the first start in required mode makes one admin key, the next none; no secret lies in the store',
  async (t) => {
    const folder = temporaryFolder()
    t.after(() => folder.remove())
    const config = { ...required, data: folder.path }
    const first = await startTestServer({ config })
    const admin = first.adminKey as string
    const agent = (await first.call<{ token: string }>('POST', '/agents/register', { name: 'ada' }, { token: admin, key: 'k' }))
      .token
    const link = new URL(first.signInUrl()).pathname
    const signedIn = await first.request('GET', link)
    const cookie = String(signedIn.headers['set-cookie']).split(';')[0] as string
    await first.close()
    const second = await serveFor(t, { config })
    assert.equal(second.adminKey, undefined)
    assert.equal((await second.call<Me>('GET', '/whoami', undefined, { token: admin })).role, 'admin')
    assert.equal((await second.call<Me>('GET', '/whoami', undefined, { token: agent })).name, 'ada')
    assert.equal(await outcome(second, { cookie }), 'admin', 'who was signed in stays so')
    const stored = readdirSync(folder.path, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => readFileSync(join(entry.parentPath, entry.name)).toString('latin1'))
      .join('\n')
    for (const secret of [admin, agent])
      assert.ok(!stored.includes(secret.split('_').slice(2).join('_')), 'a key lies in the store')
    assert.equal(statSync(join(folder.path, 'secret.key')).mode & 0o077, 0, 'only its owner reads the secret of the server')
    assert.equal(statSync(folder.path).mode & 0o077, 0)
  },
)

verifies('SEC-04', 'a browser signs in by a link that works once, within ten minutes', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const link = () => new URL(server.signInUrl()).pathname
  const path = link()
  const first = await server.request('GET', path)
  assert.deepEqual([first.status, first.headers.location], [303, '/'])
  const header = String(first.headers['set-cookie'])
  for (const part of ['HttpOnly', 'SameSite=Strict', 'Path=/', 'Max-Age=2592000']) assert.ok(header.includes(part), header)
  const again = await server.request<{ code: string }>('GET', path)
  assert.deepEqual([again.status, again.body.code, again.headers['set-cookie']], [401, 'unauthenticated', undefined])
  assert.equal((await server.request('GET', '/sign-in/guess')).status, 401)
  const old = link()
  await clock.advance(600_001)
  assert.equal((await server.request('GET', old)).status, 401)
  const made = await server.request<{ url: string; expires_at: string }>('POST', '/sign-in-links', {})
  assert.deepEqual([made.status, made.body.expires_at], [201, '2026-01-01T00:20:00.001Z'])
  assert.equal((await server.request('GET', new URL(made.body.url).pathname)).status, 303)
  const out = await server.request('POST', '/sign-out')
  assert.match(String(out.headers['set-cookie']), /cadre_session=;.*Max-Age=0/)
})

verifies('SEC-04', 'with the cookie only our own pages act, until it ends', async (t) => {
  let passed = 0
  const server = await serveFor(t, { clock: { ...systemClock, now: () => Date.now() + passed }, config: required })
  const signedIn = await server.request('GET', new URL(server.signInUrl()).pathname)
  const cookie = String(signedIn.headers['set-cookie']).split(';')[0] as string
  const host = `127.0.0.1:${server.port}`
  const table: [headers: Record<string, string>, expected: string][] = [
    [{}, 'admin'],
    [{ origin: `http://${host}`, 'sec-fetch-site': 'same-origin' }, 'admin'],
    [{ 'sec-fetch-site': 'none' }, 'admin'],
    [{ cookie: `other=1; ${cookie}; more=2` }, 'admin'],
    [{ origin: 'https://evil.example' }, '403 forbidden'],
    [{ origin: 'null' }, '403 forbidden'],
    [{ origin: `http://127.0.0.1:${server.port + 1}` }, '403 forbidden'],
    [{ origin: 'http://localhost' }, '403 forbidden'],
    [{ 'sec-fetch-site': 'cross-site' }, '403 forbidden'],
    [{ 'sec-fetch-site': 'same-site' }, '403 forbidden'],
    [{ cookie: `${cookie}x` }, '401 unauthenticated'],
    [{ cookie: cookie.replace('=', '=x') }, '401 unauthenticated'],
    [{ cookie: 'cadre_session=' }, '401 unauthenticated'],
  ]
  for (const [headers, expected] of table)
    assert.equal(await outcome(server, { cookie, ...headers }), expected, JSON.stringify(headers))
  const url = `ws://${host}/ws`
  const socket = await openSocket(url, { headers: { cookie, origin: `http://${host}` } })
  assert.equal((await socket.call<Me>('system.whoami')).role, 'admin')
  socket.terminate()
  await assert.rejects(openSocket(url, { headers: { cookie, origin: 'https://evil.example' } }), /403/)
  passed = 30 * 24 * 3600 * 1000
  assert.equal(await outcome(server, { cookie }), '401 unauthenticated')
})

verifies('SEC-04', 'the token of an agent acts as that agent only, over HTTP and over the socket', async (t) => {
  const server = await serveFor(t, { config: required })
  const admin = { token: server.adminKey }
  const agents = new Map<string, string>()
  for (const name of ['ada', 'bob'])
    agents.set(name, (await server.call<{ token: string }>('POST', '/agents/register', { name }, admin)).token)
  const asAda = { token: agents.get('ada') }
  const me = await server.call<Me>('GET', '/whoami', undefined, asAda)
  assert.deepEqual([me.name, me.role, me.tenant], ['ada', 'agent', 'default'])
  const forbidden: [method: string, path: string, body?: object][] = [
    ['PUT', '/agents/bob/status', { status: 'busy' }],
    ['POST', '/agents/bob/heartbeat', {}],
    ['DELETE', '/agents/bob'],
    ['POST', '/agents/bob/inbox/receive', {}],
    ['POST', '/subscriptions', { topic: 't', agent: 'bob' }],
    ['POST', '/tasks/claim', { agent: 'bob' }],
    ['POST', '/agents/register', { name: 'bob' }],
    ['POST', '/keys', { name: 'x' }],
    ['GET', '/events'],
  ]
  for (const [method, path, body] of forbidden)
    await assert.rejects(server.call(method, path, body, asAda), refused(403, 'forbidden'), path)
  await assert.rejects(
    server.call('POST', '/messages', { to: 'bob', content: 1, sender_id: 'bob' }, asAda),
    refused(403, 'sender_mismatch'),
  )
  assert.equal((await server.call<{ sender: string }>('POST', '/messages', { to: 'bob', content: 1 }, asAda)).sender, 'ada')
  const socket = await openSocket(`ws://127.0.0.1:${server.port}/ws`, {
    headers: { authorization: `Bearer ${agents.get('ada')}` },
  })
  await assert.rejects(socket.call('agent:register', { name: 'bob' }), refused(403, 'forbidden'))
  assert.equal((await socket.call('agent:register', { name: 'ada' }))['token'], undefined)
  socket.terminate()
})

test('a socket may bring its key in the first frame; without one it is closed', async (t) => {
  const server = await serveFor(t, { config: required })
  const { token } = await server.call<{ token: string }>('POST', '/agents/register', { name: 'ada' }, { token: server.adminKey })
  const url = `ws://127.0.0.1:${server.port}/ws`
  const registered = await openSocket(url)
  assert.equal((await registered.call('agent:register', { name: 'ada', token }))['name'], 'ada')
  assert.equal((await registered.call<Me>('system.whoami')).name, 'ada')
  registered.terminate()
  const authenticated = await openSocket(url)
  assert.equal((await authenticated.call<Me>('auth', { token })).name, 'ada')
  authenticated.terminate()
  const attempts: [type: string, data: object][] = [
    ['agent:register', { name: 'ada' }],
    ['agent:register', { name: 'ada', token: 'cad_no_no' }],
    ['auth', { token: 'cad_no_no' }],
    ['messages.send', { to: 'ada', content: 1 }],
    ['agents.list', {}],
  ]
  for (const [type, data] of attempts) {
    const socket = await openSocket(url)
    await assert.rejects(socket.call(type, data), refused(401, 'unauthenticated'), type)
    assert.equal((await socket.closed).code, 4401, type)
  }
  await assert.rejects(openSocket(url, { headers: { authorization: 'Bearer cad_no_no' } }), /401/)
  await assert.rejects(openSocket(`ws://127.0.0.1:${server.port}/elsewhere`), /404/)
})

test('on loopback a page may open a socket but not act on it; a foreign host may not even open it', async (t) => {
  const server = await serveFor(t)
  const url = `ws://127.0.0.1:${server.port}/ws`
  const page = await openSocket(url, { headers: { origin: 'https://evil.example' } })
  await assert.rejects(page.call('agents.list', {}), refused(401, 'unauthenticated'))
  assert.equal((await page.closed).code, 4401)
  await assert.rejects(openSocket(url, { headers: { host: 'evil.example' } }), /403/)
})

test('refusals are audited, but no more than 600 a minute', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const { token } = await server.call<{ token: string }>('POST', '/agents/register', { name: 'ada' })
  const ada = await server.socket({ name: 'ada', token })
  const hammer = (times: number) => Promise.allSettled(Array.from({ length: times }, () => ada.call('events.list', {})))
  await hammer(700)
  const count = async () =>
    (await server.call<{ items: LogEntry[] }>('GET', '/events?types=access.denied&limit=1000')).items.length
  assert.equal(await count(), 600)
  await clock.advance(60_000)
  await hammer(1)
  assert.equal(await count(), 601)
})

test('problems have the media type, the fields of RFC 9457, and a trace', async (t) => {
  const server = await serveFor(t)
  const http = makeHttp(`http://127.0.0.1:${server.port}`)
  const trace = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`
  const answer = await http.request<Record<string, unknown>>('GET', '/agents/ghost', undefined, {
    headers: { traceparent: trace },
  })
  assert.match(String(answer.headers['content-type']), /^application\/problem\+json/)
  assert.deepEqual(answer.body, {
    type: 'urn:cadre:error:not_found',
    title: 'Not found',
    status: 404,
    detail: 'There is no agent ghost; list them to see what exists.',
    code: 'not_found',
    retryable: false,
    parameters: { entity: 'agent', id: 'ghost' },
    trace_id: trace,
  })
})
