import assert from 'node:assert/strict'
import { test } from 'node:test'
import { describeCondition, describeTarget } from './rules.ts'

test('conditions read as words, short and in full', () => {
  const cases: [unknown, string][] = [
    [{}, 'every message'],
    [{ type: 'analysis.*' }, 'type analysis.*'],
    [{ type: ['a', 'b'], 'metadata.region': 'eu' }, 'type a or b and metadata.region eu'],
    [{ field: 'content.rows', op: 'gt', value: 100 }, 'content.rows > 100'],
    [{ field: 'metadata.key', op: 'exists', value: false }, 'metadata.key is absent'],
    [
      { and: [{ type: 'data.*' }, { or: [{ sender: 'ada' }, { not: { kind: 'system' } }] }] },
      'type data.* and (sender ada or not kind system)',
    ],
  ]
  for (const [when, words] of cases) assert.equal(describeCondition(when), words)
})

test('targets read as words', () => {
  assert.equal(describeTarget({ agents: ['ada', 'bob'] }), 'ada, bob')
  assert.equal(describeTarget({ topic: 'prices.eu' }), 'topic prices.eu')
  assert.equal(describeTarget({ agent_type: 'analyst', strategy: 'idle' }), 'type analyst, an idle one first')
  assert.equal(describeTarget({ agent_type: 'writer', capabilities: ['sql'] }), 'type writer with sql')
  assert.equal(describeTarget({ capabilities: ['sql', 'maps'], strategy: 'all' }), 'agents with sql, maps, all of them')
})
