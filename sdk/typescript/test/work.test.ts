import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CadreClientError, Reject, Retry } from '../src/errors.ts'
import { Refusal, ScriptedServer, gate, join, silence, turn } from './scripted-server.ts'

const code = (error: unknown) => (error instanceof CadreClientError ? error.code : error)

test('an assigned task is accepted, done and completed, all under its lease', async () => {
  const server = new ScriptedServer()
  const hub = await join(server)
  hub.onTask((task, { attempt, proof, effectKey }) => ({ title: task.title, attempt, proof, effect: effectKey('mail') }))
  server.assign('t1')
  await turn()
  assert.deepEqual(server.data('tasks.accept'), [{ id: 't1', lease: 'lease_t1_1' }])
  const result = { title: 't1', attempt: 1, proof: { task_id: 't1', lease: 'lease_t1_1' }, effect: 't1/mail' }
  assert.deepEqual(server.data('tasks.complete'), [{ id: 't1', lease: 'lease_t1_1', result }])
  await hub.close()
})

test('only so many run at once; the others wait their turn and are kept leased', async () => {
  const server = new ScriptedServer()
  const hub = await join(server, { concurrency: 2 })
  const gates = new Map(['t1', 't2', 't3'].map((id) => [id, gate()]))
  hub.onTask((task) => gates.get(task.id)?.opened)
  for (const id of gates.keys()) server.assign(id)
  await turn()
  assert.deepEqual(
    server.data('tasks.accept').map(({ id }) => id),
    ['t1', 't2'],
  )
  await server.clock.advance(10_000)
  assert.deepEqual(server.data('agents.heartbeat').at(-1), { leases: ['lease_t1_1', 'lease_t2_1', 'lease_t3_1'] })
  gates.get('t1')?.open()
  await turn()
  assert.deepEqual(
    server.data('tasks.accept').map(({ id }) => id),
    ['t1', 't2', 't3'],
  )
  for (const { open } of gates.values()) open()
  await hub.close({ drain: true })
  assert.equal(server.sent('tasks.complete').length, 3)
})

test('handlers are chosen by capability or type, and have their own concurrency', async () => {
  const server = new ScriptedServer()
  const hub = await join(server, { concurrency: 10 })
  const ran: string[] = []
  const slow = gate()
  hub.onTask((task) => void ran.push(`any ${task.id}`))
  hub.onTask((task) => (ran.push(`csv ${task.id}`), slow.opened), { capability: 'csv', concurrency: 1 })
  server.assign('t1', { capabilities: ['csv'] })
  server.assign('t2', { type: 'csv' })
  server.assign('t3')
  await turn()
  assert.deepEqual(ran, ['csv t1', 'any t3'])
  slow.open()
  await turn()
  assert.deepEqual(ran, ['csv t1', 'any t3', 'csv t2'])
  await hub.close()
})

test('a task that no handler takes is not kept from others', async () => {
  const server = new ScriptedServer()
  const hub = await join(server)
  hub.onTask(() => {}, { capability: 'csv' })
  server.assign('t1')
  await server.clock.advance(10_000)
  assert.deepEqual(server.data('agents.heartbeat').at(-1), { leases: [] })
  assert.equal(server.sent('tasks.accept').length, 0)
  await hub.close()
})

const failures: [string, () => unknown, Record<string, unknown>][] = [
  ['an error', () => new Error('broken'), { error: 'broken', code: 'task_error', retryable: true }],
  [
    'Retry',
    () => new Retry({ after: 5000, reason: 'busy' }),
    { error: 'busy', code: 'retry', retryable: true, retry_after_ms: 5000 },
  ],
  ['Reject', () => new Reject('out of scope'), { error: 'out of scope', code: 'rejected', retryable: false }],
  ['an error of a call', () => new CadreClientError('model_failed', 'm'), { error: 'm', code: 'model_failed', retryable: true }],
  ['a hopeless error', () => new CadreClientError('forbidden', 'f'), { error: 'f', code: 'forbidden', retryable: false }],
]
for (const [name, make, expected] of failures) {
  test(`a handler that throws ${name} fails the attempt accordingly`, async () => {
    const server = new ScriptedServer()
    const hub = await join(server)
    hub.onTask(() => {
      throw make()
    })
    server.assign('t1')
    await turn()
    assert.deepEqual(server.data('tasks.fail'), [{ id: 't1', lease: 'lease_t1_1', ...expected }])
    await hub.close()
  })
}

test('a result the server cannot take fails the task instead of hanging it', async () => {
  const server = new ScriptedServer()
  server.welcome = { max_frame: 10_000 }
  const hub = await join(server)
  hub.onTask(() => 'x'.repeat(20_000))
  server.assign('t1')
  await turn()
  assert.equal(server.data('tasks.fail')[0]?.['code'], 'too_large')
  assert.equal(server.data('tasks.fail')[0]?.['retryable'], false)
  await hub.close()
})

test('an attempt may take only so long', async () => {
  const server = new ScriptedServer()
  const hub = await join(server)
  let reason: unknown
  let deadline: Date | undefined
  hub.onTask(
    (_, context) => {
      ;({ deadline } = context)
      return new Promise(() => context.signal.addEventListener('abort', () => (reason = context.signal.reason)))
    },
    { timeout: 2000 },
  )
  server.assign('t1')
  await turn()
  assert.equal(deadline?.getTime(), server.clock.now() + 2000)
  await server.clock.advance(2000)
  assert.equal(code(reason), 'timeout')
  assert.deepEqual(
    server.data('tasks.fail').map((data) => [data['code'], data['retryable']]),
    [['timeout', true]],
  )
  await hub.close()
})

/** Starts a task whose handler ends with the reason of its abort. */
async function startStubborn(server: ScriptedServer, fields = {}) {
  const hub = await join(server)
  const aborted = gate<unknown>()
  const context = gate<Parameters<Parameters<typeof hub.onTask>[0]>[1]>()
  hub.onTask((_, given) => {
    context.open(given)
    return new Promise((_, reject) =>
      given.signal.addEventListener('abort', () => {
        aborted.open(given.signal.reason)
        reject(given.signal.reason)
      }),
    )
  })
  server.assign('t1', fields)
  return { hub, aborted: aborted.opened, context: await context.opened }
}

test('a cancelled task is stopped, and nothing is reported for it', async () => {
  const server = new ScriptedServer()
  const { hub, aborted } = await startStubborn(server)
  server.socket.push({ type: 'task:cancelled', data: { id: 'd1', task_id: 't1', reason: 'no longer wanted' } })
  assert.equal(code(await aborted), 'cancelled')
  await turn()
  assert.equal(server.sent('tasks.fail').length + server.sent('tasks.complete').length, 0)
  await hub.close()
})

test('a lease the heartbeat calls lost stops the work', async () => {
  const server = new ScriptedServer()
  const { hub, aborted } = await startStubborn(server)
  server.on('agents.heartbeat', () => ({
    lost: ['lease_t1_1'],
    server_time: new Date(server.clock.now()).toISOString(),
    lease_until: null,
  }))
  await server.clock.advance(10_000)
  assert.equal(code(await aborted), 'lease_lost')
  await hub.close()
})

test('the first refusal as stale stops the work, whatever was called', async () => {
  for (const refused of ['tasks.progress', 'tools.call', 'tasks.create']) {
    const server = new ScriptedServer()
    const { hub, aborted, context } = await startStubborn(server)
    server.on(refused, () => new Refusal('stale_lease'))
    await Promise.allSettled([context.progress(0.5, 'half'), context.tool('mail'), context.spawn({ title: 'child' })])
    assert.equal(code(await aborted), 'lease_lost')
    await hub.close()
  }
})

test('short leases quicken the heartbeat', async () => {
  const server = new ScriptedServer()
  const lease_until = new Date(server.clock.now() + 600).toISOString()
  const { hub } = await startStubborn(server, { lease_until })
  await server.clock.advance(2000)
  assert.ok(server.sent('agents.heartbeat').length >= 9)
  await hub.close()
})

test('without a renewal the work stops itself before the lease is over', async () => {
  const server = new ScriptedServer()
  const { hub, aborted } = await startStubborn(server)
  let stopped = false
  void aborted.then(() => (stopped = true))
  server.accepts = 'refused'
  server.drop()
  await server.clock.advance(20_000)
  assert.equal(stopped, false)
  await server.clock.advance(11_000)
  assert.equal(stopped, true)
  await hub.close()
})

test('after a reconnect work goes on when the server still lists it, and stops when it does not', async () => {
  const server = new ScriptedServer()
  const kept = await startStubborn(server)
  let stopped = false
  void kept.aborted.then(() => (stopped = true))
  server.welcome = { leases: [server.assignment('t1', { state: 'running' }), server.assignment('t9', { state: 'running' })] }
  server.drop()
  await server.clock.advance(400)
  assert.equal(stopped, false)
  assert.deepEqual(
    server.data('tasks.accept').map(({ id }) => id),
    ['t1'],
  )
  server.welcome = { leases: [] }
  server.drop()
  await server.clock.advance(800)
  assert.equal(code(await kept.aborted), 'lease_lost')
  await kept.hub.close()
})

test('a task assigned while away is begun', async () => {
  const server = new ScriptedServer()
  const hub = await join(server)
  hub.onTask(() => 'done')
  server.welcome = { leases: [server.assignment('t1')] }
  server.drop()
  await server.clock.advance(400)
  assert.equal(server.data('tasks.complete')[0]?.['id'], 't1')
  await hub.close()
})

test('a completion that was under way when the connection broke is repeated under the same key', async () => {
  const server = new ScriptedServer()
  const hub = await join(server)
  hub.onTask(() => 'done')
  server.on('tasks.complete', () => silence)
  server.assign('t1')
  await turn()
  server.on('tasks.complete', () => ({}))
  server.welcome = { leases: [server.assignment('t1', { state: 'running' })] }
  server.drop()
  await server.clock.advance(400)
  const [first, second] = server.sent('tasks.complete')
  assert.equal(first?.key, second?.key)
  await hub.close({ drain: true })
})

test('effects are named after the task: by key, or counted', async () => {
  const server = new ScriptedServer()
  const hub = await join(server)
  server.on('tools.call', () => ({ state: 'succeeded', result: 1 }))
  hub.onTask(async (_, { tool }) => {
    await tool('mail', { to: 'ann' })
    await tool('mail', { to: 'eve' })
    return (await tool('mail', {}, { key: 'invoice' })).result
  })
  server.assign('t1')
  await turn()
  assert.deepEqual(
    server.data('tools.call').map(({ key, task_id, lease }) => [key, task_id, lease]),
    ['t1/mail/1', 't1/mail/2', 't1/mail/invoice'].map((key) => [key, 't1', 'lease_t1_1']),
  )
  assert.equal(server.data('tasks.complete')[0]?.['result'], 1)
  await hub.close()
})

test('a child task names its parent', async () => {
  const server = new ScriptedServer()
  const hub = await join(server)
  server.on('tasks.create', () => ({ id: 't2' }))
  hub.onTask(async (_, { spawn }) => (await spawn({ title: 'child', capabilities: ['csv'] })).id)
  server.assign('t1')
  await turn()
  assert.deepEqual(server.data('tasks.create'), [{ title: 'child', capabilities: ['csv'], parent_id: 't1' }])
  assert.equal(server.data('tasks.complete')[0]?.['result'], 't2')
  await hub.close()
})

test('draining gives back what was not begun; closing gives back what was', async () => {
  const server = new ScriptedServer()
  const hub = await join(server)
  hub.onTask(() => new Promise(() => {}))
  server.assign('t1')
  server.assign('t2')
  await turn()
  const closing = hub.close({ drain: true, deadline: 1000 })
  await turn()
  assert.deepEqual(
    server.data('tasks.release').map(({ id }) => id),
    ['t2'],
  )
  await server.clock.advance(1000)
  await closing
  assert.deepEqual(
    server.data('tasks.release').map(({ id }) => id),
    ['t2', 't1'],
  )
})

test('a task ended from elsewhere is not ended again by its handler', async () => {
  const server = new ScriptedServer()
  const hub = await join(server)
  hub.onTask(async (task) => {
    await hub.task.complete(task.id, 'by hand')
    return 'by return'
  })
  server.assign('t1')
  await turn()
  assert.deepEqual(server.data('tasks.complete'), [{ id: 't1', lease: 'lease_t1_1', result: 'by hand' }])
  await hub.close()
})
