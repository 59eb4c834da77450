/** The judge is judged: it accepts what a faultless bus does, and names the fault of every history that has one. */
import assert from 'node:assert/strict'
import { describe as group, test } from 'node:test'
import * as fc from 'fast-check'
import { badHistories } from './bad-histories.ts'
import { checkHistory } from './check.ts'
import { type Delivered, type Fact, describe, merge } from './history.ts'
import { type Step, simulate } from './simulator.ts'

void group('hand-made histories with a fault', () => {
  void test('are many, and each fault is named once or more', () => {
    assert.ok(badHistories.length >= 20)
    assert.equal(new Set(badHistories.map(({ name }) => name)).size, badHistories.length)
    assert.deepEqual([...new Set(badHistories.map(({ invariant }) => invariant))].toSorted(), [
      'N1',
      'N10',
      'N13',
      'N16',
      'N2',
      'N3',
      'N4',
    ])
  })
  for (const { name, invariant, fault, facts } of badHistories) {
    void test(name, () => {
      const violations = checkHistory(facts)
      const found = violations.find((each) => each.invariant === invariant && each.fault === fault)
      assert.ok(found, `found instead: ${describe(violations) || 'nothing'}`)
      assert.ok(found.facts.length > 0 && found.facts.every((fact) => facts.includes(fact)), 'facts of the history prove it')
      assert.ok(describe([found]).startsWith(`${invariant} ${fault}: `))
    })
  }
})

const number = fc.nat(20)
const lost = fc.constantFrom<'nothing' | 'answer' | 'request'>('nothing', 'nothing', 'answer', 'request')
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constant('send' as const), sender: number, to: number, conversation: number, lost }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('resend' as const), pick: number, lost: fc.constantFrom('nothing', 'answer') }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('conflict' as const), pick: number }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('deliver' as const), agent: number }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('acknowledge' as const), pick: number, lost }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('repeat' as const), pick: number }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('stale' as const), pick: number }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('reject' as const), pick: number, dead: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('crash' as const), agent: number }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('look' as const), pick: number }) },
)
const steps = fc.array(step, { maxLength: 60, size: 'max' })

void test('the histories of a faultless bus are accepted', () => {
  fc.assert(
    fc.property(steps, (some) => {
      const violations = checkHistory(simulate(some))
      assert.equal(violations.length, 0, describe(violations))
    }),
    { numRuns: 300 },
  )
})

type Mutation = (facts: readonly Fact[], pick: number) => { facts: Fact[]; expected: readonly string[] } | undefined
const isDelivered = (fact: Fact): fact is Delivered => fact.fact === 'delivered'
const pickFrom = <T>(list: readonly T[], pick: number): T | undefined => list[pick % Math.max(1, list.length)]
const insertAfter = (facts: readonly Fact[], after: Fact, ...more: Fact[]): Fact[] =>
  facts.flatMap((fact) => (fact === after ? [fact, ...more] : [fact]))

/** What makes a good history bad, with the faults that it may be called. */
const mutations: Readonly<Record<string, Mutation>> = {
  'every delivery of a message taken away': (facts, pick) => {
    const { id, agent } = pickFrom(facts.filter(isDelivered), pick) ?? {}
    if (id === undefined) return undefined
    const left = facts.filter(
      (fact) =>
        !('agent' in fact && fact.agent === agent && 'id' in fact && fact.id === id) &&
        !('receipt' in fact && fact.receipt.startsWith(`${id}/${agent}/`)) &&
        !(fact.fact === 'settle' && fact.receipts.some((receipt) => receipt.startsWith(`${id}/${agent}/`))),
    )
    return { facts: left, expected: ['lost'] }
  },
  'a delivery that comes once more at the end': (facts, pick) => {
    const delivery = pickFrom(facts.filter(isDelivered), pick)
    if (!delivery) return undefined
    const again = { ...delivery, seq: 1_000_000, attempt: 1_000, receipt: 'again' }
    const answered = facts.some((fact) => fact.fact === 'settled' && fact.receipt.startsWith(`${delivery.id}/${delivery.agent}/`))
    const dead = facts.some((fact) => fact.fact === 'dead' && fact.id === delivery.id && fact.agent === delivery.agent)
    if (!answered && !dead) return undefined
    return { facts: [...facts, again], expected: ['delivered-after-acknowledged', 'delivered-after-dead'] }
  },
  'an effect that happens twice': (facts, pick) => {
    const effect = pickFrom(
      facts.filter((fact) => fact.fact === 'effect'),
      pick,
    )
    return effect && { facts: insertAfter(facts, effect, { ...effect }), expected: ['effect-twice'] }
  },
  'another content': (facts, pick) => {
    const delivery = pickFrom(facts.filter(isDelivered), pick)
    if (!delivery) return undefined
    const changed = { ...delivery, body: 'something else' }
    return {
      facts: facts.map((fact) => (fact === delivery ? changed : fact)),
      expected: ['content-changed', 'never-sent'],
    }
  },
  'another recipient': (facts, pick) => {
    const delivery = pickFrom(facts.filter(isDelivered), pick)
    if (!delivery) return undefined
    return { facts: insertAfter(facts, delivery, { ...delivery, agent: 'zed', receipt: 'zed' }), expected: ['wrong-recipient'] }
  },
  'an answer that names a second message': (facts, pick) => {
    const stored = pickFrom(
      facts.filter((fact) => fact.fact === 'stored'),
      pick,
    )
    return stored && { facts: insertAfter(facts, stored, { ...stored, id: 'm999' }), expected: ['stored-twice'] }
  },
  'a first answer that says duplicate': (facts, pick) => {
    const sends = new Map(facts.flatMap((fact) => (fact.fact === 'send' ? [[fact.call, fact.key] as const] : [])))
    const once = facts.filter(
      (fact) => fact.fact === 'stored' && [...sends.values()].filter((key) => key === sends.get(fact.call)).length === 1,
    )
    const stored = pickFrom(once, pick)
    if (stored?.fact !== 'stored') return undefined
    return {
      facts: facts.map((fact) => (fact === stored ? { ...stored, duplicate: true } : fact)),
      expected: ['duplicate-without-original'],
    }
  },
  'two first deliveries of a conversation exchanged': (facts, pick) => {
    const first = new Map<string, Delivered>()
    for (const fact of facts) if (isDelivered(fact) && fact.attempt === 1) first.set(`${fact.id}/${fact.agent}`, fact)
    const lines = Map.groupBy(first.values(), (fact) => `${fact.sender} ${fact.conversation} ${fact.agent}`)
    const line = pickFrom(
      [...lines.values()].filter((members) => members.length > 1),
      pick,
    )
    const [one, two] = line ?? []
    if (!one || !two) return undefined
    return {
      facts: facts.map((fact) =>
        fact === one ? { ...two, seq: one.seq ?? 0 } : fact === two ? { ...one, seq: two.seq ?? 0 } : fact,
      ),
      expected: ['inversion', 'not-waited', 'attempt-repeated', 'delivered-before-sent'],
    }
  },
  'a dead letter that its receiver had acknowledged': (facts, pick) => {
    const settled = pickFrom(
      facts.filter((fact) => fact.fact === 'settled' && fact.outcome === 'acknowledged'),
      pick,
    )
    if (settled?.fact !== 'settled') return undefined
    const [id = '', agent = ''] = settled.receipt.split('/')
    return {
      facts: insertAfter(facts, settled, { fact: 'dead', agent, id, reason: 'lost patience' }),
      expected: ['acknowledged-but-dead'],
    }
  },
  'a delivery left in the end': (facts) => ({
    facts: facts.map((fact) => (fact.fact === 'final' ? { ...fact, depths: { ...fact.depths, bob: 1 } } : fact)),
    expected: ['not-drained'],
  }),
}

for (const [name, mutate] of Object.entries(mutations)) {
  void test(`a good history is refused after this: ${name}`, () => {
    let tried = 0
    fc.assert(
      fc.property(steps, fc.nat(), (some, pick) => {
        const bad = mutate(simulate(some), pick)
        if (!bad) return
        tried += 1
        const faults = checkHistory(bad.facts).map(({ fault }) => fault)
        assert.ok(
          bad.expected.some((fault) => faults.includes(fault)),
          `expected ${bad.expected.join(' or ')}, found ${faults.join(', ') || 'nothing'}`,
        )
      }),
      { numRuns: 100 },
    )
    assert.ok(tried >= 20, `tried on ${tried} histories only`)
  })
}

void test('records of several processes become one history in the order of their clock', () => {
  const fact = (call: string): Fact => ({ fact: 'send', call, sender: 'ada', to: ['bob'], body: call })
  const merged = merge([
    [
      { at: 1, fact: fact('a') },
      { at: 4, fact: fact('d') },
      { at: 4, fact: fact('e') },
    ],
    [
      { at: 2, fact: fact('b') },
      { at: 3, fact: fact('c') },
    ],
  ])
  assert.deepEqual(
    merged.map((each) => each.fact === 'send' && each.call),
    ['a', 'b', 'c', 'd', 'e'],
  )
})
