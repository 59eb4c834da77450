/** Runs of a store from before there was a table of them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { migrate } from '../../drivers/database/migrate.ts'
import { migrations } from '../../drivers/database/migrations/index.ts'
import { sql } from '../../drivers/database/sql.ts'
import { openSqlite } from '../../drivers/database/sqlite.ts'
import { getRun } from './run-store.ts'

test('what was submitted before is a run, with its counts and its end', async (t) => {
  const database = openSqlite(':memory:')
  t.after(() => database.close())
  const before = 6
  await database.transaction(async (tx) => {
    await tx.run(sql`create table schema_version (version integer not null)`)
    for (const statements of migrations.slice(0, before))
      for (const statement of statements(database.dialect)) await tx.run(sql.raw(statement))
    await tx.run(sql`insert into schema_version (version) values (${before})`)
    const task = (run: string | null, id: string, state: string, ended: number | null) =>
      tx.run(sql`insert into tasks (tenant, id, title, description, type, state, priority, progress, creator, capabilities, waiting_for,
        depends_on, run, run_name, input, requirements, result, attempt, max_retries, token, created_at, updated_at, completed_at,
        artifacts, metadata) values (1, ${id}, '', '', 'task', ${state}, 3, 0, 7, '[]', 0, '[]', ${run}, ${run && `name of ${run}`},
        'null', '{}', 'null', 0, 3, 0, ${100}, ${ended ?? 150}, ${ended}, '[]', '{}')`)
    await task('going', 'a', 'completed', 110)
    await task('going', 'b', 'ready', null)
    await task('broken', 'c', 'failed', 120)
    await task('broken', 'd', 'skipped', 130)
    await task('done', 'e', 'completed', 140)
    await task(null, 'f', 'ready', null)
  })
  await migrate(database)
  const shown = async (id: string) => {
    const run = await getRun(database, 1, id)
    return run && [run.name, run.creator, run.state, run.total, run.open, run.completed, run.failed, run.skipped, run.ended_at]
  }
  assert.deepEqual(await shown('going'), ['name of going', 7, 'running', 2, 1, 1, 0, 0, null])
  assert.deepEqual(await shown('broken'), ['name of broken', 7, 'failed', 2, 0, 0, 1, 1, 130])
  assert.deepEqual(await shown('done'), ['name of done', 7, 'completed', 1, 0, 1, 0, 0, 140])
  assert.equal((await database.all(sql`select id from runs`)).length, 3)
})
