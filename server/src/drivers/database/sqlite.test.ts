import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs, { readdirSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type TestContext, after, test } from 'node:test'
import { CadreError } from '@cadre/contract'
import { temporaryFolder } from '../../testing.ts'
import { databaseSuite } from './database.suite.ts'
import { migrate } from './migrate.ts'
import { migrations } from './migrations/index.ts'
import { sql } from './sql.ts'
import { openSqlite } from './sqlite.ts'

const folders: ReturnType<typeof temporaryFolder>[] = []
const newFolder = () => {
  const folder = temporaryFolder()
  folders.push(folder)
  return folder.path
}
after(() => {
  for (const folder of folders) folder.remove()
})

databaseSuite('sqlite in memory', () => openSqlite(':memory:'))
databaseSuite('sqlite in a file', () => openSqlite(newFolder()))

test('after the first write the store syncs every commit and keeps a write-ahead log', async (t) => {
  const folder = newFolder()
  const database = openSqlite(folder)
  t.after(() => database.close())
  await database.transaction((tx) => tx.run(sql`create table notes (text text)`))
  const { driver, durability, journal } = database.info()
  assert.deepEqual([durability, journal], ['full', 'wal'])
  assert.match(driver, /^node:sqlite \d+\.\d+/)
  const other = new DatabaseSync(join(folder, 'cadre.db'), { readOnly: true })
  assert.equal(Object.values(other.prepare('pragma journal_mode').get() as object)[0], 'wal')
  other.close()
})

test('what was committed is there after closing and opening again, and the log is folded into one file', async () => {
  const folder = newFolder()
  const first = openSqlite(folder)
  await first.transaction((tx) => tx.run(sql`create table notes (text text)`))
  await first.transaction((tx) => tx.run(sql`insert into notes values (${'kept'})`))
  await first.close()
  assert.deepEqual(readdirSync(folder).toSorted(), ['cadre.db', 'lock.db'])
  const second = openSqlite(folder)
  assert.equal((await second.get<{ text: string }>(sql`select text from notes`))?.text, 'kept')
  await second.close()
})

test('a full disk is answered as such, spares the reads, and is over when there is room', async (t) => {
  const database = openSqlite(newFolder())
  t.after(() => database.close())
  await database.transaction((tx) => tx.run(sql`create table blobs (label text, bytes blob)`))
  await database.transaction((tx) => tx.run(sql`insert into blobs values ('small', ${new Uint8Array(10)})`))
  const limit = (pages: number) => database.transaction((tx) => tx.get(sql.raw(`pragma max_page_count = ${pages}`)))
  await limit(10)
  const outcomes = await Promise.allSettled(
    ['big', 'bigger'].map((label) =>
      database.transaction((tx) => tx.run(sql`insert into blobs values (${label}, ${new Uint8Array(200_000)})`)),
    ),
  )
  for (const outcome of outcomes) {
    assert.equal(outcome.status, 'rejected')
    assert.ok(outcome.reason instanceof CadreError && outcome.reason.code === 'storage_full', String(outcome.reason))
  }
  assert.deepEqual(
    (await database.all<{ label: string }>(sql`select label from blobs`)).map((row) => row.label),
    ['small'],
  )
  await limit(1_000_000)
  await database.transaction((tx) => tx.run(sql`insert into blobs values ('big', ${new Uint8Array(200_000)})`))
  assert.equal((await database.all(sql`select label from blobs`)).length, 2)
})

test('migrations run once, in order, and a store of a newer program is refused with a sentence', async (t) => {
  const database = openSqlite(newFolder())
  t.after(() => database.close())
  assert.equal(await migrate(database), migrations.length)
  assert.equal(await migrate(database), migrations.length)
  const rows = await database.all<{ version: number }>(sql`select version from schema_version order by version`)
  assert.deepEqual(
    rows.map((row) => row.version),
    migrations.map((_, index) => index + 1),
  )
  await database.transaction((tx) => tx.run(sql`insert into schema_version values (${migrations.length + 1})`))
  await assert.rejects(migrate(database), /The store has schema \d+, this program knows \d+; start a newer Cadre/)
})

// The tenant is the first column of every primary key and of every index but the engine's, which look across tenants on purpose.
test('every table but the store-wide ones has the tenant in it', async (t) => {
  const database = openSqlite(newFolder())
  t.after(() => database.close())
  await migrate(database)
  const tables = await database.all<{ name: string }>(
    sql`select name from sqlite_master where type = 'table' and name not like 'sqlite_%' and sql not like 'create virtual%' order by name`,
  )
  const storeWide = new Set(['meta', 'schema_version', 'tenants'])
  assert.ok(tables.length > 15)
  for (const { name } of tables) {
    if (storeWide.has(name) || name.startsWith('chunks_text')) continue
    const columns = await database.all<{ name: string }>(sql`select name from pragma_table_info(${name})`)
    assert.ok(
      columns.some((column) => column.name === 'tenant'),
      `${name} has no tenant`,
    )
  }
})

const holder = `
  const { openSqlite } = await import(${JSON.stringify(join(import.meta.dirname, 'sqlite.ts'))})
  const { sql } = await import(${JSON.stringify(join(import.meta.dirname, 'sql.ts'))})
  const database = openSqlite(process.argv[1])
  await database.transaction((tx) => tx.run(sql.raw('create table if not exists notes (text text)')))
  await database.transaction((tx) => tx.run(sql.raw("insert into notes values ('before the kill')")))
  process.stdout.write('held')
  process.stdin.resume()
`
const node = (t: TestContext, args: string[], env: NodeJS.ProcessEnv = {}): ChildProcess => {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', ...args], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'], ...env },
  })
  t.after(() => child.kill('SIGKILL'))
  return child
}

test('a second server on one folder is refused with one sentence, and kill -9 of the first frees it', {
  timeout: 60_000,
}, async (t) => {
  const folder = newFolder()
  const first = node(t, ['--input-type=module', '-e', holder, folder])
  await once(first.stdout as NodeJS.ReadableStream, 'data')

  assert.throws(
    () => openSqlite(folder),
    (error) => error instanceof CadreError && error.message.startsWith('Another Cadre server uses the data folder'),
  )
  const second = node(t, [join(import.meta.dirname, '../../main.ts'), 'start'], { CADRE_DATA: folder, CADRE_PORT: '0' })
  const said: string[] = []
  second.stdout?.on('data', (chunk) => said.push(String(chunk)))
  second.stderr?.on('data', (chunk) => said.push(String(chunk)))
  const [code] = await once(second, 'close')
  assert.equal(code, 1)
  assert.equal(
    said.join(''),
    `Another Cadre server uses the data folder ${folder}; stop it or set CADRE_DATA to another folder.\n`,
  )

  first.kill('SIGKILL')
  await once(first, 'exit')
  const third = openSqlite(folder)
  assert.equal((await third.get<{ text: string }>(sql`select text from notes`))?.text, 'before the kill')
  await third.close()
})

test('a read shows no commit that is not on the disk, also when one follows while it waits for another', async (t) => {
  const syncs: (() => void)[] = []
  const held = t.mock.method(fs, 'fdatasync', (_file: number, done: () => void) => void syncs.push(done))
  syncBuiltinESMExports()
  t.after(() => {
    held.mock.restore()
    syncBuiltinESMExports()
  })
  const database = openSqlite(newFolder())
  const turn = () => new Promise((resolve) => setImmediate(resolve))
  const told: number[] = []
  const write = (number: number) =>
    database.transaction((tx) => tx.run(sql`insert into notes values (${number})`), 100).then(() => told.push(number))
  await database.transaction((tx) => tx.run(sql`create table notes (number integer)`))
  const first = write(1)
  while (syncs.length === 0) await turn()
  const reading = database.all<{ number: number }>(sql`select number from notes`)
  const second = write(2)
  for (let turns = 0; turns < 5; turns++) await turn()
  const late = database.all<{ number: number }>(sql`select number from notes`)
  syncs.shift()?.()
  for (const rows of [await reading, await late])
    assert.deepEqual(
      rows.map(({ number }) => number),
      told,
    )
  assert.deepEqual(told, [1])
  while (told.length < 2) {
    await turn()
    syncs.shift()?.()
  }
  await Promise.all([first, second])
  await database.close()
})
