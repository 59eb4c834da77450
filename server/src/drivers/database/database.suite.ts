/** What every driver of the database port must keep. A driver's test file runs it once for each way of opening a store. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { CadreError } from '@cadre/contract'
import fc from 'fast-check'
import type { Database, Tx } from './port.ts'
import { sql } from './sql.ts'

/** `open` answers a store without tables; the suite closes it. */
export function databaseSuite(name: string, open: () => Database): void {
  const start = async (t: TestContext) => {
    const database = open()
    t.after(() => database.close())
    await database.transaction(
      async (tx) => void (await tx.run(sql`create table notes (id integer primary key, text text unique)`)),
    )
    return database
  }
  const add = (tx: Tx, text: string) => tx.run(sql`insert into notes (text) values (${text})`)
  const texts = async (database: Database) =>
    (await database.all<{ text: string }>(sql`select text from notes order by text`)).map((row) => row.text)

  test(`${name}: a transaction that throws leaves nothing of itself`, async (t) => {
    const database = await start(t)
    const failed = database.transaction(async (tx) => {
      await add(tx, 'first')
      await add(tx, 'second')
      throw new Error('changed my mind')
    })
    await assert.rejects(failed, /changed my mind/)
    assert.deepEqual(await texts(database), [])
    assert.equal(await database.transaction((tx) => add(tx, 'third')), 1)
    assert.deepEqual(await texts(database), ['third'])
  })

  test(`${name}: a transaction reads its own writes`, async (t) => {
    const database = await start(t)
    const seen = await database.transaction(async (tx) => {
      await add(tx, 'mine')
      return { one: await tx.get(sql`select text from notes`), all: await tx.all(sql`select id from notes`) }
    })
    assert.deepEqual({ ...(seen.one as object) }, { text: 'mine' })
    assert.equal(seen.all.length, 1)
  })

  test(`${name}: members of a group get their own results, and one that fails fails alone`, async (t) => {
    const database = await start(t)
    const group = await Promise.allSettled([
      database.transaction(async (tx) => [await add(tx, 'a'), 'first']),
      database.transaction(async (tx) => {
        await add(tx, 'lost')
        await add(tx, 'a')
      }),
      database.transaction(async (tx) => {
        await add(tx, 'lost too')
        throw new Error('third')
      }),
      database.transaction(async (tx) => [await add(tx, 'b'), (await tx.all(sql`select id from notes`)).length]),
    ])
    assert.deepEqual(
      group.map((outcome) => (outcome.status === 'fulfilled' ? outcome.value : 'failed')),
      [[1, 'first'], 'failed', 'failed', [1, 2]],
    )
    assert.match(String((group[1] as PromiseRejectedResult).reason), /unique/i)
    assert.match(String((group[2] as PromiseRejectedResult).reason), /third/)
    assert.deepEqual(await texts(database), ['a', 'b'])
  })

  test(`${name}: more calls than a group holds are all served, in order`, async (t) => {
    const database = await start(t)
    const order: number[] = []
    const calls = Array.from({ length: 700 }, (_, index) =>
      database.transaction(async (tx) => {
        order.push(index)
        return add(tx, `note ${index}`)
      }),
    )
    assert.ok((await Promise.all(calls)).every((changed) => changed === 1))
    assert.deepEqual(order, [...calls.keys()])
    assert.equal((await texts(database)).length, 700)
  })

  test(`${name}: any mixture of members that fail and members that do not leaves exactly the latter`, async (t) => {
    const database = await start(t)
    const member = fc.record({ text: fc.nat({ max: 12 }).map(String), rows: fc.integer({ min: 1, max: 3 }), fails: fc.boolean() })
    await fc.assert(
      fc.asyncProperty(fc.array(member, { maxLength: 40 }), async (members) => {
        await database.transaction((tx) => tx.run(sql`delete from notes`))
        const outcomes = await Promise.allSettled(
          members.map((each) =>
            database.transaction(async (tx) => {
              for (let row = 0; row < each.rows; row++) await add(tx, `${each.text}.${row}`)
              if (each.fails) throw new Error('on purpose')
              return each
            }),
          ),
        )
        const model = new Set<string>()
        const expected = members.map((each) => {
          const rows = Array.from({ length: each.rows }, (_, row) => `${each.text}.${row}`)
          const clean = !each.fails && !rows.some((row) => model.has(row))
          if (clean) for (const row of rows) model.add(row)
          return clean ? 'fulfilled' : 'rejected'
        })
        assert.deepEqual(
          outcomes.map((outcome) => outcome.status),
          expected,
        )
        assert.deepEqual(await texts(database), [...model].toSorted())
      }),
      { numRuns: 40, seed: 7 },
    )
  })

  test(`${name}: a statement issued while another transaction is open neither joins it nor is rolled back with it`, async (t) => {
    const database = await start(t)
    const { promise: gate, reject: fail } = Promise.withResolvers<never>()
    const { promise: opened, resolve: isOpen } = Promise.withResolvers<void>()
    const inside = database.transaction(async (tx) => {
      await add(tx, 'inside')
      isOpen()
      await gate
    })
    await opened
    const read = texts(database)
    const outside = database.transaction((tx) => add(tx, 'outside'))
    fail(new Error('rolled back'))
    await assert.rejects(inside, /rolled back/)
    assert.equal(await outside, 1)
    assert.ok(!(await read).includes('inside'), 'the reader saw what was never committed')
    assert.deepEqual(await texts(database), ['outside'])
  })

  test(`${name}: a read never sees half of a transaction`, async (t) => {
    const database = await start(t)
    const { promise: gate, resolve: goOn } = Promise.withResolvers<void>()
    const { promise: opened, resolve: isOpen } = Promise.withResolvers<void>()
    const writing = database.transaction(async (tx) => {
      await add(tx, 'one')
      isOpen()
      await gate
      await add(tx, 'two')
    })
    await opened
    const during = texts(database)
    goOn()
    await writing
    assert.ok([0, 2].includes((await during).length), `saw ${(await during).length} of 2`)
    assert.deepEqual(await texts(database), ['one', 'two'])
  })

  test(`${name}: a transaction that has ended refuses every further statement`, async (t) => {
    const database = await start(t)
    const kept: Tx[] = []
    await Promise.allSettled([
      database.transaction(async (tx) => void kept.push(tx)),
      database.transaction(async (tx) => {
        kept.push(tx)
        throw new Error('failed')
      }),
      // While this one is open, statements of the two before it would join it.
      database.transaction(async (tx) => {
        for (const ended of kept) {
          await assert.rejects(async () => add(ended, 'late'), /has ended/)
          await assert.rejects(async () => ended.all(sql`select 1`), /has ended/)
          await assert.rejects(async () => ended.get(sql`select 1`), /has ended/)
          await assert.rejects(async () => ended.runMany('insert into notes (text) values (?)', [['late']]), /has ended/)
          assert.throws(() => ended.afterCommit(() => assert.fail('never')), /has ended/)
        }
        await add(tx, 'in time')
      }),
    ]).then((outcomes) =>
      assert.deepEqual(
        outcomes.map(({ status }) => status),
        ['fulfilled', 'rejected', 'fulfilled'],
      ),
    )
    assert.deepEqual(await texts(database), ['in time'])
  })

  test(`${name}: callbacks run after the commit, in its order, before any promise of the group, and not for members that failed`, async (t) => {
    const database = await start(t)
    const order: string[] = []
    const member = (label: string, fails = false) =>
      database
        .transaction(async (tx) => {
          tx.afterCommit(() => order.push(`${label}1`))
          await add(tx, label)
          tx.afterCommit(() => order.push(`${label}2`))
          order.push(label)
          if (fails) throw new Error(label)
        })
        .then(
          () => order.push(`${label} resolved`),
          () => order.push(`${label} rejected`),
        )
    await Promise.all([member('a'), member('b', true), member('c')])
    assert.deepEqual(order, ['a', 'b', 'c', 'a1', 'a2', 'c1', 'c2', 'a resolved', 'b rejected', 'c resolved'])
  })

  test(`${name}: closing waits for what was asked before, and refuses what comes after`, async (t) => {
    const database = open()
    t.after(() => database.close())
    const calls = [
      database.transaction((tx) => tx.run(sql`create table notes (id integer primary key, text text unique)`)),
      ...Array.from({ length: 300 }, (_, index) => database.transaction((tx) => add(tx, String(index)))),
      database.transaction((tx) => tx.all(sql`select id from notes`)),
    ]
    const closing = database.close()
    await assert.rejects(
      database.transaction((tx) => add(tx, 'late')),
      (error) => error instanceof CadreError && error.code === 'draining',
    )
    await closing
    assert.equal(((await calls.at(-1)) as unknown[]).length, 300)
    await database.close()
  })

  test(`${name}: values come back as they were bound`, async (t) => {
    const database = await start(t)
    const rows = [['plain'], ['ünï → 🦉'], ['a "quoted" \\ back\nslash'], [null]]
    await database.transaction((tx) => tx.runMany('insert into notes (text) values (?)', rows))
    const read = await database.all<{ text: string | null }>(sql`select text from notes order by id`)
    assert.deepEqual(
      read.map((row) => [row.text]),
      rows,
    )
    assert.deepEqual(
      { ...(await database.get(sql`select ${undefined} as missing, ${true} as yes, ${1.5} as half`)) },
      { missing: null, yes: 1, half: 1.5 },
    )
    const found = await database.all<{ text: string }>(
      sql`select text from notes ${sql.where([sql`id >= ${2}`, undefined, sql`text like ${'%quoted%'}`])}`,
    )
    assert.deepEqual(
      found.map((row) => row.text),
      [rows[2]?.[0]],
    )
    assert.equal(await database.get(sql`select text from notes where id = ${99}`), undefined)
  })

  test(`${name}: the dialect's lists and full text mean what the port says`, async (t) => {
    const database = await start(t)
    const { dialect } = database
    await database.transaction(async (tx) => {
      await tx.run(sql.raw(dialect.fullTextIndex('words')))
      await tx.run(sql.raw(`create table tags (name text primary key, list text) ${dialect.clustered}`))
      await tx.runMany('insert into tags (name, list) values (?, ?)', [
        ['one', '[1,2]'],
        ['none', null],
        ['other', '["2"]'],
      ])
      await tx.run(dialect.fullTextAdd('words', 1, 'The quick brown fox'))
      await tx.run(dialect.fullTextAdd('words', 2, 'A quick résumé "quoted" words OR nothing'))
      await tx.run(dialect.fullTextAdd('words', 3, 'something else'))
      await tx.run(dialect.fullTextRemove('words', 3))
    })
    const names = await database.all<{ name: string }>(
      sql`select name from tags where name in ${dialect.values('["one","none","absent"]')} order by name`,
    )
    assert.deepEqual(
      names.map((row) => row.name),
      ['none', 'one'],
    )
    const holding = await database.all<{ name: string }>(sql`select name from tags where ${dialect.jsonArrayHas('list', 2)}`)
    assert.deepEqual(
      holding.map((row) => row.name),
      ['one'],
    )
    const search = async (words: string[]) =>
      (
        await database.all<{ chunk_id: number }>(
          sql`select chunk_id from ${dialect.fullText('words', words)} order by score desc, chunk_id`,
        )
      ).map((row) => row.chunk_id)
    assert.deepEqual(new Set(await search(['quick'])), new Set([1, 2]))
    assert.deepEqual((await search(['quick', 'fox']))[0], 1, 'more words found, higher score')
    assert.deepEqual(await search(['resume']), [2])
    assert.deepEqual(await search(['"quoted"', 'NEAR(']), [2], 'operators are words')
    assert.deepEqual(await search(['something']), [])
  })
}
