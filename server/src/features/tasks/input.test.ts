/** Tasks that wait for an answer or an approval. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Agent, Assignment, Delivery, InputRequest, LogEntry, OutputOf, Task } from '@cadre/contract'
import { ManualClock, Refused, type Socket, type TestServer, serveFor, temporaryFolder } from '../../testing.ts'

type Asked = OutputOf<'tasks.request_input'>
type Answered = OutputOf<'tasks.provide_input'>
type Detail = OutputOf<'tasks.get'>

const refused = (status: number, code: string) => (error: unknown) => {
  assert.ok(error instanceof Refused, String(error))
  assert.deepEqual([error.status, error.code], [status, code], error.message)
  return true
}
const read = (server: TestServer, id: string) => server.call<Detail>('GET', `/tasks/${id}`)
const open = async (server: TestServer) => (await server.call<{ items: InputRequest[] }>('GET', '/inputs?state=open')).items

async function next(agent: Socket, id: string): Promise<{ id: string; lease: string }> {
  const { data } = await agent.next<Assignment>('task:assigned', (each) => each.id === id)
  await agent.call('tasks.accept', { id, lease: data.lease })
  return { id, lease: data.lease }
}
async function given(server: TestServer, agent: Socket, body: object): Promise<{ id: string; lease: string }> {
  const { id } = await server.call<Task>('POST', '/tasks', { title: 'a task', ...body })
  return next(agent, id)
}
const colour = { type: 'object', properties: { colour: { enum: ['red', 'blue'] } }, required: ['colour'] }

test('a task asks, waits without a lease, and goes on with the agent that asked', async (t) => {
  const server = await serveFor(t)
  const ada = await server.leased('ada', { type: 'writer' })
  const work = await given(server, ada, { agent_type: 'writer', max_retries: 0 })
  const question = { ...work, key: 'colour', prompt: 'Which colour?', schema: colour }
  const asked = await ada.call<Asked>('tasks.request_input', question)
  assert.equal(asked.state, 'waiting')
  const waiting = await read(server, work.id)
  assert.deepEqual([waiting.state, waiting.status, waiting.lease_until, waiting.attempt], ['input_required', 'running', null, 0])
  await assert.rejects(ada.call('tasks.progress', { ...work, progress: 0.5 }), refused(409, 'stale_lease'))
  assert.equal((await server.call<Agent>('GET', '/agents/ada')).status, 'idle')

  const answerWith = (input: unknown) => server.call<Answered>('POST', `/tasks/${work.id}/input`, { input })
  await assert.rejects(answerWith({ colour: 'green' }), refused(422, 'invalid_request'))
  assert.equal((await read(server, work.id)).state, 'input_required')
  const answered = await answerWith({ colour: 'red' })
  assert.deepEqual([answered.request.state, answered.request.by, answered.task_state], ['answered', 'operator', 'assigned'])
  await assert.rejects(answerWith({ colour: 'blue' }), refused(409, 'conflict'))

  const again = await next(ada, work.id)
  const replayed = await ada.call<Asked>('tasks.request_input', { ...again, key: 'colour', prompt: 'Which colour?' })
  assert.deepEqual([replayed.state, replayed.request.input], ['answered', { colour: 'red' }])
  await ada.call('tasks.complete', { ...again, result: 'painted' })
  const done = await read(server, work.id)
  assert.deepEqual(
    [done.state, done.attempt, done.attempts.map(({ outcome }) => outcome)],
    ['completed', 1, ['released', 'completed']],
  )
  const log = await server.call<{ items: LogEntry[] }>(
    'GET',
    '/events?types=task.input_required&types=input.requested&types=input.provided',
  )
  assert.deepEqual(
    log.items.map(({ type }) => type),
    ['task.input_required', 'input.requested', 'input.provided'],
  )
})

test('the question reaches the inbox of the operator and of the agent that gave the task away, and either answers', async (t) => {
  const server = await serveFor(t)
  const [boss, ada, eve] = [await server.leased('boss'), await server.leased('ada'), await server.leased('eve')]
  const { id } = await boss.call<Task>('tasks.create', { title: 'given away', assign_to: 'ada' })
  const work = await next(ada, id)
  const { request } = await ada.call<Asked>('tasks.request_input', { ...work, prompt: 'How many?', schema: { type: 'integer' } })
  const told = await boss.next<Delivery>('message:received', ({ type }) => type === 'task.input_required')
  const content = told.data.content as { request_id: string; prompt: string }
  assert.deepEqual([content.request_id, content.prompt, told.data.task_id], [request.id, 'How many?', id])
  const inbox = await server.call<{ items: { type: string }[] }>('POST', '/agents/operator/inbox/receive', { limit: 10 })
  assert.ok(inbox.items.some(({ type }) => type === 'task.input_required'))
  for (const other of [eve, ada])
    await assert.rejects(other.call('tasks.provide_input', { id, input: 3 }), refused(403, 'forbidden'))
  assert.equal((await boss.call<Answered>('tasks.provide_input', { id, input: 3 })).request.by, 'boss')
  const same = await boss.call<Answered>('tasks.provide_input', { id, input: 3, request_id: request.id })
  assert.equal(same.already, true)
  await next(ada, id)
})

test('nobody answers for itself, and nobody answers what was not asked', async (t) => {
  const server = await serveFor(t)
  const ada = await server.leased('ada')
  const { id } = await ada.call<Task>('tasks.create', { title: 'mine', assign_to: 'ada' })
  await assert.rejects(server.call('POST', `/tasks/${id}/input`, { input: 1 }), refused(409, 'conflict'))
  const work = await next(ada, id)
  await assert.rejects(ada.call('tasks.request_input', work), refused(422, 'invalid_request'))
  const pattern = { ...work, prompt: 'x', schema: { type: 'string', pattern: '^(a+)+$' } }
  await assert.rejects(ada.call('tasks.request_input', pattern), refused(422, 'invalid_request'))
  const { request } = await ada.call<Asked>('tasks.request_input', { ...work, action: 'drop_table', args: { table: 'users' } })
  await assert.rejects(ada.call('approvals.decide', { id: request.id, approved: true }), refused(403, 'forbidden'))
  await assert.rejects(ada.call('tasks.provide_input', { id, input: { approved: true } }), refused(403, 'forbidden'))
  assert.equal((await read(server, id)).state, 'input_required')
})

test('an approval is for one action with its arguments, keeps who decided and why, and stands', async (t) => {
  const server = await serveFor(t)
  const ada = await server.leased('ada')
  let work = await given(server, ada, { assign_to: 'ada' })
  const { id } = work
  const wanted = { action: 'refund', args: { amount: 20, to: 'x' } }
  const { request } = await ada.call<Asked>('tasks.request_input', { ...work, ...wanted })
  const [waiting] = (await server.call<{ items: InputRequest[] }>('GET', '/approvals?state=open')).items
  assert.deepEqual([waiting?.id, waiting?.action, waiting?.args], [request.id, 'refund', wanted.args])
  await server.call('POST', `/approvals/${request.id}`, { approved: true, comment: 'within the limit' })
  await assert.rejects(server.call('POST', `/approvals/${request.id}`, { approved: false }), refused(409, 'conflict'))
  work = await next(ada, id)
  // The order of the fields is no other question.
  const { state, request: decided } = await ada.call<Asked>('tasks.request_input', {
    ...work,
    action: 'refund',
    args: { to: 'x', amount: 20 },
  })
  assert.deepEqual([state, decided.approved, decided.by, decided.comment], ['answered', true, 'operator', 'within the limit'])
  const other = await ada.call<Asked>('tasks.request_input', { ...work, action: 'refund', args: { amount: 2000, to: 'x' } })
  assert.equal(other.state, 'waiting')
  await server.call('POST', `/approvals/${other.request.id}`, { approved: false })
  work = await next(ada, id)
  const no = await ada.call<Asked>('tasks.request_input', { ...work, action: 'refund', args: { amount: 2000, to: 'x' } })
  assert.equal(no.request.approved, false)
  assert.equal((await server.call<{ items: unknown[] }>('GET', `/approvals?task_id=${id}`)).items.length, 2)
})

test('with the asker away another agent that is able goes on; a named agent gets its task when it comes back', async (t) => {
  const server = await serveFor(t)
  const [ada, bob] = [await server.leased('ada', { type: 'writer' }), await server.leased('bob')]
  const mine = await given(server, ada, { agent_type: 'writer' })
  await ada.call('tasks.request_input', { ...mine, prompt: 'Go on?' })
  const named = await given(server, bob, { assign_to: 'bob' })
  await bob.call('tasks.request_input', { ...named, prompt: 'Go on?' })
  await Promise.all([ada.close(), bob.close()])
  const eve = await server.leased('eve', { type: 'writer' })
  await server.call('POST', `/tasks/${mine.id}/input`, { input: 'yes' })
  await next(eve, mine.id)
  await server.call('POST', `/tasks/${named.id}/input`, { input: 'yes' })
  const waiting = await read(server, named.id)
  assert.deepEqual([waiting.state, waiting.assigned_to, waiting.lease_until], ['assigned', 'bob', null])
})

test('a cancelled task asks for nothing any more', async (t) => {
  const server = await serveFor(t)
  const ada = await server.leased('ada')
  const work = await given(server, ada, { assign_to: 'ada' })
  const { request } = await ada.call<Asked>('tasks.request_input', { ...work, prompt: 'Go on?' })
  await server.call('POST', `/tasks/${work.id}/cancel`, {})
  assert.equal((await open(server)).length, 0)
  const late = { input: 'yes', request_id: request.id }
  await assert.rejects(server.call('POST', `/tasks/${work.id}/input`, late), refused(409, 'conflict'))
  assert.equal((await read(server, work.id)).state, 'cancelled')
})

test('it waits over hours and a restart of the server: nothing runs out, and the answer is taken as before', async (t) => {
  const folder = temporaryFolder()
  t.after(() => folder.remove())
  const clock = new ManualClock()
  const config = { data: folder.path }
  const before = await serveFor(t, { clock, config })
  const ada = await before.leased('ada')
  const work = await given(before, ada, { assign_to: 'ada' })
  await ada.call('tasks.request_input', { ...work, prompt: 'Go on?' })
  await before.close()
  await clock.advance(3_600_000)
  const server = await serveFor(t, { clock, config })
  const waiting = await read(server, work.id)
  assert.deepEqual([waiting.state, waiting.attempts.length], ['input_required', 1])
  assert.equal((await open(server)).length, 1)
  await server.call('POST', `/tasks/${work.id}/input`, { input: 'yes' })
  assert.equal((await read(server, work.id)).state, 'assigned')
})
