/** Runs: what they add up to, and that pausing, resuming and cancelling reach everything of them. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { Assignment, OutputOf, Run, Task } from '@cadre/contract'
import { verifies } from '../../../../test/verifies.ts'
import { ManualClock, Refused, type TestServer, serveFor, startTestServer, temporaryFolder } from '../../testing.ts'

type Dag = OutputOf<'tasks.dag'>
type Summary = OutputOf<'runs.get'>
const idOf = (dag: Dag, key: string) => dag.tasks.find((task) => task.key === key)?.id as string
const states = async (server: TestServer, run: string) =>
  Object.fromEntries((await server.call<Summary>('GET', `/runs/${run}`)).nodes.map((node) => [node.key, node.state]))
const submit = (server: TestServer, tasks: object[], more: object = {}) =>
  server.call<Dag>('POST', '/tasks/dag', { name: 'a run', tasks, ...more })
const refused = (code: string) => (error: unknown) => error instanceof Refused && error.code === code

async function open(t: TestContext) {
  const clock = new ManualClock()
  return { clock, server: await serveFor(t, { clock }) }
}

verifies(
  'TSK-14',
  'a parent shows the joined results of its children and leads to each; so does the run of the children',
  async (t) => {
    const { server } = await open(t)
    const bob = await server.leased('bob', { concurrency: 9 })
    const outer = await submit(server, [{ key: 'report', assign_to: 'bob' }])
    const parent = idOf(outer, 'report')
    const inner = await submit(server, [{ key: 'a', assign_to: 'bob' }, { key: 'b', assign_to: 'bob' }, { key: 'c' }], {
      parent_id: parent,
    })
    const single = await server.call<Task>('POST', '/tasks', { title: 'alone', parent_id: parent, assign_to: 'bob' })
    for (const id of [idOf(inner, 'a'), idOf(inner, 'b'), single.id]) {
      const { data } = await bob.next<Assignment>('task:assigned', (task) => task.id === id)
      await bob.call('tasks.complete', { id, lease: data.lease, result: { found: data.key ?? 'alone' } })
    }
    const merged = { a: { found: 'a' }, b: { found: 'b' }, [single.id]: { found: 'alone' } }
    const shown = await server.call<OutputOf<'tasks.get'>>('GET', `/tasks/${parent}`)
    assert.deepEqual(shown.merged_result, merged)
    assert.deepEqual(
      shown.children.map(({ id, key, state, assigned_to }) => [id, key, state, assigned_to]),
      [
        [idOf(inner, 'a'), 'a', 'completed', 'bob'],
        [idOf(inner, 'b'), 'b', 'completed', 'bob'],
        [idOf(inner, 'c'), 'c', 'ready', null],
        [single.id, null, 'completed', 'bob'],
      ],
    )
    const run = await server.call<Summary>('GET', `/runs/${outer.run_id}`)
    assert.deepEqual(run.nodes[0]?.merged_result, merged)
    const childless = await server.call<OutputOf<'tasks.get'>>('GET', `/tasks/${single.id}`)
    assert.deepEqual([childless.children, childless.merged_result], [[], null])
  },
)

test('a run answers with role, memory and messages of each agent, when it ends and when its time is over', async (t) => {
  const { clock, server } = await open(t)
  const ann = await server.leased('ann', { type: 'research' })
  const bob = await server.leased('bob', { type: 'analyst' })
  const dag = await submit(server, [
    { key: 'find', assign_to: 'ann', lease_ms: 600_000 },
    { key: 'judge', assign_to: 'bob', lease_ms: 600_000, depends_on: ['find'] },
  ])
  const { data: find } = await ann.next<Assignment>('task:assigned')
  const own = { task_id: find.id, lease: find.lease }
  for (const content of ['one', 'two']) await ann.call('messages.send', { to: 'bob', content, ...own })
  await ann.call('messages.send', { to: 'bob', content: 'of something else' })
  await ann.call('memory.set', { key: 'notes', value: 1, ...own })
  await ann.call('tasks.complete', { id: find.id, lease: find.lease, result: ['x'] })

  const late = server.call<OutputOf<'runs.wait'>>('GET', `/runs/${dag.run_id}/wait`)
  await bob.next('task:assigned')
  let answer: OutputOf<'runs.wait'> | undefined
  void late.then((value) => (answer = value))
  for (let seconds = 0; seconds < 90 && !answer; seconds += 5) await clock.advance(5_000)
  const summary = await late
  assert.deepEqual([summary.timed_out, summary.state, summary.counts.completed, summary.counts.open], [true, 'running', 1, 1])
  assert.deepEqual(
    summary.agents.map(({ agent, role, tasks, completed, message_count, memory_writes, results }) => ({
      agent,
      role,
      tasks,
      completed,
      message_count,
      memory_writes,
      results,
    })),
    [
      { agent: 'ann', role: 'research', tasks: 1, completed: 1, message_count: 2, memory_writes: 1, results: { find: ['x'] } },
      { agent: 'bob', role: 'analyst', tasks: 1, completed: 0, message_count: 0, memory_writes: 0, results: {} },
    ],
  )
  const soon = server.call<OutputOf<'runs.wait'>>('GET', `/runs/${dag.run_id}/wait?timeout_ms=60000`)
  await server.call('POST', `/tasks/${idOf(dag, 'judge')}/complete`, { result: 'good' })
  const ended = await soon
  assert.deepEqual([ended.timed_out, ended.state], [false, 'completed'])
  assert.deepEqual(ended.agents[1]?.results, { judge: 'good' })
  const events = await server.call<{ items: { subject: string; data: { to: string } }[] }>('GET', '/events?types=run.ended')
  assert.deepEqual(
    events.items.map((entry) => [entry.subject, entry.data.to]),
    [[dag.run_id, 'completed']],
  )
  await assert.rejects(server.call('GET', '/runs/run_nowhere/wait'), refused('not_found'))
})

test('results of children are joined as far as a mebibyte reaches', async (t) => {
  const { server } = await open(t)
  const parent = await server.call<Task>('POST', '/tasks', { title: 'parent' })
  const large = 'x'.repeat(600_000)
  const ids: string[] = []
  for (const result of [large, large, 'small']) {
    const { id } = await server.call<Task>('POST', '/tasks', { title: 'child', parent_id: parent.id })
    await server.call('POST', `/tasks/${id}/complete`, { result })
    ids.push(id)
  }
  const shown = await server.call<OutputOf<'tasks.get'>>('GET', `/tasks/${parent.id}`)
  const [first, second, third] = ids as [string, string, string]
  assert.deepEqual(shown.merged_result, { [first]: large, [second]: null, [third]: 'small' })
})

test('runs are listed newest first, by state, a page at a time', async (t) => {
  const { server } = await open(t)
  const made: string[] = []
  for (let count = 0; count < 5; count++) made.unshift((await submit(server, [{ key: 'a' }])).run_id)
  await server.call('POST', `/runs/${made[1]}/cancel`, { reason: 'not needed' })
  const first = await server.call<{ items: Run[]; next: string }>('GET', '/runs?limit=3')
  const second = await server.call<{ items: Run[]; next: null }>('GET', `/runs?limit=3&cursor=${first.next}`)
  assert.deepEqual(
    [...first.items, ...second.items].map((run) => run.id),
    made,
  )
  const cancelled = await server.call<{ items: Run[] }>('GET', '/runs?state=cancelled')
  assert.deepEqual(
    cancelled.items.map((run) => [run.id, run.counts.cancelled]),
    [[made[1], 1]],
  )
})

test('in a paused run nothing begins: ready, assigned, released, retried or of a child; what runs may finish', async (t) => {
  const { clock, server } = await open(t)
  const bob = await server.leased('bob', { concurrency: 9 })
  const dag = await submit(server, [
    { key: 'running', assign_to: 'bob', lease_ms: 600_000 },
    { key: 'assigned', assign_to: 'bob', lease_ms: 600_000 },
    { key: 'failing', assign_to: 'bob', lease_ms: 600_000 },
    { key: 'ready' },
    { key: 'delayed', delay_ms: 2_000 },
    { key: 'after', depends_on: ['running'], assign_to: 'bob' },
  ])
  const taken = async (key: string) => (await bob.next<Assignment>('task:assigned', (task) => task.key === key)).data
  const [running, assigned, failing] = [await taken('running'), await taken('assigned'), await taken('failing')]
  for (const { id, lease } of [running, failing]) await bob.call('tasks.accept', { id, lease })

  const paused = await server.call<Run & { already?: boolean }>('POST', `/runs/${dag.run_id}/pause`, { reason: 'lunch' })
  assert.equal(paused.state, 'paused')
  await bob.next('task:cancelled', (data) => data['id'] === assigned.id)
  await assert.rejects(bob.call('tasks.accept', { id: assigned.id, lease: assigned.lease }), refused('stale_lease'))
  const child = await server.call<Task>('POST', '/tasks', { title: 'child', parent_id: running.id, assign_to: 'bob' })
  assert.equal(child.state, 'paused')
  await bob.call('tasks.complete', { id: running.id, lease: running.lease })
  await bob.call('tasks.fail', { id: failing.id, lease: failing.lease, error: 'again, please' })
  await assert.rejects(server.call('POST', `/tasks/${idOf(dag, 'delayed')}/assign`, { agent: 'bob' }), refused('conflict'))
  await clock.advance(5_000)
  const held = {
    running: 'completed',
    assigned: 'paused',
    failing: 'paused',
    ready: 'paused',
    delayed: 'paused',
    after: 'paused',
  }
  assert.deepEqual(await states(server, dag.run_id), held)
  assert.deepEqual(await bob.settled('task:assigned'), [])
  await assert.rejects(
    server.call('POST', '/tasks/claim', { agent: 'bob', id: idOf(dag, 'ready') }),
    refused('illegal_transition'),
  )
  assert.equal((await server.call<{ already?: boolean }>('POST', `/runs/${dag.run_id}/pause`, {})).already, true)

  const resumed = await server.call<Run>('POST', `/runs/${dag.run_id}/resume`, {})
  assert.equal(resumed.state, 'running')
  const on = {
    running: 'completed',
    assigned: 'assigned',
    failing: 'assigned',
    ready: 'ready',
    delayed: 'ready',
    after: 'assigned',
  }
  assert.deepEqual(await states(server, dag.run_id), on)
  assert.equal((await taken('assigned')).attempt, 1, 'an attempt that never began does not count')
  assert.equal((await taken('failing')).attempt, 2)
  assert.equal((await server.call<Task>('GET', `/tasks/${child.id}`)).state, 'assigned')
  const events = await server.call<{ items: { data: { reason: string } }[] }>('GET', '/events?types=run.paused,run.resumed')
  assert.deepEqual(
    events.items.map((entry) => entry.data.reason),
    ['lunch', 'resumed by operator'],
  )
})

test('pausing reaches graphs below, and resuming leaves what was paused by itself', async (t) => {
  const { server } = await open(t)
  const outer = await submit(server, [{ key: 'top' }, { key: 'second' }])
  const inner = await submit(server, [{ key: 'x' }, { key: 'y', depends_on: ['x'] }], { parent_id: idOf(outer, 'top') })
  const own = await submit(server, [{ key: 'z' }], { parent_id: idOf(outer, 'second') })
  const beside = await submit(server, [{ key: 'free' }])
  await server.call('POST', `/runs/${own.run_id}/pause`, {})
  await server.call('POST', `/runs/${outer.run_id}/pause`, {})
  const late = await submit(server, [{ key: 'late' }], { parent_id: idOf(inner, 'x') })
  const all = async () =>
    Object.assign(
      {},
      ...(await Promise.all([outer, inner, own, beside, late].map((dag) => states(server, dag.run_id)))),
    ) as object
  const paused = { top: 'paused', second: 'paused', x: 'paused', y: 'pending', z: 'paused', free: 'ready', late: 'paused' }
  assert.deepEqual(await all(), paused)
  await server.call('POST', `/runs/${outer.run_id}/resume`, {})
  const on = { top: 'ready', second: 'ready', x: 'ready', y: 'pending', z: 'paused', free: 'ready', late: 'ready' }
  assert.deepEqual(await all(), on)
  await server.call('POST', `/runs/${own.run_id}/resume`, {})
  assert.deepEqual(await all(), { ...on, z: 'ready' })
})

test('a pause outlives the server, and resuming goes on to the end', async () => {
  const folder = temporaryFolder()
  try {
    const first = await startTestServer({ config: { data: folder.path } })
    const dag = await submit(first, [
      { key: 'a', agent_type: 'w' },
      { key: 'b', agent_type: 'w', depends_on: ['a'] },
    ])
    await first.call('POST', `/runs/${dag.run_id}/pause`, {})
    await first.close()
    const clock = new ManualClock(Date.now() + 60_000)
    const second = await startTestServer({ config: { data: folder.path }, clock })
    try {
      const worker = await second.leased('worker', { type: 'w' })
      await clock.advance(20_000)
      assert.deepEqual(await worker.settled('task:assigned'), [])
      assert.deepEqual(await states(second, dag.run_id), { a: 'paused', b: 'pending' })
      await second.call('POST', `/runs/${dag.run_id}/resume`, {})
      for (const key of ['a', 'b']) {
        const { data } = await worker.next<Assignment>('task:assigned')
        assert.equal(data.key, key)
        await worker.call('tasks.complete', { id: data.id, lease: data.lease })
      }
      assert.equal((await second.call<Run>('GET', `/runs/${dag.run_id}`)).state, 'completed')
    } finally {
      await second.close()
    }
  } finally {
    folder.remove()
  }
})

verifies('TSK-19', 'cancelling a run ends every task of it and below it, and sets its agents free', async (t) => {
  const { server } = await open(t)
  const bob = await server.leased('bob', { concurrency: 2 })
  const dag = await submit(server, [
    { key: 'a', assign_to: 'bob' },
    { key: 'b', depends_on: ['a'] },
    { key: 'c', join: 'all_done', depends_on: ['b'] },
  ])
  const { data } = await bob.next<Assignment>('task:assigned')
  await bob.call('tasks.accept', { id: data.id, lease: data.lease })
  const inner = await submit(server, [{ key: 'x', assign_to: 'bob' }, { key: 'y' }], { parent_id: data.id })
  const answer = await server.call<Run>('POST', `/runs/${dag.run_id}/cancel`, { reason: 'enough' })
  assert.deepEqual([answer.state, answer.counts.cancelled, answer.counts.open], ['cancelled', 3, 0])
  assert.deepEqual(await states(server, inner.run_id), { x: 'cancelled', y: 'cancelled' })
  await bob.next('task:cancelled', (frame) => frame['id'] === data.id)
  await assert.rejects(bob.call('tasks.complete', { id: data.id, lease: data.lease }), refused('stale_lease'))
  assert.equal((await server.call<{ load?: number; status: string }>('GET', '/agents/bob')).status, 'idle')
  assert.equal((await server.call<{ already?: boolean }>('POST', `/runs/${dag.run_id}/cancel`, {})).already, true)
  await assert.rejects(server.call('POST', `/runs/${dag.run_id}/resume`, {}), refused('conflict'))
})

test('only the creator of a run, or an operator, decides about it', async (t) => {
  const { server } = await open(t)
  const ann = await server.leased('ann')
  const bob = await server.leased('bob')
  const dag = await ann.call<Dag>('tasks.dag', { name: 'hers', tasks: [{ key: 'a' }] })
  await assert.rejects(bob.call('runs.pause', { id: dag.run_id }), refused('forbidden'))
  assert.equal((await ann.call<Run>('runs.pause', { id: dag.run_id })).state, 'paused')
  await assert.rejects(server.call('POST', '/runs/run_nowhere/pause', {}), refused('not_found'))
})

test('a manual retry is a new task, and the old one stays as it ended', async (t) => {
  const { server } = await open(t)
  const bob = await server.leased('bob')
  const task = await server.call<Task>('POST', '/tasks', {
    title: 'try',
    input: { a: 1 },
    assign_to: 'bob',
    priority: 'high',
    metadata: { m: 1 },
  })
  await assert.rejects(server.call('POST', `/tasks/${task.id}/retry`, {}), refused('conflict'))
  const { data } = await bob.next<Assignment>('task:assigned')
  await bob.call('tasks.fail', { id: data.id, lease: data.lease, error: 'no', retryable: false })
  const again = await server.call<Task>('POST', `/tasks/${task.id}/retry`, {})
  assert.deepEqual(
    [again.retry_of, again.title, again.input, again.priority, again.metadata, again.state, again.attempt],
    [task.id, 'try', { a: 1 }, 2, { m: 1 }, 'assigned', 1],
  )
  assert.notEqual(again.id, task.id)
  assert.equal((await server.call<Task>('GET', `/tasks/${task.id}`)).state, 'failed')
})
