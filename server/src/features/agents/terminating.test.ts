/** How agents end, and what becomes of their tasks. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Agent, Assignment, Task } from '@cadre/contract'
import { verifies } from '../../../../test/verifies.ts'
import { ManualClock, Refused, type TestServer, serveFor, startTestServer, temporaryFolder } from '../../testing.ts'

const get = (server: TestServer, agent: string) => server.call<Agent>('GET', `/agents/${agent}`)
const task = (server: TestServer, id: string) => server.call<Task>('GET', `/tasks/${id}`)
const create = (server: TestServer, body: object) => server.call<Task>('POST', '/tasks', { title: 'x', ...body })
async function until(is: () => Promise<boolean> | boolean, what: string): Promise<void> {
  const end = Date.now() + 10_000
  while (!(await is())) {
    if (Date.now() > end) assert.fail(`${what} did not happen`)
    await new Promise((done) => setImmediate(done))
  }
}
const conflict = (error: unknown) => error instanceof Refused && error.code === 'conflict'

const workerCommand: [string, ...string[]] = [process.execPath, '-e', `process.stdin.on('end', () => process.exit(0)).resume()`]

verifies('AGT-34', 'the worker of a busy agent lives until its last task has ended', async (t) => {
  const server = await serveFor(t, { workerCommand })
  await server.call('POST', '/agents/spawn', { name: 'w', type: 'research' })
  await until(() => server.workerPid('w') !== undefined, 'the worker')
  const pid = server.workerPid('w')
  const line = await server.leased('w')
  const { id } = await create(server, { assign_to: 'w' })
  const { data } = await line.next<Assignment>('task:assigned')
  await line.call('tasks.accept', { id, lease: data.lease })
  assert.equal((await server.call<Agent>('DELETE', '/agents/w')).status, 'stopping')
  await line.settled()
  assert.equal(server.workerPid('w'), pid)
  await line.call('tasks.complete', { id, lease: data.lease })
  assert.equal((await line.closed).code, 4403)
  await until(() => server.workerPid('w') === undefined, 'the end of the worker')
  assert.equal((await get(server, 'w')).status, 'terminated')
})

test('a draining agent that connects anew goes on draining', async (t) => {
  const server = await serveFor(t)
  const { token } = await server.call<{ token: string }>('POST', '/agents/register', { name: 'ada' })
  const ada = await server.leased('ada', { token })
  const { id } = await create(server, { assign_to: 'ada' })
  const { data } = await ada.next<Assignment>('task:assigned')
  await ada.call('tasks.accept', { id, lease: data.lease })
  await server.call('DELETE', '/agents/ada')
  ada.terminate()
  const back = await server.leased('ada', { token })
  assert.equal((await get(server, 'ada')).status, 'stopping')
  await back.call('tasks.complete', { id, lease: data.lease })
  assert.equal((await back.closed).code, 4403)
  assert.equal((await get(server, 'ada')).status, 'terminated')
})

test('an agent that is away ends at once; what waited for it is free', async (t) => {
  const server = await serveFor(t)
  await server.call('POST', '/agents/register', { name: 'ada' })
  const [named, typed] = [await create(server, { assign_to: 'ada' }), await create(server, { assign_to: 'ada', agent_type: 'w' })]
  await server.call('DELETE', '/agents/ada')
  await until(async () => (await get(server, 'ada')).status === 'terminated', 'the end of ada')
  const { state, assign_to, attempt } = await task(server, named.id)
  assert.deepEqual([state, assign_to, attempt], ['ready', null, 0])
  const bob = await server.leased('bob', { type: 'w' })
  assert.equal((await bob.next<Assignment>('task:assigned')).data.id, typed.id)
})

test('forced, it leaves its task to others when the lease ends, and nothing new is named for it', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const ada = await server.leased('ada')
  const { id } = await create(server, { assign_to: 'ada' })
  const { data } = await ada.next<Assignment>('task:assigned')
  await ada.call('tasks.accept', { id, lease: data.lease })
  const later = await create(server, { assign_to: 'ada', delay_ms: 40_000 })
  const open = await create(server, {})
  await server.call('DELETE', '/agents/ada?force=true')
  await clock.advance(31_000)
  const freed = await task(server, id)
  assert.deepEqual([freed.state, freed.assign_to], ['ready', null])
  await clock.advance(10_000)
  assert.equal((await task(server, later.id)).state, 'ready')
  await assert.rejects(create(server, { assign_to: 'ada' }), conflict)
  await assert.rejects(server.call('POST', `/tasks/${open.id}/assign`, { agent: 'ada' }), conflict)
  await server.call('POST', '/agents/register', { name: 'ada' })
  assert.equal((await create(server, { assign_to: 'ada' })).assigned_to, 'ada')
})

test('a stopping agent claims nothing new', async (t) => {
  const server = await serveFor(t)
  const ada = await server.leased('ada', { concurrency: 2 })
  const { id } = await create(server, { assign_to: 'ada' })
  const { data } = await ada.next<Assignment>('task:assigned')
  await ada.call('tasks.accept', { id, lease: data.lease })
  await server.call('DELETE', '/agents/ada')
  await create(server, {})
  assert.deepEqual((await ada.call<{ items: Assignment[] }>('tasks.claim', {})).items, [])
})

test('a termination that the last process did not finish is finished at the start', async (t) => {
  const folder = temporaryFolder()
  t.after(() => folder.remove())
  const config = { data: folder.path }
  const clock = new ManualClock()
  const first = await startTestServer({ config, clock })
  await first.call('POST', '/agents/register', { name: 'idle' })
  await first.call('PUT', '/agents/idle/status', { status: 'stopping' })
  const busy = await first.leased('busy')
  const { id } = await create(first, { assign_to: 'busy' })
  const { data } = await busy.next<Assignment>('task:assigned')
  await busy.call('tasks.accept', { id, lease: data.lease })
  await first.call('DELETE', '/agents/busy')
  await first.close()
  const second = await serveFor(t, { config, clock })
  await until(async () => (await get(second, 'idle')).status === 'terminated', 'the end of idle')
  assert.equal((await get(second, 'busy')).status, 'stopping')
  await clock.advance(31_000)
  await until(async () => (await get(second, 'busy')).status === 'terminated', 'the end of busy')
  assert.equal((await task(second, id)).state, 'ready')
})
