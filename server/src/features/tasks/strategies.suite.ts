/** What holds for every strategy, the built-in ones and those that are composed in: run it over a new one. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Agent, Assignment, LogEntry, OutputOf } from '@cadre/contract'
import fc from 'fast-check'
import { ManualClock, type TestServer, serveFor } from '../../testing.ts'
import { choose } from './choosing.ts'
import type { Able, Ask, Standing, Strategy } from './strategies.ts'

type Detail = OutputOf<'tasks.get'>

/** Waits until the engine has no more to do that it could. */
export async function until(is: () => Promise<boolean> | boolean, what: string): Promise<void> {
  const end = Date.now() + 10_000
  while (!(await is())) {
    if (Date.now() > end) assert.fail(`${what} did not happen`)
    await new Promise((done) => setImmediate(done))
  }
}

/** Names of the agents that got tasks, in the order of the assignments. */
export async function assignees(server: TestServer): Promise<string[]> {
  const path = '/events?types=task.assigned&limit=500'
  const { items } = await server.call<{ items: LogEntry[] }>('GET', path)
  return items.toSorted((a, b) => a.seq - b.seq).map(({ data }) => (data as { agent: string }).agent)
}

/** Numbers that look like chance and are the same in every run. */
export function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

export const submit = (server: TestServer, count: number, body: object) =>
  server.call('POST', '/tasks/dag', {
    name: 'many',
    tasks: Array.from({ length: count }, (_, index) => ({ key: `k${index}`, ...body })),
  })

const able = fc.record({
  load: fc.nat({ max: 4 }),
  concurrency: fc.constant(5),
  connected: fc.boolean(),
  type_key: fc.constantFrom('w', 'v'),
  skills: fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd'), { maxLength: 4 }),
  turns: fc.nat({ max: 50 }),
  measured: fc.option(
    fc.record({
      successes: fc.nat({ max: 9 }),
      failures: fc.nat({ max: 9 }),
      slowness: fc.double({ min: 0.1, max: 9, noNaN: true }),
    }),
    { nil: undefined },
  ),
})

/** What it answers, whatever the agents are like. */
export function choiceSuite(strategy: Strategy): void {
  const { name } = strategy
  test(`${name}: chooses one of those that are able, the last holder only when it is alone, and says with which scores`, () => {
    fc.assert(
      fc.property(
        fc.array(able, { minLength: 1, maxLength: 40 }),
        fc.nat(60),
        fc.nat(60),
        fc.nat(),
        (many, last, bound, seed) => {
          const agents = many.map(({ skills, ...rest }, id) => ({ ...rest, id, capabilityKeys: new Set(skills) }))
          const of = ({ id }: Able) => agents[id] as (typeof agents)[number]
          const standing: Standing = {
            load: ({ load, concurrency }) => load / concurrency,
            turns: (agent) => of(agent).turns,
            measured: (agent) => of(agent).measured,
            bound: () => (bound < agents.length ? bound : undefined),
          }
          const ask: Ask = { tenant: 1, type: 'a', capabilities: [], affinity: 'k' }
          const { agent, card } = choose(strategy, agents, ask, standing, last, seeded(seed))
          assert.ok(agents.includes(agent))
          assert.ok(agent.id !== last || agents.length === 1)
          assert.deepEqual([card.strategy, card.considered], [name, agents.length])
          assert.equal(card.candidates.length, Math.min(agents.length, name === 'least_busy' ? 8 : 20))
          assert.ok(card.candidates.some(([id]) => id === agent.id))
          const scores = card.candidates.map(([, score]) => score)
          assert.deepEqual(
            scores,
            scores.toSorted((a, b) => b - a),
          )
          for (const [, score, ...shares] of card.candidates)
            assert.ok(score >= 0 && shares.every((share) => share >= 0 && share <= 1), JSON.stringify(card))
        },
      ),
    )
  })
}

/** What becomes of it. `composed`: the strategies the server is started with beside its own. */
export function assignmentSuite({ name }: Strategy, composed: readonly Strategy[] = []): void {
  const body = { agent_type: 'w', strategy: name }

  test(`${name}: gives each task to one agent, nobody more than it takes at once, and nothing is left while there is room`, async (t) => {
    const server = await serveFor(t, { clock: new ManualClock(), random: seeded(3), strategies: composed })
    for (const [agent, concurrency] of Object.entries({ ada: 7, bob: 11, cyd: 3 }))
      await server.call('POST', '/agents/register', { name: agent, type: 'w', concurrency })
    await submit(server, 30, body)
    await until(async () => (await assignees(server)).length >= 21, 'assignments to all places')
    const { items } = await server.call<{ items: Agent[] }>('GET', '/agents')
    const loads = Object.fromEntries(items.map(({ name: agent, load }) => [agent, load]))
    assert.deepEqual(loads, { ada: 7, bob: 11, cyd: 3 })
    const ready = await server.call<OutputOf<'tasks.list'>>('GET', '/tasks?state=ready')
    assert.equal(ready.items.length, 9)
  })

  test(`${name}: a claim in the same moment and the engine make one assignment`, async (t) => {
    const server = await serveFor(t, { clock: new ManualClock(), strategies: composed })
    await server.call('POST', '/agents/register', { name: 'ada', type: 'w', concurrency: 50 })
    await server.call('POST', '/agents/register', { name: 'bob', type: 'w', concurrency: 50 })
    const [, { items: claimed }] = await Promise.all([
      submit(server, 20, body),
      server.call<{ items: Assignment[] }>('POST', '/tasks/claim', { agent: 'ada', limit: 20 }),
    ])
    await until(async () => (await assignees(server)).length >= 20, 'all assignments')
    assert.equal((await assignees(server)).length, 20)
    for (const { id } of claimed) assert.equal((await server.call<Detail>('GET', `/tasks/${id}`)).assigned_to, 'ada')
  })
}
