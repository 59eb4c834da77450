/** Shared memory as a blackboard: found by a part of a name, followed as it changes. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { MemoryEntry, OutputOf } from '@cadre/contract'
import { verifies } from '../../../../test/verifies.ts'
import { Refused, type Socket, type TestServer, serveFor } from '../../testing.ts'

type Page = OutputOf<'memory.query'>
interface Update {
  key: string
  version: number
  value: unknown
  deleted: boolean
}

const refused = (status: number, code: string) => (error: unknown) => {
  assert.ok(error instanceof Refused, String(error))
  assert.deepEqual([error.status, error.code], [status, code], error.message)
  return true
}
const keys = ({ items }: Page) => items.map(({ key }) => key)
const versions = async (socket: Socket, count: number): Promise<[string, number, number | undefined][]> => {
  const seen: [string, number, number | undefined][] = []
  while (seen.length < count) {
    const { seq, data } = await socket.next<Update>('memory:updated')
    seen.push([data.key, data.version, seq])
  }
  return seen
}
const outsider = (server: TestServer) => server.leased('outsider')

verifies(
  'MSG-06',
  'agents write different keys at once, and a part of a name in any case finds one with author, description and time',
  async (t) => {
    const server = await serveFor(t)
    const writers = await Promise.all(['ada', 'bob'].map((name) => server.plain(name)))
    const written = await Promise.all(
      writers.flatMap((writer, who) =>
        Array.from({ length: 50 }, (_, index) =>
          writer.call<MemoryEntry>('memory:set', { key: `note_${who}_${index}`, value: index }),
        ),
      ),
    )
    const findings = await (writers[0] as Socket).call<MemoryEntry>('memory:set', {
      key: 'market_findings',
      value: { size: 12 },
      description: 'What the market is worth',
    })
    const reader = await server.plain('reader')
    const { items, next } = await reader.call<Page>('memory:query', { pattern: 'FIND' })
    assert.deepEqual(
      items.map(({ key, created_by, updated_by, description, created_at, updated_at, value }) => [
        key,
        created_by,
        updated_by,
        description,
        created_at,
        updated_at,
        value,
      ]),
      [['market_findings', 'ada', 'ada', 'What the market is worth', findings.created_at, findings.updated_at, { size: 12 }]],
    )
    assert.equal(next, null)
    assert.equal(new Date(findings.created_at).toISOString(), findings.created_at)
    const stored: string[] = []
    for (let cursor = ''; ; ) {
      const page = await server.call<Page>('GET', `/blackboard?pattern=NOTE_&limit=30${cursor}`)
      assert.ok(page.items.length <= 30)
      stored.push(...keys(page))
      if (page.next === null) break
      cursor = `&cursor=${page.next}`
    }
    assert.deepEqual(stored.toSorted(), written.map(({ key }) => key).toSorted(), 'none of them was lost')
  },
)

verifies('MSG-07', 'an analyst reads by key what a researcher posted, though the two never spoke', async (t) => {
  const server = await serveFor(t)
  const researcher = await server.plain('r', { type: 'researcher' })
  await researcher.call('memory:set', { key: 'findings/tides', value: ['two a day'], metadata: { description: 'How often' } })
  await researcher.close()
  const analyst = await server.plain('a', { type: 'analyst' })
  const { value, created_by, description } = await analyst.call<MemoryEntry>('memory:get', { key: 'findings/tides' })
  assert.deepEqual([value, created_by, description], [['two a day'], 'r', 'How often'])
  assert.deepEqual((await server.call<{ items: unknown[] }>('GET', '/messages')).items, [])
})

test('a query looks at keys and descriptions, in any script, and shows nobody what it may not read', async (t) => {
  const server = await serveFor(t)
  const ada = await server.plain('ada')
  const eve = await server.plain('eve')
  await ada.call('memory:set', { key: 'ÜBERSICHT', value: 1 })
  await ada.call('memory:set', { key: 'plain', value: 1, description: 'eine kurze Übersicht_100%' })
  await ada.call('memory:set', { key: 'übersicht/secret', value: 1, access_control: { read: [] } })
  assert.deepEqual(keys(await ada.call<Page>('memory:query', { pattern: 'übersicht' })), [
    'übersicht/secret',
    'plain',
    'ÜBERSICHT',
  ])
  assert.deepEqual(keys(await eve.call<Page>('memory:query', { pattern: 'übersicht' })), ['plain', 'ÜBERSICHT'])
  assert.deepEqual(keys(await ada.call<Page>('memory:query', { pattern: '_100%' })), ['plain'], 'no letter is a wildcard')
  assert.deepEqual(keys(await ada.call<Page>('memory:query', { pattern: 'a_b' })), [])
  await ada.call('memory:set', { key: 'plain', value: 2 })
  assert.equal((await eve.call<MemoryEntry>('memory:get', { key: 'plain' })).description, 'eine kurze Übersicht_100%', 'it stays')
  await ada.call('memory:delete', { key: 'plain' })
  assert.deepEqual(keys(await ada.call<Page>('memory:query', { pattern: '100' })), [])
  await ada.call('memory:set', { key: 'plain', value: 3 })
  assert.equal((await ada.call<MemoryEntry>('memory:get', { key: 'plain' })).description, null)
  await assert.rejects(ada.call('memory:query', { pattern: '' }), refused(422, 'invalid_request'))
})

test('a key is followed version by version, and after a cut from the version it was at', async (t) => {
  const server = await serveFor(t)
  const ada = await server.plain('ada')
  for (let index = 0; index < 3; index++) await ada.call('memory:set', { key: 'k', value: index })
  const first = await outsider(server)
  const begun = await first.call<OutputOf<'memory.watch'>>('memory:watch', { key: 'k', from: 0 })
  assert.deepEqual([begun.from, begun.resync], [0, false])
  await ada.call('memory:set', { key: 'k2', value: 1 })
  await ada.call('memory:set', { key: 'k', value: 3 })
  const seen = await versions(first, 4)
  first.terminate()
  await ada.call('memory:delete', { key: 'k' })
  const second = await outsider(server)
  await second.call('memory:watch', { key: 'k', from: seen.at(-1)?.[2] })
  await ada.call('memory:set', { key: 'k', value: 'again' })
  seen.push(...(await versions(second, 2)))
  assert.deepEqual(
    seen.map(([key, version]) => [key, version]),
    [1, 2, 3, 4, 5, 6].map((version) => ['k', version]),
  )
  await second.call('memory:unwatch', { key: 'k' })
  await ada.call('memory:set', { key: 'k', value: 'unseen' })
  assert.deepEqual(await second.settled('memory:updated'), [])
})

test('a prefix is followed, only as far as its keys may be read at that moment', async (t) => {
  const server = await serveFor(t)
  const ada = await server.plain('ada')
  const bob = await outsider(server)
  await bob.call('memory:watch', { prefix: 'plan/' })
  await bob.call('memory:watch', { key: 'other' })
  await ada.call('memory:set', { key: 'plan/a', value: 1, access_control: { read: ['outsider'] } })
  await ada.call('memory:set', { key: 'elsewhere', value: 1 })
  await ada.call('memory:set', { key: 'other', value: 1 })
  await ada.call('memory:set', { key: 'plan/hidden', value: 1, access_control: { read: [] } })
  assert.deepEqual((await versions(bob, 2)).map(([key]) => key).toSorted(), ['other', 'plan/a'])
  await ada.call('memory:set', { key: 'plan/a', value: 'taken back', access_control: { read: [] } })
  await ada.call('memory:set', { key: 'plan/b', value: 1 })
  assert.deepEqual(
    (await versions(bob, 1)).map(([key]) => key),
    ['plan/b'],
  )
  const again = await server.leased('late')
  await again.call('memory:watch', { prefix: 'plan/', from: 0 })
  assert.deepEqual(
    (await versions(again, 1)).map(([key]) => key),
    ['plan/b'],
    'what was open once is closed now',
  )
})

test('what cannot be followed is refused with what to do', async (t) => {
  const server = await serveFor(t)
  const plain = await server.plain('ada')
  await assert.rejects(plain.call('memory:watch', { key: 'k' }), refused(409, 'conflict'))
  const leased = await outsider(server)
  await assert.rejects(leased.call('memory:watch', { key: 'k', prefix: 'p' }), refused(422, 'invalid_request'))
  for (let index = 0; index < 64; index++) await leased.call('memory:watch', { key: `k${index}` })
  await assert.rejects(leased.call('memory:watch', { key: 'one more' }), refused(409, 'conflict'))
  await leased.call('memory:watch', { key: 'k0' })
})
