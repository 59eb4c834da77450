/** Routing rules: what they may ask, who is chosen, which of them decides, and what the message tells of it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CadreError, type Delivery, type LogEntry, type Message, type OutputOf, type Rule } from '@cadre/contract'
import fc from 'fast-check'
import { verifies } from '../../../../test/verifies.ts'
import { ManualClock, Refused, serveFor, temporaryFolder } from '../../testing.ts'
import { type Facts, holds, readPredicate } from './predicate.ts'

type Sent = OutputOf<'messages.send'>
type Page<T> = { items: T[]; next: string | null }

const refused = (status: number, code: string, pointer?: string) => (error: unknown) => {
  assert.ok(error instanceof Refused, String(error))
  assert.deepEqual([error.status, error.code], [status, code], error.message)
  if (pointer !== undefined)
    assert.deepEqual(
      error.problem.errors?.map((field) => field.pointer),
      [pointer],
      error.message,
    )
  return true
}

verifies('MSG-02', 'a rule sends analysis to any idle analyst, and the message shows the route', async (t) => {
  const server = await serveFor(t, { clock: new ManualClock() })
  const ada = await server.leased('ada', { type: 'researcher' })
  const [busy, idle] = [await server.leased('busy', { type: 'analyst' }), await server.leased('idle', { type: 'analysis' })]
  const rule = await server.call<Rule>('POST', '/rules', {
    name: 'analysis',
    when: { type: 'analysis.*' },
    to: { agent_type: 'analyst', strategy: 'idle' },
  })
  // One of the two has work: a task, accepted.
  const { id } = await server.call<{ id: string }>('POST', '/tasks', { title: 'long work', assign_to: 'busy' })
  const { data } = await busy.next<{ lease: string }>('task:assigned')
  await busy.call('tasks.accept', { id, lease: data.lease })

  for (const content of [1, 2]) {
    const sent = await ada.call<Sent>('message:send', { type: 'analysis.market', content })
    assert.deepEqual(sent.recipients, ['idle'])
    const received = await idle.next<Delivery>('message:received')
    assert.equal(received.data.content, content)
    assert.deepEqual(sent.route, {
      by: 'rule',
      rule: rule.id,
      strategy: 'idle',
      reason: 'rule analysis: an idle one of 2 online agents of type analyst',
    })
    assert.deepEqual(received.data.route, sent.route)
    assert.deepEqual((await server.call<Message>('GET', `/messages/${sent.id}`)).route, sent.route)
    await idle.call('message:ack', { receipts: [received.data.receipt] })
  }
  assert.deepEqual(await busy.settled('message:received'), [])

  // What the rule does not speak of, what names somebody and what is meant for all go where they went before.
  const other = await ada.call<Sent>('message:send', { type: 'note', content: 'for all' })
  assert.deepEqual([other.kind, other.recipients.toSorted(), other.route.by], ['broadcast', ['busy', 'idle'], 'broadcast'])
  const named = await ada.call<Sent>('message:send', { to: 'busy', type: 'analysis.market', content: 'named' })
  assert.deepEqual([named.recipients, named.route], [['busy'], { by: 'direct', reason: 'named by the sender' }])
  const forced = await ada.call<Sent>('message:send', { broadcast: true, type: 'analysis.market', content: 'all' })
  assert.deepEqual([forced.kind, forced.recipient_count], ['broadcast', 2])
})

test('nobody idle: the least busy gets it, and those that are away only when nobody is there', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  await server.call('POST', '/rules', { name: 'r', when: { type: 'job' }, to: { agent_type: 'analyst', strategy: 'idle' } })
  const job = (content: unknown) => server.call<Sent>('POST', '/messages', { type: 'job', content })
  const nobody = await job(0)
  assert.deepEqual(
    [nobody.status, nobody.recipients, nobody.route.reason, nobody.metadata['unroutable_reason']],
    ['unroutable', [], 'rule r: no other agent of type analyst is registered', 'no other agent of type analyst is registered'],
  )
  await server.call('POST', '/agents/register', { name: 'away', type: 'analyst' })
  await clock.advance(40_000)
  const alone = await job('kept')
  assert.deepEqual([alone.recipients, alone.status], [['away'], 'stored'])
  assert.match(alone.route.reason, /an idle one of 1 offline agent of type analyst/)
  await server.leased('one', { type: 'analyst', credits: 0 })
  await server.leased('two', { type: 'analyst', credits: 0 })
  const chosen: (string | undefined)[] = []
  for (const content of [1, 2, 3, 4]) chosen.push((await job(content)).recipients[0])
  assert.equal(new Set(chosen.slice(0, 2)).size, 2, 'each is idle until something waits for it')
  assert.deepEqual(chosen.map(String).toSorted(), ['one', 'one', 'two', 'two'])
  assert.match((await job(5)).route.reason, /none is idle: the least busy of 2 online agents/)
})

test('rules are tried by priority, then age; the first that matches decides, and what is off is skipped', async (t) => {
  const server = await serveFor(t)
  for (const name of ['a', 'b', 'c']) await server.call('POST', '/agents/register', { name })
  const make = (name: string, fields: object = {}) =>
    server.call<Rule>('POST', '/rules', { name, when: { type: 'x' }, to: { agents: [name] }, ...fields })
  const first = await make('a')
  await make('b')
  const urgent = await make('c', { priority: 1 })
  const goes = async () => (await server.call<Sent>('POST', '/messages', { type: 'x', content: 0 })).recipients
  assert.deepEqual(await goes(), ['c'])
  const listed = await server.call<Page<Rule>>('GET', '/rules?limit=2')
  assert.deepEqual(
    listed.items.map((rule) => rule.name),
    ['c', 'a'],
  )
  const rest = await server.call<Page<Rule>>('GET', `/rules?limit=2&cursor=${listed.next}`)
  assert.deepEqual([rest.items.map((rule) => rule.name), rest.next], [['b'], null])
  await server.call('PATCH', `/rules/${urgent.id}`, { enabled: false })
  assert.deepEqual(await goes(), ['a'])
  await server.call('PATCH', `/rules/${first.id}`, { to: { agents: ['c', 'b'] } })
  assert.deepEqual((await goes()).toSorted(), ['b', 'c'])
  assert.equal((await server.call<Rule>('GET', `/rules/${first.id}`)).priority, 100)
  await server.call('DELETE', `/rules/${first.id}`)
  assert.deepEqual(await goes(), ['b'])
  await assert.rejects(server.call('GET', `/rules/${first.id}`), refused(404, 'not_found'))
  const log = await server.call<Page<LogEntry>>('GET', '/events?limit=500')
  const changes = log.items.filter((entry) => entry.type.startsWith('rule.')).map((entry) => `${entry.type} by ${entry.actor}`)
  const expected = ['created', 'created', 'created', 'deleted', 'updated', 'updated'].map(
    (change) => `rule.${change} by operator`,
  )
  assert.deepEqual(changes.toSorted(), expected)
})

test('a rule may name a topic: its subscribers get the message as if it had been published', async (t) => {
  const server = await serveFor(t)
  const bob = await server.plain('bob')
  await bob.call('topic:subscribe', { topic: 'prices.#' })
  const rule = await server.call<Rule>('POST', '/rules', {
    name: 'to topic',
    when: { 'content.kind': 'price' },
    to: { topic: 'prices.eu' },
  })
  const sent = await server.call<Sent>('POST', '/messages', { content: { kind: 'price', value: 3 } })
  assert.deepEqual(
    [sent.topic, sent.recipients, sent.route],
    ['prices.eu', ['bob'], { by: 'rule', rule: rule.id, reason: 'rule to topic: subscribed to prices.eu' }],
  )
})

test('rules outlive the server, and a retry is answered as before although the rules have changed', async (t) => {
  const folder = temporaryFolder()
  t.after(() => folder.remove())
  const first = await serveFor(t, { config: { data: folder.path } })
  for (const name of ['a', 'b']) await first.call('POST', '/agents/register', { name })
  const rule = await first.call<Rule>('POST', '/rules', { name: 'keep', when: { type: 'x' }, to: { agents: ['a'] } })
  const send = (server: typeof first, key: string, type = 'x') =>
    server.call<Sent>('POST', '/messages', { type, content: 1 }, { key })
  const ruled = await send(first, 'k1')
  const all = await send(first, 'k2', 'y')
  assert.deepEqual([ruled.recipients, all.kind], [['a'], 'broadcast'])
  await first.close()
  const second = await serveFor(t, { config: { data: folder.path } })
  assert.deepEqual((await send(second, 'k3')).recipients, ['a'])
  await second.call('PATCH', `/rules/${rule.id}`, { when: { type: 'y' } })
  for (const [key, type, before] of [
    ['k1', 'x', ruled],
    ['k2', 'y', all],
  ] as const) {
    const again = await send(second, key, type)
    assert.deepEqual([again.id, again.receipt.duplicate, again.recipients], [before.id, true, before.recipients])
  }
  await assert.rejects(
    second.call('POST', '/messages', { type: 'x', to: 'b', content: 1 }, { key: 'k1' }),
    refused(422, 'idempotency_conflict'),
  )
})

test('rules are for operators, and a bad one is refused with the place of its fault', async (t) => {
  const server = await serveFor(t)
  const { token } = await server.call<{ token: string }>('POST', '/agents/register', { name: 'ada' })
  const good = { name: 'r', when: { type: 'x' }, to: { agents: ['ada'] } }
  await assert.rejects(server.call('POST', '/rules', good, { token }), refused(403, 'forbidden'))
  const deep = `${'{"not":'.repeat(50_000)}{"type":"x"}${'}'.repeat(50_000)}`
  const bad: [fields: object, pointer: string][] = [
    [{ when: {} }, '/when'],
    [{ when: { colour: 'red' } }, '/when/colour'],
    [{ when: { metadata: 'x' } }, '/when/metadata'],
    [{ when: { 'content..a': 1 } }, '/when/content..a'],
    [{ when: { and: [] } }, '/when/and'],
    [{ when: { or: [{ type: 'x' }, { type: {} }] } }, '/when/or/1/type'],
    [{ when: { field: 'type', op: 'matches', value: '(a+)+$' } }, '/when/op'],
    [{ when: { field: 'type', op: 'eq', value: 'x', flags: 'i' } }, '/when/flags'],
    [{ when: { field: 'priority', op: 'lt', value: 'soon' } }, '/when/value'],
    [{ when: { field: 'content.n', op: 'gt', value: null } }, '/when/value'],
    [{ when: { type: 'x'.repeat(1025) } }, '/when/type'],
    [{ when: { type: Array.from({ length: 101 }, String) } }, '/when/type'],
    [{ when: { or: Array.from({ length: 64 }, () => ({ type: 'x' })) } }, '/when/or/63'],
    [{ to: {} }, '/to'],
    [{ to: { agents: ['ada'], topic: 't' } }, '/to'],
    [{ to: { topic: 't', strategy: 'any' } }, '/to'],
    [{ to: { topic: 'a.*' } }, '/to/topic'],
  ]
  for (const [fields, pointer] of bad)
    await assert.rejects(server.call('POST', '/rules', { ...good, ...fields }), refused(422, 'invalid_request', pointer))
  const nested = `{"name":"r","to":{"agents":["ada"]},"when":${deep}}`
  await assert.rejects(server.call('POST', '/rules', nested), refused(422, 'invalid_request', `/when${'/not'.repeat(8)}`))
  assert.deepEqual((await server.call<Page<Rule>>('GET', '/rules')).items, [])
})

const facts: Facts = {
  type: 'analysis.market',
  topic: null,
  intent: 'ask',
  kind: 'event',
  priority: 2,
  sender: 'ada',
  metadata: { region: 'eu', tags: ['Urgent', 'b'], deep: { n: 7 } },
  content: { text: 'Quarterly REPORT', rows: 120, when: '2026-01-02', list: [{ id: 'x' }], none: null },
}

test('what a predicate means', () => {
  const table: [when: object, expected: boolean][] = [
    [{ type: 'analysis.*' }, true],
    [{ type: 'analysis*x' }, false],
    [{ type: '*.market' }, true],
    [{ type: 'a*a*s*m*t' }, true],
    [{ type: 'analysis.market*market' }, false],
    [{ type: 'Analysis.market' }, false],
    [{ type: ['note', 'analysis.market'] }, true],
    [{ type: 'analysis.*', 'metadata.region': 'us' }, false],
    [{ type: 'analysis.*', 'metadata.region': 'eu', intent: 'ask', kind: 'event', sender: 'ada', priority: 'high' }, true],
    [{ field: 'content.text', op: 'contains', value: 'report' }, true],
    [{ field: 'metadata.tags', op: 'contains', value: 'URGENT' }, true],
    [{ field: 'metadata.tags', op: 'contains', value: 'urg' }, false],
    [{ field: 'content', op: 'contains', value: 'report' }, false],
    [{ field: 'content.text', op: 'prefix', value: 'Quarter' }, true],
    [{ field: 'content.text', op: 'glob', value: 'Q*T' }, true],
    [{ field: 'content.rows', op: 'gt', value: 119 }, true],
    [{ field: 'content.rows', op: 'gte', value: 120 }, true],
    [{ field: 'content.rows', op: 'lt', value: '200' }, false],
    [{ field: 'content.when', op: 'lt', value: '2026-02' }, true],
    [{ field: 'priority', op: 'lte', value: 'high' }, true],
    [{ field: 'content.list.0.id', value: 'x' }, true],
    [{ field: 'content.list.length', op: 'exists' }, false],
    [{ field: 'content.none', op: 'exists' }, true],
    [{ 'content.none': null }, true],
    [{ field: 'topic', op: 'exists', value: false }, true],
    [{ field: 'content.missing', op: 'ne', value: 1 }, true],
    [{ field: 'content.missing.below', op: 'eq', value: 1 }, false],
    [{ field: 'content.constructor', op: 'exists' }, false],
    [{ field: 'content.__proto__.toString', op: 'exists' }, false],
    [{ field: 'metadata.tags.map', op: 'exists' }, false],
    [{ not: { type: 'note' } }, true],
    [{ or: [{ type: 'note' }, { and: [{ sender: 'ada' }, { not: { 'metadata.deep.n': 8 } }] }] }, true],
  ]
  for (const [when, expected] of table) assert.equal(holds(readPredicate(when), facts), expected, JSON.stringify(when))
})

const path = fc.constantFrom(
  'type',
  'topic',
  'sender',
  'content',
  'content.a',
  'content.a.0',
  'metadata.__proto__',
  'content.constructor.name',
  'metadata.toString',
  'content.a.length',
)
const scalar = fc.oneof(fc.string(), fc.double({ noNaN: true }), fc.boolean(), fc.constant(null))
const scalars = fc.array(scalar, { minLength: 1, maxLength: 3 })
const { node } = fc.letrec<{ node: unknown; leaf: unknown }>((tie) => ({
  leaf: fc.oneof(
    fc.record({ field: path, op: fc.constantFrom('eq', 'ne'), value: scalar }),
    fc.record({ field: path, op: fc.constant('in'), value: scalars }),
    fc.record({ field: path, op: fc.constantFrom('prefix', 'glob', 'contains', 'gt', 'lte'), value: fc.string() }),
    fc.record({ field: path, op: fc.constantFrom('gt', 'gte', 'lt', 'lte'), value: fc.double() }),
    fc.record({ field: path, op: fc.constant('exists') }, { requiredKeys: ['field', 'op'] }),
    fc.dictionary(path, fc.oneof(scalar, scalars), { minKeys: 1, maxKeys: 3 }),
  ),
  node: fc.oneof(
    { maxDepth: 4 },
    tie('leaf'),
    fc.record({ and: fc.array(tie('node'), { minLength: 1, maxLength: 3 }) }),
    fc.record({ or: fc.array(tie('node'), { minLength: 1, maxLength: 3 }) }),
    fc.record({ not: tie('node') }),
  ),
}))

test('a predicate is refused or evaluated: whatever it and the message are, it never throws', () => {
  let evaluated = 0
  fc.assert(
    fc.property(
      fc.oneof({ arbitrary: node, weight: 4 }, { arbitrary: fc.jsonValue(), weight: 1 }),
      fc.jsonValue(),
      fc.jsonValue(),
      (when, content, metadata) => {
        let predicate
        try {
          predicate = readPredicate(when)
        } catch (error) {
          assert.ok(error instanceof CadreError && error.code === 'invalid_request', String(error))
          return
        }
        evaluated += 1
        assert.equal(typeof holds(predicate, { ...facts, content, metadata }), 'boolean')
      },
    ),
    { numRuns: 2_000 },
  )
  assert.ok(evaluated > 1_000, `only ${evaluated} of 2,000 were well formed`)
})

test('only own properties are read: an inherited one changes no answer', () => {
  const trap = Object.create(
    new Proxy(
      {},
      {
        get: (_target, name) => assert.fail(`the prototype was asked for ${String(name)}`),
        has: (_target, name) => assert.fail(`the prototype was searched for ${String(name)}`),
      },
    ),
  ) as object
  fc.assert(
    fc.property(node, fc.constantFrom('content', 'metadata'), (when, name) => {
      let predicate
      try {
        predicate = readPredicate(when)
      } catch {
        return
      }
      const own = holds(predicate, { ...facts, [name]: Object.create(null) })
      assert.equal(holds(predicate, { ...facts, [name]: trap }), own)
    }),
    { numRuns: 2_000 },
  )
})

test('a glob is what splitting a text by hand says', () => {
  const word = fc.string({ unit: fc.constantFrom('a', 'b', '.'), maxLength: 3 })
  fc.assert(
    fc.property(
      fc.array(word, { minLength: 2, maxLength: 5 }),
      fc.string({ unit: fc.constantFrom('a', 'b', '.'), maxLength: 10 }),
      (parts, text) => {
        const model = (rest: readonly string[], from: string): boolean => {
          const [part = '', ...more] = rest
          if (more.length === 0) return from.endsWith(part)
          for (let at = 0; at <= from.length; at++)
            if (from.startsWith(part, at) && model(more, from.slice(at + part.length))) return true
          return false
        }
        const [head = '', ...rest] = parts
        const expected = text.startsWith(head) && model(rest, text.slice(head.length))
        assert.equal(holds(readPredicate({ type: parts.join('*') }), { ...facts, type: text }), expected)
      },
    ),
    { numRuns: 2_000 },
  )
})
