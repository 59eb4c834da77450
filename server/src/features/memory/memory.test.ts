import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { CadreError, type ErrorCode, events } from '@cadre/contract'
import fc from 'fast-check'
import { verifies } from '../../../../test/verifies.ts'
import { openHouse } from '../knowledge/door.suite.ts'
import { type MemoryParts, makeMemory, mayRead } from './service.ts'

async function openMemory(t?: TestContext, more: Partial<MemoryParts> = {}) {
  const house = await openHouse()
  const memory = makeMemory({ ...house, checkLease: async () => {}, ...more })
  house.serve(memory.handlers)
  const close = async () => {
    await memory.close()
    await house.database.close()
  }
  t?.after(close)
  return { ...house, memory, close, ada: await house.agent('ada'), bob: await house.agent('bob'), eve: await house.agent('eve') }
}

const refused =
  (code: ErrorCode, more: Record<string, unknown> = {}) =>
  (error: unknown) => {
    assert.ok(error instanceof CadreError, String(error))
    assert.equal(error.code, code)
    for (const [name, value] of Object.entries(more)) assert.deepEqual(error.parameters[name], value)
    return true
  }

verifies(['API-17', 'API-18', 'API-19', 'API-20', 'MEM-01'], 'two agents write, read, change and delete one key', async (t) => {
  const { invoke, ada, bob } = await openMemory(t)
  const value = { plan: ['a', { b: null }], __proto__: 1, text: '\ud800 lone, \u0000 nul' }
  const written = await invoke(ada, 'memory.set', { key: 'plan', value, metadata: { source: 'x' } })
  assert.equal(written.version, 1)
  assert.equal(written.receipt.id, written.id)
  assert.deepEqual((await invoke(bob, 'memory.get', { key: 'plan' })).value, value)
  const changed = await invoke(bob, 'memory.set', { key: 'plan', value: 2, version: 1 })
  assert.deepEqual([changed.version, changed.created_by, changed.updated_by], [2, 'ada', 'bob'])
  assert.deepEqual(changed.metadata, { source: 'x' }, 'metadata stays unless it is given')
  const gone = await invoke(ada, 'memory.delete', { key: 'plan' })
  assert.equal(gone.version, 3)
  for (const caller of [ada, bob]) await assert.rejects(invoke(caller, 'memory.get', { key: 'plan' }), refused('not_found'))
  await assert.rejects(invoke(ada, 'memory.delete', { key: 'plan' }), refused('not_found'))
  assert.equal((await invoke(bob, 'memory.set', { key: 'plan', value: 'again' })).version, 4)
})

verifies('MEM-02', 'a key with grants is refused to others, and the refusal is in the audit', async (t) => {
  const { invoke, logged, ada, bob, eve, operator } = await openMemory(t)
  await invoke(ada, 'memory.set', { key: 'secret', value: 1, access_control: { read: ['bob'], write: [] } })
  assert.equal((await invoke(bob, 'memory.get', { key: 'secret' })).value, 1)
  assert.equal((await invoke(operator, 'memory.get', { key: 'secret' })).value, 1)
  await assert.rejects(invoke(eve, 'memory.get', { key: 'secret' }), refused('forbidden'))
  await assert.rejects(invoke(eve, 'memory.history', { key: 'secret' }), refused('forbidden'))
  await assert.rejects(invoke(bob, 'memory.set', { key: 'secret', value: 2 }), refused('forbidden'))
  await assert.rejects(invoke(bob, 'memory.delete', { key: 'secret' }), refused('forbidden'))
  const denials = await logged('access.denied')
  assert.deepEqual(
    denials.map(({ data }) => [data['operation'], data['agent']]),
    [
      ['memory.get', 'eve'],
      ['memory.history', 'eve'],
      ['memory.set', 'bob'],
      ['memory.delete', 'bob'],
    ],
  )
  const keys = async (caller: typeof ada) => (await invoke(caller, 'memory.list', {})).items.map(({ key }) => key)
  assert.deepEqual([await keys(ada), await keys(bob), await keys(eve)], [['secret'], ['secret'], []])
})

test('grants outlive deletion: nobody reads a former value by creating the key anew', async (t) => {
  const { invoke, ada, bob, operator } = await openMemory(t)
  await invoke(ada, 'memory.set', { key: 'k', value: 'private', access_control: { read: [] } })
  await invoke(ada, 'memory.delete', { key: 'k' })
  await assert.rejects(invoke(bob, 'memory.set', { key: 'k', value: 1, access_control: {} }), refused('forbidden'))
  await invoke(bob, 'memory.set', { key: 'k', value: 1 })
  await assert.rejects(invoke(bob, 'memory.history', { key: 'k' }), refused('forbidden'))
  await assert.rejects(invoke(bob, 'memory.get', { key: 'k', version: 1 }), refused('forbidden'))
  await invoke(ada, 'memory.delete', { key: 'k' })
  const anew = await invoke(operator, 'memory.set', { key: 'k', value: 2 })
  assert.deepEqual([anew.created_by, anew.updated_by, anew.access_control], ['ada', 'operator', { read: [] }])
  assert.equal((await invoke(ada, 'memory.get', { key: 'k' })).value, 2, 'the owner stays the owner')
})

test('only the owner or an operator changes grants, and agents named in them have to exist', async (t) => {
  const { invoke, ada, bob, operator } = await openMemory(t)
  await invoke(ada, 'memory.set', { key: 'k', value: 1 })
  await assert.rejects(invoke(bob, 'memory.set', { key: 'k', value: 2, access_control: { read: ['bob'] } }), refused('forbidden'))
  await assert.rejects(
    invoke(ada, 'memory.set', { key: 'k', value: 2, access_control: { read: ['nobody'] } }),
    refused('not_found'),
  )
  const narrowed = await invoke(operator, 'memory.set', { key: 'k', value: 3, access_control: { read: ['agt_bob', 'bob'] } })
  assert.deepEqual(narrowed.access_control, { read: ['bob'] })
  assert.equal(narrowed.version, 2)
})

verifies('MEM-03', 'versions are listed, and an outdated write is told the current one', async (t) => {
  const { invoke, ada, bob } = await openMemory(t)
  for (const value of ['one', 'two', 'three']) await invoke(ada, 'memory.set', { key: 'k', value })
  const stale = { key: 'k', version: 3, value: 'three', deleted: false }
  await assert.rejects(invoke(bob, 'memory.set', { key: 'k', value: 'x', if_version: 2 }), refused('version_mismatch', stale))
  await assert.rejects(invoke(bob, 'memory.set', { key: 'k', value: 'x', if_version: 0 }), refused('version_mismatch', stale))
  await assert.rejects(invoke(bob, 'memory.delete', { key: 'k', if_version: 1 }), refused('version_mismatch', stale))
  await assert.rejects(
    invoke(bob, 'memory.set', { key: 'new', value: 'x', if_version: 1 }),
    refused('version_mismatch', { version: 0, value: null, deleted: true }),
  )
  const first = await invoke(bob, 'memory.history', { key: 'k', limit: 2 })
  assert.deepEqual(
    first.items.map(({ version, value }) => [version, value]),
    [
      [3, 'three'],
      [2, 'two'],
    ],
  )
  const second = await invoke(bob, 'memory.history', { key: 'k', limit: 2, cursor: first.next })
  assert.deepEqual([second.items.map(({ version }) => version), second.next], [[1], null])
  assert.equal((await invoke(bob, 'memory.get', { key: 'k', version: 2 })).value, 'two')
  await assert.rejects(invoke(bob, 'memory.get', { key: 'k', version: 9 }), refused('not_found'))
})

test('a mismatch does not tell the value to one who may not read it', async (t) => {
  const { invoke, ada, bob } = await openMemory(t)
  await invoke(ada, 'memory.set', { key: 'k', value: 'hidden', access_control: { read: [] } })
  await assert.rejects(
    invoke(bob, 'memory.set', { key: 'k', value: 1, if_version: 7 }),
    refused('version_mismatch', { version: 1, value: null }),
  )
})

test('of writers that saw the same version exactly one wins', async (t) => {
  const { invoke, ada } = await openMemory(t)
  await invoke(ada, 'memory.set', { key: 'n', value: 0 })
  const outcomes = await Promise.allSettled(
    Array.from({ length: 20 }, (_, value) => invoke(ada, 'memory.set', { key: 'n', value, if_version: 1 })),
  )
  assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1)
  assert.equal((await invoke(ada, 'memory.get', { key: 'n' })).version, 2)
})

test('a key is gone when its time is over; the sweep writes the tombstone', async (t) => {
  const { invoke, ada, clock, memory, logged } = await openMemory(t)
  const kept = await invoke(ada, 'memory.set', { key: 'short', value: 1, ttl: 1000 })
  assert.equal(kept.expires_at, new Date(clock.now() + 1000).toISOString())
  await clock.advance(999)
  assert.equal((await invoke(ada, 'memory.get', { key: 'short' })).value, 1)
  assert.equal(await memory.count(1), 1)
  await clock.advance(1)
  await assert.rejects(invoke(ada, 'memory.get', { key: 'short' }), refused('not_found'))
  assert.deepEqual((await invoke(ada, 'memory.list', {})).items, [])
  assert.equal(await memory.count(1), 0)
  assert.equal(await memory.purgeExpired(), 1)
  assert.equal(await memory.purgeExpired(), 0)
  const last = (await logged('memory.updated')).at(-1)
  assert.deepEqual([last?.data['version'], last?.data['deleted'], last?.data['value']], [2, true, null])
  assert.equal((await invoke(ada, 'memory.set', { key: 'short', value: 2, if_version: 2 })).version, 3)
})

test('the sweep runs by itself', async (t) => {
  const { invoke, ada, clock, logged, memory } = await openMemory(t)
  await invoke(ada, 'memory.set', { key: 'short', value: 1, ttl: 1 })
  await clock.advance(60_000)
  await memory.close()
  assert.equal((await logged('memory.updated')).length, 2)
})

test('every write is an event with its value and who may read it', async (t) => {
  const { invoke, ada, logged } = await openMemory(t)
  await invoke(ada, 'memory.set', { key: 'open', value: [1] })
  await invoke(ada, 'memory.set', { key: 'shut', value: 2, access_control: { read: ['bob'] }, task_id: 'tsk_1' })
  await invoke(ada, 'memory.delete', { key: 'shut' })
  const entries = await logged('memory.updated')
  for (const { data } of entries) events['memory.updated']?.data.parse(data)
  assert.deepEqual(
    entries.map(({ subject, task }) => [subject, task]),
    [
      ['open', null],
      ['shut', 'tsk_1'],
      ['shut', null],
    ],
  )
  const [open, shut] = entries.map(({ data }) => data['access_control'] as { read?: string[] })
  assert.ok(open && shut)
  assert.deepEqual(
    ['ada', 'bob', 'eve'].map((name) => [mayRead(open, name), mayRead(shut, name)]),
    [
      [true, true],
      [true, true],
      [true, false],
    ],
  )
})

test('a write in the name of a task needs its lease, and nothing is written without', async (t) => {
  const seen: unknown[] = []
  const { invoke, ada } = await openMemory(t, {
    checkLease: async (_tx, { task_id, lease, caller }) => {
      seen.push([task_id, lease, caller.name])
      if (lease !== 'current') throw new CadreError('stale_lease', { id: task_id })
    },
  })
  await assert.rejects(invoke(ada, 'memory.set', { key: 'k', value: 1, task_id: 'tsk_1', lease: 'old' }), refused('stale_lease'))
  await assert.rejects(invoke(ada, 'memory.get', { key: 'k' }), refused('not_found'))
  const written = await invoke(ada, 'memory.set', { key: 'k', value: 1, task_id: 'tsk_1', lease: 'current' })
  assert.equal(written.task_id, 'tsk_1')
  assert.deepEqual(seen, [
    ['tsk_1', 'old', 'ada'],
    ['tsk_1', 'current', 'ada'],
  ])
})

test('values are bounded in size and depth, and have to be there', async (t) => {
  const { invoke, ada } = await openMemory(t)
  let deep: unknown = 1
  for (let level = 0; level < 65; level++) deep = [deep]
  await assert.rejects(invoke(ada, 'memory.set', { key: 'k', value: 'x'.repeat(1024 * 1024 - 1) }), refused('too_large'))
  await assert.rejects(invoke(ada, 'memory.set', { key: 'k', value: deep }), refused('invalid_request'))
  await assert.rejects(invoke(ada, 'memory.set', { key: 'k' }), refused('invalid_request'))
  assert.equal((await invoke(ada, 'memory.set', { key: 'k', value: 'x'.repeat(1024 * 1024 - 2) })).version, 1)
})

test('the same key and body are answered once; another body is refused', async (t) => {
  const { invoke, ada } = await openMemory(t)
  const first = await invoke(ada, 'memory.set', { key: 'k', value: 1 }, 'once')
  const again = await invoke(ada, 'memory.set', { value: 1, key: 'k' }, 'once')
  assert.deepEqual(again, { ...first, receipt: { ...first.receipt, duplicate: true } })
  await assert.rejects(invoke(ada, 'memory.set', { key: 'k', value: 2 }, 'once'), refused('idempotency_conflict'))
})

test('lists are paged newest first, by prefix, and never too large', async (t) => {
  const { invoke, ada } = await openMemory(t)
  for (let index = 0; index < 7; index++) await invoke(ada, 'memory.set', { key: `a%/${index}`, value: index })
  await invoke(ada, 'memory.set', { key: 'ab', value: 0 })
  const keys: string[] = []
  let cursor: string | null | undefined
  do {
    const page = await invoke(ada, 'memory.list', { prefix: 'a%', limit: 3, ...(cursor && { cursor }) })
    keys.push(...page.items.map(({ key }) => key))
    cursor = page.next
  } while (cursor)
  assert.deepEqual(
    keys,
    [6, 5, 4, 3, 2, 1, 0].map((index) => `a%/${index}`),
  )
  for (let index = 0; index < 10; index++) await invoke(ada, 'memory.set', { key: `big/${index}`, value: 'x'.repeat(1_000_000) })
  const big = await invoke(ada, 'memory.list', { prefix: 'big/' })
  assert.ok(big.items.length < 10 && big.next !== null)
  assert.equal((await invoke(ada, 'memory.list', { prefix: 'big/', cursor: big.next })).items.length, 10 - big.items.length)
  await assert.rejects(invoke(ada, 'memory.list', { cursor: 'nonsense' }), refused('invalid_request'))
})

test('old versions beyond the bound are forgotten; the rest stays gapless', async (t) => {
  const { invoke, ada } = await openMemory(t, { keepVersions: 5 })
  for (let value = 1; value <= 12; value++) await invoke(ada, 'memory.set', { key: 'k', value })
  const { items } = await invoke(ada, 'memory.history', { key: 'k' })
  assert.deepEqual(
    items.map(({ version }) => version),
    [12, 11, 10, 9, 8],
  )
})

type Step = { do: 'set' | 'delete' | 'wait' | 'purge'; key: string; ttl?: number; guard?: number }
const step: fc.Arbitrary<Step> = fc.record(
  {
    do: fc.constantFrom('set', 'set', 'set', 'delete', 'wait', 'purge'),
    key: fc.constantFrom('a', 'b'),
    ttl: fc.constantFrom(10, 1000),
    guard: fc.integer({ min: 0, max: 4 }),
  },
  { requiredKeys: ['do', 'key'] },
)

/** What the history of a key has to be: the deleted flag of each version. */
class Model {
  readonly versions: boolean[] = []
  expires = Number.POSITIVE_INFINITY
  isLive = (now: number) => this.versions.at(-1) === false && this.expires > now
  /** A key whose time is over has a tombstone as its newest version, whether or not it is written yet. */
  settle(now: number): void {
    if (this.versions.at(-1) === false && this.expires <= now) this.versions.push(true)
  }
}

test('whatever happens, the versions of each key are 1, 2, 3... and compare-and-set agrees with them', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const { invoke, ada, clock, memory, close } = await openMemory()
      try {
        const models = new Map([
          ['a', new Model()],
          ['b', new Model()],
        ])
        for (const { do: action, key, ttl, guard } of steps) {
          const model = models.get(key) as Model
          if (action === 'wait') await clock.advance(ttl ?? 5)
          model.settle(clock.now())
          const version = model.versions.length
          const live = model.isLive(clock.now())
          if (action === 'purge') {
            await memory.purgeExpired()
          } else if (action === 'set') {
            const allowed = guard === undefined || (guard === 0 ? !live : guard === version)
            const call = invoke(ada, 'memory.set', {
              key,
              value: version,
              ...(ttl && { ttl }),
              ...(guard !== undefined && { if_version: guard }),
            })
            if (!allowed) await assert.rejects(call, refused('version_mismatch', { version }))
            else {
              assert.equal((await call).version, version + 1)
              model.versions.push(false)
              model.expires = ttl ? clock.now() + ttl : Number.POSITIVE_INFINITY
            }
          } else if (action === 'delete') {
            const call = invoke(ada, 'memory.delete', { key })
            if (!live) await assert.rejects(call, refused('not_found'))
            else {
              assert.equal((await call).version, version + 1)
              model.versions.push(true)
            }
          }
        }
        await memory.purgeExpired()
        for (const [key, model] of models) {
          model.settle(clock.now())
          if (model.versions.length === 0) continue
          const { items } = await invoke(ada, 'memory.history', { key })
          assert.deepEqual(
            items.toReversed().map(({ version, deleted }) => [version, deleted]),
            model.versions.map((deleted, index) => [index + 1, deleted]),
          )
        }
      } finally {
        await close()
      }
    }),
    { numRuns: 40 },
  )
})
