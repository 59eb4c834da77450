/** Tasks from outside: create, assign, do, complete, cancel, list. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Agent, Assignment, Delivery, LogEntry, Message, OutputOf, Task } from '@cadre/contract'
import { verifies } from '../../../../test/verifies.ts'
import { ManualClock, Refused, type Socket, type TestServer, serveFor } from '../../testing.ts'

type Detail = OutputOf<'tasks.get'>
type Changed = OutputOf<'tasks.update'>
type Page = OutputOf<'tasks.list'>

const refused = (status: number, code: string) => (error: unknown) => {
  assert.ok(error instanceof Refused, String(error))
  assert.deepEqual([error.status, error.code], [status, code], error.message)
  return true
}
const create = (server: TestServer, body: object = {}) =>
  server.call<OutputOf<'tasks.create'>>('POST', '/tasks', { title: 'a task', ...body })
const read = (server: TestServer, id: string) => server.call<Detail>('GET', `/tasks/${id}`)
const assigned = (agent: Socket, id?: string) =>
  agent.next<Assignment>('task:assigned', (data) => id === undefined || data.id === id)

verifies(
  ['TSK-01', 'API-10', 'API-12'],
  'a task is created with every field of the documents and is visible at once as pending',
  async (t) => {
    const server = await serveFor(t, { clock: new ManualClock() })
    const given = {
      title: 'Analyse the figures',
      description: 'All of them.\nCarefully.',
      priority: 2,
      type: 'analysis',
      requirements: { tools: ['csv'], minimum: null },
      due_date: '2026-02-01T00:00:00.000Z',
      metadata: { ticket: 7 },
      input: { file: 'a.csv', rows: [1, 2] },
      max_retries: 1,
    }
    const answer = await server.request<OutputOf<'tasks.create'>>('POST', '/api/tasks', given)
    assert.equal(answer.status, 201)
    const { receipt, ...task } = answer.body
    assert.deepEqual([receipt.id, receipt.duplicate], [task.id, false])
    const read = await server.call<Detail>('GET', `/tasks/${task.id}`)
    assert.deepEqual(read, { ...task, attempts: [], children: [], merged_result: null })
    for (const [field, value] of Object.entries(given)) assert.deepEqual(task[field as keyof typeof task], value, field)
    const { task_id, state, status, creator, assigned_to, result, error, progress, attempt, created_at } = read
    assert.deepEqual(
      { task_id, state, status, creator, assigned_to, result, error, progress, attempt, created_at },
      {
        task_id: task.id,
        state: 'ready',
        status: 'pending',
        creator: 'operator',
        assigned_to: null,
        result: null,
        error: null,
        progress: 0,
        attempt: 0,
        created_at: '2026-01-01T00:00:00.000Z',
      },
    )
  },
)

test('a title or a description is enough, and the documents spell fields their way', async (t) => {
  const server = await serveFor(t)
  await server.call('POST', '/agents/register', { name: 'bob' })
  const submitted = await server.call<Task>('POST', '/api/v1/tasks/submit', {
    description: 'Research the latest developments\nin multi-agent AI systems',
    priority: 1,
    agent_type: 'research',
  })
  assert.deepEqual(
    [submitted.title, submitted.priority, submitted.agent_type, submitted.status],
    ['Research the latest developments', 1, 'research', 'pending'],
  )
  const aliased = await create(server, {
    assignee: 'bob',
    task_type: 't',
    payload: { a: 1 },
    dependencies: [submitted.id],
    required_capabilities: ['x'],
  })
  const { assign_to, type, input, depends_on, capabilities } = aliased
  assert.deepEqual(
    { assign_to, type, input, depends_on, capabilities },
    { assign_to: 'bob', type: 't', input: { a: 1 }, depends_on: [submitted.id], capabilities: ['x'] },
  )
  await assert.rejects(server.call('POST', '/tasks', {}), refused(422, 'invalid_request'))
  await assert.rejects(create(server, { title: '' }), refused(422, 'invalid_request'))
  await assert.rejects(create(server, { due_date: 'soon' }), refused(422, 'invalid_request'))
  await assert.rejects(create(server, { assign_to: 'ghost' }), refused(404, 'not_found'))
  await assert.rejects(create(server, { depends_on: ['tsk_ghost'] }), refused(404, 'not_found'))
  await assert.rejects(create(server, { parent_id: 'tsk_ghost' }), refused(404, 'not_found'))
  assert.equal((await server.call<Page>('GET', '/tasks')).items.length, 2)
})

verifies(
  ['TSK-02', 'API-13', 'TSK-16', 'API-16'],
  'pending, assigned, running, completed: the status tells, with progress and result',
  async (t) => {
    const server = await serveFor(t, { clock: new ManualClock() })
    const bob = await server.leased('bob', { type: 'research' })
    const waiting = await create(server, { depends_on: [(await create(server)).id], agent_type: 'research' })
    const status = async (id: string) => {
      const { state, status, progress, result, assigned_to } = await server.call<OutputOf<'tasks.status'>>(
        'GET',
        `/tasks/${id}/status`,
      )
      return { state, status, progress, result, assigned_to }
    }
    assert.deepEqual(await status(waiting.id), {
      state: 'pending',
      status: 'pending',
      progress: 0,
      result: null,
      assigned_to: null,
    })
    const { id } = await create(server, { agent_type: 'researcher' })
    const { data } = await assigned(bob, id)
    assert.deepEqual([data.attempt, data.lease_until, typeof data.lease], [1, '2026-01-01T00:00:30.000Z', 'string'])
    assert.deepEqual(await status(id), { state: 'assigned', status: 'assigned', progress: 0, result: null, assigned_to: 'bob' })
    await bob.call('tasks.accept', { id, lease: data.lease })
    await bob.call('task:progress', { id, lease: data.lease, progress: 0.4, note: 'reading 12 of 30' })
    assert.deepEqual(await status(id), { state: 'running', status: 'running', progress: 0.4, result: null, assigned_to: 'bob' })
    assert.equal((await read(server, id)).progress_note, 'reading 12 of 30')
    const done = await bob.call<Changed>('tasks.complete', { id, lease: data.lease, result: { found: [1, null] } })
    assert.equal(done.already, undefined)
    assert.deepEqual(await status(id), {
      state: 'completed',
      status: 'completed',
      progress: 1,
      result: { found: [1, null] },
      assigned_to: 'bob',
    })
    const again = await bob.call<Changed>('tasks.complete', { id, lease: data.lease, result: 'another' })
    assert.deepEqual([again.already, again.receipt, again.result], [true, null, { found: [1, null] }])
    const detail = await read(server, id)
    assert.equal(detail.lease_until, null)
    assert.deepEqual(
      detail.attempts.map(({ agent, attempt, outcome }) => ({ agent, attempt, outcome })),
      [{ agent: 'bob', attempt: 1, outcome: 'completed' }],
    )
  },
)

verifies('TSK-18', 'who held a task, from when to when', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const [ada, bob] = [await server.leased('ada'), await server.leased('bob')]
  const { id } = await create(server)
  await server.call('POST', `/tasks/${id}/assign`, { agent: 'ada' })
  const first = await assigned(ada)
  await clock.advance(1_000)
  await ada.call('tasks.accept', { id, lease: first.data.lease })
  await clock.advance(1_000)
  await server.call('POST', `/tasks/${id}/assign`, { agent: 'bob', reason: 'ada is wanted elsewhere' })
  const second = await assigned(bob)
  await clock.advance(1_000)
  await bob.call('tasks.complete', { id, lease: second.data.lease })
  const { attempts } = await read(server, id)
  const at = (seconds: number) => `2026-01-01T00:00:0${seconds}.000Z`
  const unsaid = { code: null, decision: null, wait_ms: null }
  assert.deepEqual(
    attempts.map((attempt) => {
      const { agent_id: _, ...rest } = attempt
      return rest
    }),
    [
      {
        attempt: 1,
        agent: 'ada',
        assigned_at: at(0),
        started_at: at(1),
        ended_at: at(2),
        outcome: 'reassigned',
        error: 'ada is wanted elsewhere',
        reason: 'assigned by operator',
        ...unsaid,
      },
      {
        attempt: 2,
        agent: 'bob',
        assigned_at: at(2),
        started_at: at(3),
        ended_at: at(3),
        outcome: 'completed',
        error: null,
        reason: 'ada is wanted elsewhere',
        ...unsaid,
      },
    ],
  )
  await assert.rejects(
    ada.call('tasks.complete', { id, lease: first.data.lease, result: 'too late' }),
    refused(409, 'stale_lease'),
  )
})

verifies(['TSK-06', 'API-15'], 'an explicit assignment reaches the agent; the same again changes nothing', async (t) => {
  const server = await serveFor(t)
  const bob = await server.leased('bob')
  const { id } = await create(server)
  const answer = await server.request<Changed>('POST', `/api/tasks/${id}/assign`, {
    agent_id: (await server.call<Agent>('GET', '/agents/bob')).id,
  })
  assert.deepEqual(
    [answer.status, answer.body.assigned_to, answer.body.state, answer.body.already],
    [200, 'bob', 'assigned', undefined],
  )
  const { data } = await assigned(bob)
  const again = await server.request<Changed>('POST', `/tasks/${id}/assign`, { assign_to: 'bob' })
  assert.deepEqual([again.status, again.body.already, again.body.receipt, again.body.attempt], [200, true, null, 1])
  await bob.call('tasks.accept', { id, lease: data.lease })
  assert.deepEqual(await bob.settled('task:assigned'), [])
  await assert.rejects(server.call('POST', `/tasks/${id}/assign`, { agent: 'ghost' }), refused(404, 'not_found'))
  await assert.rejects(server.call('POST', '/tasks/tsk_ghost/assign', { agent: 'bob' }), refused(404, 'not_found'))
})

test('a task for an agent that is away waits for it, without a lease, until it connects', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  await server.call('POST', '/agents/register', { name: 'bob' })
  const named = await create(server, { assign_to: 'bob' })
  assert.deepEqual([named.state, named.assigned_to, named.lease_until], ['assigned', 'bob', null])
  const later = await create(server)
  const answer = await server.call<Changed>('POST', `/tasks/${later.id}/assign`, { agent: 'bob' })
  assert.deepEqual([answer.state, answer.lease_until], ['assigned', null])
  await clock.advance(300_000)
  assert.equal((await read(server, named.id)).attempts.length, 1)
  const bob = await server.leased('bob')
  for (const { id } of [named, later]) assert.equal((await assigned(bob, id)).data.lease_until, '2026-01-01T00:05:30.000Z')
  assert.equal((await read(server, later.id)).lease_until, '2026-01-01T00:05:30.000Z')
})

test('a task with open dependencies keeps the name it was given, and goes there when they are done', async (t) => {
  const server = await serveFor(t)
  const bob = await server.leased('bob')
  const first = await create(server)
  const second = await create(server, { depends_on: [first.id] })
  const answer = await server.call<Changed>('POST', `/tasks/${second.id}/assign`, { agent: 'bob' })
  assert.deepEqual([answer.state, answer.assign_to, answer.assigned_to], ['pending', 'bob', null])
  assert.deepEqual(await bob.settled('task:assigned'), [])
  await server.call('POST', `/tasks/${first.id}/complete`, {})
  assert.equal((await assigned(bob)).data.id, second.id)
})

test('a task that names nobody waits until it is claimed or assigned; a claim has one winner', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const agents = await Promise.all(
    ['ada', 'bob', 'eve'].map((name) => server.leased(name, { type: 'any', capabilities: ['everything'] })),
  )
  const { id } = await create(server)
  await clock.advance(60_000)
  for (const agent of agents) assert.deepEqual(await agent.settled('task:assigned'), [])
  assert.equal((await read(server, id)).state, 'ready')
  const claims = await Promise.all(agents.map((agent) => agent.call<{ items: Assignment[] }>('tasks.claim', {})))
  const won = claims.flatMap((claim) => claim.items)
  assert.equal(won.length, 1)
  assert.equal((await read(server, id)).assigned_to, won[0]?.assigned_to)
  const [ada] = agents
  await assert.rejects((ada as Socket).call('tasks.claim', { id: 'tsk_ghost' }), refused(404, 'not_found'))
  const other = await create(server, { capabilities: ['flying'] })
  assert.deepEqual(
    (await (ada as Socket).call<{ items: Assignment[] }>('tasks.claim', { limit: 10 })).items
      .map((item) => item.id)
      .filter((item) => item === other.id),
    [],
  )
  await assert.rejects((ada as Socket).call('tasks.claim', { agent: 'bob' }), refused(403, 'forbidden'))
  await assert.rejects(server.call('POST', '/tasks/claim', {}), refused(422, 'invalid_request'))
})

verifies(
  ['AGT-14', 'AGT-23'],
  'work goes to an agent of the type that has every capability, in any spelling, and to nobody else',
  async (t) => {
    const clock = new ManualClock()
    const server = await serveFor(t, { clock })
    const both = await server.leased('both', { type: 'researcher', capabilities: ['web search', 'PDF-reading'], concurrency: 10 })
    const one = await server.leased('one', { type: 'researcher', capabilities: ['search_web'], concurrency: 10 })
    const other = await server.leased('other', { type: 'analysis', capabilities: ['web_search', 'pdf_reading'], concurrency: 10 })
    const two = await create(server, { agent_type: 'research', capabilities: ['web_search', 'pdf_reading'] })
    assert.equal((await assigned(both)).data.id, two.id)
    const typed = await create(server, { agent_type: 'analyst' })
    assert.equal((await assigned(other)).data.id, typed.id)
    const nobody = await create(server, { capabilities: ['flying'] })
    await clock.advance(10_000)
    assert.equal((await read(server, nobody.id)).state, 'ready')
    assert.deepEqual(await one.settled('task:assigned'), [])
    const pilot = await server.leased('pilot', { capabilities: ['flying'] })
    assert.equal((await assigned(pilot)).data.id, nobody.id)
    assert.match(
      JSON.stringify((await server.call<{ items: LogEntry[] }>('GET', '/events?types=task.assigned')).items.at(-1)?.data),
      /least busy of 1 able agent/,
    )
  },
)

verifies(
  ['TSK-08', 'TSK-04'],
  'work goes to the least busy, runs at the same time, and the counters of load go up and down',
  async (t) => {
    const server = await serveFor(t)
    const names = ['ada', 'bob', 'eve']
    const sockets = new Map<string, Socket>()
    for (const name of names) sockets.set(name, await server.leased(name, { type: 'worker', concurrency: 2 }))
    const tasks = []
    for (let index = 0; index < 7; index++) tasks.push(await create(server, { agent_type: 'worker', title: `task ${index}` }))
    const load = async (name: string) => (await server.call<Agent>('GET', `/agents/${name}`)).load
    const held: { name: string; data: Assignment }[] = []
    for (const name of names)
      for (let index = 0; index < 2; index++) held.push({ name, data: (await assigned(sockets.get(name) as Socket)).data })
    assert.deepEqual(await Promise.all(names.map(load)), [2, 2, 2])
    const left = tasks.filter((task) => !held.some(({ data }) => data.id === task.id))
    assert.equal(left.length, 1, 'the seventh waits for room')
    for (const { name, data } of held) await sockets.get(name)?.call('tasks.accept', { id: data.id, lease: data.lease })
    assert.equal((await server.call<Page>('GET', '/tasks?status=running')).items.length, 6)
    const first = held[0]?.data as Assignment
    await sockets.get('ada')?.call('tasks.complete', { id: first.id, lease: first.lease })
    assert.equal((await assigned(sockets.get('ada') as Socket)).data.id, left[0]?.id)
    const failing = held.find(({ name }) => name === 'bob') as (typeof held)[number]
    await sockets
      .get('bob')
      ?.call('tasks.fail', { id: failing.data.id, lease: failing.data.lease, error: 'no', retryable: false })
    assert.deepEqual(await Promise.all(names.map(load)), [2, 1, 2])
  },
)

verifies('TSK-05', 'priority 1 overtakes an earlier priority 5', async (t) => {
  const server = await serveFor(t)
  const [late, middle, urgent] = [
    await create(server, { agent_type: 'w', priority: 5 }),
    await create(server, { agent_type: 'w' }),
    await create(server, { agent_type: 'w', priority: 'critical' }),
  ]
  const bob = await server.leased('bob', { type: 'w' })
  const order: string[] = []
  for (let index = 0; index < 3; index++) {
    const { data } = await assigned(bob)
    order.push(data.id)
    await bob.call('tasks.complete', { id: data.id, lease: data.lease })
  }
  assert.deepEqual(order, [urgent.id, middle.id, late.id])
  const claimed = [await create(server, { priority: 9 }), await create(server, { priority: 'high' })]
  assert.equal((await bob.call<{ items: Assignment[] }>('tasks.claim', {})).items[0]?.id, claimed[1]?.id)
})

verifies(
  ['TSK-17', 'API-11', 'API-14'],
  'tasks are listed by status, agent, creator, priority and type, in pages, and can be changed',
  async (t) => {
    const server = await serveFor(t)
    const bob = await server.leased('bob', { concurrency: 5 })
    const made = []
    for (let index = 0; index < 5; index++)
      made.push(
        await create(server, {
          title: `t${index}`,
          type: index % 2 === 0 ? 'even' : 'odd',
          priority: index + 1,
          ...(index === 4 && { assign_to: 'bob' }),
        }),
      )
    const own = await bob.call<Task>('task:create', { title: 'by bob' })
    const list = async (query: string) => (await server.call<Page>('GET', `/tasks?${query}`)).items.map((task) => task.title)
    assert.deepEqual(await list(''), ['by bob', 't4', 't3', 't2', 't1', 't0'])
    assert.deepEqual(await list('status=assigned'), ['t4'])
    assert.deepEqual(await list('state=ready&limit=2'), ['by bob', 't3'])
    assert.deepEqual(await list('assigned_to=bob'), ['t4'])
    assert.deepEqual(await list('creator=bob'), ['by bob'])
    assert.deepEqual(await list('priority=2'), ['t1'])
    assert.deepEqual(await list('priority=high'), ['t1'])
    assert.deepEqual(await list('type=odd'), ['t3', 't1'])
    const seen: string[] = []
    for (let cursor = ''; ; ) {
      const page = await server.call<Page>('GET', `/tasks?limit=4${cursor}`)
      seen.push(...page.items.map((task) => task.title))
      await create(server, { title: 'new' })
      if (page.next === null) break
      cursor = `&cursor=${page.next}`
    }
    assert.deepEqual(seen, ['by bob', 't4', 't3', 't2', 't1', 't0'])

    const id = made[0]?.id as string
    const changes = {
      title: 'changed',
      description: 'more',
      priority: 'low',
      due_date: '2026-03-01T00:00:00.000Z',
      metadata: { a: { title: 'x' } },
    }
    const changed = await server.call<Changed>('PUT', `/api/tasks/${id}`, changes)
    const { title, description, priority, due_date, metadata } = changed
    assert.deepEqual({ title, description, priority, due_date, metadata }, { ...changes, priority: 4 })
    assert.equal((await server.call<Changed>('PUT', `/tasks/${id}`, { due_date: null })).due_date, null)
    assert.equal((await server.call<Changed>('PUT', `/tasks/${id}`, {})).already, true)
    const eve = await server.leased('eve')
    await assert.rejects(eve.call('tasks.update', { id: own.id, title: 'mine now' }), refused(403, 'forbidden'))
    await server.call('POST', `/tasks/${id}/complete`, {})
    await assert.rejects(server.call('PUT', `/tasks/${id}`, { title: 'after the end' }), refused(409, 'illegal_transition'))
  },
)

test('a status is set by legal moves only; the refusal lists them; the current one again is fine', async (t) => {
  const server = await serveFor(t)
  const bob = await server.leased('bob')
  const { id } = await create(server)
  const put = (status: string, more: object = {}) =>
    server.request<Changed & { parameters: { legal: string[] } }>('PUT', `/tasks/${id}`, { status, ...more })
  const again = await put('pending')
  assert.deepEqual([again.status, again.body.already, again.body.state], [200, true, 'ready'])
  const early = await put('running')
  assert.equal(early.status, 409)
  assert.deepEqual(early.body.parameters.legal, ['assigned', 'scheduled', 'paused', 'cancelled', 'failed', 'skipped'])
  await server.call('POST', `/tasks/${id}/assign`, { agent: 'bob' })
  const { data } = await assigned(bob)
  assert.equal((await put('running')).body.state, 'running')
  assert.equal((await put('running')).body.already, true)
  const done = await bob.call<Changed>('task:update', { task_id: id, status: 'completed', result: 42, lease: data.lease })
  assert.deepEqual([done.state, done.result], ['completed', 42])
  assert.equal((await put('completed')).status, 200)
  for (const status of ['running', 'pending', 'failed', 'cancelled']) assert.equal((await put(status)).status, 409, status)
  assert.equal((await put('sleeping')).status, 422)
})

test('completed from assigned passes through running', async (t) => {
  const server = await serveFor(t)
  const bob = await server.leased('bob')
  const { id } = await create(server, { assign_to: 'bob' })
  const { data } = await assigned(bob)
  await bob.call('task:update', { id, status: 'completed', result: 1, lease: data.lease })
  const events = await server.call<{ items: LogEntry[] }>('GET', '/events?types=task.started,task.completed')
  assert.deepEqual(
    events.items.map(({ type, data: entry }) => [type, (entry as { from: string }).from]),
    [
      ['task.started', 'assigned'],
      ['task.completed', 'running'],
    ],
  )
})

test('a person may complete a task that nobody took', async (t) => {
  const server = await serveFor(t)
  const { id } = await create(server)
  const done = await server.call<Changed>('POST', `/api/tasks/${id}/complete`, { output: { by: 'hand' } })
  assert.deepEqual([done.state, done.result, done.assigned_to], ['completed', { by: 'hand' }, 'operator'])
  assert.equal((await server.call<Changed>('POST', `/tasks/${id}/complete`, { result: 'again' })).already, true)
})

verifies(
  ['TSK-19'],
  'cancelling reaches the children and tells those who work; what they send afterwards is refused',
  async (t) => {
    const server = await serveFor(t)
    const [ada, bob] = [await server.leased('ada', { concurrency: 2 }), await server.leased('bob')]
    const parent = await create(server, { assign_to: 'ada' })
    const child = await create(server, { parent_id: parent.id, assign_to: 'bob' })
    const grandchild = await create(server, { parent_id: child.id })
    const sibling = await create(server, { parent_id: parent.id })
    await server.call('POST', `/tasks/${sibling.id}/complete`, {})
    const after = await create(server, { depends_on: [child.id] })
    const work = { ada: (await assigned(ada)).data, bob: (await assigned(bob)).data }
    await bob.call('tasks.accept', { id: child.id, lease: work.bob.lease })
    const cancelled = await server.call<Changed>('POST', `/tasks/${parent.id}/cancel`, { reason: 'no longer wanted' })
    assert.deepEqual(
      [cancelled.state, cancelled.error],
      ['cancelled', { code: 'cancelled', message: 'no longer wanted', attempts: 1 }],
    )
    assert.deepEqual((await ada.next('task:cancelled')).data, { id: parent.id, task_id: parent.id, reason: 'no longer wanted' })
    assert.equal((await bob.next('task:cancelled')).data['id'], child.id)
    const states = await Promise.all([child, grandchild, sibling, after].map(async ({ id }) => (await read(server, id)).state))
    assert.deepEqual(states, ['cancelled', 'cancelled', 'completed', 'skipped'])
    const late = [
      ['tasks.progress', { progress: 0.5 }],
      ['tasks.complete', { result: 1 }],
      ['tasks.fail', { error: 'x' }],
      ['tasks.accept', {}],
      ['tasks.release', {}],
    ] as const
    for (const [name, more] of late)
      await assert.rejects(bob.call(name, { id: child.id, lease: work.bob.lease, ...more }), refused(409, 'stale_lease'), name)
    assert.equal((await server.call<Changed>('POST', `/tasks/${parent.id}/cancel`, {})).already, true)
    assert.deepEqual(
      await Promise.all(['ada', 'bob'].map(async (name) => (await server.call<Agent>('GET', `/agents/${name}`)).load)),
      [0, 0],
    )
    await assert.rejects(server.call('POST', `/tasks/${sibling.id}/cancel`, {}), refused(409, 'illegal_transition'))
  },
)

verifies('TSK-15', 'messages with the task on them are the conversation of the task', async (t) => {
  const server = await serveFor(t)
  const bob = await server.leased('bob')
  const { id } = await create(server)
  await server.call('POST', '/messages', { to: 'bob', content: 'a question', task_id: id })
  await server.call('POST', '/messages', { to: 'bob', content: 'something else' })
  assert.equal((await bob.next<Delivery>('message:received')).data.task_id, id)
  const listed = await server.call<{ items: Message[] }>('GET', `/messages?task_id=${id}`)
  assert.deepEqual(
    listed.items.map((message) => message.content),
    ['a question'],
  )
})

verifies('TSK-21', 'created, progress and completed come to a follower of the log, in order', async (t) => {
  const server = await serveFor(t)
  const follower = await server.socket()
  await follower.call('events.watch', { types: ['task.created', 'task.progress', 'task.completed'] })
  const bob = await server.leased('bob')
  const { id } = await create(server, { assign_to: 'bob' })
  const { data } = await assigned(bob)
  await bob.call('tasks.progress', { id, lease: data.lease, progress: 0.5 })
  await bob.call('tasks.complete', { id, lease: data.lease, result: 1 })
  const events: LogEntry[] = []
  for (let index = 0; index < 3; index++) events.push((await follower.next<LogEntry>('event')).data)
  assert.deepEqual(
    events.map(({ type, subject, schema_version }) => [type, subject, schema_version]),
    [
      ['task.created', id, 1],
      ['task.progress', id, 1],
      ['task.completed', id, 1],
    ],
  )
  assert.ok(events.every((entry, index) => index === 0 || entry.seq > (events[index - 1] as LogEntry).seq))
})

test('the creator and the assignee are told of every change', async (t) => {
  const server = await serveFor(t)
  const [ada, bob, eve] = [await server.plain('ada'), await server.plain('bob'), await server.plain('eve')]
  const { id } = await ada.call<Task>('task:create', { title: 'by ada', assign_to: 'bob' })
  await bob.call('task:update', { task_id: id, status: 'completed', result: 'r' })
  const states = (frames: { data: Task }[]) => frames.map(({ data }) => data.state)
  assert.deepEqual(states(await ada.settled<Task>('task:updated')), ['assigned', 'running', 'completed'])
  assert.deepEqual(states(await bob.settled<Task>('task:updated')), ['assigned', 'running', 'completed'])
  assert.deepEqual(await eve.settled('task:updated'), [])
})

test('submitting with the same key makes one task; another body is refused', async (t) => {
  const server = await serveFor(t)
  const body = { title: 'once', input: { a: 1 } }
  const options = { key: 'k' }
  const all = await Promise.all(
    Array.from({ length: 10 }, () => server.call<OutputOf<'tasks.create'>>('POST', '/tasks', body, options)),
  )
  assert.equal(new Set(all.map((task) => task.id)).size, 1)
  assert.equal(all.filter((task) => task.receipt.duplicate).length, 9)
  await assert.rejects(server.call('POST', '/tasks', { ...body, input: { a: 2 } }, options), refused(422, 'idempotency_conflict'))
  assert.equal((await server.call<Page>('GET', '/tasks')).items.length, 1)
})

verifies('SEC-04', 'only the holder works on a task, and in leased mode only with its lease', async (t) => {
  const server = await serveFor(t)
  const [ada, bob] = [await server.leased('ada'), await server.leased('bob')]
  const { id } = await create(server, { assign_to: 'bob' })
  const { data } = await assigned(bob)
  await assert.rejects(ada.call('tasks.complete', { id, result: 1 }), refused(403, 'forbidden'))
  await assert.rejects(ada.call('tasks.complete', { id, result: 1, lease: data.lease }), refused(409, 'stale_lease'))
  await assert.rejects(ada.call('tasks.cancel', { id }), refused(403, 'forbidden'))
  await assert.rejects(ada.call('tasks.assign', { id, agent: 'ada' }), refused(403, 'forbidden'))
  await assert.rejects(bob.call('tasks.complete', { id, result: 1 }), refused(409, 'lease_required'))
  for (const lease of ['x', `${data.lease}0`, data.lease.replace(/_(\d+)_/, '_99_')])
    await assert.rejects(bob.call('tasks.complete', { id, lease }), refused(409, 'stale_lease'))
  await bob.call('tasks.complete', { id, lease: data.lease })
})
