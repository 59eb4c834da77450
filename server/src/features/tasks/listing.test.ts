/** What many tasks cost: every question of the engine and every list is answered from an index, in its order. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { OutputOf, Task } from '@cadre/contract'
import { migrate } from '../../drivers/database/migrate.ts'
import type { Database } from '../../drivers/database/port.ts'
import { openSqlite } from '../../drivers/database/sqlite.ts'
import { type TestServer, serveFor, temporaryFolder } from '../../testing.ts'
import { beforeAllReady, dueToWake, heldBy, listTasks, openTasks, overdueLeases, readyAfter } from './store.ts'

/** Runs the question and answers how the database went about it. */
async function planOf(database: Database, ask: (database: Database) => Promise<unknown>): Promise<string> {
  const steps: string[] = []
  const spied: Database = {
    ...database,
    async all<T>(query: Parameters<Database['all']>[0]) {
      const plan = await database.all<{ detail: string }>({ ...query, text: `explain query plan ${query.text}` })
      steps.push(...plan.map((step) => step.detail))
      return database.all<T>(query)
    },
  }
  await ask(spied)
  return steps.join('; ')
}

test('no question of the engine and no list scans or sorts all tasks', async (t) => {
  const database = openSqlite(':memory:', (error) => assert.fail(String(error)))
  t.after(() => database.close())
  await migrate(database)
  const questions: Record<string, [(database: Database) => Promise<unknown>, string]> = {
    state: [(db) => listTasks(db, { tenant: 1, states: ['failed', 'rejected'] }, 5), 'tasks_state'],
    assignee: [(db) => listTasks(db, { tenant: 1, assignee: 3 }, 5), 'tasks_assignee'],
    type: [(db) => listTasks(db, { tenant: 1, type: 'x', before: 'tsk_1' }, 5), 'tasks_type'],
    creator: [(db) => listTasks(db, { tenant: 1, creator: 3 }, 5), 'tasks_creator'],
    run: [(db) => listTasks(db, { tenant: 1, run: 'r' }, 5), 'tasks_run'],
    ready: [(db) => readyAfter(db, beforeAllReady, 5), 'tasks_ready'],
    open: [(db) => openTasks(db, 1, 5), 'tasks_open'],
    overdue: [(db) => overdueLeases(db, 1, 5), 'tasks_lease'],
    due: [(db) => dueToWake(db, 1, 5), 'tasks_wake'],
  }
  for (const [name, [ask, index]] of Object.entries(questions)) {
    const plan = await planOf(database, ask)
    assert.match(plan, new RegExp(`SEARCH tasks USING (COVERING )?INDEX ${index}\\b`), name)
    assert.doesNotMatch(plan, /SCAN|TEMP B-TREE/, name)
  }
  assert.match(
    await planOf(database, (db) => heldBy(db, 1, 3)),
    /SEARCH tasks USING INDEX tasks_held \(tenant=\? AND assignee=\?\)/,
  )
})

test('a status that covers several states is listed in order, in pages', async (t) => {
  const server = await serveFor(t)
  const made: string[] = []
  for (let index = 0; index < 9; index++) {
    const body = index % 3 === 0 ? { delay_ms: 60_000 } : index % 3 === 1 ? { depends_on: [made[0]] } : {}
    made.unshift((await server.call<Task>('POST', '/tasks', { title: 'x', ...body })).id)
  }
  const seen: string[] = []
  for (let cursor = ''; ; ) {
    const page = await server.call<OutputOf<'tasks.list'>>('GET', `/tasks?status=pending&limit=4${cursor}`)
    seen.push(...page.items.map((task) => task.id))
    if (page.next === null) break
    cursor = `&cursor=${page.next}`
  }
  assert.deepEqual(seen, made)
})

test('the counts of the states follow every move, failed writes and restarts included', async (t) => {
  const folder = temporaryFolder()
  t.after(() => folder.remove())
  const config = { data: folder.path }
  const counted = async (server: TestServer) =>
    (await server.call<{ tasks: { by_state: Record<string, number> } }>('GET', '/api/v1/metrics')).tasks
  const listed = async (server: TestServer) => {
    const { items } = await server.call<OutputOf<'tasks.list'>>('GET', '/tasks?limit=100')
    return Object.groupBy(items, (task) => task.state)
  }
  const check = async (server: TestServer) => {
    const states = Object.entries(await listed(server)).map(([state, tasks]) => [state, tasks?.length] as const)
    const counts = JSON.stringify(await counted(server))
    for (const [state, count] of states) assert.match(counts, new RegExp(`"${state}":${count}\\b`), `${state} in ${counts}`)
  }
  const first = await serveFor(t, { config })
  const ada = await first.leased('ada')
  const cancelled = await first.call<Task>('POST', '/tasks', { title: 'x' })
  await first.call('POST', `/tasks/${cancelled.id}/cancel`, {})
  await first.call('POST', '/tasks/dag', {
    name: 'd',
    tasks: [
      { key: 'skip', depends_on: [cancelled.id] },
      { key: 'a', assign_to: 'ada' },
      { key: 'b', depends_on: ['a'] },
      { key: 'c' },
    ],
  })
  const { data } = await ada.next<Task & { lease: string }>('task:assigned')
  await check(first)
  await ada.call('tasks.accept', { id: data.id, lease: data.lease })
  await assert.rejects(first.call('POST', `/tasks/${cancelled.id}/complete`, {}))
  await check(first)
  await ada.call('tasks.complete', { id: data.id, lease: data.lease })
  await check(first)
  await first.close()
  await check(await serveFor(t, { config }))
})
