/** Who may write in the name of a task, and with what proof. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Assignment, CadreError, type Task } from '@cadre/contract'
import { verifies } from '../../../../test/verifies.ts'
import type { Caller } from '../../core/context.ts'
import { Directory } from '../../core/directory.ts'
import { migrate } from '../../drivers/database/migrate.ts'
import { openSqlite } from '../../drivers/database/sqlite.ts'
import { ManualClock, Refused, serveFor } from '../../testing.ts'
import { Registry } from '../agents/registry.ts'
import { Sessions } from '../../core/sessions.ts'
import { Engine, type TaskWrite } from './engine.ts'
import { encodeLease } from './view.ts'
import { type TaskRow, insertTasks, openAttempt } from './store.ts'

const refused = (status: number, code: string) => (error: unknown) => {
  assert.ok(error instanceof Refused, String(error))
  assert.deepEqual([error.status, error.code], [status, code], error.message)
  return true
}

verifies('SEC-04', 'a former holder changes nothing, and a holder in leased mode nothing without its lease', async (t) => {
  const server = await serveFor(t)
  const ada = await server.leased('ada')
  const { id } = await server.call<Task>('POST', '/tasks', { title: 'mine' })
  const [work] = (await ada.call<{ items: Assignment[] }>('tasks.claim', { id })).items
  for (const change of [{ progress: 0.9 }, { title: 'x' }])
    await assert.rejects(ada.call('tasks.update', { id, ...change }), refused(409, 'lease_required'))
  await ada.call('tasks.update', { id, title: 'proven', lease: work?.lease })
  await ada.call('tasks.release', { id, lease: work?.lease })
  await assert.rejects(ada.call('tasks.update', { id, progress: 0.7 }), refused(409, 'stale_lease'))
  await assert.rejects(ada.call('tasks.update', { id, title: 'stolen' }), refused(403, 'forbidden'))
  await assert.rejects(ada.call('tasks.cancel', { id }), refused(403, 'forbidden'))
  await assert.rejects(ada.call('tasks.assign', { id, agent: 'ada' }), refused(403, 'forbidden'))
  const task = await server.call<Task>('GET', `/tasks/${id}`)
  assert.deepEqual([task.title, task.state, task.progress], ['proven', 'ready', 0])
})

test('its creator changes a task whoever holds it, but does not report its progress', async (t) => {
  const server = await serveFor(t)
  const [ada, bob] = [await server.leased('ada'), await server.leased('bob')]
  const { id } = await ada.call<Task>('tasks.create', { title: 'x', assign_to: 'bob' })
  await bob.next('task:assigned')
  assert.equal((await ada.call<Task>('tasks.update', { id, title: 'renamed' })).title, 'renamed')
  await assert.rejects(ada.call('tasks.update', { id, progress: 1 }), refused(403, 'forbidden'))
  assert.equal((await ada.call<Task>('tasks.cancel', { id })).state, 'cancelled')
})

test('a plain client needs no lease for what it holds', async (t) => {
  const server = await serveFor(t)
  const ada = await server.plain('ada')
  const { id } = await server.call<Task>('POST', '/tasks', { title: 'x', assign_to: 'ada' })
  await ada.next('task:assigned')
  assert.equal((await ada.call<Task>('task:update', { task_id: id, progress: 0.5, title: 'y' })).progress, 0.5)
})

test('every combination of lease, session, role and history is judged the same way', async (t) => {
  const clock = new ManualClock()
  const database = openSqlite(':memory:', (error) => assert.fail(String(error)))
  t.after(() => database.close())
  await migrate(database)
  const directory = await Directory.open(database, clock)
  const agents = { registry: new Registry(clock), onAvailable() {}, onEnding() {}, setLoad() {} }
  const unused = () => assert.fail('nothing is moved here')
  const engine = new Engine({
    database,
    directory,
    clock,
    sessions: new Sessions(),
    agents: agents as never,
    epoch: 'e',
    random: () => 0,
    engine: unused,
    leaseMs: 1,
    logger: { debug: unused, info: unused, warn: unused, error: unused },
  })
  t.after(() => engine.close())
  const row: TaskRow = {
    tenant: 1,
    id: 'tsk_1',
    title: '',
    description: '',
    type: 'task',
    state: 'running',
    priority: 3,
    progress: 0,
    progress_note: null,
    creator: 9,
    agent_type: null,
    capabilities: '[]',
    assign_to: null,
    assignee: 2,
    waiting_for: 0,
    depends_on: '[]',
    parent: null,
    run: null,
    run_name: null,
    key: null,
    input: 'null',
    requirements: '{}',
    result: 'null',
    error: null,
    attempt: 2,
    max_retries: 0,
    token: 7,
    lease_ms: null,
    lease_until: null,
    available_at: null,
    taken_at: null,
    join_rule: 'all_success',
    fail_fast: 0,
    run_paused: 0,
    retry_of: null,
    schedule: null,
    deadline: null,
    timeout_ms: null,
    attempt_until: null,
    due_date: null,
    created_at: 0,
    started_at: null,
    updated_at: 0,
    completed_at: null,
    artifacts: '[]',
    metadata: '{}',
    placement: null,
    fallback_at: 0,
  }
  const over = { ...row, id: 'tsk_2', state: 'completed' as const }
  await database.transaction(async (tx) => {
    await insertTasks(tx, [row, over])
    const former = { tenant: 1, task: row.id, number: 1, token: 6, agent: 1, assigned_at: 0, started_at: null }
    await openAttempt(tx, { ...former, reason: null, card: null })
  })
  const caller = (id: number, role: Caller['role'] = 'agent'): Caller =>
    ({ id, role, tenant: 1, publicId: `p${id}`, name: `n${id}`, kind: role === 'agent' ? 'agent' : 'person' }) as const
  const [former, holder, stranger, operator] = [caller(1), caller(2), caller(3), caller(4, 'operator')]
  const current = encodeLease(row, 'e')
  const old = encodeLease({ id: row.id, token: 6 }, 'e')
  const judge = (write: Omit<TaskWrite, 'lease' | 'task'> & { lease?: string; task?: string }) =>
    database
      .transaction((tx) => engine.checkLease(tx, { task: row.id, lease: undefined, ...write }))
      .then(
        () => 'accepted',
        (error: unknown) => (error as CadreError).code,
      )
  const cases: [Parameters<typeof judge>[0], string][] = [
    [{ caller: holder, strict: true, lease: current }, 'accepted'],
    [{ caller: holder, strict: true }, 'lease_required'],
    [{ caller: holder }, 'accepted'],
    [{ caller: holder, lease: old }, 'stale_lease'],
    [{ caller: holder, strict: true, mustHold: true }, 'lease_required'],
    [{ caller: former, strict: true, lease: old }, 'stale_lease'],
    [{ caller: former, strict: true, lease: current }, 'stale_lease'],
    [{ caller: former, strict: true }, 'stale_lease'],
    [{ caller: former }, 'accepted'],
    [{ caller: former, mustHold: true }, 'forbidden'],
    [{ caller: stranger, strict: true }, 'accepted'],
    [{ caller: stranger, strict: true, mustHold: true }, 'forbidden'],
    [{ caller: stranger, lease: current }, 'stale_lease'],
    [{ caller: operator, strict: true, mustHold: true }, 'accepted'],
    [{ caller: operator, lease: old }, 'stale_lease'],
    [{ caller: holder, task: over.id, strict: true }, 'stale_lease'],
    [{ caller: holder, task: over.id, mustHold: true }, 'stale_lease'],
    [{ caller: stranger, task: 'tsk_none' }, 'not_found'],
  ]
  for (const [write, expected] of cases) assert.equal(await judge(write), expected, JSON.stringify(write))
})
