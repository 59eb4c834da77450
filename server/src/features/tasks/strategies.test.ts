/** Ways of choosing among able agents, seen from outside. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Assignment, OutputOf, Task } from '@cadre/contract'
import { verifies } from '../../../../test/verifies.ts'
import { ManualClock, Refused, type Socket, type TestServer, serveFor, temporaryFolder } from '../../testing.ts'
import { type Strategy, makeStrategies } from './strategies.ts'
import { assignees, assignmentSuite, choiceSuite, seeded, submit, until } from './strategies.suite.ts'

/** As somebody would compose it in: the longest list of skills. */
const bySkills: Strategy = {
  name: 'most_skills',
  by: 'best',
  why: 'most skilled',
  score: (agent) => agent.capabilityKeys.size,
}
for (const strategy of makeStrategies().values()) {
  choiceSuite(strategy)
  // Tasks of one key wait for one agent, where the others take any room there is.
  if (strategy.name !== 'sticky') assignmentSuite(strategy)
}
choiceSuite(bySkills)
assignmentSuite(bySkills, [bySkills])

type Detail = OutputOf<'tasks.get'>
type Settings = OutputOf<'assignment.get'>

const refused = (status: number, code: string) => (error: unknown) => {
  assert.ok(error instanceof Refused, String(error))
  assert.deepEqual([error.status, error.code], [status, code], error.message)
  return true
}
const create = (server: TestServer, body: object) => server.call<Task>('POST', '/tasks', { title: 'a task', ...body })
const read = (server: TestServer, id: string) => server.call<Detail>('GET', `/tasks/${id}`)
const register = (server: TestServer, name: string, more: object = {}) =>
  server.call('POST', '/agents/register', { name, type: 'w', concurrency: 1000, ...more })
const count = (names: readonly string[], name: string) => names.filter((each) => each === name).length

async function assigned(server: TestServer, tasks: number): Promise<string[]> {
  await until(async () => (await assignees(server)).length >= tasks, `${tasks} assignments`)
  return assignees(server)
}

verifies('AGT-22', 'in turn: of 300 tasks each of three agents gets every third', async (t) => {
  const server = await serveFor(t, { clock: new ManualClock() })
  for (const name of ['ada', 'bob', 'cyd']) await register(server, name)
  await submit(server, 300, { agent_type: 'w', strategy: 'round_robin' })
  const order = await assigned(server, 300)
  for (let at = 0; at < 300; at += 3) assert.deepEqual(order.slice(at, at + 3).toSorted(), ['ada', 'bob', 'cyd'])
})

verifies('AGT-22', 'least busy: 300 tasks go where there is most room until all are equally busy', async (t) => {
  const server = await serveFor(t, { clock: new ManualClock() })
  for (const name of ['ada', 'bob', 'cyd']) await register(server, name)
  await submit(server, 60, { assign_to: 'ada' })
  await submit(server, 300, { agent_type: 'w' })
  const order = (await assigned(server, 360)).slice(60)
  assert.deepEqual(
    ['ada', 'bob', 'cyd'].map((name) => count(order, name)),
    [60, 120, 120],
  )
})

verifies('AGT-22', 'random: 300 tasks are spread by chance, the way the settings say', async (t) => {
  const server = await serveFor(t, { clock: new ManualClock(), random: seeded(7) })
  for (const name of ['ada', 'bob', 'cyd']) await register(server, name)
  await server.call('PUT', '/assignment', { strategy: 'random' })
  await submit(server, 300, { agent_type: 'w' })
  const order = await assigned(server, 300)
  // Four standard deviations around 100.
  for (const name of ['ada', 'bob', 'cyd'])
    assert.ok(Math.abs(count(order, name) - 100) <= 33, `${count(order, name)} for ${name}`)
  const repeats = order.filter((name, at) => name === order[at - 1]).length
  assert.ok(Math.abs(repeats - 100) <= 33, `${repeats} times the same one again`)
})

test('the best match: the one with the fewest other skills, and of equals the least busy', async (t) => {
  const server = await serveFor(t, { clock: new ManualClock() })
  await register(server, 'generalist', { capabilities: ['csv', 'web', 'law', 'art'] })
  await register(server, 'one', { capabilities: ['csv', 'web'], concurrency: 2 })
  await register(server, 'two', { capabilities: ['csv', 'web'], concurrency: 2 })
  await submit(server, 5, { capabilities: ['csv'], strategy: 'capability' })
  assert.deepEqual(await assigned(server, 5), ['one', 'two', 'one', 'two', 'generalist'])
  const { id } = await create(server, { capabilities: ['csv'], type: 'law', strategy: 'capability' })
  assert.equal((await read(server, id)).attempts[0]?.decision?.strategy ?? 'not yet', 'capability')
})

/** Does the tasks of one agent: each takes its time on the clock, and some fail. */
async function work(
  agent: Socket,
  clock: ManualClock,
  tasks: number,
  ms: number,
  fails: (index: number) => boolean,
): Promise<void> {
  for (let index = 0; index < tasks; index++) {
    const { data } = await agent.next<Assignment>('task:assigned')
    await agent.call('tasks.accept', { id: data.id, lease: data.lease })
    await clock.advance(ms)
    if (fails(index)) await agent.call('tasks.fail', { id: data.id, lease: data.lease, error: 'broken', retryable: false })
    else await agent.call('tasks.complete', { id: data.id, lease: data.lease })
  }
}

test('weighted: measured success and speed at tasks of that type draw the work, after a restart too', async (t) => {
  const folder = temporaryFolder()
  t.after(() => folder.remove())
  const clock = new ManualClock()
  const config = { data: folder.path }
  const server = await serveFor(t, { clock, config, random: seeded(11) })
  const done: Record<string, [ms: number, fails: (index: number) => boolean]> = {
    good: [1_000, () => false],
    slow: [3_000, () => false],
    bad: [1_000, (index) => index % 4 !== 0],
  }
  for (const [name, [ms, fails]] of Object.entries(done)) {
    const agent = await server.leased(name, { type: 'w', concurrency: 1000 })
    await submit(server, 12, { assign_to: name, type: 'sums', max_retries: 0, lease_ms: 600_000 })
    await work(agent, clock, 12, ms, fails)
  }
  await server.close()
  const again = await serveFor(t, { clock, config, random: seeded(12) })
  for (const name of Object.keys(done)) await again.leased(name, { type: 'w', concurrency: 1000 })
  await submit(again, 300, { agent_type: 'w', type: 'sums', strategy: 'weighted' })
  const order = (await assigned(again, 336)).slice(36)
  const [good, slow, bad] = ['good', 'slow', 'bad'].map((name) => count(order, name)) as [number, number, number]
  assert.ok(good > 1.5 * slow && slow > bad && bad > 0, JSON.stringify({ good, slow, bad }))
  await submit(again, 90, { agent_type: 'w', type: 'unknown', strategy: 'weighted' })
  const unknown = (await assigned(again, 426)).slice(336)
  assert.ok(count(unknown, 'bad') > 15, 'nothing is held against it at tasks it never did')
})

test('sticky: a key stays with its agent, waits for it while it is busy, and moves when it is gone', async (t) => {
  const folder = temporaryFolder()
  t.after(() => folder.remove())
  const clock = new ManualClock()
  const config = { data: folder.path }
  const server = await serveFor(t, { clock, config })
  const ada = await server.leased('ada', { type: 'w', concurrency: 1 })
  const first = await create(server, { agent_type: 'w', affinity: 'customer 7' })
  const { data } = await ada.next<Assignment>('task:assigned')
  assert.deepEqual([data.id, data.strategy, data.affinity], [first.id, 'sticky', 'customer 7'])
  const bob = await server.leased('bob', { type: 'w', concurrency: 1 })
  const second = await create(server, { agent_type: 'w', affinity: 'customer 7' })
  const other = await create(server, { agent_type: 'w', affinity: 'customer 8' })
  assert.equal((await bob.next<Assignment>('task:assigned')).data.id, other.id, 'another key is not held up')
  assert.deepEqual((await bob.call('tasks.claim', { limit: 5 }))['items'], [], 'nor does another claim it')
  assert.equal((await read(server, second.id)).state, 'ready')
  await ada.call('tasks.complete', { id: first.id, lease: data.lease })
  const next = (await ada.next<Assignment>('task:assigned')).data
  assert.equal(next.id, second.id)
  assert.equal((await read(server, second.id)).attempts[0]?.reason, 'goes where customer 7 went before')
  await ada.call('tasks.complete', { id: second.id, lease: next.lease })
  await server.close()
  const again = await serveFor(t, { clock, config })
  await again.leased('cyd', { type: 'w', concurrency: 9 })
  const back = await again.leased('ada', { type: 'w', concurrency: 1 })
  const third = await create(again, { agent_type: 'w', affinity: 'customer 7' })
  assert.equal((await back.next<Assignment>('task:assigned')).data.id, third.id, 'a restart forgets no key')
  await again.call('DELETE', '/agents/ada?force=true')
  const fourth = await create(again, { agent_type: 'w', affinity: 'customer 7' })
  await until(async () => (await read(again, fourth.id)).assigned_to === 'cyd', 'another agent for the key')
})

test('settings are kept, told and refused in words; a strategy that is composed in stands beside the others', async (t) => {
  const folder = temporaryFolder()
  t.after(() => folder.remove())
  const options = { clock: new ManualClock(), config: { data: folder.path }, strategies: [bySkills] }
  const server = await serveFor(t, options)
  const before = await server.call<Settings>('GET', '/assignment')
  assert.deepEqual(before, {
    strategy: 'least_busy',
    strategies: ['least_busy', 'round_robin', 'random', 'capability', 'weighted', 'sticky', 'most_skills'],
    updated_by: null,
    updated_at: null,
  })
  const changed = await server.call<OutputOf<'assignment.configure'>>('PUT', '/assignment', { strategy: 'most_skills' })
  assert.deepEqual([changed.strategy, changed.updated_by], ['most_skills', 'operator'])
  const again = await server.call<OutputOf<'assignment.configure'>>('PUT', '/assignment', { strategy: 'most_skills' })
  assert.equal(again.receipt, null)
  await assert.rejects(server.call('PUT', '/assignment', { strategy: 'astrology' }), refused(422, 'invalid_request'))
  await assert.rejects(create(server, { strategy: 'astrology' }), /choose one of least_busy/)
  await assert.rejects(create(server, { strategy: 'random', affinity: 'k' }), refused(422, 'invalid_request'))
  await assert.rejects(create(server, { strategy: 'sticky' }), refused(422, 'invalid_request'))
  await register(server, 'plain')
  await register(server, 'skilled', { capabilities: ['a', 'b'] })
  await submit(server, 4, { agent_type: 'w' })
  assert.deepEqual(await assigned(server, 4), ['skilled', 'skilled', 'skilled', 'skilled'])
  const ada = await server.leased('ada')
  await assert.rejects(ada.call('assignment.configure', { strategy: 'random' }), refused(403, 'forbidden'))
  await server.close()
  const { strategy } = await (await serveFor(t, options)).call<Settings>('GET', '/assignment')
  assert.equal(strategy, 'most_skills')
})

verifies(
  'TSK-07',
  'the card of an assignment lists candidates with skill, load and health, and why one was chosen',
  async (t) => {
    const server = await serveFor(t, { clock: new ManualClock() })
    await register(server, 'expert', { capabilities: ['csv'], concurrency: 4 })
    const jack = await server.leased('jack', { type: 'w', capabilities: ['csv', 'law', 'art'], concurrency: 4 })
    await register(server, 'stranger', { capabilities: ['law'] })
    await submit(server, 1, { assign_to: 'expert' })
    const { id } = await create(server, { capabilities: ['csv'], strategy: 'capability' })
    await until(async () => (await read(server, id)).assigned_to !== null, 'the assignment')
    const [attempt] = (await read(server, id)).attempts
    assert.deepEqual([attempt?.agent, attempt?.reason], ['expert', 'best match of 2 able agents'])
    const { strategy, considered, candidates = [] } = attempt?.decision ?? {}
    assert.deepEqual([strategy, considered], ['capability', 2])
    assert.deepEqual(
      candidates.map(({ agent, score, skill, load, health }) => ({ agent, score, skill, load, health })),
      [
        { agent: 'expert', score: 0.667, skill: 0.667, load: 0.25, health: 0.8 },
        { agent: 'jack', score: 0.4, skill: 0.4, load: 0, health: 1 },
      ],
    )
    const { items } = await server.call<{ items: { data: { reason: string; decision: unknown } }[] }>(
      'GET',
      `/events?types=task.assigned`,
    )
    const told = items.find(({ data }) => data.reason === 'best match of 2 able agents')
    assert.deepEqual(told?.data.decision, attempt?.decision, 'the event says the same')
    const plain = await create(server, { capabilities: ['csv'] })
    const { data } = await jack.next<Assignment>('task:assigned')
    assert.equal(data.id, plain.id)
    assert.equal((await read(server, plain.id)).attempts[0]?.reason, 'least busy of 2 able agents')
    const named = await create(server, { assign_to: 'jack' })
    const [own] = (await read(server, named.id)).attempts
    assert.deepEqual([own?.reason, own?.decision], ['named in the task', null])
  },
)
