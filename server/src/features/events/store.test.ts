/** Walking a long log: what is rare is found, and nobody is held up meanwhile. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { ManualClock } from '../../core/clock.ts'
import type { NewEntry } from '../../core/context.ts'
import { Directory } from '../../core/directory.ts'
import { EventLog } from '../../core/events.ts'
import { migrate } from '../../drivers/database/migrate.ts'
import { openSqlite } from '../../drivers/database/sqlite.ts'
import { countLog, newestOf, positionAt, readLog } from './store.ts'

const many = 45_000

/** A log of `many` entries of one type, a minute apart by the thousand, with another type at its ends. */
async function openLong(t: TestContext) {
  const database = openSqlite(':memory:')
  t.after(() => database.close())
  await migrate(database)
  const clock = new ManualClock()
  const log = await EventLog.open(database, clock)
  const actor = await (await Directory.open(database, clock)).ensure(1, 'system', 'cadre', 'sys_1')
  const append = (type: string, count: number) =>
    database.transaction((tx) =>
      log.append(
        tx,
        actor,
        null,
        Array.from({ length: count }, (): NewEntry => ({ type, subject: 's', data: null })),
      ),
    )
  const first = await append('rare', 1)
  for (let at = 0; at < many; at += 1_000) {
    await clock.advance(60_000)
    await append('common', 1_000)
  }
  await clock.advance(60_000)
  const last = await append('rare', 1)
  return { database, clock, log, first, last }
}

test('a rare type is found across a long stretch of others, in pages, while others have their turn', async (t) => {
  const { database, log, first, last } = await openLong(t)
  const query = { tenant: 1, after: 0, upTo: log.head, types: ['rare'], limit: 10 }
  let turns = 0
  const counting = setInterval(() => {
    turns += 1
  }, 0)
  const whole = await readLog(database, query)
  clearInterval(counting)
  assert.deepEqual([whole.rows.map(({ seq }) => seq), whole.through], [[first, last], log.head])
  assert.ok(turns > 0, 'the event loop went round')
  const page = await readLog(database, { ...query, limit: 1 })
  assert.deepEqual(
    page.rows.map(({ seq }) => seq),
    [first],
  )
  assert.ok(page.through >= first && page.through < last)
  const rest = await readLog(database, { ...query, after: page.through })
  assert.deepEqual(
    rest.rows.map(({ seq }) => seq),
    [last],
  )
  const none = await readLog(database, { ...query, types: ['none'] })
  assert.deepEqual([none.rows.length, none.through], [0, log.head])
  assert.deepEqual(await readLog(database, { ...query, tenant: 2 }), { rows: [], through: log.head })
})

test('entries are counted by type, the newest is found, and a time leads to its position', async (t) => {
  const { database, clock, log, first, last } = await openLong(t)
  assert.deepEqual(Object.fromEntries(await countLog(database, 1, 0, log.head)), { rare: 2, common: many })
  assert.deepEqual(Object.fromEntries(await countLog(database, 1, first, last - 1)), { common: many })
  const newest = await newestOf(database, 1, log.head, (found) => found.has('common'))
  assert.deepEqual([newest.get('rare'), newest.get('common')], [last, last - 1])
  assert.equal((await newestOf(database, 1, last - 1, (found) => found.has('rare'))).get('rare'), first)
  const begin = clock.now() - (many / 1_000 + 1) * 60_000
  assert.equal(await positionAt(database, log.head, begin), 0)
  assert.equal(await positionAt(database, log.head, begin + 1), first)
  assert.equal(await positionAt(database, log.head, begin + 60_000), first)
  assert.equal(await positionAt(database, log.head, begin + 60_001), first + 1_000)
  assert.equal(await positionAt(database, log.head, clock.now() + 1), last)
})
