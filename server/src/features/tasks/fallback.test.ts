/** What happens when an agent cannot bring a task to an end: error classes, waits, stand-ins, partial results. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Assignment, OutputOf, Task } from '@cadre/contract'
import { verifies } from '../../../../test/verifies.ts'
import { ManualClock, Refused, type Socket, type TestServer, serveFor } from '../../testing.ts'

type Detail = OutputOf<'tasks.get'>

const create = (server: TestServer, body: object) => server.call<Task>('POST', '/tasks', { title: 'a task', ...body })
const read = (server: TestServer, id: string) => server.call<Detail>('GET', `/tasks/${id}`)
const refused = (status: number, code: string) => (error: unknown) => {
  assert.ok(error instanceof Refused, String(error))
  assert.deepEqual([error.status, error.code], [status, code], error.message)
  return true
}

async function begin(agent: Socket, id: string): Promise<{ id: string; lease: string }> {
  const { lease } = (await agent.next<Assignment>('task:assigned', (data) => data.id === id)).data
  await agent.call('tasks.accept', { id, lease })
  return { id, lease }
}
/** Takes the task and reports a failure. */
async function fail(agent: Socket, id: string, more: object = {}): Promise<Task> {
  return agent.call<Task>('tasks.fail', { ...(await begin(agent, id)), error: 'broken', ...more })
}
const tried = ({ attempts }: Detail) => attempts.map(({ agent, outcome, reason }) => [agent, outcome, reason])

verifies(['AGT-24', 'REL-03'], 'the declared fallback completes what the agent could not; both attempts are shown', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const ada = await server.leased('ada', { type: 'w', fallback: ['bob'] })
  const bob = await server.leased('bob', { type: 'other' })
  assert.deepEqual((await server.call('GET', '/agents/ada'))['fallback'], ['bob'])
  const { id } = await create(server, { agent_type: 'w', max_retries: 1 })
  assert.equal((await fail(ada, id)).state, 'scheduled')
  await clock.advance(1_251)
  const handed = await fail(ada, id)
  assert.deepEqual([handed.state, handed.assigned_to, handed.fallback], ['assigned', 'bob', undefined])
  await bob.call('tasks.complete', { ...(await begin(bob, id)), result: 42 })
  const task = await read(server, id)
  assert.deepEqual([task.state, task.result, task.error, task.partial], ['completed', 42, null, undefined])
  assert.deepEqual(tried(task), [
    ['ada', 'failed', 'least busy of 1 able agent'],
    ['ada', 'failed', 'least busy of 1 able agent'],
    ['bob', 'completed', 'fallback 1 of 1 after ada'],
  ])
})

verifies(
  'TSK-11',
  'when the fallbacks fail too, each after one attempt, the error says who tried what and how it ended',
  async (t) => {
    const clock = new ManualClock()
    const server = await serveFor(t, { clock })
    const ada = await server.leased('ada', { type: 'w' })
    const bob = await server.leased('bob', { type: 'x' })
    const cyd = await server.leased('cyd', { type: 'y' })
    await server.call('POST', '/agents/register', { name: 'gone', type: 'z' })
    await server.call('DELETE', '/agents/gone')
    const fallback = ['gone', 'bob', { agent_type: 'Y' }]
    const { id } = await create(server, { agent_type: 'w', capabilities: [], max_retries: 0, backoff_factor: 3, fallback })
    assert.equal((await fail(ada, id, { code: 'io' })).assigned_to, 'bob')
    const next = await fail(bob, id, { code: 'timeout' })
    assert.deepEqual([next.state, next.agent_type], ['ready', 'Y'])
    const end = await fail(cyd, id, { code: 'io', error: 'cyd is broken too' })
    assert.equal(end.state, 'failed')
    const entry = (attempt: number, agent: string, code: string, error = 'broken') => ({
      attempt,
      agent,
      outcome: 'failed',
      code,
      error,
    })
    assert.deepEqual(end.error, {
      code: 'io',
      message: 'cyd is broken too',
      attempts: 3,
      attempted: [entry(1, 'ada', 'io'), entry(2, 'bob', 'timeout'), entry(3, 'cyd', 'io', 'cyd is broken too')],
    })
    assert.deepEqual(
      tried(await read(server, id)).map(([, , reason]) => reason),
      ['least busy of 1 able agent', 'fallback 2 of 3 after ada', 'least busy of 1 able agent'],
    )
  },
)

test('done again, the task asks for whom it asked first; an operator who ends it is not contradicted by a stand-in', async (t) => {
  const server = await serveFor(t, { clock: new ManualClock() })
  const ada = await server.leased('ada', { type: 'w', concurrency: 5 })
  const bob = await server.leased('bob', { type: 'x' })
  const fallback = [{ agent_type: 'x' }]
  const { id } = await create(server, { agent_type: 'w', max_retries: 0, affinity: 'k', fallback })
  await fail(ada, id)
  assert.equal((await fail(bob, id)).state, 'failed')
  const again = await server.call<Task>('POST', `/tasks/${id}/retry`)
  assert.deepEqual([again.agent_type, again.affinity, again.fallback], ['w', 'k', fallback])
  const { lease } = await begin(ada, again.id)
  assert.ok(lease, 'the key stays with the first agent')
  const ended = await server.call<Task>('PUT', `/tasks/${again.id}`, { status: 'failed', error: 'enough' })
  assert.deepEqual([ended.state, ended.error?.message], ['failed', 'enough'])
})

test('an error that no retry would mend goes to the fallbacks at once, and each of them has one attempt', async (t) => {
  const server = await serveFor(t, { clock: new ManualClock() })
  const ada = await server.leased('ada', { type: 'w' })
  const bob = await server.leased('bob', { type: 'x' })
  const { id } = await create(server, { agent_type: 'w', max_retries: 3, fallback: ['bob'] })
  assert.equal((await fail(ada, id, { code: 'unsupported' })).assigned_to, 'bob')
  const end = await fail(bob, id, { code: 'io' })
  assert.deepEqual([end.state, end.error?.code, end.attempt], ['failed', 'max_retries_exceeded', 2])
})

test('a fallback that dies makes room for the next', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const ada = await server.leased('ada', { type: 'w' })
  const bob = await server.leased('bob', { type: 'x' })
  const cyd = await server.leased('cyd', { type: 'y' })
  const { id } = await create(server, { agent_type: 'w', max_retries: 0, fallback: ['bob', 'cyd'] })
  assert.equal((await fail(ada, id)).assigned_to, 'bob')
  bob.terminate()
  await clock.advance(31_000)
  const { lease } = (await cyd.next<Assignment>('task:assigned')).data
  await cyd.call('tasks.complete', { id, lease })
  assert.deepEqual(
    tried(await read(server, id)).map(([agent, outcome]) => [agent, outcome]),
    [
      ['ada', 'failed'],
      ['bob', 'lease_expired'],
      ['cyd', 'completed'],
    ],
  )
})

test('the code of an error decides whether it is tried again, unless the agent says otherwise', async (t) => {
  const server = await serveFor(t, { clock: new ManualClock() })
  const ada = await server.leased('ada', { type: 'w', concurrency: 9 })
  const end = async (more: object) => (await fail(ada, (await create(server, { agent_type: 'w' })).id, more)).state
  assert.equal(await end({ code: 'invalid_input' }), 'failed')
  assert.equal(await end({ code: 'rejected' }), 'rejected')
  assert.equal(await end({ code: 'rate_limited' }), 'scheduled')
  assert.equal(await end({ code: 'never_heard_of' }), 'scheduled')
  assert.equal(await end({ code: 'invalid_input', retryable: true }), 'scheduled')
  assert.equal(await end({ code: 'rate_limited', retryable: false }), 'failed')
})

test('the factor of the back-off is the task’s to say; no wait is over an hour', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const ada = await server.leased('ada', { type: 'w' })
  const { id } = await create(server, { agent_type: 'w', max_retries: 6, backoff_factor: 10 })
  for (let attempt = 1; attempt <= 5; attempt++) {
    const { scheduled_at } = await fail(ada, id)
    await server.call('POST', `/tasks/${id}/assign`, { agent: 'ada' })
    assert.ok(scheduled_at)
  }
  const waits = (await read(server, id)).attempts.map(({ wait_ms }) => wait_ms)
  assert.deepEqual(waits, [1_000, 10_000, 100_000, 1_000_000, 3_600_000, null])
  await assert.rejects(create(server, { agent_type: 'w', backoff_factor: 0.5 }), refused(422, 'invalid_request'))
  await assert.rejects(create(server, { agent_type: 'w', fallback: ['nobody'] }), refused(404, 'not_found'))
})

verifies(
  'COL-09',
  'with one of three sources down the result is marked as partial and says what is missing, and who tried',
  async (t) => {
    const server = await serveFor(t, { clock: new ManualClock() })
    const ada = await server.leased('ada', { type: 'w', fallback: ['bob'] })
    const bob = await server.leased('bob', { type: 'x' })
    const { id } = await create(server, { agent_type: 'w' })
    await fail(ada, id, { code: 'unsupported', error: 'no access to the archive' })
    const errors = [{ source: 'archive', code: 'unavailable', message: 'It does not answer.' }]
    const result = { news: 3, wiki: 5 }
    const done = await bob.call<Task>('tasks.complete', { ...(await begin(bob, id)), result, partial: true, errors })
    assert.deepEqual([done.state, done.status, done.partial, done.result], ['completed', 'completed', true, result])
    assert.deepEqual(done.error, {
      code: 'partial_failure',
      message: 'Missing: archive.',
      attempts: 2,
      attempted: [
        { attempt: 1, agent: 'ada', outcome: 'failed', code: 'unsupported', error: 'no access to the archive' },
        { attempt: 2, agent: 'bob', outcome: 'completed', code: null, error: null },
      ],
      errors,
    })
  },
)

test('what a failed attempt got done is kept with it, and is the result when nobody gets further', async (t) => {
  const server = await serveFor(t, { clock: new ManualClock() })
  const ada = await server.leased('ada', { type: 'w', fallback: ['bob'] })
  const bob = await server.leased('bob', { type: 'x' })
  const { id } = await create(server, { agent_type: 'w', max_retries: 0 })
  await fail(ada, id, { partial: { pages: 3 } })
  const end = await fail(bob, id)
  assert.deepEqual([end.state, end.partial, end.result], ['failed', true, { pages: 3 }])
  const { attempts } = await read(server, id)
  assert.deepEqual(
    attempts.map(({ partial }) => partial),
    [{ pages: 3 }, undefined],
  )
  const other = await create(server, { agent_type: 'w', max_retries: 0, fallback: [] })
  const plain = await fail(ada, other.id)
  assert.deepEqual([plain.state, plain.partial, plain.result], ['failed', undefined, null], 'an empty list is no list')
})
