/** The REST surface: every endpoint of the documents, under both prefixes, and the shapes that all answers share. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Operation, OutputOf, Problem } from '@cadre/contract'
import { operations } from '@cadre/contract'
import fc from 'fast-check'
import { verifies } from '../../../test/verifies.ts'
import { type Answer, type HttpOptions, type TestServer, serveFor, temporaryFolder } from '../testing.ts'

type Json = Record<string, unknown>
const both = ['/api/v1', '/api'] as const

/** The same request under both prefixes, each with names of its own. */
async function twice(run: (prefix: string, number: number) => Promise<void>): Promise<void> {
  for (const [number, prefix] of both.entries()) await run(prefix, number)
}
async function expectStatus(
  server: TestServer,
  status: number,
  method: string,
  path: string,
  body?: unknown,
  options?: HttpOptions,
): Promise<Json> {
  const answer = await server.request<Json>(method, path, body, options)
  assert.equal(answer.status, status, `${method} ${path}: ${answer.text}`)
  assert.match(String(answer.headers['content-type']), /^application\/json/)
  return answer.body
}

verifies(['API-02', 'API-03', 'API-04', 'API-05', 'API-06'], 'the agent endpoints answer under both prefixes', async (t) => {
  const server = await serveFor(t)
  await twice(async (prefix, number) => {
    const { id, token } = await expectStatus(server, 201, 'POST', `${prefix}/agents/register`, {
      name: `a${number}`,
      type: 'llm',
    })
    assert.equal(typeof token, 'string')
    assert.equal((await expectStatus(server, 200, 'GET', `${prefix}/agents?type=llm`))['next'], null)
    assert.equal((await expectStatus(server, 200, 'GET', `${prefix}/agents/${id}`))['name'], `a${number}`)
    assert.equal((await expectStatus(server, 200, 'PUT', `${prefix}/agents/${id}/status`, { status: 'busy' }))['status'], 'busy')
    await expectStatus(server, 200, 'PUT', `${prefix}/agents/${id}/status`, { status: 'idle' })
    assert.equal((await expectStatus(server, 200, 'DELETE', `${prefix}/agents/${id}`))['status'], 'terminated')
  })
})

verifies(['API-07', 'API-08', 'API-09'], 'the message endpoints answer under both prefixes', async (t) => {
  const server = await serveFor(t)
  await server.call('POST', '/agents/register', { name: 'b' })
  await twice(async (prefix) => {
    const { id } = await expectStatus(server, 201, 'POST', `${prefix}/messages`, {
      content: 'hello',
      recipients: ['b'],
      message_type: 'note',
      metadata: { a: 1 },
    })
    const listed = (await expectStatus(server, 200, 'GET', `${prefix}/messages?message_type=note&limit=1`)) as unknown as {
      items: Json[]
    }
    assert.equal(listed.items[0]?.['id'], id)
    assert.deepEqual((await expectStatus(server, 200, 'GET', `${prefix}/messages/${id}`))['metadata'], { a: 1 })
  })
})

verifies(
  ['API-10', 'API-11', 'API-12', 'API-13', 'API-14', 'API-15', 'API-16'],
  'the task endpoints answer under both prefixes',
  async (t) => {
    const server = await serveFor(t)
    await server.call('POST', '/agents/register', { name: 'b' })
    await twice(async (prefix) => {
      await expectStatus(server, 201, 'POST', `${prefix}/tasks/submit`, {
        description: 'a task',
        priority: 1,
        agent_type: 'research',
      })
      const { id } = await expectStatus(server, 201, 'POST', `${prefix}/tasks`, {
        title: 'a task',
        description: 'd',
        priority: 2,
      })
      assert.equal((await expectStatus(server, 200, 'GET', `${prefix}/tasks?status=pending&priority=2`))['next'], null)
      assert.equal((await expectStatus(server, 200, 'GET', `${prefix}/tasks/${id}`))['title'], 'a task')
      assert.equal((await expectStatus(server, 200, 'PUT', `${prefix}/tasks/${id}`, { title: 'changed' }))['title'], 'changed')
      assert.equal(
        (await expectStatus(server, 200, 'POST', `${prefix}/tasks/${id}/assign`, { agent_id: 'b' }))['assigned_to'],
        'b',
      )
      assert.equal(
        (await expectStatus(server, 200, 'POST', `${prefix}/tasks/${id}/complete`, { result: { ok: true } }))['status'],
        'completed',
      )
      const status = await expectStatus(server, 200, 'GET', `${prefix}/tasks/${id}/status`)
      assert.deepEqual([status['status'], status['result']], ['completed', { ok: true }])
    })
  },
)

verifies(['API-17', 'API-18', 'API-19', 'API-20'], 'the memory endpoints answer under both prefixes', async (t) => {
  const server = await serveFor(t)
  await twice(async (prefix, number) => {
    const key = `research_results${number}`
    const stored = await expectStatus(server, 200, 'POST', `${prefix}/memory`, { key, value: { findings: '...' } })
    assert.equal(stored['version'], 1)
    assert.deepEqual((await expectStatus(server, 200, 'GET', `${prefix}/memory/${key}`))['value'], { findings: '...' })
    assert.equal((await expectStatus(server, 200, 'PUT', `${prefix}/memory/${key}`, { value: 2, version: 1 }))['version'], 2)
    const conflict = await server.request<Problem>('PUT', `${prefix}/memory/${key}`, { value: 3, version: 1 })
    assert.deepEqual([conflict.status, conflict.body.code], [412, 'version_mismatch'])
    await expectStatus(server, 200, 'DELETE', `${prefix}/memory/${key}`)
    assert.equal((await server.request('GET', `${prefix}/memory/${key}`)).status, 404)
  })
})

verifies('API-25', 'the knowledge endpoints answer under both prefixes', async (t) => {
  const server = await serveFor(t)
  await twice(async (prefix, number) => {
    const content = 'The capital of Iceland is Reykjavik. It lies on the coast.'
    await expectStatus(server, 201, 'POST', `${prefix}/knowledge`, {
      content,
      title: `Iceland ${number}`,
      collection: `places${number}`,
    })
    const found = (await expectStatus(
      server,
      200,
      'GET',
      `${prefix}/knowledge/search?query=capital%20of%20Iceland&collection=places${number}`,
    )) as unknown as { items: { text: string }[] }
    assert.match(String(found.items[0]?.text), /Reykjavik/)
    const { items } = (await expectStatus(server, 200, 'GET', `${prefix}/knowledge/collections`)) as unknown as {
      items: { name: string }[]
    }
    assert.ok(items.some((item) => item.name === `places${number}`))
  })
})

verifies(['API-21', 'OBS-16'], 'health says what works, live and ready are for machines', async (t) => {
  const folder = temporaryFolder()
  const server = await serveFor(t, { config: { data: folder.path } })
  t.after(() => folder.remove())
  await twice(async (prefix) => {
    const health = (await expectStatus(server, 200, 'GET', `${prefix}/health`)) as unknown as OutputOf<'system.health'>
    assert.equal(health.status, 'ok')
    assert.match(health.version, /^\d+\.\d+\.\d+/)
    const parts = Object.fromEntries(health.components.map((component) => [component.name, component.status]))
    assert.deepEqual([parts['store'], parts['bus'], parts['model']], ['ok', 'ok', 'ok'])
    assert.match(String(health.components.find((component) => component.name === 'store')?.detail), /full/)
  })
  for (const path of ['/healthz', '/readyz']) assert.deepEqual(await expectStatus(server, 200, 'GET', path), { status: 'ok' })
})

verifies(['API-22', 'API-23'], 'metrics, as JSON and as Prometheus text, equal what is there', async (t) => {
  const server = await serveFor(t)
  const bob = await server.leased('bob')
  await server.call('POST', '/agents/register', { name: 'away' })
  for (let index = 0; index < 3; index++) await server.call('POST', '/messages', { to: 'bob', content: index })
  await server.call('POST', '/messages', { to: 'away', content: 'waits' })
  await server.call('POST', '/tasks', { title: 'x' })
  const first = await bob.next<{ receipt: string }>('message:received')
  await bob.call('message:ack', { receipts: first.data.receipt })
  const metrics = await server.call<OutputOf<'system.metrics'>>('GET', '/api/v1/metrics')
  const { agents, tasks, messages, connections } = metrics
  assert.deepEqual([agents.total, agents.by_status], [2, { idle: 2 }])
  assert.deepEqual(tasks, { total: 1, by_state: { ready: 1 } })
  const { total, waiting, leased, dead, delivered, acknowledged, redelivered, per_minute } = messages
  assert.deepEqual(
    { total, waiting, leased, dead, delivered, acknowledged, redelivered, per_minute },
    { total: 4, waiting: 1, leased: 2, dead: 0, delivered: 3, acknowledged: 1, redelivered: 0, per_minute: 4 },
  )
  assert.equal(connections, 1)
  const text = await server.request('GET', '/metrics')
  assert.equal(text.status, 200)
  assert.match(String(text.headers['content-type']), /^text\/plain; version=0\.0\.4/)
  const samples = new Map<string, number>()
  const typed = new Set<string>()
  for (const line of text.text.trimEnd().split('\n')) {
    const type = /^# TYPE ([a-z0-9_]+) (gauge|counter|histogram)$/.exec(line)
    const sample = /^([a-z0-9_]+)(\{[a-z_]+="[^"]*"\})? (-?[\d.e+-]+)$/.exec(line)
    assert.ok(type || sample || line.startsWith('# HELP '), line)
    if (type) typed.add(type[1] as string)
    if (!sample) continue
    assert.ok(typed.has(sample[1] as string), `${sample[1]} has no type`)
    samples.set(`${sample[1]}${sample[2] ?? ''}`, Number(sample[3]))
  }
  const expected = {
    cadre_messages_stored_total: 4,
    cadre_inbox_waiting: 1,
    cadre_inbox_leased: 2,
    cadre_messages_acknowledged_total: 1,
    'cadre_agents{status="idle"}': 2,
    'cadre_tasks{state="ready"}': 1,
    cadre_connections: 1,
  }
  for (const [name, value] of Object.entries(expected)) assert.equal(samples.get(name), value, name)
})

test('every list is a page of items and next, takes 1 to 500, and refuses what is no cursor', async (t) => {
  const server = await serveFor(t)
  const lists = [
    '/agents',
    '/messages',
    '/tasks',
    '/tools',
    '/tools/calls',
    '/keys',
    '/dead-letters',
    '/memory',
    '/knowledge/collections',
    '/knowledge',
    '/artifacts',
  ]
  for (const path of lists) {
    const page = await server.request<{ items: unknown[]; next: unknown }>('GET', path)
    assert.deepEqual([page.status, page.body], [200, { items: [], next: null }], `${path}: ${page.text}`)
    for (const limit of ['1', '500'])
      assert.equal((await server.request('GET', `${path}?limit=${limit}`)).status, 200, `${path} ${limit}`)
    for (const limit of ['0', '501', '-1', '1.5', 'all', '']) {
      const answer = await server.request<Problem>('GET', `${path}?limit=${limit}`)
      assert.deepEqual([answer.status, answer.body.errors?.[0]?.pointer], [422, '/limit'], `${path}?limit=${limit}`)
    }
    const cursor = await server.request<Problem>('GET', `${path}?cursor=nonsense`)
    assert.deepEqual([cursor.status, cursor.body.errors?.[0]?.pointer], [422, '/cursor'], `${path}: ${cursor.text}`)
  }
})

test('an idempotency key is taken quoted and bare, and is bounded', async (t) => {
  const server = await serveFor(t)
  const create = (key: string) =>
    server.request<Json & { id: string; receipt: { duplicate: boolean } }>('POST', '/tasks', { title: 'x' }, { key })
  const first = await create('"a key"')
  for (const key of ['a key', '"a key"']) {
    const again = await create(key)
    assert.deepEqual([again.status, again.body.id, again.body.receipt.duplicate], [200, first.body.id, true])
  }
  assert.equal((await create('x'.repeat(256))).status, 201)
  assert.equal((await create('x'.repeat(257))).status, 422)
  const [one, two] = [await create(''), await create('')]
  assert.notEqual(one.body.id, two.body.id, 'an empty key is none')
})

verifies(['API-28', 'SEC-10'], 'what cannot be read is refused with a sentence, before anything happens', async (t) => {
  const server = await serveFor(t)
  const post = (body: string, headers: Record<string, string> = {}, path = '/tasks') =>
    server.request<Problem>('POST', path, body, { headers })
  const cases: [answer: Promise<Answer<Problem>>, status: number, code: string][] = [
    [post('{'), 400, 'malformed'],
    [post(''), 400, 'malformed'],
    [post('[]'), 400, 'malformed'],
    [post('"text"'), 400, 'malformed'],
    [post('title=x', { 'content-type': 'application/x-www-form-urlencoded' }), 400, 'malformed'],
    [post('<a/>', { 'content-type': 'text/xml' }), 400, 'malformed'],
    [post(JSON.stringify({ title: 'x', description: 'y'.repeat(3_000_000) })), 413, 'too_large'],
    [post('{"title":7}'), 422, 'invalid_request'],
    [server.request<Problem>('GET', '/nothing/here'), 404, 'route_not_found'],
    [server.request<Problem>('PATCH', '/tasks', {}), 404, 'route_not_found'],
    [server.request<Problem>('GET', '/api/v2/tasks'), 404, 'route_not_found'],
    [server.request<Problem>('GET', `/tasks/${'x'.repeat(200)}`), 422, 'invalid_request'],
    [server.request<Problem>('GET', '/tasks/%ff'), 400, 'malformed'],
  ]
  for (const [index, [answering, status, code]] of cases.entries()) {
    const answer = await answering
    assert.match(String(answer.headers['content-type']), /^application\/problem\+json/, `case ${index}: ${answer.text}`)
    assert.deepEqual(
      [answer.status, answer.body.code, answer.body.status],
      [status, code, status],
      `case ${index}: ${answer.text}`,
    )
    assert.ok(answer.body.detail.length > 10 && typeof answer.body.trace_id === 'string')
  }
  assert.deepEqual((await server.call<{ items: unknown[] }>('GET', '/tasks')).items, [])
})

verifies(['API-28', 'SEC-10'], 'no input, however odd, is answered with an error of ours, a stack or a path', async (t) => {
  const server = await serveFor(t)
  const odd = fc.oneof(
    fc.jsonValue({ maxDepth: 2 }),
    fc.constantFrom<unknown>('', 'a', '%', '\u0000', -1, 1e300, '9'.repeat(400), '../../etc/passwd', "'; drop table log; --"),
  )
  // Those that wait for somebody would only take long.
  const skipped = new Set(['messages.ask', 'messages.receive', 'agents.spawn', 'models.generate', 'model.generate'])
  const targets = (Object.values(operations) as Operation[]).filter(
    (operation) => operation.routes && !skipped.has(operation.name) && operation.body !== 'upload',
  )
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...targets), fc.infiniteStream(odd), async (operation, values) => {
      const [route] = operation.routes ?? []
      if (!route) return
      const next = () => values.next().value as unknown
      // A generated object may have a toString of its own.
      const text = (value: unknown) => (typeof value === 'object' ? JSON.stringify(value) : String(value))
      const fields = [
        ...Object.keys((operation.input as unknown as { shape: Json }).shape),
        ...Object.keys(operation.aliases ?? {}),
      ]
      const path = route.path.replaceAll(/\{\w+\}/g, () => encodeURIComponent(text(next()).slice(0, 100) || 'x'))
      const given = Object.fromEntries(fields.filter(() => text(next()).length % 2 === 0).map((field) => [field, next()]))
      const query = new URLSearchParams(
        Object.entries(given).map(([field, value]): [string, string] => [field, text(value).slice(0, 500)]),
      )
      const inQuery = route.method === 'GET' || route.method === 'DELETE'
      const answer = await server.request<Json>(route.method, inQuery ? `${path}?${query}` : path, inQuery ? undefined : given)
      assert.ok(answer.status < 500 || answer.status === 501, `${route.method} ${path} ${JSON.stringify(given)}: ${answer.text}`)
      assert.ok(!/\/server\/src\/|node:internal|at .*\.ts:\d+/.test(answer.text), answer.text)
    }),
    { numRuns: 400, seed: 21 },
  )
  assert.deepEqual(server.failures, [])
})

test('every answer tells browsers not to guess its type', async (t) => {
  const server = await serveFor(t)
  for (const path of ['/agents', '/agents/ghost', '/healthz', '/openapi.json', '/nothing']) {
    const { headers } = await server.request('GET', path)
    assert.deepEqual([headers['x-content-type-options'], headers['referrer-policy']], ['nosniff', 'no-referrer'], path)
  }
})
