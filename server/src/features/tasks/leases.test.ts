/** Who holds a task, for how long, and what happens when it is lost: leases, fencing, retries. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Agent, Assignment, LogEntry, OutputOf, Task } from '@cadre/contract'
import { verifies } from '../../../../test/verifies.ts'
import { ManualClock, Refused, type Socket, type TestServer, serveFor, startTestServer, temporaryFolder } from '../../testing.ts'

type Detail = OutputOf<'tasks.get'>
type Beat = OutputOf<'agents.heartbeat'>

const refused = (status: number, code: string) => (error: unknown) => {
  assert.ok(error instanceof Refused, String(error))
  assert.deepEqual([error.status, error.code], [status, code], error.message)
  return true
}
const create = (server: TestServer, body: object = {}) => server.call<Task>('POST', '/tasks', { title: 'a task', ...body })
const read = (server: TestServer, id: string) => server.call<Detail>('GET', `/tasks/${id}`)
const assigned = async (agent: Socket, id?: string) =>
  (await agent.next<Assignment>('task:assigned', (data) => id === undefined || data.id === id)).data
const outcomes = async (server: TestServer, id: string) =>
  (await read(server, id)).attempts.map(({ agent, outcome }) => `${agent} ${outcome}`)

verifies(
  ['TSK-09', 'BYD-04', 'REL-01'],
  'a worker paused past its lease loses the task to another, is refused when it wakes, and the result of the other stands',
  async (t) => {
    const clock = new ManualClock()
    const server = await serveFor(t, { clock })
    const [ada, bob] = [await server.leased('ada', { type: 'w' }), await server.leased('bob', { type: 'w' })]
    const { id } = await create(server, { agent_type: 'w' })
    const first = await assigned(ada)
    await ada.call('tasks.accept', { id, lease: first.lease })
    await clock.advance(29_000)
    assert.equal((await read(server, id)).assigned_to, 'ada')
    await clock.advance(2_000)
    const second = await assigned(bob, id)
    assert.notEqual(second.lease, first.lease)
    assert.equal(second.attempt, 2)
    await bob.call('tasks.accept', { id, lease: second.lease })
    const asleep: [string, object][] = [
      ['tasks.progress', { progress: 0.9 }],
      ['tasks.complete', { result: 'stale' }],
      ['tasks.fail', { error: 'stale' }],
      ['tasks.release', {}],
      ['tasks.accept', {}],
      ['tasks.update', { status: 'completed', result: 'stale' }],
      ['tasks.update', { progress: 0.1 }],
    ]
    for (const [name, more] of asleep)
      await assert.rejects(ada.call(name, { id, lease: first.lease, ...more }), refused(409, 'stale_lease'), name)
    await assert.rejects(
      ada.call('messages.send', { to: 'bob', content: 1, task_id: id, lease: first.lease }),
      refused(409, 'stale_lease'),
    )
    assert.deepEqual((await ada.call<Beat>('agent:heartbeat', { leases: [first.lease] })).lost, [first.lease])
    await bob.call('tasks.complete', { id, lease: second.lease, result: 'true' })
    await assert.rejects(ada.call('tasks.complete', { id, lease: first.lease, result: 'stale' }), refused(409, 'stale_lease'))
    const task = await read(server, id)
    assert.deepEqual([task.result, task.assigned_to], ['true', 'bob'])
    assert.deepEqual(await outcomes(server, id), ['ada lease_expired', 'bob completed'])
  },
)

test('a lease is over by the clock of the server, before anybody has looked', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const bob = await server.leased('bob')
  const { id } = await create(server, { assign_to: 'bob', lease_ms: 200 })
  const { lease } = await assigned(bob)
  await clock.advance(201)
  await assert.rejects(bob.call('tasks.complete', { id, lease }), refused(409, 'stale_lease'))
})

verifies('AGT-18', 'heartbeats and progress renew what they name, and nothing else', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const bob = await server.leased('bob', { concurrency: 3 })
  const leases: Assignment[] = []
  for (let index = 0; index < 3; index++)
    leases.push(await create(server, { assign_to: 'bob' }).then(({ id }) => assigned(bob, id)))
  const [kept, worked, forgotten] = leases as [Assignment, Assignment, Assignment]
  for (const { id, lease } of leases) await bob.call('tasks.accept', { id, lease })
  await clock.advance(20_000)
  const beat = await bob.call<Beat>('agent:heartbeat', { leases: [kept.lease, 'lse_tsk_00_1_0'] })
  assert.deepEqual([beat.lost, beat.lease_until, beat.presence], [['lse_tsk_00_1_0'], '2026-01-01T00:00:50.000Z', 'online'])
  await bob.call('tasks.progress', { id: worked.id, lease: worked.lease, progress: 0.5 })
  await clock.advance(15_000)
  assert.deepEqual(await Promise.all([kept, worked].map(({ id }) => outcomes(server, id))), [['bob open'], ['bob open']])
  assert.equal((await outcomes(server, forgotten.id))[0], 'bob lease_expired')
  assert.deepEqual((await bob.call<Beat>('agent:heartbeat', { leases: [kept.lease, worked.lease, forgotten.lease] })).lost, [
    forgotten.lease,
  ])
})

test('the length of a lease is the one of the task, otherwise the one of the server', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock, config: { leaseMs: 5_000 } })
  const bob = await server.leased('bob', { concurrency: 2 })
  await create(server, { assign_to: 'bob' })
  assert.equal((await assigned(bob)).lease_until, '2026-01-01T00:00:05.000Z')
  await create(server, { assign_to: 'bob', lease_ms: 600 })
  const short = await assigned(bob)
  assert.equal(short.lease_until, '2026-01-01T00:00:00.600Z')
  const accepted = await bob.call<Task>('tasks.accept', { id: short.id, lease: short.lease })
  assert.equal(accepted.lease_until, '2026-01-01T00:00:00.600Z')
})

test('an assignment that was never begun costs no attempt', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const ada = await server.leased('ada', { type: 'w' })
  const { id } = await create(server, { agent_type: 'w', max_retries: 0 })
  await assigned(ada)
  const bob = await server.leased('bob', { type: 'w' })
  await clock.advance(31_000)
  const second = await assigned(bob)
  assert.deepEqual([second.id, second.attempt], [id, 1])
  await bob.call('tasks.complete', { id, lease: second.lease })
  assert.deepEqual(await outcomes(server, id), ['ada lease_expired', 'bob completed'])
})

verifies(
  ['TSK-10', 'REL-02'],
  'three retries after 1, 2 and 4 s, each attempt listed; then the task has failed for good',
  async (t) => {
    const clock = new ManualClock()
    const server = await serveFor(t, { clock })
    const bob = await server.leased('bob', { type: 'w' })
    const { id } = await create(server, { agent_type: 'w' })
    const waits: number[] = []
    for (let attempt = 1; attempt <= 4; attempt++) {
      const { lease, attempt: number } = await assigned(bob)
      assert.equal(number, attempt)
      await bob.call('tasks.accept', { id, lease })
      const failed = await bob.call<Task>('tasks.fail', { id, lease, error: `broken ${attempt}`, code: 'io' })
      assert.equal(failed.state, attempt < 4 ? 'scheduled' : 'failed')
      if (failed.scheduled_at === null) break
      assert.equal(failed.status, 'pending')
      const wait = Date.parse(failed.scheduled_at) - clock.now()
      waits.push(wait)
      await clock.advance(wait - 1)
      assert.deepEqual(await bob.settled('task:assigned'), [], `attempt ${attempt + 1} came before its time`)
      await clock.advance(251)
    }
    assert.deepEqual(waits, [1_000, 2_000, 4_000])
    const task = await read(server, id)
    const attempted = [1, 2, 3, 4].map((attempt) => ({
      attempt,
      agent: 'bob',
      outcome: 'failed',
      code: 'io',
      error: `broken ${attempt}`,
    }))
    assert.deepEqual(task.error, { code: 'max_retries_exceeded', message: 'broken 4', attempts: 4, attempted })
    assert.deepEqual(
      task.attempts.map(({ attempt, outcome, error, wait_ms }) => [attempt, outcome, error, wait_ms]),
      [1_000, 2_000, 4_000, null].map((wait, index) => [index + 1, 'failed', `broken ${index + 1}`, wait]),
    )
    assert.ok(
      task.attempts.every(
        ({ assigned_at, started_at, ended_at }) => started_at !== null && ended_at !== null && assigned_at <= started_at,
      ),
    )
  },
)

test('waits have up to a fifth of jitter on top', async (t) => {
  const server = await serveFor(t, { clock: new ManualClock(), random: () => 0.999_999 })
  const bob = await server.leased('bob')
  const { id } = await create(server, { assign_to: 'bob' })
  const { lease } = await assigned(bob)
  const { scheduled_at } = await bob.call<Task>('tasks.fail', { id, lease, error: 'x' })
  assert.equal(scheduled_at, '2026-01-01T00:00:01.200Z')
})

test('an error that is not worth a retry ends the task at once; a rejection says so; a wait may be named', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const bob = await server.leased('bob', { concurrency: 5 })
  const attempt = async (more: object, body: object = {}) => {
    const { id } = await create(server, { assign_to: 'bob', ...body })
    const { lease } = await assigned(bob, id)
    return bob.call<Task>('tasks.fail', { id, lease, error: 'why', ...more })
  }
  const fatal = await attempt({ retryable: false, code: 'bad_input' })
  const tried = { attempt: 1, agent: 'bob', outcome: 'failed', code: 'bad_input', error: 'why' }
  assert.deepEqual(
    [fatal.state, fatal.status, fatal.error],
    ['failed', 'failed', { code: 'bad_input', message: 'why', attempts: 1, attempted: [tried] }],
  )
  const rejected = await attempt({ retryable: false, code: 'rejected' })
  assert.deepEqual([rejected.state, rejected.status], ['rejected', 'failed'])
  const single = await attempt({}, { max_retries: 0 })
  assert.deepEqual([single.state, single.error?.code], ['failed', 'task_error'])
  const named = await attempt({ retry_after_ms: 90_000 })
  assert.equal(named.scheduled_at, '2026-01-01T00:01:30.000Z')
})

test('a task given back goes on at once, elsewhere, and has lost no attempt', async (t) => {
  const server = await serveFor(t)
  const ada = await server.leased('ada', { type: 'w' })
  const { id } = await create(server, { agent_type: 'w', max_retries: 0 })
  const first = await assigned(ada)
  await ada.call('tasks.accept', { id, lease: first.lease })
  const bob = await server.leased('bob', { type: 'w' })
  await ada.call('tasks.release', { id, lease: first.lease, reason: 'shutting down' })
  const second = await assigned(bob)
  assert.deepEqual([second.id, second.attempt], [id, 1])
  await assert.rejects(ada.call('tasks.complete', { id, lease: first.lease }), refused(409, 'stale_lease'))
  await bob.call('tasks.fail', { id, lease: second.lease, error: 'broken' })
  assert.deepEqual(await outcomes(server, id), ['ada released', 'bob failed'])
  assert.equal((await read(server, id)).error?.attempts, 1)
})

verifies(['TSK-09', 'AGT-34'], 'when a worker is gone its task goes to another without anybody doing anything', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const ada = await server.leased('ada', { type: 'w' })
  const { id } = await create(server, { agent_type: 'w' })
  const { lease } = await assigned(ada)
  await ada.call('tasks.accept', { id, lease })
  const bob = await server.leased('bob', { type: 'w' })
  ada.terminate()
  await bob.next('agent:left')
  await clock.advance(10_000)
  assert.deepEqual(await bob.settled('task:assigned'), [], 'presence takes nothing away')
  await clock.advance(21_000)
  assert.equal((await assigned(bob)).id, id)
})

verifies(
  'TSK-09',
  'what the engine gave to an agent that only polls goes elsewhere when it never comes to fetch it',
  async (t) => {
    const clock = new ManualClock()
    const server = await serveFor(t, { clock })
    const poller = await server.call<{ token: string }>('POST', '/agents/register', { name: 'poller', type: 'w' })
    const { id } = await create(server, { agent_type: 'w' })
    const eventually = async (agent: string) => {
      while ((await read(server, id)).assigned_to !== agent) await clock.advance(250)
    }
    await eventually('poller')
    const bob = await server.leased('bob', { type: 'w' })
    await clock.advance(36_000)
    const taken = await assigned(bob)
    assert.equal(taken.id, id)
    await bob.call('tasks.complete', { id, lease: taken.lease })
    await server.call('POST', '/agents/poller/heartbeat', {}, { token: poller.token })
    assert.deepEqual((await server.call<{ items: unknown[] }>('POST', '/tasks/claim', {}, { token: poller.token })).items, [])
  },
)

test('an agent that polls works with its lease over HTTP alone', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const { token } = await server.call<{ token: string }>('POST', '/agents/register', { name: 'poller', type: 'w' })
  const { id } = await create(server, { agent_type: 'w' })
  await clock.advance(20_000)
  const [work] = (await server.call<{ items: Assignment[] }>('POST', '/tasks/claim', {}, { token })).items
  assert.equal(work?.id, id)
  assert.equal(work?.lease_until, '2026-01-01T00:00:50.000Z', 'its lease starts when it takes the task')
  const lease = work?.lease
  await server.call('POST', `/tasks/${id}/accept`, { lease }, { token })
  await clock.advance(20_000)
  const beat = await server.call<Beat>('POST', '/agents/poller/heartbeat', { leases: [lease] }, { token })
  assert.deepEqual(beat.lost, [])
  await clock.advance(20_000)
  const done = await server.call<Task>('POST', `/tasks/${id}/complete`, { lease, result: 'ok' }, { token })
  assert.equal(done.state, 'completed')
})

test('an agent that comes back is told what it still holds', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const { token } = await server.call<{ token: string }>('POST', '/agents/register', { name: 'bob' })
  const bob = await server.leased('bob', { token })
  const { id } = await create(server, { assign_to: 'bob' })
  const { lease } = await assigned(bob)
  await bob.call('tasks.accept', { id, lease })
  bob.terminate()
  await bob.closed
  const back = await server.socket()
  const { leases } = await back.call<{ leases: Assignment[] }>('agent:register', { name: 'bob', token, credits: 1 })
  assert.deepEqual(
    leases.map((held) => [held.id, held.lease, held.state]),
    [[id, lease, 'running']],
  )
  await back.call('tasks.complete', { id, lease, result: 1 })
})

verifies('REL-01', 'after a restart of the server leases go on, retries wake up, and no token is given twice', async (t) => {
  const folder = temporaryFolder()
  t.after(() => folder.remove())
  const clock = new ManualClock()
  const first = await startTestServer({ clock, config: { data: folder.path } })
  const { token } = await first.call<{ token: string }>('POST', '/agents/register', { name: 'bob', concurrency: 5 })
  const bob = await first.leased('bob', { token })
  const running = await create(first, { assign_to: 'bob' })
  const work = await assigned(bob)
  await bob.call('tasks.accept', { id: running.id, lease: work.lease })
  const failing = await create(first, { assign_to: 'bob' })
  const other = await assigned(bob)
  await bob.call('tasks.fail', { id: failing.id, lease: other.lease, error: 'once' })
  const waiting = await create(first, { agent_type: 'w' })
  await first.close()

  const second = await serveFor(t, { clock, config: { data: folder.path } })
  const back = await second.socket()
  const { leases } = await back.call<{ leases: Assignment[] }>('agent:register', { name: 'bob', token, credits: 1 })
  assert.deepEqual(
    leases.map((held) => held.lease),
    [work.lease],
  )
  await back.call('tasks.complete', { id: running.id, lease: work.lease, result: 'over the restart' })
  await clock.advance(1_500)
  const again = await assigned(back)
  assert.deepEqual([again.id, again.attempt], [failing.id, 2])
  assert.notEqual(again.lease, other.lease)
  await assert.rejects(back.call('tasks.complete', { id: failing.id, lease: other.lease }), refused(409, 'stale_lease'))
  const worker = await second.leased('worker', { type: 'w' })
  assert.equal((await assigned(worker)).id, waiting.id)
  assert.equal((await second.call<Agent>('GET', '/agents/bob')).load, 1)
})

test('a plain client needs no lease: its open line renews it, its absence ends it', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const bob = await server.plain('bob', { type: 'w' })
  const { id } = await create(server, { agent_type: 'w' })
  await assigned(bob)
  await clock.advance(120_000)
  assert.deepEqual(await outcomes(server, id), ['bob open'])
  await bob.call('task:update', { task_id: id, status: 'running' })
  await clock.advance(120_000)
  assert.deepEqual(await outcomes(server, id), ['bob open'])
  const eve = await server.leased('eve', { type: 'w' })
  bob.terminate()
  await eve.next('agent:left')
  await clock.advance(31_000)
  assert.equal((await assigned(eve)).id, id)
  const back = await server.plain('bob')
  await assert.rejects(back.call('task:update', { task_id: id, status: 'completed', result: 'stale' }), refused(403, 'forbidden'))
})

test('two tasks at once for one agent with room for one: the other waits for room', async (t) => {
  const server = await serveFor(t)
  const bob = await server.leased('bob', { type: 'w', concurrency: 1 })
  const both = [await create(server, { agent_type: 'w' }), await create(server, { agent_type: 'w' })]
  const first = await assigned(bob)
  assert.deepEqual(await bob.settled('task:assigned'), [])
  await bob.call('tasks.complete', { id: first.id, lease: first.lease })
  assert.equal((await assigned(bob)).id, both.find(({ id }) => id !== first.id)?.id)
})

test('a task with a delay is not given before its time', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const bob = await server.leased('bob', { type: 'w' })
  const { state, scheduled_at, status } = await create(server, { agent_type: 'w', delay_ms: 60_000 })
  assert.deepEqual([state, scheduled_at, status], ['scheduled', '2026-01-01T00:01:00.000Z', 'pending'])
  await clock.advance(59_900)
  assert.deepEqual(await bob.settled('task:assigned'), [])
  await clock.advance(500)
  await assigned(bob)
  const events = await server.call<{ items: LogEntry[] }>('GET', '/events?types=task.ready')
  assert.equal((events.items[0]?.data as { reason: string } | undefined)?.reason, 'its wait is over')
})
