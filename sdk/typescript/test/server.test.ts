/** The SDK against the real server, over real sockets. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type RunningServer, startServer } from '../../../server/src/server.ts'
import { readConfig } from '../../../server/src/config.ts'
import { verifies } from '../../../test/verifies.ts'
import { AgentClient, CadreClientError, type ConnectOptions, type Hub, Reject, Retry, connect } from '../src/index.ts'
import { gate } from './scripted-server.ts'

interface House {
  url: string
  adminKey: string | undefined
  stop(): Promise<void>
  start(): Promise<void>
  join(agent: string | undefined, options?: ConnectOptions): Promise<Hub>
}

/** A server of its own for the test, its clients, and their end. */
async function open(t: TestContext, environment: Record<string, string> = {}): Promise<House> {
  const data = await mkdtemp(join(tmpdir(), 'cadre-sdk-'))
  const hubs: Hub[] = []
  let server: RunningServer | undefined
  const start = async (port: number) => {
    const config = readConfig({ CADRE_DATA: data, CADRE_PORT: String(port), LOG_LEVEL: 'silent', ...environment })
    server = await startServer({ config, workerCommand: ['false'], assets: data, validateOutput: true })
    return server
  }
  const { url, port, adminKey } = await start(0)
  t.after(async () => {
    await Promise.all(hubs.map((hub) => hub.close()))
    await server?.close()
    await rm(data, { recursive: true, force: true })
  })
  return {
    url,
    adminKey,
    async stop() {
      await server?.close()
    },
    async start() {
      await start(port)
    },
    async join(agent, options) {
      const hub = await connect(url, { agent, ...options })
      hubs.push(hub)
      return hub
    },
  }
}

test('messages: send, ask, reply, broadcast, publish', async (t) => {
  const house = await open(t)
  const [ann, bob] = await Promise.all([house.join('ann'), house.join('bob')])
  const heard = gate<unknown>()
  const broadcast = gate<unknown>()
  const found = gate<unknown>()
  bob.onMessage((message) => {
    if (message.kind === 'request') return { echo: message.content }
    if (message.kind === 'broadcast') broadcast.open(message.content)
    else heard.open(message.content)
    return undefined
  })
  await bob.subscribe('findings.*', (message) => found.open(message.content))
  const sent = await ann.send('bob', { text: 'hi' })
  assert.equal(sent.receipt.duplicate, false)
  assert.deepEqual(await heard.opened, { text: 'hi' })
  const reply = await ann.ask('bob', 'are you there?', { timeout: 5000 })
  assert.deepEqual(reply.content, { echo: 'are you there?' })
  assert.equal(reply.sender, 'bob')
  await ann.broadcast('to all')
  assert.equal(await broadcast.opened, 'to all')
  await ann.publish('findings.new', 7)
  assert.equal(await found.opened, 7)
  const silent = ann.ask('nobody', 'x')
  await assert.rejects(silent, (error) => error instanceof CadreClientError && error.code === 'not_found')
})

test('the same key sends once', async (t) => {
  const house = await open(t)
  const [ann] = await Promise.all([house.join('ann'), house.join('bob')])
  const [first, second] = [
    await ann.send('bob', 'once', { idempotencyKey: 'k1' }),
    await ann.send('bob', 'once', { idempotencyKey: 'k1' }),
  ]
  assert.equal(second.id, first.id)
  assert.equal(second.receipt.duplicate, true)
})

test('a thousand messages are handled once each and all acknowledged', async (t) => {
  const house = await open(t)
  const [ann, bob] = await Promise.all([house.join('ann'), house.join('bob')])
  const counts = new Map<unknown, number>()
  const all = gate()
  bob.onMessage((message) => {
    counts.set(message.content, (counts.get(message.content) ?? 0) + 1)
    if (counts.size === 1000) all.open()
  })
  await Promise.all(Array.from({ length: 1000 }, (_, index) => ann.send('bob', index)))
  await all.opened
  await bob.close({ drain: true })
  assert.deepEqual(new Set(counts.values()), new Set([1]))
  const operator = await house.join(undefined)
  // The server settles acknowledgements a moment after it has read them.
  for (let open = 1; open > 0; ) {
    const { messages } = await operator.call('system.metrics', {})
    open = messages.waiting + messages.leased
    assert.equal(messages.dead, 0)
  }
})

test('a message that was given back comes again; one refused for good is a dead letter', async (t) => {
  const house = await open(t)
  const [ann, bob] = await Promise.all([house.join('ann'), house.join('bob')])
  const second = gate<number>()
  const after = gate()
  bob.onMessage((message) => {
    if (message.content === 'never') throw new Reject('not mine')
    if (message.content === 'after') return after.open()
    if (message.attempt === 1) throw new Retry({ after: 1 })
    return second.open(message.attempt)
  })
  // The second is acknowledged by number while the first waits to come again.
  await Promise.all([ann.send('bob', 'again'), ann.send('bob', 'after'), ann.send('bob', 'never')])
  await after.opened
  assert.equal(await second.opened, 2)
  await bob.close({ drain: true })
  const operator = await house.join(undefined)
  const dead = await operator.call('messages.dead_letters', {})
  assert.deepEqual(
    dead.items.map(({ message }) => message.content),
    ['never'],
  )
})

test('a later acknowledgement by number does not swallow what was given back before it', async (t) => {
  const house = await open(t)
  const [ann, bob] = await Promise.all([house.join('ann'), house.join('bob')])
  const returned = gate()
  const again = gate<number>()
  bob.onMessage((message) => {
    if (message.content !== 'again') return
    if (message.attempt > 1) return again.open(message.attempt)
    returned.open()
    throw new Retry({ after: 200 })
  })
  await ann.send('bob', 'again')
  await returned.opened
  // Each is acknowledged by its number, which lies past that of the message that waits.
  for (let count = 0; count < 5; count++) await ann.send('bob', count)
  assert.equal(await again.opened, 2)
})

test('tasks: created, done, waited for by an agent and by an operator; children and failures', async (t) => {
  const house = await open(t)
  const [ann, bob, operator] = await Promise.all([
    house.join('ann'),
    house.join('bob', { capabilities: ['sum'], concurrency: 4 }),
    house.join(undefined),
  ])
  bob.onTask(async (task, { progress, spawn, proof }) => {
    await progress(0.5, 'half')
    const { numbers } = task.input as { numbers: number[] }
    if (numbers.length === 0) throw new Reject('nothing to add')
    if (numbers.length === 1) return numbers[0]
    await bob.memory.set(`log/${task.id}`, 'split', proof)
    const children = await Promise.all(
      numbers.map((number) => spawn({ title: 'one', capabilities: ['sum'], input: { numbers: [number] } })),
    )
    const results = await Promise.all(children.map((child) => child.result<number>()))
    return results.reduce((sum, each) => sum + each, 0)
  })
  const input = (numbers: number[]) => ({ title: 'add', capabilities: ['sum'], input: { numbers } })
  const task = await ann.task.create(input([1, 2, 3]))
  assert.equal(await task.result({ timeout: 20_000 }), 6)
  const states: string[] = []
  const other = await operator.task.create(input([5]))
  for await (const each of other.events()) states.push(each.state)
  assert.equal(states.at(-1), 'completed')
  assert.equal(await other.result(), 5)
  const failing = await operator.task.create(input([]))
  await assert.rejects(failing.result(), (error) => error instanceof CadreClientError && error.code === 'rejected')
})

test('a graph runs in its order', async (t) => {
  const house = await open(t)
  const [ann, bob] = await Promise.all([house.join('ann'), house.join('bob', { capabilities: ['step'], concurrency: 2 })])
  const order: string[] = []
  bob.onTask((task) => {
    order.push(task.key ?? '')
    return `${task.key} done`
  })
  const step = { capabilities: ['step'] }
  const graph = await ann.dag('diamond', (build) =>
    build.task('a', step).task('b', step, 'a').task('c', step, 'a').task('d', step, ['b', 'c']),
  )
  assert.deepEqual(await graph.results({ timeout: 20_000 }), { a: 'a done', b: 'b done', c: 'c done', d: 'd done' })
  assert.deepEqual([order[0], order[3]], ['a', 'd'])
})

test('a cancelled task stops its handler', async (t) => {
  const house = await open(t)
  const [ann, bob] = await Promise.all([house.join('ann'), house.join('bob')])
  const begun = gate()
  const stopped = gate<unknown>()
  bob.onTask((_, { signal }) => {
    begun.open()
    return new Promise((_resolve, reject) =>
      signal.addEventListener('abort', () => {
        stopped.open(signal.reason)
        reject(signal.reason)
      }),
    )
  })
  const task = await ann.task.create({ title: 'long', assign_to: 'bob' })
  await begun.opened
  await task.cancel('no longer wanted')
  const reason = await stopped.opened
  assert.ok(reason instanceof CadreClientError && ['cancelled', 'lease_lost'].includes(String(reason.code)))
  await assert.rejects(task.result())
})

test('short leases are kept alive for as long as the handler runs', async (t) => {
  const house = await open(t)
  const [ann, bob] = await Promise.all([house.join('ann'), house.join('bob')])
  let runs = 0
  const long = gate()
  bob.onTask(async (_, { signal }) => {
    runs += 1
    await long.opened
    return { runs, aborted: signal.aborted }
  })
  const task = await ann.task.create({ title: 'long', assign_to: 'bob', lease_ms: 300, max_retries: 0 })
  // Five leases' worth of heartbeats, counted by what the server says of the lease.
  let renewals = 0
  let last = ''
  while (renewals < 5) {
    const { lease_until } = await ann.task.get(task.id)
    if (lease_until !== null && lease_until !== last) renewals += 1
    last = lease_until ?? last
  }
  long.open()
  assert.deepEqual(await task.result({ timeout: 10_000 }), { runs: 1, aborted: false })
})

test('memory, knowledge, tools, artifacts and models', async (t) => {
  const house = await open(t)
  const [ann, bob] = await Promise.all([house.join('ann'), house.join('bob')])
  await Promise.all([ann, bob, ann, bob].map((hub) => hub.memory.update<number>('count', (current) => (current ?? 0) + 1)))
  assert.equal((await ann.memory.get('count'))?.value, 4)
  assert.deepEqual(
    (await ann.memory.history('count')).items.map(({ version }) => version),
    [4, 3, 2, 1],
  )
  await ann.memory.delete('count')
  assert.equal(await bob.memory.get('count'), undefined)
  assert.equal((await bob.memory.update<number>('count', (current) => (current ?? 0) + 1)).value, 1)

  await ann.knowledge.add('The heron stands in shallow water and waits.', { title: 'Birds' })
  const [hit] = await bob.knowledge.search('where does the heron stand')
  assert.match(hit?.text ?? '', /heron/)

  let executions = 0
  await bob.tools.register('double', { description: 'doubles', once: true, grants: ['ann'] }, ({ n }) => {
    executions += 1
    return Number(n) * 2
  })
  assert.equal((await ann.tools.call('double', { n: 4 }, { key: 'k' })).result, 8)
  assert.equal((await ann.tools.call('double', { n: 4 }, { key: 'k' })).result, 8)
  assert.equal(executions, 1)
  await assert.rejects(
    (await house.join('eve')).tools.call('double', { n: 4 }),
    (error) => error instanceof CadreClientError && error.code === 'forbidden',
  )

  const { id } = await ann.artifacts.upload(new TextEncoder().encode('0123456789'), { name: 'digits' })
  assert.equal(new TextDecoder().decode(await bob.artifacts.download(id, { range: [2, 5] })), '234')
  assert.equal((await bob.artifacts.get(id)).size, 10)

  let deltas = ''
  const generation = ann.models.generate({ messages: [{ role: 'user', content: 'Say something about herons.' }] })
  for await (const text of generation) deltas += text
  const { text } = await generation
  assert.ok(text !== '' && deltas === text)
})

test('a restart of the server is survived: calls, messages, running work and results', async (t) => {
  const house = await open(t)
  const [ann, bob] = await Promise.all([house.join('ann'), house.join('bob')])
  const begun = gate()
  const finish = gate()
  const received: unknown[] = []
  const last = gate()
  bob.onMessage((message) => {
    received.push(message.content)
    if (message.content === 'after') last.open()
  })
  let runs = 0
  bob.onTask(async () => {
    runs += 1
    begun.open()
    await finish.opened
    return 'survived'
  })
  const task = await ann.task.create({ title: 'long', assign_to: 'bob' })
  const result = task.result({ timeout: 30_000 })
  await begun.opened
  await ann.send('bob', 'before')
  const back = gate()
  bob.on('online', () => back.open())
  const away = gate()
  ann.on('offline', () => away.open())
  await Promise.all([house.stop(), away.opened])
  const during = ann.send('bob', 'during')
  await house.start()
  await Promise.all([during, back.opened])
  finish.open()
  assert.equal(await result, 'survived')
  await ann.send('bob', 'after')
  await last.opened
  assert.equal(runs, 1)
  assert.deepEqual(new Set(received), new Set(['before', 'during', 'after']))
  assert.equal(received.length, 3)
})

test('with keys required: a key by the first frame, an agent by its token, nobody without', async (t) => {
  const house = await open(t, { CADRE_AUTH: 'required' })
  const token = house.adminKey
  assert.ok(token)
  const refused = house.join('eve', { timeout: 5000 })
  await assert.rejects(refused, (error) => error instanceof CadreClientError && error.code === 'unauthenticated')
  const wrong = house.join(undefined, { token: 'cad_wrong_key', timeout: 5000 })
  await assert.rejects(wrong, (error) => error instanceof CadreClientError && error.code === 'unauthenticated')
  const admin = await house.join(undefined, { token })
  assert.equal((await admin.call('system.whoami', {})).role, 'admin')
  const first = await house.join('ann', { token })
  assert.ok(first.token !== undefined && first.token !== token)
  const { id } = await first.artifacts.upload('mine', { name: 'a.txt' })
  assert.equal((await admin.artifacts.get(id)).created_by, 'ann')
  await first.close()
  const again = await house.join('ann', { token: first.token })
  assert.equal(again.token, first.token)
})

test('the first agent of the examples answers a message, does a task and stops when asked to', async (t) => {
  const house = await open(t)
  const operator = await house.join(undefined)
  const example = join(import.meta.dirname, '../../../examples/01-first-agent/agent.ts')
  const agent = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', example], {
    env: { ...process.env, CADRE_URL: house.url },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(agent, 'exit')
  t.after(() => agent.kill('SIGKILL'))
  await once(agent.stdout, 'data')
  const ann = await house.join('ann')
  assert.equal((await ann.ask('greeter', 'good day')).content, 'Hello ann, you said: "good day"')
  const task = await operator.task.create({ title: 'world', capabilities: ['greeting'] })
  assert.deepEqual(await task.result({ timeout: 10_000 }), { greeting: 'Hello, world!' })
  agent.kill('SIGINT')
  assert.deepEqual(await ended, [0, null])
})

/** The channel plan's client, two of them. */
async function openClients(t: TestContext): Promise<[AgentClient, AgentClient, House]> {
  const house = await open(t)
  const clients = [
    new AgentClient('research_agent', 'llm', house.url),
    new AgentClient('analysis_agent', 'llm', house.url),
  ] as const
  t.after(() => Promise.all(clients.map((client) => client.close())))
  return [...clients, house]
}

verifies(['SDK-01', 'SDK-02'], 'A client of name, type and server URL connects and is online', async (t) => {
  const [research, analysis] = await openClients(t)
  await Promise.all([research.connect(), analysis.connect()])
  const { items } = await research.hub.agents.list({ presence: 'online' })
  assert.deepEqual(items.map(({ name, type }) => `${name} ${type}`).toSorted(), ['analysis_agent llm', 'research_agent llm'])
})

verifies(['SDK-03', 'SDK-06'], 'What is sent to a list of recipients reaches each handler once', async (t) => {
  const [research, analysis] = await openClients(t)
  const received: unknown[] = []
  const done = gate()
  analysis.onMessage((message) => {
    received.push(message.content)
    if (message.content === 'last') done.open()
  })
  await Promise.all([research.connect(), analysis.connect()])
  await research.sendMessage('Starting research task...', ['analysis_agent'])
  await research.sendMessage('last', ['analysis_agent'])
  await done.opened
  assert.deepEqual(received, ['Starting research task...', 'last'])
})

verifies(
  ['SDK-04', 'SDK-07', 'SDK-08'],
  'A task with an assignee reaches its handler and is completed by hand or by the return value',
  async (t) => {
    const [research, analysis] = await openClients(t)
    analysis.onTaskAssigned(async (task) => {
      if (task.title === 'Returned') return { by: 'return' }
      await analysis.completeTask(task.id, { by: 'completeTask', description: task.description })
      return undefined
    })
    await Promise.all([research.connect(), analysis.connect()])
    const tasks = [
      await research.createTask('Analyze data', 'Process the dataset', 1, 'analysis_agent'),
      await research.createTask('Returned', 'Process it again', 'low', 'analysis_agent'),
    ]
    const results = await Promise.all(tasks.map(({ id }) => research.hub.task.handle(id).result({ timeout: 10_000 })))
    assert.deepEqual(results, [{ by: 'completeTask', description: 'Process the dataset' }, { by: 'return' }])
    assert.equal((await research.hub.task.get(tasks[0]?.id ?? '')).assigned_to, 'analysis_agent')
    assert.equal(tasks[0]?.priority, 1)
  },
)

verifies('SDK-05', 'One client reads what another has set', async (t) => {
  const [research, analysis] = await openClients(t)
  await Promise.all([research.connect(), analysis.connect()])
  await research.setMemory('research_results', { findings: ['a', 'b'] })
  assert.deepEqual(await analysis.getMemory('research_results'), { findings: ['a', 'b'] })
  assert.equal(await analysis.getMemory('nothing'), undefined)
})
