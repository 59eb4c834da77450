/** The engine at work: order, failing writes, tasks that nobody can do. */
import assert from 'node:assert/strict'
import { DatabaseSync, StatementSync } from 'node:sqlite'
import { test } from 'node:test'
import type { Assignment, LogEntry, Task } from '@cadre/contract'
import { verifies } from '../../../../test/verifies.ts'
import { ManualClock, type TestServer, serveFor, temporaryFolder } from '../../testing.ts'
import { Registry } from '../agents/registry.ts'

const create = (server: TestServer, body: object) => server.call<Task>('POST', '/tasks', { title: 'a task', ...body })
const read = (server: TestServer, id: string) => server.call<Task>('GET', `/tasks/${id}`)
async function until(is: () => Promise<boolean> | boolean, what: string): Promise<void> {
  const end = Date.now() + 10_000
  while (!(await is())) {
    if (Date.now() > end) assert.fail(`${what} did not happen`)
    await new Promise((done) => setImmediate(done))
  }
}

verifies('TSK-05', 'a waiting task that becomes urgent overtakes', async (t) => {
  const server = await serveFor(t)
  const first = await create(server, { agent_type: 'w' })
  const urgent = await create(server, { agent_type: 'w' })
  const late = await create(server, { agent_type: 'w', priority: 1 })
  await server.call('PUT', `/tasks/${urgent.id}`, { priority: 1 })
  await server.call('PUT', `/tasks/${late.id}`, { priority: 5 })
  const ada = await server.leased('ada', { type: 'w' })
  const order: string[] = []
  for (let index = 0; index < 3; index++) {
    const { data } = await ada.next<Assignment>('task:assigned')
    order.push(data.id)
    await ada.call('tasks.complete', { id: data.id, lease: data.lease })
  }
  assert.deepEqual(order, [urgent.id, first.id, late.id])
})

test('an assignment whose commit failed is made later', async (t) => {
  const folder = temporaryFolder()
  t.after(() => folder.remove())
  const clock = new ManualClock()
  const server = await serveFor(t, { clock, config: { data: folder.path } })
  const tasks = [await create(server, { capabilities: ['y'] }), await create(server, { capabilities: ['y'] })]
  let commits = Number.POSITIVE_INFINITY
  const run = Reflect.get(StatementSync.prototype, 'run') as (this: StatementSync) => unknown
  t.mock.method(StatementSync.prototype, 'run', function (this: StatementSync, ...values: never[]) {
    if (this.sourceSQL === 'commit' && commits-- <= 0) throw Object.assign(new Error('database or disk is full'), { errcode: 13 })
    return Reflect.apply(run, this, values)
  })
  commits = 1
  await server.call('POST', '/agents/register', { name: 'ada', capabilities: ['y'], concurrency: 5 })
  await until(() => server.failures.length >= 2, 'the failure of both assignments')
  commits = Number.POSITIVE_INFINITY
  assert.deepEqual(await Promise.all(tasks.map(async ({ id }) => (await read(server, id)).state)), ['ready', 'ready'])
  assert.match(server.failures.splice(0)[0]?.message ?? '', /could not be moved/)
  await clock.advance(2_000)
  await until(async () => (await read(server, tasks[1]?.id ?? '')).assigned_to === 'ada', 'the second assignment')
  assert.equal((await read(server, tasks[0]?.id ?? '')).assigned_to, 'ada')
})

test('a task that cannot be written stops neither the assignment nor the waking of others', async (t) => {
  const folder = temporaryFolder()
  t.after(() => folder.remove())
  const clock = new ManualClock()
  const server = await serveFor(t, { clock, config: { data: folder.path } })
  const [sick, well] = [await create(server, { agent_type: 'w', priority: 1 }), await create(server, { agent_type: 'w' })]
  const [asleep, due] = [await create(server, { delay_ms: 1_000 }), await create(server, { delay_ms: 1_000 })]
  const store = new DatabaseSync(`${folder.path}/cadre.db`)
  t.after(() => store.close())
  store.exec(`create trigger poison before update on tasks when old.id in ('${sick.id}', '${asleep.id}')
    begin select raise(abort, 'poisoned'); end`)
  const ada = await server.leased('ada', { type: 'w', concurrency: 5 })
  assert.equal((await ada.next<Assignment>('task:assigned')).data.id, well.id)
  await clock.advance(1_500)
  await until(async () => (await read(server, due.id)).state === 'ready', 'the waking of the other task')
  assert.equal((await read(server, asleep.id)).state, 'scheduled')
  await clock.advance(60_000)
  const logged = server.failures.splice(0)
  assert.ok(logged.length >= 2 && logged.length < 40, `${logged.length} lines for two tasks in a minute`)
  store.exec('drop trigger poison')
  await clock.advance(35_000)
  await ada.next<Assignment>('task:assigned', ({ id }) => id === sick.id)
  assert.equal((await read(server, asleep.id)).state, 'ready')
})

test('a ready task that the queue does not know is found in the store', async (t) => {
  const folder = temporaryFolder()
  t.after(() => folder.remove())
  const clock = new ManualClock()
  const server = await serveFor(t, { clock, config: { data: folder.path } })
  const { id } = await create(server, { depends_on: [(await create(server, {})).id], agent_type: 'w' })
  const ada = await server.leased('ada', { type: 'w' })
  const store = new DatabaseSync(`${folder.path}/cadre.db`)
  store.prepare(`update tasks set state = 'ready', waiting_for = 0 where id = ?`).run(id)
  store.close()
  await clock.advance(16_000)
  assert.equal((await ada.next<Assignment>('task:assigned')).data.id, id)
})

test('while nothing changes nobody is looked for', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const tasks = Array.from({ length: 50 }, (_, index) => ({ key: `k${index}`, capabilities: [`skill ${index}`] }))
  await server.call('POST', '/tasks/dag', { name: 'odd', tasks })
  await clock.advance(500)
  const candidates = t.mock.method(Registry.prototype, 'candidates')
  await clock.advance(14_000)
  assert.equal(candidates.mock.callCount(), 0)
  const ada = await server.leased('ada', { capabilities: ['skill 31'] })
  assert.equal((await ada.next<Assignment>('task:assigned')).data.key, 'k31')
  assert.ok(candidates.mock.callCount() < 500, `${candidates.mock.callCount()} for 50 kinds of tasks`)
})

test('an agent that was silent and speaks again gets work at once', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  await server.call('POST', '/agents/register', { name: 'ada', type: 'w' })
  await server.call('POST', '/agents/ada/heartbeat', {})
  await clock.advance(30_000)
  const { id } = await create(server, { agent_type: 'w' })
  await clock.advance(1_000)
  assert.equal((await read(server, id)).state, 'ready')
  await server.call('POST', '/agents/ada/heartbeat', {})
  await until(async () => (await read(server, id)).assigned_to === 'ada', 'the assignment')
})

test('a task that nobody present can do is reported within a minute, once for each wait', async (t) => {
  const folder = temporaryFolder()
  t.after(() => folder.remove())
  const clock = new ManualClock()
  const config = { data: folder.path }
  const server = await serveFor(t, { clock, config })
  const alerts = async (from: TestServer) =>
    (await from.call<{ items: LogEntry[] }>('GET', '/events?types=task.unassignable')).items.map((entry) => entry.subject)
  const busy = await server.leased('busy', { type: 'w' })
  const [, queued] = [await create(server, { agent_type: 'w' }), await create(server, { agent_type: 'w' })]
  const { data } = await busy.next<Assignment>('task:assigned')
  const lonely = await create(server, { capabilities: ['flying'] })
  await clock.advance(20_000)
  assert.deepEqual(await alerts(server), [])
  await busy.call('agent:heartbeat', { leases: [data.lease] })
  await clock.advance(20_000)
  await busy.call('agent:heartbeat', { leases: [data.lease] })
  await clock.advance(20_000)
  assert.deepEqual(await alerts(server), [lonely.id], `not ${queued?.id}, which only waits for room`)
  const pilot = await server.leased('pilot', { capabilities: ['flying'] })
  const flown = (await pilot.next<Assignment>('task:assigned')).data
  await server.call('DELETE', '/agents/pilot')
  await pilot.call('tasks.release', { id: flown.id, lease: flown.lease })
  await clock.advance(60_000)
  assert.deepEqual(
    (await alerts(server)).filter((id) => id === lonely.id),
    [lonely.id, lonely.id],
  )
  await server.close()
  const again = await serveFor(t, { clock, config })
  await clock.advance(60_000)
  assert.equal((await alerts(again)).filter((id) => id === lonely.id).length, 2, 'a restart is no new wait')
})

test('a task that its named agent does not take is reported within a minute, once for each wait', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const alerts = async () =>
    (await server.call<{ items: LogEntry[] }>('GET', '/events?types=task.unassignable')).items.map(({ subject, data }) => [
      subject,
      (data as { reason: string }).reason,
    ])
  for (const name of ['away', 'far']) await server.call('POST', '/agents/register', { name })
  const { id } = await create(server, { assign_to: 'away' })
  const present = await server.leased('here')
  const taken = await create(server, { assign_to: 'here', lease_ms: 600_000 })
  await present.next<Assignment>('task:assigned')
  await clock.advance(25_000)
  assert.deepEqual(await alerts(), [])
  await clock.advance(35_000)
  assert.deepEqual(await alerts(), [[id, 'away has not taken it']], `not ${taken.id}`)
  await clock.advance(60_000)
  assert.equal((await alerts()).length, 1)
  await server.call('POST', `/tasks/${id}/assign`, { agent: 'far' })
  await clock.advance(60_000)
  assert.deepEqual(
    new Set((await alerts()).map(([, reason]) => reason)),
    new Set(['away has not taken it', 'far has not taken it']),
  )
})
