/** Graphs of tasks: order, cycles, and what follows when a task ends. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { type Assignment, CadreError, type OutputOf, type Task } from '@cadre/contract'
import fc from 'fast-check'
import { verifies } from '../../../../test/verifies.ts'
import { ManualClock, Refused, type Socket, serveFor } from '../../testing.ts'
import { type GraphNode, inOrder } from './graph.ts'

type Dag = OutputOf<'tasks.dag'>

const node = (key: string, ...depends_on: string[]): GraphNode => ({ key, depends_on })

test('every dependency stands before its dependents, whatever the graph', () => {
  const graphs = fc
    .integer({ min: 1, max: 60 })
    .chain((size) =>
      fc
        .array(fc.tuple(fc.nat({ max: size - 1 }), fc.nat({ max: size - 1 })), { maxLength: 150 })
        .map((pairs) =>
          Array.from({ length: size }, (_, index) =>
            node(
              `k${index}`,
              ...pairs.filter(([a, b]) => Math.max(a, b) === index && a !== b).map(([a, b]) => `k${Math.min(a, b)}`),
            ),
          ),
        ),
    )
  fc.assert(
    fc.property(graphs, fc.nat(), (nodes, seed) => {
      const shuffled = nodes.toSorted((a, b) => ((a.key.length * 7919 + seed) % 13) - ((b.key.length * 104_729 + seed) % 11))
      const order = inOrder(shuffled)
      assert.deepEqual([...order].toSorted(), nodes.map((each) => each.key).toSorted())
      for (const { key, depends_on } of nodes)
        for (const before of depends_on) assert.ok(order.indexOf(before) < order.indexOf(key), `${before} before ${key}`)
    }),
    { seed: 5 },
  )
})

test('a cycle is named as it runs, and only it', () => {
  const cycle = (nodes: GraphNode[]) => {
    try {
      inOrder(nodes)
    } catch (error) {
      assert.ok(error instanceof CadreError)
      return [error.code, error.parameters['path']]
    }
    return undefined
  }
  assert.deepEqual(cycle([node('a', 'a')]), ['cycle', 'a -> a'])
  assert.deepEqual(cycle([node('a', 'c'), node('b', 'a'), node('c', 'b')]), ['cycle', 'a -> c -> b -> a'])
  assert.deepEqual(cycle([node('free'), node('x', 'y'), node('y', 'z', 'free'), node('z', 'y')]), ['cycle', 'y -> z -> y'])
  assert.equal(cycle([node('a'), node('b', 'a', 'a', 'elsewhere')]), undefined)
})

test('keys are unique, and a graph is at most a thousand deep', () => {
  assert.throws(
    () => inOrder([node('a'), node('a')]),
    (error) => error instanceof CadreError && error.fields?.[0]?.pointer === '/tasks/1/key',
  )
  const chain = (length: number) =>
    Array.from({ length }, (_, index) => node(`${index}`, ...(index === 0 ? [] : [`${index - 1}`])))
  assert.equal(inOrder(chain(1_000)).length, 1_000)
  assert.throws(
    () => inOrder(chain(1_001)),
    (error) => error instanceof CadreError && error.code === 'invalid_request',
  )
})

const refused = (status: number, code: string) => (error: unknown) => {
  assert.ok(error instanceof Refused, String(error))
  assert.deepEqual([error.status, error.code], [status, code], error.message)
  return true
}

async function open(t: TestContext) {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  return {
    server,
    clock,
    submit: (tasks: object[], more: object = {}) => server.call<Dag>('POST', '/tasks/dag', { name: 'a graph', tasks, ...more }),
    states: async (dag: Dag) => {
      const { items } = await server.call<{ items: Task[] }>('GET', `/tasks?run_id=${dag.run_id}&limit=500`)
      return Object.fromEntries(items.map((task) => [task.key, task.state]))
    },
    idOf: (dag: Dag, key: string) => dag.tasks.find((task) => task.key === key)?.id as string,
  }
}
const finish = async (agent: Socket, id: string) => {
  const { data } = await agent.next<Assignment>('task:assigned', (task) => task.id === id)
  await agent.call('tasks.complete', { id, lease: data.lease, result: `result of ${data.key}` })
}

verifies('TSK-03', "document 2's graph: analysis waits for research and data, then synthesis, then the report", async (t) => {
  const { server, submit, states, idOf } = await open(t)
  const agents = {
    one: await server.leased('agent-1', { type: 'research' }),
    two: await server.leased('agent-2', { type: 'collector' }),
    three: await server.leased('agent-3', { type: 'analysis' }),
  }
  const dag = await submit([
    { key: 'T5', title: 'Report Generation', agent_type: 'analyst', depends_on: ['T4'] },
    { key: 'T3', title: 'Analysis', agent_type: 'analyst', depends_on: ['T1', 'T2'] },
    { key: 'T1', title: 'Research', agent_type: 'researcher' },
    { key: 'T4', title: 'Synthesis', agent_type: 'analyst', depends_on: ['T3'] },
    { key: 'T2', title: 'Data Collection', agent_type: 'collector' },
  ])
  assert.deepEqual(dag.tasks.find((task) => task.key === 'T3')?.depends_on, [idOf(dag, 'T1'), idOf(dag, 'T2')])
  await finish(agents.one, idOf(dag, 'T1'))
  assert.deepEqual(await states(dag), { T1: 'completed', T2: 'assigned', T3: 'pending', T4: 'pending', T5: 'pending' })
  assert.deepEqual(await agents.three.settled('task:assigned'), [], 'T3 waits for both')
  await finish(agents.two, idOf(dag, 'T2'))
  for (const key of ['T3', 'T4', 'T5']) await finish(agents.three, idOf(dag, key))
  assert.deepEqual(await states(dag), { T1: 'completed', T2: 'completed', T3: 'completed', T4: 'completed', T5: 'completed' })
})

verifies('TSK-03', 'a graph is stored whole or not at all', async (t) => {
  const { server, submit } = await open(t)
  const cases: [tasks: object[], status: number, code: string, says: RegExp][] = [
    [
      [
        { key: 'a', depends_on: ['b'] },
        { key: 'b', depends_on: ['c'] },
        { key: 'c', depends_on: ['a'] },
      ],
      422,
      'cycle',
      /Break the cycle a -> b -> c -> a/,
    ],
    [[{ key: 'a' }, { key: 'b', depends_on: ['nowhere'] }], 404, 'not_found', /no task nowhere/],
    [[{ key: 'a' }, { key: 'a' }], 422, 'invalid_request', /The key a is used twice/],
    [[{ key: 'a' }, { key: 'b', assign_to: 'ghost' }], 404, 'not_found', /no agent ghost/],
    [[{ key: 'a' }, { key: 'b', priority: 'soon' }], 422, 'invalid_request', /tasks\/1\/priority/],
    [[], 422, 'invalid_request', /\/tasks/],
    [Array.from({ length: 10_001 }, (_, key) => ({ key: `${key}` })), 422, 'invalid_request', /\/tasks/],
  ]
  for (const [tasks, status, code, says] of cases) {
    await assert.rejects(submit(tasks), (error) => {
      refused(status, code)(error)
      assert.match((error as Error).message, says)
      return true
    })
  }
  assert.deepEqual((await server.call<{ items: unknown[] }>('GET', '/tasks')).items, [])
})

test('a dependency may be a task of before; a completed one is met, a failed one skips', async (t) => {
  const { server, submit, states } = await open(t)
  const before = await Promise.all(['done', 'cancelled', 'open'].map((title) => server.call<Task>('POST', '/tasks', { title })))
  const [done, cancelled, waiting] = before.map((task) => task.id) as [string, string, string]
  await server.call('POST', `/tasks/${done}/complete`, {})
  await server.call('POST', `/tasks/${cancelled}/cancel`, {})
  const dag = await submit([
    { key: 'free', depends_on: [done, done] },
    { key: 'doomed', depends_on: [cancelled, waiting] },
    { key: 'after', depends_on: ['doomed'] },
    { key: 'waits', depends_on: [done, waiting] },
  ])
  const expected = { free: 'ready', doomed: 'skipped', after: 'skipped', waits: 'pending' }
  assert.deepEqual(Object.fromEntries(dag.tasks.map((task) => [task.key, task.state])), expected, 'the answer already says so')
  assert.deepEqual(await states(dag), expected)
  await server.call('POST', `/tasks/${waiting}/complete`, {})
  assert.deepEqual(await states(dag), { ...expected, waits: 'ready' })
})

test('what cannot run any more is skipped, down the graph, each once, with the reason', async (t) => {
  const { server, submit, states, idOf } = await open(t)
  const bob = await server.leased('bob')
  const dag = await submit([
    { key: 'a', assign_to: 'bob' },
    { key: 'b', depends_on: ['a'] },
    { key: 'c', depends_on: ['a', 'b'] },
    { key: 'd', depends_on: ['c', 'other'] },
    { key: 'other' },
  ])
  const { data } = await bob.next<Assignment>('task:assigned')
  await bob.call('tasks.fail', { id: data.id, lease: data.lease, error: 'no way', retryable: false })
  assert.deepEqual(await states(dag), { a: 'failed', b: 'skipped', c: 'skipped', d: 'skipped', other: 'ready' })
  const skipped = await server.call<Task>('GET', `/tasks/${idOf(dag, 'b')}`)
  assert.deepEqual([skipped.status, skipped.error], ['cancelled', { code: 'dependency_failed', message: 'a ended as failed' }])
  const events = await server.call<{ items: { subject: string }[] }>('GET', '/events?types=task.skipped')
  assert.deepEqual(events.items.map((entry) => entry.subject).toSorted(), ['b', 'c', 'd'].map((key) => idOf(dag, key)).toSorted())
  await server.call('POST', `/tasks/${idOf(dag, 'other')}/complete`, {})
  assert.equal((await states(dag))['d'], 'skipped')
})

test('any graph that agents work through ends with every node completed, and none begins before its dependencies', async (t) => {
  const { server, submit, states } = await open(t)
  const bob = await server.leased('bob', { type: 'w', concurrency: 1000 })
  const shapes = fc.array(fc.array(fc.nat({ max: 100 }), { maxLength: 3 }), { minLength: 1, maxLength: 14 })
  await fc.assert(
    fc.asyncProperty(shapes, async (shape) => {
      const tasks = shape.map((wanted, index) => ({
        key: `n${index}`,
        agent_type: 'w',
        depends_on: index === 0 ? [] : [...new Set(wanted.map((each) => `n${each % index}`))],
      }))
      const dag = await submit(tasks)
      const done = new Set<string>()
      for (let count = 0; count < tasks.length; count++) {
        const { data } = await bob.next<Assignment>('task:assigned')
        assert.ok(
          data.depends_on.every((id) => done.has(id)),
          `${data.key} came early`,
        )
        await bob.call('tasks.complete', { id: data.id, lease: data.lease })
        done.add(data.id)
      }
      assert.deepEqual(new Set(Object.values(await states(dag))), new Set(['completed']))
      assert.equal(done.size, tasks.length)
    }),
    { numRuns: 15, seed: 3 },
  )
})

test('children carry their parent, and are listed by it', async (t) => {
  const { server, submit } = await open(t)
  const parent = await server.call<Task>('POST', '/tasks', { title: 'parent' })
  const dag = await submit([{ key: 'a' }, { key: 'b', depends_on: ['a'] }], { parent_id: parent.id })
  const children = await server.call<{ items: Task[] }>('GET', `/tasks?parent_id=${parent.id}`)
  assert.deepEqual(children.items.map((task) => task.id).toSorted(), dag.tasks.map((task) => task.id).toSorted())
  assert.ok(children.items.every((task) => task.parent_id === parent.id && task.run_id === dag.run_id))
})

test('cancelling a parent ends children that depend on one another', async (t) => {
  const { server, submit, states } = await open(t)
  const parent = await server.call<Task>('POST', '/tasks', { title: 'parent' })
  const dag = await submit([{ key: 'a' }, { key: 'b', depends_on: ['a'] }, { key: 'c', depends_on: ['a', 'b'] }], {
    parent_id: parent.id,
  })
  await server.call('POST', `/tasks/${parent.id}/cancel`, {})
  assert.deepEqual(await states(dag), { a: 'cancelled', b: 'skipped', c: 'skipped' })
})
