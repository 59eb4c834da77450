/** Groups that read the log at their own pace: at least once, in order for each key, whatever else reads. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { EventTopic, LogEntry, OutputOf, Task } from '@cadre/contract'
import fc from 'fast-check'
import { verifies } from '../../../../test/verifies.ts'
import { ManualClock, Refused, type TestServer, serveFor, startTestServer, temporaryFolder } from '../../testing.ts'

type Consumer = OutputOf<'consumers.create'>
type Read = OutputOf<'consumers.read'>
type Metrics = OutputOf<'system.metrics'>

const create = (server: TestServer, group: string, topics: EventTopic[], from: unknown = 'start') =>
  server.call<Consumer>('POST', '/consumers', { group, topics, from })
const read = (server: TestServer, group: string, query = '') => server.call<Read>('GET', `/consumers/${group}/entries?${query}`)
const commit = (server: TestServer, group: string, cursor: string) =>
  server.call<OutputOf<'consumers.commit'>>('POST', `/consumers/${group}/commit`, { cursor })
const view = async (server: TestServer, group: string) => {
  const { items } = await server.call<OutputOf<'consumers.list'>>('GET', '/consumers')
  return items.find((item) => item.group === group) as Consumer
}
const refused = (status: number, code: string) => (error: unknown) => {
  assert.ok(error instanceof Refused, String(error))
  assert.deepEqual([error.status, error.code], [status, code], error.message)
  return true
}
const write = (server: TestServer, key: string, value: unknown = 1) => server.call('POST', '/memory', { key, value })
const subjects = ({ items }: Pick<Read, 'items'>) => items.map(({ subject }) => subject)

test('what was not committed comes again, and what was does not', async (t) => {
  const server = await serveFor(t)
  await write(server, 'before')
  const made = await create(server, 'g', ['agent.state'], 'end')
  assert.deepEqual([made.topics, made.lag, made.cursors.length], [['agent.state'], { 'agent.state': 0 }, 3])
  for (const key of ['a', 'b', 'c']) await write(server, key)
  const first = await read(server, 'g', 'limit=2')
  assert.deepEqual(subjects(first), ['a', 'b'])
  assert.deepEqual(subjects(await read(server, 'g', 'limit=2')), ['a', 'b'], 'again')
  assert.equal((await view(server, 'g')).lag['agent.state'], 3)
  assert.equal((await commit(server, 'g', first.cursor)).moved, true)
  assert.equal((await view(server, 'g')).lag['agent.state'], 1)
  const second = await read(server, 'g')
  assert.deepEqual(subjects(second), ['c'])
  await commit(server, 'g', second.cursor)
  assert.equal((await commit(server, 'g', first.cursor)).moved, false, 'places only move on')
  assert.deepEqual(subjects(await read(server, 'g')), [])
  assert.equal((await view(server, 'g')).lag['agent.state'], 0)
})

test('a reader waits for the next entry, no longer than it said', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  await create(server, 'g', ['agent.state'], 'end')
  const waiting = read(server, 'g', 'wait_ms=20000')
  await write(server, 'x')
  assert.deepEqual(subjects(await waiting), ['x'])
  const last = await waiting
  await commit(server, 'g', last.cursor)
  let over = false
  const vain = read(server, 'g', 'wait_ms=20000').finally(() => {
    over = true
  })
  // Of another topic: nothing for this group.
  await server.call('POST', '/tasks', { title: 't' })
  while ((await view(server, 'g')).members.length === 0);
  await clock.advance(19_000)
  assert.equal(over, false)
  await clock.advance(1_000)
  assert.deepEqual(subjects(await vain), [])
})

test('a group begins where it is told and can be set to another place; what was read before no longer moves it', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  await write(server, 'a')
  await clock.advance(1_000)
  const time = new Date(clock.now()).toISOString()
  await write(server, 'b')
  const { items } = await server.call<OutputOf<'events.list'>>('GET', '/events?types=memory.updated')
  for (const [group, from, wanted] of [
    ['g1', 'start', ['a', 'b']],
    ['g2', 'end', []],
    ['g3', items[0]?.seq, ['b']],
    ['g4', time, ['b']],
  ] as const) {
    await create(server, group, ['agent.state'], from)
    assert.deepEqual(subjects(await read(server, group)), wanted, group)
  }
  const old = await read(server, 'g1')
  const moved = await server.call<Consumer>('POST', '/consumers/g1/seek', { to: 'end' })
  assert.deepEqual([moved.lag['agent.state'], subjects(await read(server, 'g1'))], [0, []])
  await assert.rejects(commit(server, 'g1', old.cursor), refused(409, 'stale_cursor'))
  await server.call('POST', '/consumers/g1/seek', { to: 'start' })
  assert.deepEqual(subjects(await read(server, 'g1')), ['a', 'b'])
  await assert.rejects(create(server, 'bad', ['agent.state'], 'noon'), refused(422, 'invalid_request'))
})

test('cursors of other groups, of other stores and of nobody are refused, and change nothing', async (t) => {
  const server = await serveFor(t)
  await write(server, 'a')
  await create(server, 'one', ['agent.state'])
  await create(server, 'two', ['agent.state'])
  const { cursor } = await read(server, 'one')
  await assert.rejects(commit(server, 'two', cursor), refused(409, 'stale_cursor'))
  const [epoch = '', ...rest] = Buffer.from(cursor, 'base64url').toString().split(' ')
  const foreign = Buffer.from([epoch === 'ffffffff' ? '00000000' : 'ffffffff', ...rest].join(' ')).toString('base64url')
  await assert.rejects(commit(server, 'one', foreign), (error) => {
    assert.ok(refused(409, 'stale_cursor')(error) && error instanceof Refused)
    assert.match(error.problem.detail, /seek/)
    return true
  })
  await assert.rejects(commit(server, 'one', 'nonsense'), refused(422, 'invalid_request'))
  await server.call('DELETE', '/consumers/one')
  await create(server, 'one', ['agent.state'])
  await assert.rejects(commit(server, 'one', cursor), refused(409, 'stale_cursor'))
  assert.deepEqual(
    (await view(server, 'one')).cursors.map(({ committed }) => committed),
    [0, 0, 0],
  )
  await assert.rejects(create(server, 'one', ['agent.state']), refused(409, 'conflict'))
  await assert.rejects(read(server, 'ghost'), refused(404, 'not_found'))
  await assert.rejects(server.call('DELETE', '/consumers/ghost'), refused(404, 'not_found'))
  await assert.rejects(create(server, 'no spaces', ['agent.state']), refused(422, 'invalid_request'))
})

test('a reader that waits is told when its group is deleted', async (t) => {
  const server = await serveFor(t)
  await create(server, 'g', ['agent.state'], 'end')
  const waiting = assert.rejects(read(server, 'g', 'wait_ms=20000'), refused(404, 'not_found'))
  while ((await view(server, 'g')).members.length === 0);
  await server.call('DELETE', '/consumers/g')
  await waiting
})

test('members share the partitions, and an entry is with one of them at a time', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  await create(server, 'g', ['agent.tasks'], 'end')
  for (let index = 0; index < 30; index++) await server.call<Task>('POST', '/tasks', { title: String(index) })
  const first = await read(server, 'g', 'member=a')
  assert.deepEqual([first.partitions.length, first.items.length], [6, 30], 'alone it has them all')
  const early = await read(server, 'g', 'member=b')
  assert.deepEqual([early.partitions, early.items], [[], []], 'nothing is taken out of the hands of a')
  await commit(server, 'g', first.cursor)
  assert.equal((await read(server, 'g', 'member=a')).partitions.length, 3)
  const half = await read(server, 'g', 'member=b')
  assert.equal(half.partitions.length, 3)
  for (let index = 0; index < 30; index++) await server.call<Task>('POST', '/tasks', { title: String(index) })
  const [a, b] = [await read(server, 'g', 'member=a'), await read(server, 'g', 'member=b')]
  assert.equal(a.items.length + b.items.length, 30)
  const keysOf = ({ items }: Read) => new Set(items.map(({ key }) => key))
  assert.ok(keysOf(a).size > 0 && keysOf(b).size > 0 && [...keysOf(a)].every((key) => !keysOf(b).has(key)))
  await commit(server, 'g', b.cursor)
  assert.equal((await view(server, 'g')).lag['agent.tasks'], a.items.length, 'the lag is that of the other half')
  await clock.advance(20_000)
  await read(server, 'g', 'member=b')
  await clock.advance(10_000)
  const all = await read(server, 'g', 'member=b')
  assert.equal(all.partitions.length, 6, 'a is gone, and b has what a left')
  assert.deepEqual(all.items, a.items)
})

test('a group has room for so many members', async (t) => {
  const server = await serveFor(t)
  await create(server, 'g', ['agent.state'])
  for (let index = 0; index < 32; index++) await read(server, 'g', `member=m${index}`)
  await assert.rejects(read(server, 'g', 'member=more'), refused(409, 'conflict'))
  await read(server, 'g', 'member=m0')
})

test('places survive a restart', async () => {
  const folder = temporaryFolder()
  const config = { data: folder.path }
  try {
    const before = await startTestServer({ config })
    await create(before, 'g', ['agent.state', 'dead.letter'])
    for (const key of ['a', 'b', 'c']) await write(before, key)
    const { cursor } = await read(before, 'g', 'limit=2')
    await commit(before, 'g', cursor)
    await before.close()
    const after = await startTestServer({ config })
    assert.deepEqual((await view(after, 'g')).lag, { 'agent.state': 1, 'dead.letter': 0 })
    assert.deepEqual(subjects(await read(after, 'g')), ['c'])
    await commit(after, 'g', cursor)
    assert.deepEqual(subjects(await read(after, 'g')), ['c'], 'an old cursor is still good, and moves nothing back')
    await after.close()
  } finally {
    folder.remove()
  }
})

verifies(
  'MSG-20',
  'a metrics group that does not keep up holds up no worker, and each group has its own lag in /metrics',
  async (t) => {
    const server = await serveFor(t)
    const layout: [string, EventTopic[]][] = [
      ['scheduler', ['agent.lifecycle']],
      ['coordinator', ['agent.lifecycle', 'agent.state']],
      ['workers', ['agent.tasks', 'agent.communication']],
      ['metrics', ['agent.state']],
    ]
    for (const [group, topics] of layout) await create(server, group, topics, 'end')
    const ada = await server.plain('ada')
    await server.plain('bob')
    for (let index = 0; index < 5; index++) {
      await write(server, 'k', index)
      await server.call('POST', '/tasks', { title: String(index) })
      // Metrics has read and never commits; the workers are told at once all the same.
      assert.ok((await read(server, 'metrics')).items.length > 0)
      await ada.call('message:send', { to: 'bob', content: index })
      const { items, cursor } = await read(server, 'workers', 'wait_ms=5000')
      assert.deepEqual(new Set(items.map(({ topic }) => topic)), new Set(['agent.tasks', 'agent.communication']))
      await commit(server, 'workers', cursor)
    }
    const { items: lifecycle, cursor } = await read(server, 'scheduler')
    assert.ok(lifecycle.length > 0)
    await commit(server, 'scheduler', cursor)
    const { text } = await server.request('GET', '/metrics')
    const lag = Object.fromEntries(
      [...text.matchAll(/^cadre_consumer_lag\{group="(\w+)",topic="([\w.]+)"\} (\d+)$/gm)].map(([, group, topic, count]) => [
        `${group} ${topic}`,
        Number(count),
      ]),
    )
    // Two agents joined and five writes; two were registered.
    assert.deepEqual(lag, {
      'scheduler agent.lifecycle': 0,
      'coordinator agent.lifecycle': lifecycle.length,
      'coordinator agent.state': 7,
      'workers agent.tasks': 0,
      'workers agent.communication': 0,
      'metrics agent.state': 7,
    })
    const { consumers } = await server.call<Metrics>('GET', '/api/v1/metrics')
    assert.deepEqual(consumers.find(({ group }) => group === 'metrics')?.lag, { 'agent.state': 7 })
    const { items } = await server.call<OutputOf<'events.topics'>>('GET', '/events/topics')
    assert.deepEqual(items.find(({ name }) => name === 'agent.state')?.groups, [
      { group: 'coordinator', lag: 7 },
      { group: 'metrics', lag: 7 },
    ])
  },
)

test('whatever groups read and commit in whatever order, each sees every entry, and those of a key in the order of the log', async (t) => {
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.record({ do: fc.constant('write' as const), key: fc.integer({ min: 0, max: 5 }) }) },
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constant('read' as const),
        group: fc.integer({ min: 0, max: 1 }),
        member: fc.integer({ min: 0, max: 2 }),
        limit: fc.integer({ min: 1, max: 7 }),
        commits: fc.boolean(),
      }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(10_000, 31_000) }) },
  )
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  let run = 0
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 40 }), async (steps) => {
      run += 1
      const groups = [`x${run}`, `y${run}`]
      for (const group of groups) await create(server, group, ['agent.state'], 'end')
      const written: string[] = []
      const done = new Map(groups.map((group) => [group, new Map<string, LogEntry>()]))
      const take = async (group: string, member: string, limit: number, commits: boolean) => {
        const answer = await read(server, group, `member=${member}&limit=${limit}`)
        if (commits) {
          const seen = done.get(group) as Map<string, LogEntry>
          for (const entry of answer.items) {
            const newest = [...seen.values()].findLast(({ key }) => key === entry.key)
            assert.ok(!newest || newest.seq < entry.seq || seen.has(String(entry.seq)), 'in order for each key')
            seen.set(String(entry.seq), entry)
          }
          await commit(server, group, answer.cursor)
        }
        return answer.items.length
      }
      for (const each of steps) {
        if (each.do === 'write') {
          written.push(`k${each.key}`)
          await write(server, `k${each.key}`, written.length)
        } else if (each.do === 'wait') await clock.advance(each.ms)
        else await take(groups[each.group] as string, `m${each.member}`, each.limit, each.commits)
      }
      await clock.advance(31_000)
      for (const group of groups) {
        while ((await take(group, 'last', 7, true)) > 0);
        assert.deepEqual(
          [...(done.get(group) as Map<string, LogEntry>).values()]
            .toSorted((a, b) => a.seq - b.seq)
            .map(({ subject }) => subject),
          written,
        )
        assert.equal((await view(server, group)).lag['agent.state'], 0)
        await server.call('DELETE', `/consumers/${group}`)
      }
    }),
    { numRuns: 25, seed: 20 },
  )
})
