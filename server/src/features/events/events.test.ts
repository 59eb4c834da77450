/** The six topics of the log, read from a position, a time, by topic and by partition, and followed on a socket. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type LogEntry, type OutputOf, type Task, events } from '@cadre/contract'
import { verifies } from '../../../../test/verifies.ts'
import { ManualClock, Refused, type TestServer, serveFor, startTestServer, temporaryFolder } from '../../testing.ts'

type List = OutputOf<'events.list'>
type Topics = OutputOf<'events.topics'>

const list = (server: TestServer, query: string) => server.call<List>('GET', `/events?${query}`)

/** A little of everything: agents, tasks, messages, memory. */
async function live(server: TestServer) {
  const ada = await server.plain('ada')
  const bob = await server.plain('bob')
  for (let index = 0; index < 8; index++) {
    await ada.call('message:send', { to: 'bob', content: index, conversation_id: `talk-${index % 4}` })
    const { id } = await server.call<Task>('POST', '/tasks', { title: `task ${index}` })
    await server.call('POST', `/tasks/${id}/cancel`, {})
    await bob.call('memory:set', { key: `note-${index % 3}`, value: index })
  }
  return { ada, bob }
}

verifies(
  'MSG-18',
  'all six topics are there after the start, and each carries the events that are documented for it',
  async (t) => {
    const server = await serveFor(t)
    const { items } = await server.call<Topics>('GET', '/events/topics')
    assert.deepEqual(
      items.map(({ name, partitions }) => [name, partitions]),
      [
        ['agent.lifecycle', 3],
        ['agent.tasks', 6],
        ['agent.communication', 3],
        ['agent.state', 3],
        ['system.events', 1],
        ['dead.letter', 1],
      ],
    )
    const documented = items.flatMap(({ name, events: carried }) => carried.map(({ type }) => `${type} in ${name}`))
    const declared = Object.values(events).map(({ name, topic }) => `${name} in ${topic}`)
    assert.deepEqual(documented.toSorted(), declared.toSorted())
    assert.equal(items.find(({ name }) => name === 'agent.tasks')?.head, null, 'no task yet')

    await live(server)
    const doomed = await server.leased('doomed')
    const { id } = await server.call<{ id: string }>('POST', '/messages', { to: 'doomed', content: 1 })
    const received = await doomed.next<{ receipt: string }>('message:received')
    await doomed.call('message:reject', { receipt: received.data.receipt, dead: true, reason: 'no use' })
    const after = await server.call<Topics>('GET', '/events/topics')
    for (const { name, events: carried, head } of after.items) {
      const { items: entries } = await list(server, `topic=${name}&limit=1000`)
      const types = new Set(carried.map(({ type }) => type))
      assert.ok(entries.length > 0, `${name} carries something`)
      for (const entry of entries) assert.ok(entry.topic === name && types.has(entry.type), `${entry.type} in ${name}`)
      assert.equal(head, entries.at(-1)?.seq, name)
    }
    const dead = await list(server, 'topic=dead.letter')
    assert.deepEqual(
      dead.items.map(({ type, data }) => [type, (data as { message_id: string }).message_id]),
      [['message.dead', id]],
    )
  },
)

test('one key is in one partition, in the order of the log, and keys are spread over partitions', async (t) => {
  const server = await serveFor(t)
  await live(server)
  const { items: all } = await list(server, 'limit=1000')
  const { items: topics } = await server.call<Topics>('GET', '/events/topics')
  const places = new Map<string, number>()
  for (const entry of all) {
    const key = `${entry.topic} ${entry.key}`
    assert.equal(places.get(key) ?? entry.partition, entry.partition, key)
    places.set(key, entry.partition)
    if (entry.topic === 'agent.tasks') assert.equal(entry.key, (entry.data as { task_id: string }).task_id)
    if (entry.type === 'message.sent') assert.match(entry.key, /^talk-\d$/)
    if (entry.topic === 'agent.lifecycle') assert.equal(entry.key, (entry.data as { agent_id: string }).agent_id)
  }
  assert.ok(new Set(all.filter(({ topic }) => topic === 'agent.tasks').map(({ partition }) => partition)).size > 1)
  for (const { name, partitions } of topics) {
    const parts: LogEntry[] = []
    for (let partition = 0; partition < partitions; partition++) {
      const seen: LogEntry[] = []
      for (let after = 0; ; ) {
        const page = await list(server, `topic=${name}&partition=${partition}&after=${after}&limit=5`)
        seen.push(...page.items)
        after = page.next
        if (after >= page.head) break
      }
      assert.ok(seen.every((entry, index) => entry.partition === partition && entry.seq > (seen[index - 1]?.seq ?? 0)))
      parts.push(...seen)
    }
    assert.deepEqual(
      parts.toSorted((a, b) => a.seq - b.seq),
      all.filter(({ topic }) => topic === name),
    )
  }
})

test('the log is read from a position or a time, and what is wrong is said', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  await server.call('POST', '/memory', { key: 'early', value: 1 })
  await clock.advance(1_000)
  const noon = new Date(clock.now()).toISOString()
  await server.call('POST', '/memory', { key: 'late', value: 1 })
  await clock.advance(1_000)
  await server.call('POST', '/memory', { key: 'later', value: 1 })
  const subjects = async (query: string) =>
    (await list(server, `types=memory.updated&${query}`)).items.map(({ subject }) => subject)
  assert.deepEqual(await subjects(`from_time=${noon}`), ['late', 'later'])
  assert.deepEqual(await subjects(`from_time=${new Date(clock.now() + 1).toISOString()}`), [])
  assert.deepEqual(await subjects('from_time=2000-01-01'), ['early', 'late', 'later'])
  assert.deepEqual(await subjects('topics=agent.state,system.events'), ['early', 'late', 'later'])
  assert.deepEqual(await subjects('topic=agent.tasks'), [])
  const { next, head, gap } = await list(server, 'topic=agent.tasks')
  assert.deepEqual([next, gap], [head, false], 'nothing of the kind up to the end')
  for (const [query, pointer] of [
    ['topic=agent.nothing', '/topics/0'],
    ['partition=1', '/partition'],
    ['topic=dead.letter&partition=1', '/partition'],
    ['from_time=yesterday', '/from_time'],
    ['after=-1', '/after'],
  ] as const) {
    await assert.rejects(list(server, query), (error) => {
      assert.ok(error instanceof Refused && error.status === 422, String(error))
      assert.equal(error.problem.errors?.[0]?.pointer, pointer)
      return true
    })
  }
})

verifies('API-30', 'a socket follows topics from a position and goes on where it was after a cut', async (t) => {
  const server = await serveFor(t)
  const { ada } = await live(server)
  const all = (await list(server, 'topic=agent.communication&topic=agent.tasks&limit=1000')).items
  const follower = await server.socket()
  const begun = await follower.call<OutputOf<'events.watch'>>('events:watch', {
    after: 0,
    topics: ['agent.communication', 'agent.tasks'],
  })
  assert.deepEqual([begun.after, begun.gap], [0, false])
  const seen: LogEntry[] = []
  while (seen.length < 10) {
    const { data } = await follower.next<LogEntry>('event')
    if (data.seq > 0) seen.push(data)
  }
  follower.terminate()
  await ada.call('message:send', { to: 'bob', content: 'while away' })
  const again = await server.socket()
  await again.call('events.watch', { after: seen.at(-1)?.seq, topic: ['agent.communication', 'agent.tasks'] })
  await server.call('POST', '/memory', { key: 'of another topic', value: 1 })
  while (seen.length < all.length + 1) {
    const { data } = await again.next<LogEntry>('event')
    if (data.seq > 0) seen.push(data)
  }
  assert.deepEqual(seen.slice(0, -1), all)
  assert.equal(((seen.at(-1) as LogEntry).data as { content: unknown }).content, 'while away')
  await again.call('events.unwatch')
})

test('who was away while retention removed messages is told of the gap; other topics have none', async (t) => {
  const folder = temporaryFolder()
  t.after(() => folder.remove())
  const config = { data: folder.path }
  const first = await startTestServer({ config, clock: new ManualClock() })
  const { token } = await first.call<{ token: string }>('POST', '/agents/register', { name: 'bob' })
  for (const topic of ['agent.communication', 'agent.lifecycle'])
    await first.call('POST', '/consumers', { group: topic, topics: [topic], from: 'start' })
  await first.call('POST', '/messages', { to: 'bob', content: 'old' })
  const { items } = await first.call<{ items: { receipt: string }[] }>('POST', '/agents/bob/inbox/receive', {}, { token })
  await first.call('POST', '/messages/acknowledge', { receipts: items.map(({ receipt }) => receipt) }, { token })
  assert.equal((await first.call<OutputOf<'messages.counts'>>('GET', '/messages/counts')).messages, 1)
  await first.close()

  const clock = new ManualClock(Date.UTC(2026, 0, 3))
  const server = await serveFor(t, { config, clock })
  assert.equal((await server.call<OutputOf<'messages.counts'>>('GET', '/messages/counts')).messages, 1)
  await server.call('PUT', '/retention', { messages_days: 1 })
  await clock.advance(60_001)
  await clock.advance(60_001)
  const socket = await server.socket()
  const watch = async (input: object) => (await socket.call<OutputOf<'events.watch'>>('events.watch', input)).gap
  assert.equal(await watch({ after: 0 }), true)
  assert.equal(await watch({ after: 0, topics: ['agent.lifecycle'] }), false)
  assert.equal(await watch({}), false)
  const read = async (group: string) => server.call<OutputOf<'consumers.read'>>('GET', `/consumers/${group}/entries`)
  const behind = await read('agent.communication')
  assert.equal(behind.gap, true)
  assert.equal((await read('agent.communication')).gap, true, 'told until it is committed')
  await server.call('POST', '/consumers/agent.communication/commit', { cursor: behind.cursor })
  assert.equal((await read('agent.communication')).gap, false)
  assert.equal((await read('agent.lifecycle')).gap, false)
  assert.equal(
    (await server.call<OutputOf<'messages.counts'>>('GET', '/messages/counts')).messages,
    0,
    'what was removed is not counted',
  )
})
