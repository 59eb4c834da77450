/** Groups of subscribers: one of each group gets a message, and everybody outside a group gets all of them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Delivery, OutputOf } from '@cadre/contract'
import fc from 'fast-check'
import { verifies } from '../../../../test/verifies.ts'
import { ManualClock, Refused, serveFor, temporaryFolder } from '../../testing.ts'
import { Subscriptions, matches } from './topics.ts'

type Sent = OutputOf<'messages.publish'>
type Listed = OutputOf<'messages.subscriptions'>

const byNumber = (a: number, b: number) => a - b
const contents = (frames: readonly { data: Delivery }[]) => frames.map(({ data }) => data.content)

verifies('MSG-04', 'one of a group gets each message in turn, all others get every one, and the publisher none', async (t) => {
  const server = await serveFor(t)
  const [ada, bob, eve, fay] = [
    await server.plain('ada'),
    await server.plain('bob'),
    await server.plain('eve'),
    await server.plain('fay'),
  ]
  for (const member of [ada, bob, eve]) await member.call('topic:subscribe', { topic: 'jobs.#', group: 'workers' })
  await fay.call('topic:subscribe', { topic: 'jobs.new' })
  const publish = (content: unknown) => ada.call<Sent>('topic:publish', { topic: 'jobs.new', content })
  const first = await publish(1)
  assert.equal(first.recipient_count, 2)
  assert.deepEqual([first.route.by, first.route.groups], ['group', ['workers']])
  assert.match(first.route.reason, /^subscribed to jobs.new: (bob|eve) for workers$/)
  for (const content of [2, 3, 4]) await publish(content)
  const received = [
    contents(await bob.settled<Delivery>('message:received')),
    contents(await eve.settled<Delivery>('message:received')),
  ]
  assert.deepEqual(
    received.toSorted(([a], [b]) => Number(a) - Number(b)),
    [
      [1, 3],
      [2, 4],
    ],
  )
  assert.deepEqual(contents(await fay.settled<Delivery>('message:received')), [1, 2, 3, 4])
  assert.deepEqual(await ada.settled('message:received'), [])

  // A member that leaves gets nothing any more, and one that subscribes without the group hears everything.
  await eve.call('topic:unsubscribe', { topic: 'jobs.#' })
  await fay.call('topic:unsubscribe', { topic: 'jobs.new' })
  const next = await publish(5)
  assert.deepEqual(next.recipients, ['bob'])
  await eve.call('topic:subscribe', { topic: 'jobs.*', group: 'others' })
  assert.deepEqual((await publish(6)).recipients.toSorted(), ['bob', 'eve'])
  await bob.call('topic:subscribe', { topic: 'jobs.#' })
  const plain = await publish(7)
  assert.deepEqual([plain.recipients.toSorted(), plain.route.groups], [['bob', 'eve'], ['others']])
})

test('a group gives to those who are connected, to the others when nobody is, and never to one that ended', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  for (const name of ['away', 'gone', 'one', 'two']) {
    await server.call('POST', '/agents/register', { name })
    await server.call('POST', '/subscriptions', { agent: name, topic: 'work', group: 'g' })
  }
  await server.call('DELETE', '/agents/gone')
  await clock.advance(40_000)
  const publish = async () => (await server.call<Sent>('POST', '/topics/work/publish', { content: 0 })).recipients
  const silent = [await publish(), await publish(), await publish()].flat().map(String)
  assert.deepEqual(silent.toSorted(), ['away', 'one', 'two'])
  const one = await server.plain('one')
  assert.deepEqual([await publish(), await publish()], [['one'], ['one']])
  await server.plain('two')
  assert.deepEqual([await publish(), await publish()].flat().map(String).toSorted(), ['one', 'two'])
  await one.close()
  const { id } = await server.call<{ id: string }>('GET', '/agents/away')
  const { items } = await server.call<OutputOf<'messages.list'>>('GET', `/messages?recipient=${id}`)
  assert.equal(items.length, 1, 'it waits in the inbox of one that is away')
})

test('subscriptions are listed with their groups, page by page, an agent sees its own, and they outlive the server', async (t) => {
  const folder = temporaryFolder()
  t.after(() => folder.remove())
  const first = await serveFor(t, { config: { data: folder.path } })
  const { token } = await first.call<{ token: string }>('POST', '/agents/register', { name: 'ada' })
  await first.call('POST', '/agents/register', { name: 'bob' })
  const subscribe = (agent: string, topic: string, group?: string) =>
    first.call<{ group: string | null }>('POST', '/subscriptions', { agent, topic, group })
  assert.equal((await subscribe('ada', 'b.#', 'g')).group, 'g')
  assert.equal((await subscribe('ada', 'a')).group, null)
  await subscribe('bob', 'b.*', 'h')
  await subscribe('bob', 'b.*', 'g')
  const brief = ({ items }: Listed) => items.map(({ agent, topic, group }) => [agent, topic, group])
  const page = await first.call<Listed>('GET', '/subscriptions?limit=2')
  assert.deepEqual(brief(page), [
    ['ada', 'a', null],
    ['ada', 'b.#', 'g'],
  ])
  const rest = await first.call<Listed>('GET', `/subscriptions?limit=2&cursor=${page.next}`)
  assert.deepEqual([brief(rest), rest.next], [[['bob', 'b.*', 'g']], null])
  assert.deepEqual(brief(await first.call<Listed>('GET', '/subscriptions?group=g&agent=bob')), [['bob', 'b.*', 'g']])
  assert.equal((await first.call<Listed>('GET', '/subscriptions', undefined, { token })).items.length, 2)
  await assert.rejects(
    first.call('GET', '/subscriptions?agent=bob', undefined, { token }),
    (error: unknown) => error instanceof Refused && error.status === 403,
  )
  await first.close()
  const second = await serveFor(t, { config: { data: folder.path } })
  const sent = await second.call<Sent>('POST', '/topics/b.x/publish', { content: 1 })
  assert.deepEqual([sent.recipient_count, sent.route.groups], [1, ['g']])
})

test('a retried publish answers with those who got it the first time', async (t) => {
  const server = await serveFor(t)
  for (const name of ['one', 'two']) {
    await server.call('POST', '/agents/register', { name })
    await server.call('POST', '/subscriptions', { agent: name, topic: 'work', group: 'g' })
  }
  const publish = () => server.call<Sent>('POST', '/topics/work/publish', { content: 0 }, { key: 'k' })
  const [once, again] = [await publish(), await publish()]
  assert.deepEqual([again.id, again.recipients, again.receipt.duplicate], [once.id, once.recipients, true])
})

test('patterns: what a simple model says of a star, of a hash anywhere, and of both', () => {
  /** Every way is tried, one word at a time. */
  const model = ([part, ...pattern]: readonly string[], words: readonly string[]): boolean => {
    if (part === undefined) return words.length === 0
    if (part === '#') return model(pattern, words) || (words.length > 0 && model([part, ...pattern], words.slice(1)))
    return words.length > 0 && (part === '*' || part === words[0]) && model(pattern, words.slice(1))
  }
  const words = fc.array(fc.constantFrom('a', 'b'), { minLength: 1, maxLength: 6 })
  const pattern = fc.array(fc.constantFrom('a', 'b', '*', '#'), { minLength: 1, maxLength: 6 })
  let fitting = 0
  fc.assert(
    fc.property(pattern, words, (parts, topic) => {
      const expected = model(parts, topic)
      if (expected) fitting += 1
      assert.equal(matches(parts, topic), expected)
    }),
    { numRuns: 5_000 },
  )
  assert.ok(fitting > 500, `only ${fitting} of 5,000 fitted`)
  // Each hash that could be tried at every word would take hours here.
  const many = [...Array.from({ length: 60 }, (_, index) => (index % 2 ? 'a' : '#')), 'b']
  assert.equal(
    matches(
      many,
      Array.from({ length: 120 }, () => 'a'),
    ),
    false,
  )
})

test('whatever comes and goes, those who hear are those a plain list of subscriptions gives', () => {
  const agent = fc.integer({ min: 1, max: 4 })
  const pattern = fc.constantFrom('a', 'a.b', 'a.*', 'a.#', '#', '*.b')
  const group = fc.constantFrom(null, 'g', 'h')
  const step = fc.oneof(
    fc.record({ kind: fc.constant('add' as const), agent, pattern, group }),
    fc.record({ kind: fc.constant('remove' as const), agent, pattern }),
    fc.record({ kind: fc.constant('ask' as const), agent, topic: fc.constantFrom('a', 'a.b', 'a.c', 'b') }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const real = new Subscriptions()
      const list = new Map<string, { agent: number; pattern: string; group: string | null }>()
      for (const each of steps) {
        if (each.kind === 'add') {
          real.add(1, each.agent, each.pattern, each.group)
          list.set(`${each.agent} ${each.pattern}`, each)
        } else if (each.kind === 'remove') {
          real.remove(1, each.agent, each.pattern)
          list.delete(`${each.agent} ${each.pattern}`)
        } else {
          const hits = [...list.values()].filter(
            (one) => one.agent !== each.agent && matches(one.pattern.split('.'), each.topic.split('.')),
          )
          const of = (name: string | null) =>
            [...new Set(hits.filter((hit) => hit.group === name).map((hit) => hit.agent))].toSorted(byNumber)
          const { plain, groups } = real.matching(1, each.topic, each.agent)
          assert.deepEqual([...plain].toSorted(byNumber), of(null))
          assert.deepEqual(
            Object.fromEntries(groups),
            Object.fromEntries(['g', 'h'].map((name) => [name, of(name)]).filter(([, all]) => all?.length)),
          )
          for (const [name, members] of groups) {
            const turn = members.flatMap(() => real.next(1, name, members) ?? [])
            assert.deepEqual(turn.toSorted(byNumber), members, 'each once before anyone twice')
          }
        }
      }
    }),
    { numRuns: 500 },
  )
})
