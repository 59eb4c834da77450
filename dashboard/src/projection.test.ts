import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { applyEntries, emptyProjection, limits, nothingStale, type Projection, refresh } from './projection.ts'
import { sampleAgent, sampleEntry, sampleMessage, sampleTask } from './sample.ts'

const withTask = (id: string, fields = {}): Projection => ({ ...emptyProjection, tasks: new Map([[id, sampleTask(id, fields)]]) })
const moved = (id: string, to: string, more = {}) => ({
  task_id: id,
  title: id,
  from: 'pending',
  to,
  status: to,
  agent: 'ada',
  attempt: 1,
  reason: null,
  ...more,
})

test('a message goes from stored over delivered to acknowledged, and not back', () => {
  const settled = (state: string) => sampleEntry(0, 'message.settled', { message_ids: ['m'], agent_id: 'a', state })
  let view = applyEntries(emptyProjection, [sampleEntry(1, 'message.sent', sampleMessage('m'))], nothingStale())
  assert.equal(view.messages[0]?.status, 'stored')
  view = applyEntries(view, [settled('leased')], nothingStale())
  assert.equal(view.messages[0]?.status, 'delivered')
  view = applyEntries(view, [settled('acknowledged'), settled('leased')], nothingStale())
  assert.equal(view.messages[0]?.status, 'acknowledged')
})

test('a broadcast is stored until every recipient has it, delivered until every one has acknowledged it', () => {
  const settled = (agent: string, state: string) =>
    sampleEntry(0, 'message.settled', { message_ids: ['m'], agent_id: agent, state })
  let view = applyEntries(
    emptyProjection,
    [sampleEntry(1, 'message.sent', sampleMessage('m', { recipient_count: 2 }))],
    nothingStale(),
  )
  const after = (agent: string, state: string) => {
    view = applyEntries(view, [settled(agent, state)], nothingStale())
    return view.messages[0]?.status
  }
  assert.equal(after('a', 'acknowledged'), 'stored')
  assert.equal(after('a', 'acknowledged'), 'stored')
  assert.equal(after('b', 'leased'), 'delivered')
  assert.equal(after('b', 'acknowledged'), 'acknowledged')
  assert.equal(after('b', 'leased'), 'acknowledged')
})

test('a broadcast with a copy that died or expired says so once nothing is under way', () => {
  const lost = (seq: number, type: string, agent: string) => sampleEntry(seq, type, { message_id: 'm', agent_id: agent })
  let view = applyEntries(
    emptyProjection,
    [sampleEntry(1, 'message.sent', sampleMessage('m', { recipient_count: 2 })), lost(2, 'message.expired', 'a')],
    nothingStale(),
  )
  assert.equal(view.messages[0]?.status, 'stored')
  view = applyEntries(view, [lost(3, 'message.dead', 'b')], nothingStale())
  assert.equal(view.messages[0]?.status, 'dead')
  assert.equal(view.changes.get('m'), 2)
})

test('an expired message shows as expired', () => {
  const view = applyEntries(
    { ...emptyProjection, messages: [sampleMessage('m')] },
    [sampleEntry(1, 'message.expired', { message_id: 'm', agent_id: 'a', agent: 'a', attempts: 0 })],
    nothingStale(),
  )
  assert.equal(view.messages[0]?.status, 'expired')
})

test('durable entries are kept newest first and bounded; each touches the lists it is about', () => {
  const entries = [
    sampleEntry(0, 'message.settled', { message_ids: [], agent_id: 'a', state: 'leased' }),
    ...Array.from({ length: limits.entries + 20 }, (_, index) => sampleEntry(index + 1, 'brake.tripped', {})),
    sampleEntry(limits.entries + 21, 'message.dead', { message_id: 'x', agent_id: 'a' }),
    sampleEntry(limits.entries + 22, 'rule.created', {}),
  ]
  const view = applyEntries(emptyProjection, entries, nothingStale())
  assert.equal(view.entries.length, limits.entries)
  assert.deepEqual(
    view.entries.slice(0, 3).map(({ type }) => type),
    ['rule.created', 'message.dead', 'brake.tripped'],
  )
  assert.deepEqual(view.touched, { deadLetters: 1, brakes: limits.entries + 20, rules: 1, connections: 0, inboxes: 2 })
})

test('a broadcast of the snapshot is read again, since its earlier acknowledgements are not known', () => {
  const stale = nothingStale()
  const view = { ...emptyProjection, messages: [sampleMessage('m', { recipient_count: 3 })] }
  applyEntries(view, [sampleEntry(0, 'message.settled', { message_ids: ['m'], agent_id: 'a', state: 'acknowledged' })], stale)
  assert.deepEqual([...stale.messages], ['m'])
})

test('a dead delivery shows as dead and a redelivered one as stored', () => {
  let view: Projection = { ...emptyProjection, messages: [sampleMessage('m', { status: 'delivered' })] }
  view = applyEntries(
    view,
    [sampleEntry(1, 'message.dead', { message_id: 'm', agent_id: 'a', agent: 'a', reason: 'x', attempts: 5 })],
    nothingStale(),
  )
  assert.equal(view.messages[0]?.status, 'dead')
  view = applyEntries(
    view,
    [sampleEntry(2, 'message.redelivered', { message_id: 'm', agent_id: 'a', agent: 'a', attempt: 6, reason: 'x' })],
    nothingStale(),
  )
  assert.equal(view.messages[0]?.status, 'stored')
})

test('messages stay bounded, newest first', () => {
  const entries = Array.from({ length: limits.messages + 50 }, (_, index) =>
    sampleEntry(index + 1, 'message.sent', sampleMessage(`m${index}`)),
  )
  const view = applyEntries(emptyProjection, entries, nothingStale())
  assert.equal(view.messages.length, limits.messages)
  assert.equal(view.messages[0]?.id, `m${limits.messages + 49}`)
})

test('a task moves with its entries and asks to be read once it has ended', () => {
  const stale = nothingStale()
  let view = applyEntries(withTask('t'), [sampleEntry(1, 'task.started', moved('t', 'running'))], stale)
  assert.equal(view.tasks.get('t')?.state, 'running')
  assert.equal(view.tasks.get('t')?.assigned_to, 'ada')
  assert.equal(stale.tasks.size, 0)
  view = applyEntries(view, [sampleEntry(2, 'task.progress', moved('t', 'running', { progress: 0.4, note: 'half way' }))], stale)
  assert.equal(view.tasks.get('t')?.progress, 0.4)
  view = applyEntries(view, [sampleEntry(3, 'task.completed', moved('t', 'completed'))], stale)
  assert.equal(view.tasks.get('t')?.progress, 1)
  assert.deepEqual([...stale.tasks], ['t'])
  assert.equal(stale.agents, true)
})

test('an unknown task is read, and one already ahead of the entry stays as it is', () => {
  const stale = nothingStale()
  applyEntries(emptyProjection, [sampleEntry(1, 'task.created', moved('new', 'pending'))], stale)
  assert.deepEqual([...stale.tasks], ['new'])
  const ahead = withTask('t', { state: 'completed', updated_at: '2026-01-01T00:00:30.000Z' })
  const view = applyEntries(
    ahead,
    [sampleEntry(2, 'task.started', moved('t', 'running'), '2026-01-01T00:00:10.000Z')],
    nothingStale(),
  )
  assert.equal(view.tasks.get('t')?.state, 'completed')
})

test('agents come, go and change status', () => {
  const start = { ...emptyProjection, agents: new Map([['a', sampleAgent('a')]]) }
  const stale = nothingStale()
  let view = applyEntries(start, [sampleEntry(1, 'agent.left', { agent_id: 'a', name: 'a', reason: 'closed' })], stale)
  assert.equal(view.agents.get('a')?.presence, 'offline')
  view = applyEntries(view, [sampleEntry(2, 'agent.joined', { agent_id: 'a', name: 'a', type: 't', capabilities: [] })], stale)
  view = applyEntries(
    view,
    [sampleEntry(3, 'agent.status_changed', { agent_id: 'a', name: 'a', from: 'idle', to: 'busy', reason: null })],
    stale,
  )
  assert.deepEqual([view.agents.get('a')?.presence, view.agents.get('a')?.status], ['online', 'busy'])
  assert.equal(stale.agents, true)
})

test('what was read before a task moved on does not take it back, and is wanted again', () => {
  const stale = nothingStale()
  const view = applyEntries(withTask('t'), [sampleEntry(7, 'task.completed', moved('t', 'completed'))], nothingStale())
  const older = refresh(view, { tasks: [sampleTask('t', { state: 'running' })] }, 6, stale)
  assert.equal(older.tasks.get('t')?.state, 'completed')
  assert.deepEqual([...stale.tasks], ['t'])
})

test('what was read after a task moved is taken, though its own time is before that of the entry', () => {
  const stale = nothingStale()
  const view = applyEntries(withTask('t'), [sampleEntry(7, 'task.completed', moved('t', 'completed'))], nothingStale())
  const read = sampleTask('t', { state: 'completed', result: 42, updated_at: '2026-01-01T00:00:06.999Z' })
  assert.equal(refresh(view, { tasks: [read] }, 7, stale).tasks.get('t')?.result, 42)
  assert.equal(stale.tasks.size, 0)
})

test('tasks stay bounded to the newest', () => {
  const tasks = Array.from({ length: limits.tasks + 10 }, (_, index) =>
    sampleTask(`t${index}`, { created_at: new Date(Date.UTC(2026, 0, 1) + index * 1000).toISOString() }),
  )
  const view = refresh(emptyProjection, { tasks }, 0, nothingStale())
  assert.equal(view.tasks.size, limits.tasks)
  assert.ok(view.tasks.has(`t${limits.tasks + 9}`))
  assert.ok(!view.tasks.has('t0'))
})

test('entries applied twice, or in bunches of any size, give the same view', () => {
  const type = fc.constantFrom('task.ready', 'task.assigned', 'task.started', 'task.completed', 'message.sent', 'message.dead')
  fc.assert(
    fc.property(fc.array(type, { maxLength: 30 }), fc.nat(30), (types, cut) => {
      const entries = types.map((each, index) => {
        const data =
          each === 'message.sent'
            ? sampleMessage(`m${index}`)
            : each === 'message.dead'
              ? { message_id: `m${index - 1}` }
              : moved('t', each.slice(5))
        return sampleEntry(index + 1, each, data)
      })
      const whole = applyEntries(withTask('t'), entries, nothingStale())
      const parts = applyEntries(applyEntries(withTask('t'), entries.slice(0, cut), nothingStale()), entries, nothingStale())
      assert.deepEqual(parts, whole)
    }),
  )
})

test('entries of unknown types and shapes are passed over', () => {
  const view = applyEntries(
    emptyProjection,
    [sampleEntry(1, 'future.thing', { x: 1 }), sampleEntry(2, 'message.sent', null)],
    nothingStale(),
  )
  assert.deepEqual({ ...view, seq: 0, entries: [], touched: emptyProjection.touched }, emptyProjection)
  assert.equal(view.seq, 2)
})

test('messages make the depth of inboxes stale', () => {
  const stale = nothingStale()
  applyEntries(emptyProjection, [sampleEntry(1, 'message.sent', sampleMessage('m'))], stale)
  assert.equal(stale.agents, true)
})
