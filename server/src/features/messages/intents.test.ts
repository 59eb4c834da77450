/** Intents: a delegation makes a task in the same commit, an escalation reaches the operator; and a STOP ends an agent. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Agent, Assignment, Delivery, Message, OutputOf, Task } from '@cadre/contract'
import { verifies } from '../../../../test/verifies.ts'
import { ManualClock, Refused, serveFor } from '../../testing.ts'

type Sent = OutputOf<'messages.send'>
type Messages = OutputOf<'messages.list'>
type Tasks = OutputOf<'tasks.list'>
type Leased = OutputOf<'messages.receive'>

const refused = (status: number, code: string, pointer?: string) => (error: unknown) => {
  assert.ok(error instanceof Refused, String(error))
  assert.deepEqual([error.status, error.code], [status, code], error.message)
  if (pointer !== undefined)
    assert.deepEqual(
      error.problem.errors?.map((field) => field.pointer),
      [pointer],
      error.message,
    )
  return true
}

verifies(
  'MSG-10',
  'a delegation makes a linked task for its recipient, an escalation is in the inbox of the operator',
  async (t) => {
    const server = await serveFor(t)
    const [ada, bob] = [await server.leased('ada'), await server.leased('bob')]
    const sent = await ada.call<Sent>('message:send', {
      to: 'bob',
      intent: 'delegate',
      content: 'Check the figures\nAll of them.',
      context: { report: 'q3' },
      expected_response: 'a list of errors',
    })
    assert.deepEqual([sent.intent, sent.context, sent.expected_response], ['delegate', { report: 'q3' }, 'a list of errors'])
    const received = await bob.next<Delivery>('message:received')
    assert.deepEqual(
      [received.data.intent, received.data.context, received.data.expected_response, received.data.task_id],
      ['delegate', { report: 'q3' }, 'a list of errors', sent.task_id],
    )
    const assigned = await bob.next<Assignment>('task:assigned')
    assert.equal(assigned.data.id, sent.task_id)
    const task = await server.call<Task>('GET', `/tasks/${sent.task_id}`)
    assert.deepEqual(
      [task.title, task.description, task.input, task.creator, task.assign_to, task.assigned_to, task.state, task.metadata],
      [
        'Check the figures',
        'Check the figures\nAll of them.',
        'Check the figures\nAll of them.',
        'ada',
        'bob',
        'bob',
        'assigned',
        { message_id: sent.id, delegated_by: 'ada' },
      ],
    )
    assert.deepEqual(
      (await server.call<Messages>('GET', `/messages?task_id=${task.id}`)).items.map((message) => message.id),
      [sent.id],
    )

    const help = await ada.call<Sent>('message:send', { intent: 'escalate', content: 'The source is gone' })
    assert.deepEqual([help.recipients, help.route], [['operator'], { by: 'escalation', reason: 'escalated to the operator' }])
    const { items } = await server.call<Leased>('POST', '/agents/operator/inbox/receive', {})
    assert.deepEqual(
      items.map(({ id, content, intent, route }) => [id, content, intent, route]),
      [[help.id, 'The source is gone', 'escalate', help.route]],
    )
    await server.call('POST', '/messages/acknowledge', { receipts: items[0]?.receipt })
    assert.equal((await server.call<Message>('GET', `/messages/${help.id}`)).status, 'acknowledged')
    const copy = await ada.call<Sent>('message:send', { to: 'bob', intent: 'escalate', content: 'Look, both of you' })
    assert.deepEqual(copy.recipients.toSorted(), ['bob', 'operator'])
    const topic = await ada.call<Sent>('topic:publish', { topic: 'nobody.listens', intent: 'escalate', content: 0 })
    assert.deepEqual([topic.recipients, topic.route.by], [['operator'], 'escalation'])
    const listed = async (intent: string) =>
      (await server.call<Messages>('GET', `/messages?intent=${intent}`)).items.map((message) => message.id)
    assert.deepEqual(await listed('escalate'), [topic.id, copy.id, help.id])
    assert.deepEqual(await listed('delegate'), [sent.id])
    assert.deepEqual(await listed('inform'), [])
  },
)

test('the task of a delegation is as the sender tells: title, input, parent, or for whoever is able', async (t) => {
  const server = await serveFor(t)
  await server.call('POST', '/agents/register', { name: 'bob' })
  const parent = await server.call<Task>('POST', '/tasks', { title: 'the whole' })
  const delegate = async (fields: object) => {
    const sent = await server.call<Sent>('POST', '/messages', { intent: 'delegate', content: { rows: 3 }, ...fields })
    return server.call<Task>('GET', `/tasks/${sent.task_id}`)
  }
  const full = await delegate({
    to: 'bob',
    task_id: parent.id,
    priority: 'high',
    task: { title: 'a part', description: 'd', type: 'check', input: null, max_retries: 0, metadata: { mine: 1 } },
  })
  assert.deepEqual(
    [full.title, full.description, full.type, full.input, full.max_retries, full.priority, full.parent_id, full.metadata['mine']],
    ['a part', 'd', 'check', null, 0, 2, parent.id, 1],
  )
  const bare = await delegate({ to: 'bob' })
  assert.deepEqual([bare.title, bare.input, bare.type, bare.max_retries], ['Delegated by operator', { rows: 3 }, 'task', 3])
  assert.equal((await delegate({ to: 'bob', task: 'short' })).title, 'short')
  assert.equal((await delegate({ to: 'bob', content: { title: 'in the content' } })).title, 'in the content')
  // Nobody is there yet: the message leads nowhere, and the task waits for one who is able.
  const open = await delegate({ agent_type: 'analyst', capabilities: ['sql'] })
  assert.deepEqual([open.state, open.agent_type, open.capabilities, open.assigned_to], ['ready', 'analyst', ['sql'], null])
  const ann = await server.leased('ann', { type: 'analyst', capabilities: ['sql'] })
  assert.equal((await ann.next<Assignment>('task:assigned')).data.id, open.id)
})

test('a retried delegation is answered with the same task; another one under its key is refused', async (t) => {
  const server = await serveFor(t)
  await server.call('POST', '/agents/register', { name: 'bob' })
  const send = (fields: object = {}) =>
    server.call<Sent>('POST', '/messages', { to: 'bob', intent: 'delegate', content: 'once', ...fields }, { key: 'k' })
  const [once, again] = [await send(), await send()]
  assert.deepEqual([again.id, again.task_id, again.receipt.duplicate], [once.id, once.task_id, true])
  const both = await Promise.all(
    [0, 1].map(() => server.call<Sent>('POST', '/messages', { to: 'bob', intent: 'delegate', content: 2 }, { key: 'k2' })),
  )
  assert.equal(both[0]?.task_id, both[1]?.task_id)
  for (const fields of [{ task: 'other' }, { intent: 'inform' }, { context: { a: 1 } }])
    await assert.rejects(send(fields), refused(422, 'idempotency_conflict'))
  assert.equal((await server.call<Tasks>('GET', '/tasks')).items.length, 2)
})

test('a delegation that cannot be is refused, and neither message nor task is stored', async (t) => {
  const server = await serveFor(t)
  const ada = await server.leased('ada')
  await server.call('POST', '/agents/register', { name: 'bob' })
  await server.call('POST', '/agents/register', { name: 'gone' })
  await server.call('DELETE', '/agents/gone')
  const send = (fields: object) => ada.call('message:send', { intent: 'delegate', content: 'x', ...fields })
  await assert.rejects(send({ to: ['bob', 'ada'] }), refused(422, 'invalid_request', '/intent'))
  await assert.rejects(send({}), refused(422, 'invalid_request', '/intent'))
  await assert.rejects(send({ to: 'ghost' }), refused(422, 'invalid_request', '/to'))
  await assert.rejects(send({ to: 'operator' }), refused(422, 'invalid_request', '/to'))
  await assert.rejects(send({ to: 'gone' }), refused(409, 'conflict'))
  await assert.rejects(send({ to: 'bob', task_id: 'tsk_none' }), refused(404, 'not_found'))
  await assert.rejects(send({ to: 'bob', task: { due_date: 'soon' } }), refused(422, 'invalid_request', '/due_date'))
  await assert.rejects(send({ to: 'bob', intent: 'inform', task: 'x' }), refused(422, 'invalid_request', '/task'))
  await assert.rejects(send({ to: 'bob', intent: 'demand' }), refused(422, 'invalid_request', '/intent'))
  await assert.rejects(send({ to: 'bob', context: 'text' }), refused(422, 'invalid_request', '/context'))
  // In one turn with others, which are stored all the same.
  const results = await Promise.allSettled([
    ada.call<Sent>('message:send', { to: 'bob', content: 'before' }),
    send({ to: 'gone' }),
    ada.call<Sent>('message:send', { to: 'bob', content: 'after' }),
  ])
  assert.deepEqual(
    results.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled'],
  )
  assert.deepEqual(
    (await server.call<Messages>('GET', '/messages')).items.map(({ content }) => content),
    ['after', 'before'],
  )
  assert.deepEqual((await server.call<Tasks>('GET', '/tasks')).items, [])
  const first = await server.call<Sent>('POST', '/messages', { to: 'ada', content: 'q' })
  for (const intent of ['delegate', 'escalate'])
    await assert.rejects(
      ada.call('message:reply', { reply_to: first.id, intent, content: 0 }),
      refused(422, 'invalid_request', '/intent'),
    )
})

test('the operator is asked by an escalating question, and answers it from the inbox', async (t) => {
  const server = await serveFor(t)
  const ada = await server.leased('ada')
  await server.call('POST', '/agents/register', { name: 'bob' })
  const asking = ada.call<OutputOf<'messages.ask'>>('message:ask', { intent: 'escalate', content: 'May I?' })
  const { items } = await server.call<Leased>('POST', '/agents/operator/inbox/receive', { wait_ms: 5_000 })
  const [request] = items
  assert.deepEqual([request?.kind, request?.content, request?.route?.by], ['request', 'May I?', 'escalation'])
  await server.call('POST', `/messages/${request?.id}/reply`, { receipt: request?.receipt, content: 'You may' })
  assert.equal((await asking).reply.content, 'You may')
  await assert.rejects(
    ada.call('message:ask', { to: 'bob', intent: 'escalate', content: 0 }),
    refused(422, 'invalid_request', '/to'),
  )
})

verifies('MSG-26', 'STOP drains an agent and ends it: it finishes its task, takes no other, and is gone', async (t) => {
  const server = await serveFor(t, { clock: new ManualClock() })
  const bob = await server.leased('bob')
  const status = async (name: string) => (await server.call<Agent>('GET', `/agents/${name}`)).status
  const { id } = await server.call<{ id: string }>('POST', '/tasks', { title: 'in hand', assign_to: 'bob' })
  const { data: task } = await bob.next<Assignment>('task:assigned')
  await bob.call('tasks.accept', { id, lease: task.lease })
  await server.call<Sent>('POST', '/messages', { to: 'bob', kind: 'system', content: 'STOP' })
  const { data: stop } = await bob.next<Delivery>('message:received')
  assert.deepEqual([stop.kind, stop.content, await status('bob')], ['system', 'STOP', 'stopping'])
  await bob.call('message:ack', { receipts: [stop.receipt] })
  assert.equal(await status('bob'), 'stopping', 'its task is not finished')
  await assert.rejects(server.call('POST', '/tasks', { title: 'too late', assign_to: 'bob' }), refused(409, 'conflict'))
  await bob.call('tasks.complete', { id, lease: task.lease, result: 'done' })
  assert.equal((await bob.closed).code, 4403)
  assert.equal(await status('bob'), 'terminated')
  assert.equal((await server.call<Task>('GET', `/tasks/${id}`)).state, 'completed')
  assert.equal((await server.call<Message>('GET', `/messages/${stop.id}`)).status, 'acknowledged')
})

test('an idle agent ends when it has taken the STOP, at the latest after the grace, and one that is away at once', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const status = async (name: string) => (await server.call<Agent>('GET', `/agents/${name}`)).status
  const [taker, deaf] = [await server.leased('taker'), await server.leased('deaf')]
  await server.call('POST', '/agents/register', { name: 'away' })
  await server.call<Sent>('POST', '/messages', {
    to: ['taker', 'deaf', 'away'],
    message_type: 'stop',
    kind: 'system',
    content: null,
  })
  const { data } = await taker.next<Delivery>('message:received')
  assert.equal(await status('taker'), 'stopping')
  await taker.call('message:ack', { receipts: [data.receipt] })
  assert.equal((await taker.closed).code, 4403)
  assert.deepEqual([await status('taker'), await status('away')], ['terminated', 'terminated'])
  await deaf.next('message:received')
  assert.equal(await status('deaf'), 'stopping')
  await clock.advance(10_000)
  assert.equal((await deaf.closed).code, 4403)
  assert.equal(await status('deaf'), 'terminated')
})

test('STOP ends the worker of an agent that the platform runs, and it is not started again', async (t) => {
  const server = await serveFor(t)
  await server.call('POST', '/agents/spawn', { name: 'ann', type: 'analyst' })
  const watch = await server.plain('watch')
  await server.call('POST', '/messages', { to: 'ann', kind: 'system', content: 'STOP' })
  const left = async () => (await server.call<Agent>('GET', '/agents/ann')).status
  for (let look = 0; look < 100 && (await left()) !== 'terminated'; look++) await watch.settled()
  assert.equal(await left(), 'terminated')
  assert.equal(server.workerPid('ann'), undefined)
})

test('an agent that says STOP to another only tells it so, and only a system message stops', async (t) => {
  const server = await serveFor(t)
  const [ada, bob] = [await server.plain('ada'), await server.plain('bob')]
  await ada.call('message:send', { to: 'bob', kind: 'system', content: 'STOP' })
  await server.call('POST', '/messages', { to: 'bob', content: 'STOP' })
  await server.call('POST', '/messages', { to: 'bob', kind: 'system', content: 'carry on' })
  assert.equal((await bob.settled('message:received')).length, 3)
  assert.equal((await server.call<Agent>('GET', '/agents/bob')).status, 'idle')
})
