import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { startTestServer } from 'cadre/testing'
import { type Graph, listSchedule, lowerBound, toGraph } from '../scripts/replay/graphs.ts'
import { Player } from '../scripts/replay/player.ts'
import { VirtualClock } from '../scripts/replay/virtual-clock.ts'

type Task = [seconds: number, parents: number[]]
const graphOf = (tasks: Task[]): Graph =>
  toGraph({ instance: 'g', tasks: tasks.map(([seconds, parents]) => [0, seconds, parents]) })
/** By age the long one starts last. */
const late = graphOf([
  [1, []],
  [1, []],
  [1, []],
  [1, []],
  [6, []],
])
const plain = (graph: Graph) => [...graph.nodes.keys()]

/** Two that wait for one, one that waits for both, and three on their own, of which the last is long. */
const mixed = graphOf([
  [2, []],
  [3, [0]],
  [1, [0]],
  [2, [1, 2]],
  [1, []],
  [1, []],
  [6, []],
])

async function playerFor(t: TestContext, agents: number): Promise<Player> {
  const clock = new VirtualClock(1)
  const server = await startTestServer({ clock })
  const player = new Player(server, clock, 1)
  t.after(async () => {
    player.close()
    await server.close()
  })
  await player.open(agents)
  return player
}

test('upward ranks, the lower bound, and list schedules by rank and in order', () => {
  assert.deepEqual(mixed.ranks, [7, 5, 3, 2, 1, 1, 6])
  assert.equal(lowerBound(mixed, 8), 7)
  assert.equal(lowerBound(mixed, 2), 8)
  const byRank = (a: number, b: number) => (mixed.ranks[b] as number) - (mixed.ranks[a] as number)
  assert.equal(listSchedule(mixed, 2, byRank), 8)
  assert.equal(
    listSchedule(late, 2, (a, b) => a - b),
    8,
  )
})

test('what is no graph is refused', () => {
  assert.throws(
    () =>
      graphOf([
        [1, [1]],
        [1, [0]],
      ]),
    /cycle/,
  )
  assert.throws(() => graphOf([[1, [7]]]), /parent that is not there/)
  assert.throws(() => graphOf([[-1, []]]), /takes -1 s/)
})

test('by priority the server keeps the makespan of the upward-rank schedule; without, it goes by age', async (t) => {
  const player = await playerFor(t, 2)
  const options = { kills: 0, random: () => 1 }
  const priorities = mixed.ranks.map((rank) => 9 - Math.floor(rank))
  const ranked = await player.play(mixed, { ...options, run: 'ranked', order: plain(mixed), priorities })
  assert.deepEqual([ranked.makespan, ranked.faults, ranked.killed], [8, [], 0])
  assert.deepEqual(await player.audit(mixed, 'ranked', ranked.runId, 0), [])
  const first = await player.play(late, { ...options, run: 'first', order: plain(late), priorities: [9, 9, 9, 9, 1] })
  const aged = await player.play(late, { ...options, run: 'aged', order: plain(late), priorities: undefined })
  assert.deepEqual([first.makespan, aged.makespan, first.faults, aged.faults], [6, 8, [], []])
})

test('agents that die of their tasks: each task is completed once, and what wakes after its lease is refused', async (t) => {
  const player = await playerFor(t, 3)
  let turn = 0
  // Of five assignments two are deadly, once before the task has begun and once after.
  const random = () => [0, 0.9, 0.9, 0.9, 0, 0.3, 0.9][turn++ % 7] as number
  const played = await player.play(mixed, { run: 'deadly', priorities: undefined, order: plain(mixed), kills: 0.2, random })
  assert.deepEqual(played.faults, [])
  assert.ok(played.killed > 0)
  assert.equal(played.fenced, played.killed)
  assert.deepEqual(await player.audit(mixed, 'deadly', played.runId, 0.2), [])
})

test('the audit finds a task that ran before its parent', async (t) => {
  const player = await playerFor(t, 2)
  const played = await player.play(mixed, { run: 'r', priorities: undefined, order: plain(mixed), kills: 0, random: () => 1 })
  const stricter = { ...mixed, nodes: mixed.nodes.map((node, index) => (index === 4 ? { ...node, parents: [3] } : node)) }
  assert.deepEqual(await player.audit(stricter, 'r', played.runId, 0), ['task 4 of r began before task 3 ended'])
})
