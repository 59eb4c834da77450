/** Random traffic: what is no loop is never stopped, and what is one always is. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type OutputOf, defaultBrakeSettings } from '@cadre/contract'
import * as fc from 'fast-check'
import { ManualClock, Refused, serveFor } from '../../testing.ts'
import { Exchanges } from './exchanges.ts'
import { Hops } from './hops.ts'
import { RecentMap } from './recent-map.ts'
import type { Link } from './store.ts'

type Sent = OutputOf<'messages.send'>

const names = ['ada', 'bob', 'eve', 'kim'] as const
const agent = fc.integer({ min: 0, max: names.length - 1 })
const step = fc.record({
  from: agent,
  to: agent,
  how: fc.constantFrom('send', 'send', 'send', 'talk', 'list', 'reply', 'reply', 'publish'),
  which: fc.nat(),
})

test('traffic of several agents whose contents differ is never stopped', async (t) => {
  // The clock stands still, so that all of it counts as if it came at once.
  const server = await serveFor(t, { clock: new ManualClock() })
  const agents = await Promise.all(names.map((name) => server.plain(name)))
  for (const each of agents) await each.call('topic:subscribe', { topic: 'news' })
  let said = 0
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 50, maxLength: 150 }), async (steps) => {
      const sent: { id: string; to: number; depth: number }[] = []
      for (const { from, to, how, which } of steps) {
        said += 1
        const content = `finding ${said}`
        const caller = agents[from]
        const other = names[to === from ? (to + 1) % names.length : to]
        const answerable = sent.filter((each) => each.to === from && each.depth < 32)
        const answered = how === 'reply' ? answerable[which % Math.max(1, answerable.length)] : undefined
        if (answered) {
          const reply = await caller?.call<Sent>('message:reply', { reply_to: answered.id, content })
          const back = names.indexOf(reply?.recipients[0] as (typeof names)[number])
          if (reply) sent.push({ id: reply.id, to: back, depth: answered.depth + 1 })
        } else if (how === 'publish') await caller?.call('topic:publish', { topic: 'news', content })
        else if (how === 'list') await caller?.call('message:send', { recipients: names.filter((_, at) => at !== from), content })
        else {
          const conversation = how === 'talk' ? { conversation_id: `talk-${which % 3}` } : {}
          const message = await caller?.call<Sent>('message:send', { to: other, content, ...conversation })
          if (message) sent.push({ id: message.id, to: names.indexOf(other as (typeof names)[number]), depth: 0 })
        }
      }
    }),
    { numRuns: 12 },
  )
  assert.ok(said > 500)
  assert.deepEqual((await server.call<{ items: unknown[] }>('GET', '/brakes')).items, [])
})

test('answers to answers among any number of agents end at the limit, whatever they say', async (t) => {
  const server = await serveFor(t, { clock: new ManualClock() })
  const agents = await Promise.all(names.map((name) => server.plain(name)))
  await server.call('PATCH', '/brakes/settings', { ping_pong_turns: 0, dialogue_turns: 0 })
  const ring = fc.record({
    size: fc.integer({ min: 2, max: 4 }),
    limit: fc.integer({ min: 1, max: 12 }),
    words: fc.string({ maxLength: 8 }),
  })
  let run = 0
  await fc.assert(
    fc.asyncProperty(ring, async ({ size, limit, words }) => {
      run += 1
      await server.call('PATCH', '/brakes/settings', { hop_limit: limit })
      let last: Sent | undefined
      let hops = -1
      try {
        for (hops = 0; hops < 20; hops++) {
          const to = names[(hops + 1) % size]
          const content = `${words} ${hops}`
          last = await agents[hops % size]?.call<Sent>('message:send', {
            to,
            content,
            conversation_id: `ring-${run}`,
            ...(last && { reply_to: last.id }),
          })
        }
      } catch (error) {
        assert.ok(error instanceof Refused && error.code === 'loop_stopped', String(error))
      }
      assert.equal(hops, limit + 1)
    }),
    { numRuns: 15 },
  )
})

test('hops stay right when what was remembered is forgotten', async () => {
  const links = new Map<number, Link>()
  let walks = 0
  const walk = (_tenant: number, seq: number, most: number): Promise<Link[]> => {
    walks += 1
    const chain: Link[] = []
    for (let link = links.get(seq); link && chain.length < most; link = links.get(link.reply_to ?? -1)) chain.push(link)
    return Promise.resolve(chain)
  }
  const hops = new Hops({ head: 0, isAgent: () => true, walk })
  // Chains of ten, one after the other, far more than are remembered.
  for (let seq = 1; seq <= 100_000; seq++) {
    const place = (seq - 1) % 10
    links.set(seq, { seq, reply_to: place === 0 ? null : seq - 1, actor: 1 })
    if (place > 0) hops.sent(seq, { hops: place, asked: false })
  }
  for (const seq of [1, 2, 5, 10, 40_001, 40_009, 99_991, 99_995, 100_000]) {
    assert.equal((await hops.of(1, seq, 0, 32)).hops, (seq - 1) % 10, `message ${seq}`)
  }
  assert.ok(walks > 0 && walks <= 6, `${walks} walks`)
  assert.equal((await hops.of(1, 5, 3, 32)).hops, 2, 'what stands before the brake was reset does not count')
})

test('counting takes bounded memory', () => {
  const map = new RecentMap<number, number>(100)
  for (let key = 0; key < 10_000; key++) {
    map.set(key, key)
    assert.equal(map.get(0), 0, 'what is asked for stays')
  }
  assert.ok(map.size <= 200, String(map.size))
})

test('load in both directions with contents that differ is no loop, and a loop within it is found', () => {
  const now = 0
  const exchanges = new Exchanges(() => now)
  const say = (from: number, to: number, content: unknown) =>
    exchanges.said({ tenant: 1, from, to, conversation: null, content, asked: false, productive: false }, defaultBrakeSettings)
  for (let index = 0; index < 200_000; index++) {
    const [from, to] = (index * 7) % 5 < 2 ? [1, 2] : [2, 1]
    assert.equal(say(from, to, { run: 'r', id: index, filler: 'xxxxxxxxxxxxxxxx' }), undefined)
  }
  let turns = 0
  while (turns < 100 && !say(turns % 2 === 0 ? 1 : 2, turns % 2 === 0 ? 2 : 1, turns % 2 === 0 ? 'Thanks!' : 'Welcome.'))
    turns += 1
  assert.ok(turns <= 24, `${turns} turns`)
})
