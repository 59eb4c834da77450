/** Join rules and failure policies: one small case each, and any graph against a model of a few lines. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { FailurePolicy, JoinRule, OutputOf, Run, Task, TaskState } from '@cadre/contract'
import fc from 'fast-check'
import { type TestServer, serveFor } from '../../testing.ts'
import { ManualClock } from '../../testing.ts'
import { inOrder } from './graph.ts'
import { standing } from './joins.ts'

type Dag = OutputOf<'tasks.dag'>

const submit = (server: TestServer, tasks: object[], more: object = {}) =>
  server.call<Dag>('POST', '/tasks/dag', { name: 'a graph', tasks, ...more })
const states = async (server: TestServer, dag: Dag) => {
  const { items } = await server.call<{ items: Task[] }>('GET', `/tasks?run_id=${dag.run_id}&limit=500`)
  return Object.fromEntries(items.map((task) => [task.key, task.state]))
}
const idOf = (dag: Dag, key: string) => dag.tasks.find((task) => task.key === key)?.id as string
const complete = (server: TestServer, dag: Dag, key: string) => server.call('POST', `/tasks/${idOf(dag, key)}/complete`, {})
/** A person takes the task for bob and says that it failed for good. */
const fail = async (server: TestServer, dag: Dag, key: string) => {
  await server.call('POST', `/tasks/${idOf(dag, key)}/assign`, { agent: 'bob' })
  await server.call('POST', `/tasks/${idOf(dag, key)}/fail`, { error: 'broken', retryable: false })
}
const open = async (t: { after(close: () => Promise<void>): void }) => {
  const server = await serveFor(t, { clock: new ManualClock() })
  await server.call('POST', '/agents/register', { name: 'bob', concurrency: 1000 })
  return server
}

test('all_done runs when all have ended, however; any_success with the first that completed, or never', async (t) => {
  const server = await open(t)
  const dag = await submit(server, [
    { key: 'a' },
    { key: 'b' },
    { key: 'strict', depends_on: ['a', 'b'] },
    { key: 'done', join: 'all_done', depends_on: ['a', 'b', 'strict'] },
    { key: 'any', join: 'any_success', depends_on: ['a', 'b'] },
    { key: 'none', join: 'any_success', depends_on: ['a', 'strict'] },
  ])
  const rules = {
    a: 'all_success',
    b: 'all_success',
    strict: 'all_success',
    done: 'all_done',
    any: 'any_success',
    none: 'any_success',
  }
  assert.deepEqual(Object.fromEntries(dag.tasks.map((task) => [task.key, task.join])), rules)
  await fail(server, dag, 'a')
  const first = { a: 'failed', b: 'ready', strict: 'skipped', done: 'pending', any: 'pending', none: 'skipped' }
  assert.deepEqual(await states(server, dag), first)
  await complete(server, dag, 'b')
  assert.deepEqual(await states(server, dag), { ...first, b: 'completed', done: 'ready', any: 'ready' })
})

test('a join rule holds for dependencies that ended before', async (t) => {
  const server = await open(t)
  const before = await submit(server, [{ key: 'good' }, { key: 'bad' }])
  await complete(server, before, 'good')
  await fail(server, before, 'bad')
  const [good, bad] = ['good', 'bad'].map((key) => idOf(before, key))
  const made = async (join: JoinRule, depends_on: (string | undefined)[]) =>
    (await server.call<Task>('POST', '/tasks', { title: 'x', join, depends_on })).state
  assert.deepEqual(
    [
      await made('all_success', [good, bad]),
      await made('all_done', [good, bad]),
      await made('any_success', [good, bad]),
      await made('any_success', [bad]),
      await made('any_success', []),
    ],
    ['skipped', 'ready', 'ready', 'skipped', 'ready'],
  )
})

test('fail_fast cancels the rest of the run at once, and nothing else; continue lets dependents run', async (t) => {
  const server = await open(t)
  const graph = [
    { key: 'a' },
    { key: 'b', assign_to: 'bob' },
    { key: 'c', depends_on: ['a'] },
    { key: 'd', depends_on: ['b'] },
    { key: 'e', join: 'all_done', depends_on: ['a', 'b'] },
  ]
  const fast = await submit(server, graph, { on_failure: 'fail_fast' })
  const outside = await server.call<Task>('POST', '/tasks', { title: 'outside', join: 'all_done', depends_on: [idOf(fast, 'd')] })
  await fail(server, fast, 'a')
  assert.deepEqual(await states(server, fast), { a: 'failed', b: 'cancelled', c: 'cancelled', d: 'cancelled', e: 'cancelled' })
  assert.equal((await server.call<Task>('GET', `/tasks/${outside.id}`)).state, 'ready')
  const run = await server.call<Run>('GET', `/runs/${fast.run_id}`)
  assert.deepEqual([run.state, run.counts.failed, run.counts.cancelled, run.counts.open], ['failed', 1, 4, 0])
  const begun = await server.call<{ items: { subject: string }[] }>('GET', '/events?types=task.ready,task.assigned')
  assert.ok(!begun.items.some((entry) => entry.subject === idOf(fast, 'e')), 'what depends on the cancelled is never released')

  const on = await submit(server, [...graph, { key: 'f', join: 'all_success', depends_on: ['a'] }], { on_failure: 'continue' })
  await fail(server, on, 'a')
  assert.deepEqual(await states(server, on), { a: 'failed', b: 'assigned', c: 'ready', d: 'pending', e: 'pending', f: 'skipped' })
})

// The model: a task stands by how its dependencies ended, and by nothing else.
interface Node {
  key: string
  join: JoinRule
  depends_on: string[]
  fails: boolean
}
const graphs = fc
  .array(
    fc.record({
      join: fc.constantFrom<JoinRule>('all_success', 'all_done', 'any_success'),
      wanted: fc.array(fc.nat({ max: 1000 }), { maxLength: 4 }),
      fails: fc.boolean(),
    }),
    { minLength: 1, maxLength: 16 },
  )
  .map((shape) =>
    shape.map(
      ({ join, wanted, fails }, index): Node => ({
        key: `n${index}`,
        join,
        depends_on: index === 0 ? [] : [...new Set(wanted.map((each) => `n${each % index}`))],
        fails,
      }),
    ),
  )

/** How every task ends, whatever the order in which they are worked on. */
function ends(nodes: readonly Node[]): Map<string, TaskState> {
  const ended = new Map<string, TaskState>()
  for (const { key, join, depends_on, fails } of nodes) {
    const good = depends_on.filter((each) => ended.get(each) === 'completed').length
    const runs =
      join === 'all_done' || (join === 'all_success' ? good === depends_on.length : depends_on.length === 0 || good > 0)
    ended.set(key, runs ? (fails ? 'failed' : 'completed') : 'skipped')
  }
  return ended
}
const mayRun = ({ join, depends_on }: Node, ended: ReadonlyMap<string, TaskState>) =>
  join === 'any_success' && depends_on.length > 0
    ? depends_on.some((each) => ended.get(each) === 'completed')
    : depends_on.every((each) => (join === 'all_done' ? ended.has(each) : ended.get(each) === 'completed'))

test('a task that waits goes by its rule alone, in every order in which its dependencies end', () => {
  fc.assert(
    fc.property(
      fc.constantFrom<JoinRule>('all_success', 'all_done', 'any_success'),
      fc.array(fc.boolean(), { minLength: 1, maxLength: 8 }),
      (rule, outcomes) => {
        let waiting = outcomes.length
        const seen: string[] = []
        for (const completed of outcomes) {
          const stands = standing(rule, waiting - 1, completed ? 1 : 0, completed ? 0 : 1)
          if (typeof stands === 'string') {
            seen.push(stands)
            break
          }
          waiting = stands.waiting
        }
        const good = outcomes.some(Boolean)
        const expected = rule === 'all_done' || (rule === 'all_success' ? outcomes.every(Boolean) : good) ? 'runs' : 'skipped'
        assert.deepEqual(seen, [expected])
      },
    ),
    { seed: 7, numRuns: 2000 },
  )
})

// 10,000 take some minutes: `CADRE_GRAPH_RUNS=10000`.
const numRuns = Number(process.env['CADRE_GRAPH_RUNS'] ?? 200)

test('any graph with any rules and failures: never early, never stuck, each task ends once and as the model says', {
  timeout: 1_800_000,
}, async (t) => {
  const server = await serveFor(t, { clock: new ManualClock() })
  await server.call('POST', '/agents/register', { name: 'bob', concurrency: 1000 })
  const bob = await server.leased('worker', { type: 'w', concurrency: 1000 })
  const operator = await server.socket()
  let position = (await server.call<{ head: number }>('GET', '/events?limit=1')).head
  await fc.assert(
    fc.asyncProperty(
      graphs,
      fc.constantFrom<FailurePolicy>('skip_downstream', 'fail_fast'),
      fc.infiniteStream(fc.nat()),
      async (nodes, on_failure, choices) => {
        const tasks = nodes.map(({ key, join, depends_on }) => ({ key, join, depends_on, agent_type: 'w', max_retries: 0 }))
        const dag = await bob.call<Dag>('tasks.dag', { name: 'g', tasks, on_failure })
        const byId = new Map(dag.tasks.map((task) => [task.id, nodes.find((each) => each.key === task.key) as Node]))
        const model = ends(nodes)
        const seen = new Map<string, TaskState>()
        const held: { id: string; lease: string }[] = []
        // Follows the log: the one account of what happened, in the order in which it did.
        const follow = async () => {
          for (;;) {
            const page = await operator.call<{
              items: { type: string; subject: string; data: { to: TaskState } }[]
              next: number
              head: number
            }>('events.list', { after: position, limit: 1000 })
            position = page.next
            for (const { type, subject, data } of page.items) {
              const node = byId.get(subject)
              if (!node) continue
              if (type === 'task.ready') assert.ok(mayRun(node, seen), `${node.key} came early`)
              if (['completed', 'failed', 'skipped', 'cancelled'].includes(data.to)) {
                assert.ok(!seen.has(node.key), `${node.key} ended twice`)
                seen.set(node.key, data.to)
              }
            }
            if (page.items.length === 0 || page.next >= page.head) return
          }
        }
        await follow()
        while (seen.size < nodes.length) {
          const given = await bob.next<{ id: string; lease: string }>('task:assigned')
          held.push(given.data, ...(await bob.settled<{ id: string; lease: string }>('task:assigned')).map((frame) => frame.data))
          bob.frames = []
          while (held.length > 0) {
            const [mine] = held.splice((choices.next().value as number) % held.length, 1) as [{ id: string; lease: string }]
            const node = byId.get(mine.id)
            if (!node || seen.has(node.key)) continue
            assert.ok(mayRun(node, seen), `${node.key} was given early`)
            if (node.fails) await bob.call('tasks.fail', { ...mine, error: 'no', retryable: false })
            else await bob.call('tasks.complete', mine)
            await follow()
            held.push(...(await bob.settled<{ id: string; lease: string }>('task:assigned')).map((frame) => frame.data))
            bob.frames = []
          }
        }
        const failed = [...seen.values()].includes('failed')
        for (const [key, state] of seen) {
          if (on_failure === 'fail_fast' && failed && state === 'cancelled') continue
          assert.equal(state, model.get(key), key)
        }
        const run = await bob.call<Run>('runs.get', { id: dag.run_id })
        const count = (...wanted: TaskState[]) => [...seen.values()].filter((state) => wanted.includes(state)).length
        assert.deepEqual(run.counts, {
          total: nodes.length,
          open: 0,
          completed: count('completed'),
          failed: count('failed'),
          cancelled: count('cancelled'),
          skipped: count('skipped'),
        })
        assert.equal(run.state, failed ? 'failed' : count('completed') === nodes.length ? 'completed' : 'cancelled')
        assert.equal(inOrder(nodes).length, nodes.length)
      },
    ),
    { numRuns, seed: 11 },
  )
})

test('a failure goes down a chain of a thousand, and out to ten thousand, at once', async (t) => {
  const server = await open(t)
  const chain = await submit(
    server,
    Array.from({ length: 1_000 }, (_, index) => ({ key: `${index}`, depends_on: index === 0 ? [] : [`${index - 1}`] })),
  )
  await fail(server, chain, '0')
  const { state, counts } = await server.call<Run>('GET', `/runs/${chain.run_id}?limit=1`)
  assert.deepEqual([state, counts.failed, counts.skipped, counts.open], ['failed', 1, 999, 0])
  const wide = await submit(server, [
    { key: 'a' },
    ...Array.from({ length: 9_998 }, (_, index) => ({ key: `b${index}`, depends_on: ['a'] })),
    { key: 'z', join: 'all_done', depends_on: ['a'] },
  ])
  await fail(server, wide, 'a')
  const run = await server.call<Run>('GET', `/runs/${wide.run_id}?limit=1`)
  assert.deepEqual([run.counts.failed, run.counts.skipped, run.counts.open], [1, 9_998, 1])
})
