import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readArguments } from './lib/arguments.ts'
import { Ledger } from './lib/ledger.ts'
import { closedLoop } from './lib/load.ts'
import { makePayload, payloadBytes } from './lib/payload.ts'
import { type Names, toRatios, toRows, toTable, toTargets } from './lib/report.ts'
import { type Cell, type Sample, type Subject, interleave } from './lib/rounds.ts'
import { median, percentile, rounded } from './lib/statistics.ts'

const cell: Cell = { key: '64 in flight', suffix: '', inFlight: 64 }
const plan = (rounds: number) => ({ rounds, ms: 1, warmUpMs: 1, limitMs: 60_000, tell: () => {} })
const sample = (perSecond: number, fault?: string): Sample => ({ perSecond, p50: 1, p99: 2, cpuUs: 3, serverCpuUs: 1, fault })
const names: Names = { ours: 'ours', others: ['peer', 'gone'], absent: new Map([['gone', 'not installed']]) }

function subject(
  name: string,
  rates: readonly (number | string)[],
  durability: 'sync' | 'async',
  order: string[] = [],
): Subject<Cell> {
  let turn = 0
  return {
    name,
    ours: name === 'ours',
    durability: () => Promise.resolve(durability),
    measure() {
      order.push(name)
      const next = rates[Math.min(turn++, rates.length - 1)]
      return Promise.resolve(typeof next === 'number' ? sample(next) : sample(1, next))
    },
  }
}

test('a message is 256 bytes whatever its number', () => {
  for (const [run, id, at] of [
    [1, 0, 0],
    [99, 999_999, 123_456_789.123_456],
  ] as const) {
    assert.equal(Buffer.byteLength(JSON.stringify(makePayload(run, id, at))), payloadBytes)
  }
})

test('the ledger counts what is missing, what came twice and what belongs to another run', async () => {
  const ledger = new Ledger(7)
  for (const id of [0, 1, 1, 3]) ledger.take(makePayload(7, id, 0))
  ledger.take(makePayload(6, 2, 0))
  ledger.acknowledged(4)
  const { unique, duplicates, strays, missing } = await ledger.finish(4, 1)
  assert.deepEqual({ unique, duplicates, strays, missing }, { unique: 3, duplicates: 1, strays: 1, missing: 1 })
})

test('a closed loop never has more calls on their way than asked for, and counts those that fail', async () => {
  let open = 0
  let most = 0
  const sent = await closedLoop({ inFlight: 4, ms: 60_000, most: 50 }, async (id) => {
    most = Math.max(most, ++open)
    await Promise.resolve()
    open -= 1
    if (id === 10) throw new Error('refused')
  })
  assert.deepEqual([sent.count, sent.failed, sent.failure, most], [50, 1, 'refused', 4])
})

test('ours runs first and last in each round, and the warm-up is dropped', async () => {
  const order: string[] = []
  const subjects = [subject('ours', [1, 1, 200, 240], 'sync', order), subject('peer', [1, 100], 'sync', order)]
  const series = await interleave(subjects, [cell], plan(1))
  assert.deepEqual(order, ['ours', 'peer', 'ours', 'ours', 'peer', 'ours'])
  assert.deepEqual(toRatios(series, [{ cell, measure: 'per_second' }], names), [
    { ours: 'ours', against: 'peer', in_flight: 64, median: 2.2, min: 2.2, max: 2.2 },
  ])
})

test('a round in which ours drifted is measured again', async () => {
  const order: string[] = []
  await interleave([subject('ours', [1, 1, 100, 200, 150, 150], 'sync', order)], [cell], plan(1))
  assert.equal(order.length, 6)
})

test('no ratio is formed across classes of durability', async () => {
  const series = await interleave([subject('ours', [10], 'sync'), subject('peer', [10], 'async')], [cell], plan(1))
  const comparisons = [{ cell, measure: 'per_second' as const }]
  assert.deepEqual(toRatios(series, comparisons, names), [])
  // What stores nothing by design is a bound: it may be told how near we come to it.
  assert.equal(toRatios(series, comparisons, { ...names, bounds: ['peer'] })[0]?.median, 1)
})

test('rows tell the share of the server and the percentage of the limit, each at its own load', async () => {
  const other: Cell = { key: '1 in flight', suffix: '', inFlight: 1 }
  const rate: Cell = { key: '500/s', suffix: ' at 500/s', inFlight: null }
  const series = await interleave([subject('ours', [30], 'sync'), subject('peer', [40], 'sync')], [cell, other, rate], plan(1))
  const rows = toRows(series, [cell, other, rate], { ...names, limit: 'peer' }, (name) => name !== 'gone')
  assert.deepEqual(
    rows.filter((row) => row.durability !== 'absent').map((row) => [row.name, row.percent_of_limit, row.server_cpu_us_per_op]),
    [
      ['ours', 75, 1],
      ['peer', 100, 1],
      ['ours', 75, 1],
      ['peer', 100, 1],
      ['ours at 500/s', undefined, 1],
      ['peer at 500/s', undefined, 1],
    ],
  )
  const table = toTable({ scenario: 's', machine: {}, rows, ratios: [], targets: [], notes: ['what it means'] })
  assert.match(table, /of limit/)
  assert.match(table, /\| ours +\| sync +\| 64 .*\| 75 % +\|/)
  assert.match(table, /what it means$/)
})

test('a failed check voids the row and its ratios; an absent peer has a row without numbers', async () => {
  const series = await interleave(
    [subject('ours', [10], 'sync'), subject('peer', [10, 'a message was lost'], 'sync')],
    [cell],
    plan(1),
  )
  const ratios = toRatios(series, [{ cell, measure: 'per_second' }], names)
  const rows = toRows(series, [cell], names, () => true)
  assert.deepEqual(
    rows.map((row) => [row.name, row.durability, row.per_second]),
    [
      ['ours', 'sync', 10],
      ['peer', 'sync', null],
      ['gone', 'absent', null],
    ],
  )
  assert.deepEqual(ratios, [])
  const targets = toTargets(ratios, [
    { name: 'over peer', ours: 'ours', against: 'peer', inFlight: 64, target: 2, bound: 'at least' },
  ])
  assert.deepEqual(targets, [{ name: 'over peer, at least', target: 2, value: null, met: null }])
  const table = toTable({ scenario: 's', machine: {}, rows, ratios, targets, notes: [] })
  assert.match(table, /\| gone +\| absent +\| 64 +\| absent/)
  assert.match(table, /\| peer +\| sync +\| 64 +\| void/)
})

test('a target is met on its own side of the bound', () => {
  const ratios = [{ ours: 'ours', against: 'peer', in_flight: 1, median: 0.9, min: 0.8, max: 1 }]
  const goal = { name: 'n', ours: 'ours', against: 'peer', inFlight: 1, target: 1 }
  const met = (bound: 'at least' | 'at most') => toTargets(ratios, [{ ...goal, bound }])[0]?.met
  assert.deepEqual([met('at least'), met('at most')], [false, true])
})

test('statistics', () => {
  assert.equal(median([3, 1, 2]), 2)
  assert.equal(median([4, 1, 2, 3]), 2.5)
  assert.equal(percentile([1, 2, 3, 4], 0.5), 3)
  assert.deepEqual([rounded(12345.6), rounded(1.2345)], [12346, 1.23])
})

test('the command line', () => {
  assert.deepEqual(readArguments(['messages', '--rounds', '3', '--json']), {
    scenario: 'messages',
    settings: { rounds: 3, json: true, quick: false, only: undefined, at: undefined, profile: undefined },
  })
  const { settings } = readArguments(['fanout', '--at', 'to 1000$', '--only', 'ws'], { CADRE_BENCH_PROFILE: '/profiles' })
  assert.deepEqual([settings.at?.test('10 messages to 1000'), settings.at?.test('one message to 100')], [true, false])
  assert.equal(settings.profile, '/profiles')
  assert.equal(readArguments(['tasks', '--profile', 'mine'], { CADRE_BENCH_PROFILE: 'x' }).settings.profile, 'mine')
  assert.throws(() => readArguments([]), /usage/)
  assert.throws(() => readArguments(['messages', '--rounds', '0']), /whole number/)
  assert.throws(() => readArguments(['messages', '--fast']))
})
