import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { CadreError, type ErrorCode, type Hit } from '@cadre/contract'
import fc from 'fast-check'
import { verifies } from '../../../../test/verifies.ts'
import { sql } from '../../drivers/database/sql.ts'
import { makeLexicalEmbedder } from '../../drivers/embedding/lexical.ts'
import type { Embedder } from '../../drivers/embedding/port.ts'
import { makeExactIndex } from '../../drivers/vector/exact.ts'
import { openHouse } from './door.suite.ts'
import { isStopWord, makeKnowledge } from './service.ts'

const lexical = makeLexicalEmbedder({ isStopWord })

async function openKnowledge(
  t?: TestContext,
  { folder = ':memory:', embedder = lexical }: { folder?: string; embedder?: Embedder } = {},
) {
  const house = await openHouse(folder)
  const failures: unknown[] = []
  const knowledge = await makeKnowledge({
    ...house,
    embedder,
    makeIndex: (source) => makeExactIndex({ dimensions: embedder.dimensions, source }),
    readArtifact: async (_tenant, id) => `text of artifact ${id}`,
    report: (_message, cause) => failures.push(cause),
  })
  house.serve(knowledge.handlers)
  const close = async () => {
    await knowledge.close()
    await house.database.close()
    assert.deepEqual(failures, [])
  }
  t?.after(close)
  const count = async (table: string) =>
    (await house.database.get<{ n: number }>(sql`select count(*) as n from ${sql.raw(table)}`))?.n
  return { ...house, knowledge, close, count, ada: await house.agent('ada'), bob: await house.agent('bob') }
}

async function newFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'cadre-knowledge-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return folder
}

const refused = (code: ErrorCode) => (error: unknown) => error instanceof CadreError && error.code === code
const titles = (found: { items: readonly Hit[] }) => found.items.map(({ title }) => title)

const texts: Record<string, string> = {
  tides: 'The tide rises and falls twice a day because the moon attracts the water of the oceans.',
  bread: 'Sourdough bread needs flour, water and salt. The starter ferments overnight before baking.',
  plants: 'Photosynthesis turns light, water and carbon dioxide into sugar inside the leaves of plants.',
  ports: 'The harbour of Rotterdam handles containers from all continents. Cranes unload the ships.',
  bees: 'Bees dance to tell the hive where flowers are. The angle of the dance gives the direction.',
  metal: 'Steel is an alloy of iron and carbon. Blast furnaces reduce the ore with coke.',
}

async function addTexts(house: Awaited<ReturnType<typeof openKnowledge>>): Promise<void> {
  for (const [title, content] of Object.entries(texts)) await house.invoke(house.ada, 'knowledge.add', { title, content })
}

verifies(['KNW-01', 'API-25'], 'text is found as soon as it is added, with exact offsets', async (t) => {
  const { invoke, ada, bob, logged } = await openKnowledge(t)
  const text = `\ufeff  Heading\r\n\r\n${'The quick survey of rivers took years. '.repeat(60)}\r\n\r\nThe otter returned to the river Elbe in 1999. 🦦`
  const added = await invoke(ada, 'knowledge.add', { text, source: 'otter.txt', tags: ['a', 'a', 'b'], metadata: { page: 1 } })
  assert.deepEqual(
    [added.title, added.owner, added.tags, added.length, added.collection],
    ['Heading', 'ada', ['a', 'b'], text.length, 'default'],
  )
  assert.ok(added.chunks >= 2 && added.receipt.id === added.id)
  const { items, query } = await invoke(bob, 'knowledge.search', { q: 'When did the otter return?' })
  assert.equal(query, 'When did the otter return?')
  const [best] = items
  assert.ok(best && best.text.includes('The otter returned'))
  assert.deepEqual([best.document_id, best.source, best.metadata], [added.id, 'otter.txt', { page: 1 }])
  for (const hit of items) assert.equal(text.slice(hit.start, hit.end), hit.text)
  assert.equal((await invoke(bob, 'knowledge.get', { id: added.id })).content, text)
  assert.deepEqual(
    (await logged('knowledge.added')).map(({ data }) => data['document_id']),
    [added.id],
  )
})

test('five passages come back unless more are asked for, best first, with scores between 0 and 1', async (t) => {
  const house = await openKnowledge(t)
  await addTexts(house)
  const query = 'water, carbon and the dance of ships in light'
  const found = await house.invoke(house.bob, 'knowledge.search', { query })
  assert.equal(found.items.length, 5)
  const all = await house.invoke(house.bob, 'knowledge.search', { query, top_k: 200 })
  assert.equal(all.items.length, 6)
  const scores = all.items.map(({ score }) => score)
  assert.deepEqual(
    scores,
    scores.toSorted((a, b) => b - a),
  )
  assert.ok(scores.every((score) => score > 0 && score < 1))
})

test('a title, a misspelling, another form or a part of a word finds the text', async (t) => {
  const house = await openKnowledge(t)
  await addTexts(house)
  for (const [query, title] of [
    ['ports', 'ports'],
    ['photosinthesys', 'plants'],
    ['how is sourdoughs baked', 'bread'],
    ['Roterdam harbor', 'ports'],
    ['ocean tidal moons', 'tides'],
  ] as const) {
    assert.equal(titles(await house.invoke(house.bob, 'knowledge.search', { query, top_k: 1 }))[0], title, query)
  }
})

verifies(
  'KNW-02',
  'a paraphrase without common words is found',
  async (t) => {
    const house = await openKnowledge(t)
    await addTexts(house)
    const query = 'insects communicate the location of blossoms'
    assert.equal(titles(await house.invoke(house.bob, 'knowledge.search', { query, top_k: 1 }))[0], 'bees')
    const other = 'vessels freight cargo quay'
    assert.equal(titles(await house.invoke(house.bob, 'knowledge.search', { query: other, top_k: 1 }))[0], 'ports')
  },
  { knownFailure: 'The offline embedder compares spelling, not meaning; a neural one is not connected yet.' },
)

test('tag and agent leave fewer results, all of them fitting', async (t) => {
  const { invoke, ada, bob } = await openKnowledge(t)
  await invoke(ada, 'knowledge.add', { content: 'Rivers flood in spring.', tags: ['water', 'spring'] })
  await invoke(ada, 'knowledge.add', { content: 'Rivers dry out in summer.', tags: ['water'] })
  await invoke(bob, 'knowledge.add', { content: 'Rivers freeze in winter.', tags: ['water', 'winter'], collection: 'cold' })
  const found = async (more: object) =>
    (await invoke(ada, 'knowledge.search', { query: 'rivers', ...more })).items.map(({ text }) => text).sort()
  assert.equal((await found({})).length, 3)
  assert.deepEqual(await found({ tags: ['spring'] }), ['Rivers flood in spring.'])
  assert.deepEqual(await found({ tags: ['water', 'winter'] }), ['Rivers freeze in winter.'])
  assert.deepEqual(await found({ tags: ['none'] }), [])
  assert.deepEqual(await found({ agent: 'bob' }), ['Rivers freeze in winter.'])
  assert.equal((await found({ agent: 'agt_ada' })).length, 2)
  assert.deepEqual(await found({ collection: 'cold' }), ['Rivers freeze in winter.'])
  assert.deepEqual(await found({ collection: 'none' }), [])
  await assert.rejects(found({ agent: 'nobody' }), refused('not_found'))
})

test('what another keeps private does not crowd out what is shared', async (t) => {
  const { invoke, ada, bob } = await openKnowledge(t)
  for (let index = 0; index < 450; index++) await invoke(ada, 'knowledge.add', { content: 'otter otter otter', private: true })
  const shared = await invoke(ada, 'knowledge.add', {
    content: 'An otter was seen once in a long text about quite other animals.',
  })
  const { items } = await invoke(bob, 'knowledge.search', { query: 'otter' })
  assert.deepEqual(
    items.map(({ document_id, parts }) => [document_id, parts.text > 0]),
    [[shared.id, true]],
  )
})

verifies(
  'KNW-03',
  'a date leaves fewer results',
  async (t) => {
    const { invoke, ada, clock } = await openKnowledge(t)
    await invoke(ada, 'knowledge.add', { content: 'Rivers flood in spring.' })
    await clock.advance(1000)
    const since = new Date(clock.now()).toISOString()
    await invoke(ada, 'knowledge.add', { content: 'Rivers dry out in summer.' })
    const { items } = await invoke(ada, 'knowledge.search', { query: 'rivers', created_after: since })
    assert.deepEqual(
      items.map(({ text }) => text),
      ['Rivers dry out in summer.'],
    )
  },
  { knownFailure: 'knowledge.search has no filter by date yet; tag and agent are tested above.' },
)

test('collections are created, counted, listed and deleted with their documents', async (t) => {
  const { invoke, ada, bob, operator, clock, knowledge, count, logged } = await openKnowledge(t)
  const created = await invoke(ada, 'knowledge.create_collection', { name: 'rivers', description: 'All of them' })
  assert.deepEqual([created.documents, created.chunks, created.description], [0, 0, 'All of them'])
  assert.ok(created.receipt)
  assert.equal((await invoke(bob, 'knowledge.create_collection', { name: 'rivers' })).receipt, null, 'it was there')
  await clock.advance(10)
  const kept = await invoke(ada, 'knowledge.add', { content: 'The Rhine.', collection: 'lakes' })
  for (let index = 0; index < 3; index++) await invoke(ada, 'knowledge.add', { content: `River ${index}.`, collection: 'rivers' })
  const first = await invoke(bob, 'knowledge.collections', { limit: 1 })
  const second = await invoke(bob, 'knowledge.collections', { limit: 1, cursor: first.next })
  assert.deepEqual(
    [...first.items, ...second.items].map(({ name, documents, chunks }) => [name, documents, chunks]),
    [
      ['lakes', 1, 1],
      ['rivers', 3, 3],
    ],
  )
  assert.equal(second.next, null)
  await invoke(bob, 'knowledge.add', { content: 'My river.', collection: 'rivers', private: true })
  await assert.rejects(invoke(ada, 'knowledge.delete_collection', { name: 'rivers' }), refused('forbidden'))
  assert.equal((await invoke(operator, 'knowledge.delete_collection', { name: 'rivers' })).documents, 4)
  await assert.rejects(invoke(operator, 'knowledge.delete_collection', { name: 'rivers' }), refused('not_found'))
  const { items } = await invoke(operator, 'knowledge.search', { query: 'river', top_k: 50 })
  assert.deepEqual(
    items.map(({ document_id }) => document_id),
    [kept.id].filter((id) => items.some((hit) => hit.document_id === id)),
  )
  await knowledge.settled()
  assert.deepEqual([await count('documents'), await count('chunks'), await count('chunks_text')], [1, 1, 1])
  assert.deepEqual(
    (await logged('knowledge.collection_created')).map(({ subject }) => subject),
    ['rivers', 'lakes'],
  )
  assert.equal((await logged('knowledge.removed')).length, 1)
})

verifies('KNW-05', 'what an agent keeps private no other agent finds, lists, reads, counts or deletes', async (t) => {
  const { invoke, ada, bob, operator, logged } = await openKnowledge(t)
  await invoke(bob, 'knowledge.add', { content: 'Shared: the vault is in the cellar.' })
  const hidden = await invoke(ada, 'knowledge.add', { content: 'The vault code is forty-two.', private: true, tags: ['vault'] })
  const search = async (caller: typeof ada, more: object = {}) =>
    (await invoke(caller, 'knowledge.search', { query: 'vault code forty-two', ...more })).items.map(
      ({ document_id }) => document_id,
    )
  for (const more of [{}, { tags: ['vault'] }, { agent: 'ada' }, { collection: 'default' }]) {
    assert.ok(!(await search(bob, more)).includes(hidden.id))
    assert.equal((await search(ada, more))[0], hidden.id)
    assert.equal((await search(operator, more))[0], hidden.id)
  }
  await assert.rejects(invoke(bob, 'knowledge.get', { id: hidden.id }), refused('not_found'))
  await assert.rejects(invoke(bob, 'knowledge.delete', { id: hidden.id }), refused('not_found'))
  const sizes = async (caller: typeof ada) => [
    (await invoke(caller, 'knowledge.list', {})).items.length,
    (await invoke(caller, 'knowledge.collections', {})).items[0]?.documents,
  ]
  assert.deepEqual(
    [await sizes(bob), await sizes(ada), await sizes(operator)],
    [
      [1, 1],
      [2, 2],
      [2, 2],
    ],
  )
  assert.ok(!JSON.stringify(await logged('knowledge.added')).includes('forty-two'), 'the log tells no title')
  const stranger = { ...operator, tenant: 2 }
  assert.deepEqual(await search(stranger), [])
})

test('a deleted document is found no more and leaves nothing behind', async (t) => {
  const { invoke, ada, bob, knowledge, count } = await openKnowledge(t)
  const gone = await invoke(ada, 'knowledge.add', { content: 'Otters swim. '.repeat(2000) })
  const kept = await invoke(ada, 'knowledge.add', { content: 'Otters eat fish.' })
  assert.ok((await invoke(bob, 'knowledge.search', { query: 'otters' })).items.length > 1)
  await invoke(bob, 'knowledge.delete', { id: gone.id })
  const { items } = await invoke(bob, 'knowledge.search', { query: 'otters swim' })
  assert.deepEqual(
    items.map(({ document_id }) => document_id),
    [kept.id],
  )
  await assert.rejects(invoke(bob, 'knowledge.get', { id: gone.id }), refused('not_found'))
  await knowledge.settled()
  assert.deepEqual([await count('documents'), await count('chunks'), await count('chunks_text')], [1, 1, 1])
  assert.deepEqual(knowledge.vectors.size().vectors, 1)
})

test('removals at the same moment are all cleared away', async (t) => {
  const { invoke, ada, knowledge, count } = await openKnowledge(t)
  const added = await Promise.all(Array.from({ length: 30 }, (_, at) => invoke(ada, 'knowledge.add', { content: `Text ${at}` })))
  for (const pair of [added.slice(0, 1), added.slice(1, 12), added.slice(12, 20), added.slice(20)]) {
    await Promise.all(pair.map(({ id }) => invoke(ada, 'knowledge.delete', { id })))
  }
  await knowledge.settled()
  assert.deepEqual([await count('documents'), await count('chunks')], [0, 0])
})

test('documents are listed newest first in pages', async (t) => {
  const { invoke, ada } = await openKnowledge(t)
  for (let index = 0; index < 5; index++)
    await invoke(ada, 'knowledge.add', { content: `Text ${index}`, collection: index < 4 ? 'a' : 'b' })
  const seen: string[] = []
  let cursor: string | null | undefined
  do {
    const page = await invoke(ada, 'knowledge.list', { collection: 'a', limit: 2, ...(cursor && { cursor }) })
    seen.push(...page.items.map(({ title }) => title))
    cursor = page.next
  } while (cursor)
  assert.deepEqual(seen, ['Text 3', 'Text 2', 'Text 1', 'Text 0'])
})

test('whatever is asked is a question, never an operator of the search', async (t) => {
  const house = await openKnowledge(t)
  await addTexts(house)
  const hostile = fc.oneof(
    fc.string({ unit: 'binary', minLength: 1, maxLength: 200 }),
    fc
      .array(
        fc.constantFrom('"', '*', ' NEAR(', 'AND', 'OR', 'NOT', 'text:', '^', '(', ')', '-', '+', '\0', "'", ';', 'bread', ' '),
        { minLength: 1 },
      )
      .map((parts) => parts.join('')),
  )
  await fc.assert(
    fc.asyncProperty(hostile, async (query) => {
      const { items } = await house.invoke(house.bob, 'knowledge.search', { query })
      assert.ok(items.length <= 5)
    }),
    { numRuns: 200 },
  )
  const long = Array.from({ length: 1500 }, (_, at) => `w${at}`).join(' ')
  assert.ok(
    (await house.invoke(house.bob, 'knowledge.search', { query: `bread ${long}`.slice(0, 10_000) })).items.some(
      ({ title }) => title === 'bread',
    ),
  )
  assert.equal(titles(await house.invoke(house.bob, 'knowledge.search', { query: 'and the' })).length > 0, true)
})

test('any text comes back as it was given', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('\n\n', ' ', '\0', '\ufeff', '\r\n', 'x'.repeat(1500))), {
        minLength: 1,
        maxLength: 12,
      }),
      async (parts) => {
        const text = parts.join('') || 'x'
        const { invoke, ada, close } = await openKnowledge()
        try {
          const { id } = await invoke(ada, 'knowledge.add', { content: text, title: 't' })
          assert.equal((await invoke(ada, 'knowledge.get', { id })).content, text)
          for (const hit of (await invoke(ada, 'knowledge.search', { query: 't' })).items)
            assert.equal(text.slice(hit.start, hit.end), hit.text)
        } finally {
          await close()
        }
      },
    ),
    { numRuns: 25 },
  )
})

test('a long text appears whole or not at all, and other commits go on while it is added', async (t) => {
  const { invoke, ada, bob, count, knowledge } = await openKnowledge(t, { folder: await newFolder(t) })
  const text = Array.from({ length: 12_000 }, (_, at) => `Sentence ${at} speaks of the otter and the number ${at * 7}. `).join('')
  let done = false
  const adding = invoke(ada, 'knowledge.add', { content: text, title: 'long' }, 'once').finally(() => (done = true))
  let between = 0
  while (!done) {
    const { items } = await invoke(bob, 'knowledge.list', {})
    const hits = (await invoke(bob, 'knowledge.search', { query: 'otter' })).items
    if (items.length === 0) assert.deepEqual(hits, [])
    await invoke(bob, 'knowledge.create_collection', { name: `c${between}` })
    between += 1
  }
  const added = await adding
  assert.ok(between > 5, `${between} commits in between`)
  assert.equal(await count('chunks'), added.chunks)
  assert.equal((await invoke(bob, 'knowledge.get', { id: added.id })).content, text)
  const [hit] = (await invoke(bob, 'knowledge.search', { query: 'number 70000', top_k: 1 })).items
  assert.ok(hit?.text.includes('70000'))
  const again = await invoke(ada, 'knowledge.add', { content: text, title: 'long' }, 'once')
  assert.deepEqual([again.id, again.receipt.duplicate], [added.id, true])
  await knowledge.settled()
  assert.deepEqual(
    [await count('documents'), await count('chunks')],
    [1, added.chunks],
    'what was prepared for the repetition is gone',
  )
})

test('what a failure or a crash left half added is cleared away', async (t) => {
  const folder = await newFolder(t)
  let batches = 0
  const failing: Embedder = {
    ...lexical,
    embed: async (batch) => {
      batches += 1
      if (batches === 3) throw new CadreError('unavailable', { reason: 'The embedder is away.' })
      return lexical.embed(batch)
    },
  }
  const text = 'The otter swims in the river. '.repeat(8000)
  const first = await openKnowledge(undefined, { folder, embedder: failing })
  await assert.rejects(first.invoke(first.ada, 'knowledge.add', { content: text }), refused('unavailable'))
  await first.knowledge.settled()
  assert.deepEqual([await first.count('documents'), await first.count('chunks')], [0, 0])
  const stays = await first.invoke(first.ada, 'knowledge.add', { content: 'Otters stay.' })
  await first.invoke(first.ada, 'knowledge.add', { content: text })
  // As a crash in the middle of the second addition leaves it.
  await first.database.transaction((tx) => tx.run(sql`update documents set state = 'adding' where id <> ${stays.id}`))
  await first.close()
  const second = await openKnowledge(t, { folder })
  await second.knowledge.settled()
  assert.deepEqual([await second.count('documents'), await second.count('chunks'), await second.count('chunks_text')], [1, 1, 1])
  assert.equal((await second.invoke(second.ada, 'knowledge.search', { query: 'otters' })).items.length, 1)
})

test('vectors of another embedder are not compared', async (t) => {
  const folder = await newFolder(t)
  const first = await openKnowledge(undefined, { folder })
  await first.invoke(first.ada, 'knowledge.add', { content: 'Photosynthesis in leaves.' })
  await first.close()
  const second = await openKnowledge(t, { folder, embedder: makeLexicalEmbedder({ dimensions: 64, isStopWord }) })
  assert.deepEqual((await second.invoke(second.ada, 'knowledge.search', { query: 'photosinthesys' })).items, [])
  const [hit] = (await second.invoke(second.ada, 'knowledge.search', { query: 'photosynthesis' })).items
  assert.equal(hit?.parts.vector, 0)
})
