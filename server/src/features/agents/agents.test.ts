import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  type Agent,
  type AgentStatus,
  type Delivery,
  type LogEntry,
  type OutputOf,
  type Task,
  agentLifecycle,
} from '@cadre/contract'
import { verifies } from '../../../../test/verifies.ts'
import { ManualClock, Refused, type TestServer, serveFor, startTestServer, temporaryFolder } from '../../testing.ts'

type Registered = OutputOf<'agents.register'>
type Page = OutputOf<'agents.list'>

const refused = (status: number, code: string) => (error: unknown) => {
  assert.ok(error instanceof Refused, String(error))
  assert.deepEqual([error.status, error.code], [status, code], error.message)
  return true
}
const register = (server: TestServer, name: string, more: object = {}) =>
  server.call<Registered>('POST', '/agents/register', { name, ...more })
const get = (server: TestServer, agent: string) => server.call<Agent>('GET', `/agents/${encodeURIComponent(agent)}`)
const events = async (server: TestServer, type: string) =>
  (await server.call<{ items: LogEntry[] }>('GET', `/events?types=${type}&limit=1000`)).items.map(
    (entry) => entry.data as Record<string, unknown>,
  )
/** Asks again and again until it is so, at most ten seconds. */
async function until(is: () => Promise<boolean> | boolean, what: string): Promise<void> {
  const end = Date.now() + 10_000
  while (!(await is())) {
    if (Date.now() > end) assert.fail(`${what} did not happen`)
    await new Promise((done) => setImmediate(done))
  }
}

verifies(['API-05', 'AGT-16'], 'an agent registers from outside, appears, changes its status and leaves', async (t) => {
  const server = await serveFor(t, { clock: new ManualClock() })
  const answer = await server.request<Registered>('POST', '/api/agents/register', {
    name: 'research_agent',
    agent_type: 'llm',
    capabilities: ['web_search', 'Ünïcode'],
    description: 'looks things up',
    metadata: { model: { name: 'x' }, list: [1, null] },
  })
  assert.equal(answer.status, 201)
  const { token, receipt, ...agent } = answer.body
  assert.match(token ?? '', /^cad_[0-9a-z]+_[\w-]{43}$/)
  assert.deepEqual([receipt.id, receipt.duplicate], [agent.id, false])
  const { id, created_at, last_seen, ...shown } = agent
  assert.deepEqual(shown, {
    agent_id: id,
    name: 'research_agent',
    type: 'llm',
    agent_type: 'llm',
    status: 'idle',
    presence: 'online',
    capabilities: ['web_search', 'Ünïcode'],
    description: 'looks things up',
    managed: false,
    concurrency: 1,
    load: 0,
    inbox_depth: 0,
    metadata: { model: { name: 'x' }, list: [1, null] },
  })
  assert.deepEqual([created_at, last_seen], ['2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z'])
  assert.deepEqual(await get(server, 'research_agent'), agent)
  assert.deepEqual(await get(server, id), agent)
  assert.deepEqual((await server.call<Page>('GET', '/api/agents')).items, [agent])
  assert.equal((await server.call<Agent>('PUT', `/api/agents/${id}/status`, { status: 'busy' })).status, 'busy')
  await server.call('DELETE', '/agents/research_agent?force=true')
  assert.deepEqual((await server.call<Page>('GET', '/agents')).items, [])
  assert.equal((await get(server, id)).status, 'terminated')
})

verifies(
  ['API-02', 'AGT-23'],
  'agents are listed newest first, by type, status, presence and capability, in pages',
  async (t) => {
    const server = await serveFor(t)
    for (let index = 0; index < 7; index++)
      await register(server, `a${index}`, {
        type: index % 2 === 0 ? 'Research' : 'writer',
        capabilities: index < 3 ? ['web search'] : [],
      })
    await server.call('PUT', '/agents/a5/status', { status: 'busy' })
    await server.plain('a6')
    const list = async (query: string) => (await server.call<Page>('GET', `/agents?${query}`)).items.map((agent) => agent.name)
    assert.deepEqual(await list(''), ['a6', 'a5', 'a4', 'a3', 'a2', 'a1', 'a0'])
    assert.deepEqual(await list('type=researcher'), ['a6', 'a4', 'a2', 'a0'])
    assert.deepEqual(await list('agent_type=research&capability=search_web'), ['a2', 'a0'])
    assert.deepEqual(await list('status=busy'), ['a5'])
    assert.deepEqual(await list('presence=offline'), [])
    const seen: string[] = []
    for (let cursor = ''; ; ) {
      const page = await server.call<Page>('GET', `/agents?limit=3${cursor}`)
      seen.push(...page.items.map((agent) => agent.name))
      await register(server, `new${seen.length}`)
      if (page.next === null) break
      cursor = `&cursor=${page.next}`
    }
    assert.deepEqual(seen, ['a6', 'a5', 'a4', 'a3', 'a2', 'a1', 'a0'])
  },
)

test('names are unique in the tenant: a taken one needs its token, or an operator', async (t) => {
  const server = await serveFor(t)
  const ada = await register(server, 'ada')
  const bob = await register(server, 'bob')
  const asBob = { token: bob.token }
  await assert.rejects(server.call('POST', '/agents/register', { name: 'ada' }, asBob), refused(403, 'forbidden'))
  await assert.rejects(server.call('POST', '/agents/register', { name: 'operator' }), refused(409, 'name_taken'))
  await assert.rejects(server.call('POST', '/agents/register', { name: 'cadre' }), refused(409, 'name_taken'))
  const own = await server.call<Registered>('POST', '/agents/register', { name: 'ada', token: ada.token })
  assert.deepEqual([own.id, own.token], [ada.id, undefined], 'who proves to be it needs no new token')
  const byOperator = await register(server, 'ada')
  assert.equal(byOperator.id, ada.id)
  for (const token of [ada.token, byOperator.token])
    assert.equal((await server.call('GET', '/whoami', undefined, { token }))['name'], 'ada')
  await assert.rejects(
    server.call('POST', '/agents/register', { name: 'ada', token: 'cad_x_y' }),
    refused(401, 'unauthenticated'),
  )
  const key = await server.call<{ key: string }>('POST', '/keys', { name: 'viewer', role: 'viewer' })
  await assert.rejects(server.call('POST', '/agents/register', { name: 'ada' }, { token: key.key }), refused(403, 'forbidden'))
})

test('a returning agent keeps what it leaves out', async (t) => {
  const server = await serveFor(t)
  const profile = { type: 'researcher', capabilities: ['x'], description: 'd', metadata: { a: 1 }, concurrency: 3 }
  await register(server, 'ada', profile)
  await server.plain('ada')
  const { type, capabilities, description, metadata, concurrency } = await get(server, 'ada')
  assert.deepEqual({ type, capabilities, description, metadata, concurrency }, profile)
  await register(server, 'ada', { capabilities: [], type: 'writer' })
  const changed = await get(server, 'ada')
  assert.deepEqual([changed.capabilities, changed.type, changed.concurrency], [[], 'writer', 3])
})

test('what cannot be a name is refused with the field', async (t) => {
  const server = await serveFor(t)
  for (const name of ['', ' x', '-x', 'a\nb', 'a/b', 'x'.repeat(129), 7, null]) {
    await assert.rejects(server.call('POST', '/agents/register', { name }), (error) => {
      refused(422, 'invalid_request')(error)
      return (error as Refused).problem.errors?.[0]?.pointer === '/name'
    })
  }
  for (const name of ['a', '0', 'Zoë', 'Агент 7', 'a.b_c@d:e-f g', '研究'])
    assert.equal((await get(server, (await register(server, name)).name)).name, name)
})

test('wherever an agent is named, its id or its name will do', async (t) => {
  const server = await serveFor(t)
  const { id } = await register(server, 'bob')
  const task = await server.call<Task>('POST', '/tasks', { title: 'x' })
  for (const agent of [id, 'bob']) {
    assert.equal((await get(server, agent)).id, id)
    assert.deepEqual((await server.call<{ recipients: string[] }>('POST', '/messages', { to: agent, content: 1 })).recipients, [
      'bob',
    ])
    assert.equal((await server.call<Task>('POST', '/tasks', { title: 'x', assign_to: agent })).assigned_to, 'bob')
    assert.equal((await server.call<Task>('POST', `/tasks/${task.id}/assign`, { agent_id: agent })).assigned_agent_id, id)
    assert.equal((await server.call<{ items: Task[] }>('GET', `/tasks?agent=${agent}`)).items.length > 0, true)
    assert.equal((await server.call<{ items: Delivery[] }>('POST', `/agents/${agent}/inbox/receive`, {})).items.length, 1)
    assert.equal((await server.call('POST', '/subscriptions', { topic: 't', agent }))['agent_id'], id)
    assert.equal((await server.call('POST', `/agents/${agent}/heartbeat`, {}))['id'], id)
    assert.equal((await server.call<Agent>('PUT', `/agents/${agent}/status`, { status: (await get(server, id)).status })).id, id)
  }
  for (const path of ['/agents/ghost', '/tasks?agent=ghost', '/messages?sender=ghost'])
    await assert.rejects(server.call('GET', path), refused(404, 'not_found'))
})

verifies(
  ['AGT-17', 'API-06'],
  'every move between two statuses is made or refused as the table says; a refusal lists the legal ones',
  async (t) => {
    const server = await serveFor(t)
    const path: Record<AgentStatus, AgentStatus[]> = {
      idle: [],
      starting: ['failed', 'starting'],
      busy: ['busy'],
      failed: ['failed'],
      stopping: ['stopping'],
      terminated: ['stopping', 'terminated'],
    }
    let number = 0
    for (const from of agentLifecycle.states) {
      for (const to of agentLifecycle.states) {
        number += 1
        const { id } = await register(server, `agent ${number}`)
        for (const step of path[from]) await server.call('PUT', `/agents/${id}/status`, { status: step })
        const answer = await server.request<Agent & { receipt: object | null; parameters: { legal: string[] } }>(
          'PUT',
          `/agents/${id}/status`,
          { status: to, reason: 'why' },
        )
        if (from === to) assert.deepEqual([answer.status, answer.body.receipt], [200, null])
        else if (agentLifecycle.moves[from].some((legal) => legal === to)) {
          assert.deepEqual([answer.status, answer.body.status], [200, to], `${from} -> ${to}: ${answer.text}`)
          const last = (await events(server, 'agent.status_changed')).findLast((data) => data['agent_id'] === id)
          assert.deepEqual(last, { agent_id: id, name: `agent ${number}`, from, to, reason: 'why' })
        } else
          assert.deepEqual(
            [answer.status, answer.body.parameters.legal],
            [409, [...agentLifecycle.moves[from]]],
            `${from} -> ${to}`,
          )
      }
    }
    await assert.rejects(
      server.call('PUT', '/agents/agent 1/status'.replace(' ', '%20'), { status: 'sleeping' }),
      refused(422, 'invalid_request'),
    )
  },
)

verifies(
  ['AGT-18', 'AGT-19'],
  'silence makes an agent suspect after 25 s and offline after 35 s; a heartbeat brings it back',
  async (t) => {
    const clock = new ManualClock()
    const server = await serveFor(t, { clock })
    const watcher = await server.plain('watcher')
    await register(server, 'ada')
    const presence = async () => (await get(server, 'ada')).presence
    const beat = () => server.call('POST', '/agents/ada/heartbeat', {})
    assert.equal((await beat())['presence'], 'online')
    assert.equal((await watcher.next('agent:joined')).data['name'], 'ada')
    await clock.advance(25_000)
    assert.equal(await presence(), 'online')
    await clock.advance(1)
    assert.equal(await presence(), 'suspect')
    await clock.advance(9_999)
    assert.equal(await presence(), 'suspect')
    await clock.advance(1)
    assert.equal(await presence(), 'offline')
    await clock.advance(5_000)
    assert.deepEqual((await watcher.next('agent:left')).data, {
      agent_id: (await get(server, 'ada')).id,
      name: 'ada',
      reason: 'no heartbeat',
    })
    const away = await get(server, 'ada')
    assert.deepEqual([away.status, away.last_seen], ['idle', '2026-01-01T00:00:00.000Z'])
    await beat()
    const back = await get(server, 'ada')
    assert.deepEqual([back.presence, back.last_seen], ['online', '2026-01-01T00:00:40.001Z'])
    await watcher.next('agent:joined')
  },
)

test('registering again is a sign of life', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  await register(server, 'ada')
  await clock.advance(60_000)
  assert.equal((await get(server, 'ada')).presence, 'offline')
  assert.equal((await register(server, 'ada')).presence, 'online')
  assert.equal((await get(server, 'ada')).presence, 'online')
})

test('an open line is presence enough', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const ada = await server.plain('ada')
  await clock.advance(300_000)
  const online = await get(server, 'ada')
  assert.deepEqual([online.presence, online.last_seen], ['online', '2026-01-01T00:05:00.000Z'])
  const watcher = await server.plain('watcher')
  await ada.close()
  assert.equal((await watcher.next('agent:left')).data['reason'], 'disconnected')
  const away = await get(server, 'ada')
  assert.deepEqual([away.presence, away.status, away.last_seen], ['offline', 'idle', '2026-01-01T00:05:00.000Z'])
})

verifies('AGT-18', 'status and progress of a busy agent are to be seen', async (t) => {
  const server = await serveFor(t)
  const ada = await server.leased('ada')
  const { id } = await server.call<Task>('POST', '/tasks', { title: 'x', assign_to: 'ada' })
  const { data } = await ada.next<Task & { lease: string }>('task:assigned')
  await until(async () => (await get(server, 'ada')).status === 'busy', 'ada busy')
  await ada.call('tasks.progress', { id, lease: data.lease, progress: 0.25 })
  assert.equal((await server.call<Task>('GET', `/tasks/${id}`)).progress, 0.25)
  await ada.call('tasks.complete', { id, lease: data.lease })
  await until(async () => (await get(server, 'ada')).status === 'idle', 'ada idle')
  const moves = (await events(server, 'agent.status_changed')).map((entry) => [entry['from'], entry['to']])
  assert.deepEqual(moves, [
    ['idle', 'busy'],
    ['busy', 'idle'],
  ])
})

verifies(
  ['API-04', 'AGT-34'],
  'terminating an idle agent ends it at once: it is gone from the list and its line is closed',
  async (t) => {
    const server = await serveFor(t)
    const ada = await server.leased('ada')
    const watcher = await server.plain('watcher')
    const ended = await server.call<OutputOf<'agents.terminate'>>('DELETE', '/agents/ada?reason=done')
    assert.equal(ended.status, 'terminated')
    assert.equal((await ada.closed).code, 4403)
    assert.equal((await watcher.next('agent:left')).data['reason'], 'done')
    assert.deepEqual(
      (await server.call<Page>('GET', '/agents')).items.map((agent) => agent.name),
      ['watcher'],
    )
    assert.deepEqual(
      (await server.call<Page>('GET', '/agents?status=terminated')).items.map((agent) => agent.name),
      ['ada'],
    )
    const again = await server.call<OutputOf<'agents.terminate'>>('DELETE', '/agents/ada')
    assert.equal(again.receipt, null)
    await assert.rejects(server.call('DELETE', '/agents/ghost'), refused(404, 'not_found'))
    const back = await register(server, 'ada')
    assert.equal(back.status, 'idle')
  },
)

test('terminating a busy agent drains it: it takes nothing new and ends with its last task', async (t) => {
  const server = await serveFor(t)
  const ada = await server.leased('ada', { type: 'w', concurrency: 2 })
  const { id } = await server.call<Task>('POST', '/tasks', { title: 'x', agent_type: 'w' })
  const { data } = await ada.next<Task & { lease: string }>('task:assigned')
  await until(async () => (await get(server, 'ada')).status === 'busy', 'ada busy')
  assert.equal((await server.call<Agent>('DELETE', '/agents/ada')).status, 'stopping')
  const waiting = await server.call<Task>('POST', '/tasks', { title: 'y', agent_type: 'w' })
  assert.deepEqual(await ada.settled('task:assigned'), [])
  await ada.call('tasks.complete', { id, lease: data.lease })
  assert.equal((await ada.closed).code, 4403)
  assert.equal((await get(server, 'ada')).status, 'terminated')
  assert.equal((await server.call<Task>('GET', `/tasks/${waiting.id}`)).state, 'ready')
})

test('forced, it fails, stops, and its task moves on when the lease ends', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const ada = await server.leased('ada', { type: 'w' })
  const { id } = await server.call<Task>('POST', '/tasks', { title: 'x', agent_type: 'w' })
  const { data } = await ada.next<Task & { lease: string }>('task:assigned')
  await ada.call('tasks.accept', { id, lease: data.lease })
  await until(async () => (await get(server, 'ada')).status === 'busy', 'ada busy')
  assert.equal((await server.call<Agent>('DELETE', '/agents/ada?force=true')).status, 'terminated')
  const moves = (await events(server, 'agent.status_changed')).map((entry) => entry['to'])
  assert.deepEqual(moves, ['busy', 'failed', 'stopping', 'terminated'])
  const bob = await server.leased('bob', { type: 'w' })
  await clock.advance(31_000)
  assert.equal((await bob.next<Task>('task:assigned')).data.id, id)
})

test('registering with a key is answered the same way again, token included', async (t) => {
  const server = await serveFor(t)
  const options = { key: 'k' }
  const first = await server.call<Registered>('POST', '/agents/register', { name: 'ada' }, options)
  const again = await server.request<Registered>('POST', '/agents/register', { name: 'ada' }, options)
  assert.deepEqual([again.status, again.body.token, again.body.receipt.duplicate], [200, first.token, true])
  await assert.rejects(
    server.call('POST', '/agents/register', { name: 'ada', type: 'other' }, options),
    refused(422, 'idempotency_conflict'),
  )
})

const worker = `
  let text = ''
  process.stdin.on('data', (chunk) => {
    text += chunk
    if (!text.includes('\\n')) return
    const { url, token, ...profile } = JSON.parse(text)
    text = ''
    const socket = new WebSocket(url.replace('http', 'ws') + '/ws')
    socket.onopen = () => socket.send(JSON.stringify({ type: 'agent:register', id: '1', data: { ...profile, token, credits: 1, metadata: { pid: process.pid, env: Object.keys(process.env) } } }))
  })
  process.stdin.on('end', () => process.exit(0))
`
const workerCommand: [string, ...string[]] = [process.execPath, '-e', worker]

verifies(['API-01', 'AGT-15', 'API-04'], 'spawning starts a process, which is idle soon; deleting ends it', async (t) => {
  const server = await serveFor(t, { workerCommand })
  const watcher = await server.plain('watcher')
  const answer = await server.request<Agent>('POST', '/api/v1/agents/spawn', {
    agent_type: 'research',
    name: 'research-agent-1',
    capabilities: ['web_search', 'document_analysis'],
  })
  assert.deepEqual(
    [answer.status, answer.body.status, answer.body.managed, answer.body.type],
    [201, 'starting', true, 'research'],
  )
  await watcher.next('agent:joined')
  const running = await get(server, 'research-agent-1')
  assert.deepEqual(
    [running.status, running.presence, running.capabilities],
    ['idle', 'online', ['web_search', 'document_analysis']],
  )
  const { pid, env } = running.metadata as { pid: number; env: string[] }
  assert.equal(server.workerPid('research-agent-1'), pid)
  assert.ok(!env.some((name) => /KEY|TOKEN|CADRE/.test(name)), `a worker is told no secrets: ${env.join(' ')}`)
  await assert.rejects(
    server.call('POST', '/agents/spawn', { type: 'research', name: 'research-agent-1' }),
    refused(409, 'name_taken'),
  )
  await assert.rejects(server.call('POST', '/agents/spawn', { type: 'astronaut', name: 'x' }), refused(422, 'invalid_request'))
  await server.call('DELETE', '/agents/research-agent-1')
  await until(() => server.workerPid('research-agent-1') === undefined, 'the end of the worker')
  await until(() => !alive(pid), 'the end of its process')
  assert.equal((await get(server, 'research-agent-1')).status, 'terminated')
})

test('a worker that is killed is started again; after a restart of the server too', async (t) => {
  const folder = temporaryFolder()
  t.after(() => folder.remove())
  const config = { data: folder.path, workerRestartMs: 10 }
  const first = await startTestServer({ workerCommand, config })
  const watcher = await first.plain('watcher')
  await first.call('POST', '/agents/spawn', { type: 'writer', name: 'w' })
  await watcher.next('agent:joined')
  const pid = first.workerPid('w') as number
  process.kill(pid, 'SIGKILL')
  await watcher.next('agent:left')
  await watcher.next('agent:joined')
  const next = first.workerPid('w') as number
  assert.notEqual(next, pid)
  assert.deepEqual(
    (await events(first, 'agent.worker_exited')).map((data) => [data['name'], data['pid'], data['exit'], data['restart_in']]),
    [['w', pid, 'SIGKILL', 10]],
  )
  await first.close()
  await until(() => !alive(next), 'the end of the worker with its server')

  const second = await startTestServer({ workerCommand, config })
  await until(async () => (await get(second, 'w')).presence === 'online', 'the worker back')
  const last = second.workerPid('w') as number
  await second.close()
  await until(() => !alive(last), 'the end of the worker')
})

function alive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
