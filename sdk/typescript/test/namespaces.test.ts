import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LogEntry, Task } from '@cadre/contract'
import { AgentClient } from '../src/agent-client.ts'
import { CadreClientError } from '../src/errors.ts'
import { GraphBuilder } from '../src/graph.ts'
import { Refusal, ScriptedServer, join, silence, turn } from './scripted-server.ts'

const state = (id: string, to: string, at: number, more = {}) =>
  ({
    id,
    state: to,
    updated_at: new Date(Date.UTC(2026, 0, 1) + at).toISOString(),
    attempt: 1,
    result: null,
    error: null,
    ...more,
  }) as Task

test('a result is waited for by pushes, and read again after a reconnect', async () => {
  const server = new ScriptedServer()
  const hub = await join(server)
  server.on('tasks.create', () => state('t1', 'ready', 0))
  server.on('tasks.get', () => state('t1', 'running', 1))
  const task = await hub.task.create({ title: 'x', assign_to: 'ann' })
  const result = task.result()
  await turn()
  server.socket.push({ type: 'task:updated', data: state('t1', 'completed', 2, { result: 42 }) })
  assert.equal(await result, 42)
  assert.equal(server.sent('events.watch').length, 0)

  const missed = assert.rejects(
    task.result(),
    (error) => error instanceof CadreClientError && error.code === 'rejected' && error.message === 'no',
  )
  await turn()
  server.on('tasks.get', () => state('t1', 'failed', 3, { error: { code: 'rejected', message: 'no' } }))
  server.drop()
  await server.clock.advance(400)
  await missed
  await hub.close()
})

test('a push that was lost is made up for within 15 s', async () => {
  const server = new ScriptedServer()
  const hub = await join(server)
  server.on('tasks.get', () => state('t1', 'running', 1))
  server.on('tasks.create', () => state('t1', 'ready', 0))
  const result = (await hub.task.create({ title: 'x' })).result()
  await turn()
  server.on('tasks.get', () => state('t1', 'completed', 2, { result: 'late' }))
  await server.clock.advance(15_000)
  assert.equal(await result, 'late')
  await hub.close()
})

test('who is no agent follows the log', async () => {
  const server = new ScriptedServer()
  const hub = await join(server, { agent: undefined })
  server.on('tasks.get', () => state('t1', 'running', 1))
  server.on('events.watch', () => ({ head: 10, after: 10 }))
  const result = hub.task.handle('t1').result()
  await turn()
  const [watch] = server.data('events.watch')
  assert.ok(Array.isArray(watch?.['types']) && watch['types'].includes('task.completed'))
  server.on('tasks.get', () => state('t1', 'completed', 2, { result: 7 }))
  server.socket.push({ type: 'event', data: { seq: 11, type: 'task.completed', data: { task_id: 't1' } } })
  assert.equal(await result, 7)
  await turn()
  assert.equal(server.sent('events.unwatch').length, 1)
  await hub.close()
})

test('the end of the connection ends the waiting', async () => {
  const server = new ScriptedServer()
  const hub = await join(server)
  server.on('tasks.get', () => silence)
  const ended = assert.rejects(hub.task.handle('t1').result(), (error) => (error as CadreClientError).code === 'closed')
  await turn()
  await hub.close()
  await ended
})

test('events of a task end with its last state, and never go back', async () => {
  const server = new ScriptedServer()
  const hub = await join(server)
  server.on('tasks.get', () => state('t1', 'ready', 1))
  server.on('tasks.create', () => state('t1', 'ready', 0))
  const task = await hub.task.create({ title: 'x' })
  const seen: string[] = []
  const reading = (async () => {
    for await (const each of task.events()) seen.push(each.state)
  })()
  await turn()
  for (const [to, at] of [
    ['running', 3],
    ['assigned', 2],
    ['completed', 4],
  ] as const)
    server.socket.push({ type: 'task:updated', data: state('t1', to, at) })
  await reading
  assert.deepEqual(seen, ['ready', 'running', 'completed'])
  await hub.close()
})

test('a graph is submitted whole, from a function, a builder or a list', async () => {
  const server = new ScriptedServer()
  const hub = await join(server)
  server.on('tasks.dag', ({ tasks }) => ({
    run_id: 'run_1',
    name: 'g',
    tasks: (tasks as { key: string }[]).map(({ key }) => ({ id: `t_${key}`, key })),
  }))
  server.on('tasks.get', ({ id }) => state(String(id), 'completed', 1, { result: `result of ${String(id)}` }))
  const builder = new GraphBuilder().task('a', { title: 'A' }).task('b', { title: 'B' }, 'a')
  const graphs = await Promise.all([
    hub.dag('g', (graph) => graph.task('a', { title: 'A' }).task('b', { title: 'B' }, ['a'])),
    hub.dag('g', builder),
    hub.dag('g', [
      { key: 'a', title: 'A', depends_on: [] },
      { key: 'b', title: 'B', depends_on: ['a'] },
    ]),
  ])
  const [first, ...others] = server.data('tasks.dag')
  for (const other of others) assert.deepEqual(other, first)
  assert.deepEqual(await graphs[0]?.results(), { a: 'result of t_a', b: 'result of t_b' })
  assert.throws(() => graphs[0]?.task('c'), /has no task c; it has a, b/)
  await hub.close()
})

test('memory.update reads and writes until nobody came between, and gives up in the end', async () => {
  const server = new ScriptedServer()
  const hub = await join(server)
  let version = 3
  let others = 2
  server.on('memory.get', () => ({ key: 'k', value: version, version }))
  server.on('memory.set', ({ if_version, value }) => {
    if (others-- > 0) version += 1
    if (if_version !== version) return new Refusal('version_mismatch', { parameters: { version } })
    version += 1
    return { key: 'k', value, version }
  })
  const entry = await hub.memory.update<number>('k', (current) => (current ?? 0) + 100)
  assert.deepEqual([entry.value, entry.version], [105, 6])
  others = Number.POSITIVE_INFINITY
  const before = server.sent('memory.set').length
  await assert.rejects(
    hub.memory.update('k', () => 1),
    (error) => (error as CadreClientError).code === 'version_mismatch',
  )
  assert.equal(server.sent('memory.set').length - before, 32)
  await hub.close()
})

test('a key that was deleted is written over its last version', async () => {
  const server = new ScriptedServer()
  const hub = await join(server)
  server.on('memory.get', () => new Refusal('not_found'))
  server.on('memory.set', ({ if_version, value }) =>
    if_version === 5 ? { value, version: 6 } : new Refusal('version_mismatch', { parameters: { version: 5 } }),
  )
  assert.equal(await hub.memory.get('k'), undefined)
  assert.equal((await hub.memory.update('k', (current) => current ?? 'new')).value, 'new')
  await hub.close()
})

test('an offered tool is executed once for each invocation, and offered again after a reconnect', async () => {
  const server = new ScriptedServer()
  const hub = await join(server)
  const ran: unknown[] = []
  const description = { description: 'sends mail', input_schema: { type: 'object' }, once: true, grants: ['ann'] }
  const withdraw = await hub.tools.register('mail', description, async ({ to }, { key, caller }) => {
    ran.push([to, key, caller])
    if (to === 'nobody') throw new Error('no such address')
    return { sent: to }
  })
  const invoke = (invocation: string, to: string) =>
    server.socket.push({
      type: 'tool:invoke',
      data: { invocation, tool: 'mail', arguments: { to }, key: `k/${to}`, caller: 'ann', task_id: null },
    })
  invoke('i1', 'eve')
  invoke('i1', 'eve')
  invoke('i2', 'nobody')
  await turn()
  assert.deepEqual(ran, [
    ['eve', 'k/eve', 'ann'],
    ['nobody', 'k/nobody', 'ann'],
  ])
  assert.deepEqual(server.data('tools.result'), [
    { invocation: 'i1', result: { sent: 'eve' } },
    { invocation: 'i2', error: 'no such address' },
  ])
  server.drop()
  await server.clock.advance(400)
  assert.deepEqual(server.data('tools.register'), [
    { name: 'mail', ...description },
    { name: 'mail', ...description },
  ])
  withdraw()
  invoke('i3', 'eve')
  await turn()
  assert.deepEqual(server.data('tools.result').at(-1), { invocation: 'i3', error: 'mail is not executed here' })
  await hub.close()
})

test('watchers of the log share one watch and go on where they were', async () => {
  const server = new ScriptedServer()
  const hub = await join(server, { agent: undefined })
  server.on('events.watch', () => ({ head: 5, after: 5 }))
  const all: number[] = []
  const some: number[] = []
  hub.events.watch((entry) => all.push(entry.seq), { after: 5 })
  const stop = hub.events.watch((entry) => some.push(entry.seq), { after: 6, types: ['b'] })
  await turn()
  assert.deepEqual(server.data('events.watch').at(-1), { after: 5 })
  const entry = (seq: number, type: string) => ({ type: 'event', data: { seq, type } as LogEntry })
  server.socket.push(entry(6, 'b'), entry(7, 'b'), entry(8, 'a'), entry(0, 'b'))
  server.socket.push(entry(8, 'a'))
  assert.deepEqual(
    [all, some],
    [
      [6, 7, 8, 0],
      [7, 0],
    ],
  )
  stop()
  server.drop()
  await server.clock.advance(400)
  assert.deepEqual(server.data('events.watch').at(-1), { after: 8 })
  await hub.close()
})

test('bytes travel over HTTP with the token of the connection', async () => {
  const server = new ScriptedServer()
  server.welcome = { token: 'cad_own' }
  const asked: { url: string; init: RequestInit }[] = []
  const answers: Response[] = []
  const hub = await join(server, {
    fetch: (url, init) => {
      asked.push({ url, init })
      const response = answers.shift()
      return response ? Promise.resolve(response) : Promise.reject(new TypeError('fetch failed'))
    },
  })
  const last = () => ({ url: asked.at(-1)?.url, headers: asked.at(-1)?.init.headers as Record<string, string> })
  answers.push(Response.json({ id: 'a'.repeat(64), size: 2 }, { status: 201 }))
  assert.equal((await hub.artifacts.upload('hé', { name: 'a b.txt' })).size, 2)
  assert.equal(last().url, 'http://cadre.test/api/v1/artifacts?name=a+b.txt&media_type=text%2Fplain%3B+charset%3Dutf-8')
  assert.equal(last().headers['Authorization'], 'Bearer cad_own')
  answers.push(new Response('bcd', { status: 206 }))
  assert.equal(new TextDecoder().decode(await hub.artifacts.download('x', { range: [1, 4] })), 'bcd')
  assert.equal(last().headers['Range'], 'bytes=1-3')
  answers.push(new Response('abcdef', { status: 200 }))
  assert.equal(new TextDecoder().decode(await hub.artifacts.download('x', { range: [1, 4] })), 'bcd')
  answers.push(new Response('abcdef'))
  await assert.rejects(hub.artifacts.download('x', { limit: 3 }), (error) => (error as CadreClientError).code === 'too_large')
  answers.push(Response.json({ code: 'not_found', detail: 'There is no artifact x.', status: 404 }, { status: 404 }))
  await assert.rejects(hub.artifacts.download('x'), (error) => (error as CadreClientError).status === 404)
  await assert.rejects(hub.artifacts.download('x'), (error) => (error as CadreClientError).code === 'connection_lost')
  await hub.close()
})

test('agents coming and going are told', async () => {
  const server = new ScriptedServer()
  const hub = await join(server)
  const seen: unknown[] = []
  const stop = hub.agents.watch(({ name, joined }) => seen.push([name, joined]))
  server.socket.push({ type: 'agent:joined', data: { agent_id: 'a1', name: 'ann' } })
  server.socket.push({ type: 'agent:left', data: { agent_id: 'a1', name: 'ann', reason: 'closed' } })
  stop()
  server.socket.push({ type: 'agent:joined', data: { agent_id: 'a1', name: 'ann' } })
  assert.deepEqual(seen, [
    ['ann', true],
    ['ann', false],
  ])
  await hub.close()
})

test('AgentClient completes a task by hand, later, or by the return value', async () => {
  const server = new ScriptedServer()
  const client = new AgentClient('bob', 'llm', 'http://cadre.test', {
    WebSocket: server.WebSocket,
    clock: server.clock,
    concurrency: 3,
  })
  assert.throws(() => client.hub, /not connected/)
  client.onTaskAssigned(async (task) => {
    if (task.id === 't1') await client.completeTask('t1', 'inside')
    if (task.id === 't2') return 'returned'
    return undefined
  })
  await client.connect()
  for (const id of ['t1', 't2', 't3']) server.assign(id)
  await turn()
  const completed = () => server.data('tasks.complete').map(({ id, result, lease }) => [id, result, lease])
  assert.deepEqual(completed(), [
    ['t1', 'inside', 'lease_t1_1'],
    ['t2', 'returned', 'lease_t2_1'],
  ])
  await server.clock.advance(10_000)
  assert.deepEqual(server.data('agents.heartbeat').at(-1), { leases: ['lease_t3_1'] })
  await client.completeTask('t3', 'later')
  assert.deepEqual(completed()[2], ['t3', 'later', 'lease_t3_1'])
  await client.close()
})
