/** kill -9 of server, senders and receivers at random, and of the server around each commit: a judge over the merged history decides. */
import assert from 'node:assert/strict'
import { failPoints } from '../../server/src/core/fail-points.ts'
import { checkHistory } from '../history/check.ts'
import { describe } from '../history/history.ts'
import { verifies } from '../verifies.ts'
import { type FaultPlan, runWithFaults } from './faults.ts'
import { makeRandom } from './random.ts'

const full = process.env['CADRE_TEST_FULL'] === '1'
const messages = full ? 10_000 : 2_000
const rounds = full ? 3 : 1
const kills = full ? 8 : 3
const seed = Number(process.env['CADRE_CRASH_SEED'] ?? 20_260_101)

/** Each fail point once a round, in mixed order, and a plain kill before each round. */
function serverEnds(random: () => number): FaultPlan['serverEnds'] {
  return Array.from({ length: rounds }, () => {
    const mixed = failPoints
      .map((name) => ({ name, at: random() }))
      .toSorted((a, b) => a.at - b.at)
      .map(({ name }) => ({ failPoint: `${name}:${1 + Math.floor(random() * (full ? 10 : 4))}` }))
    return ['kill' as const, ...mixed]
  }).flat()
}

verifies(
  ['BYD-01', 'REL-01', 'MSG-16'],
  `${messages} messages while sender, server and receiver are killed: none lost, none done twice, none out of order, and senders know`,
  async (t) => {
    const random = makeRandom(seed)
    const run = await runWithFaults(
      {
        messages,
        senders: 2,
        receivers: 3,
        talks: 6,
        serverEnds: serverEnds(random),
        senderKills: kills,
        receiverKills: kills,
        random,
        limit: full ? 600_000 : 90_000,
      },
      (undo) => t.after(undo),
    )
    assert.deepEqual(new Set(run.reached), new Set(failPoints), 'the server ended at each fail point')
    assert.equal(run.reached.length, failPoints.length * rounds)
    const count = (fact: string) => run.history.filter((each) => each.fact === fact).length
    const again = run.history.filter((fact) => fact.fact === 'delivered' && fact.attempt > 1).length
    t.diagnostic(
      `${run.kills.server} ends of the server, ${run.kills.sender} of senders, ${run.kills.receiver} of receivers; ` +
        `${count('send')} sends, ${count('delivered')} deliveries (${again} again), ${count('effect')} effects, ${count('dead')} dead; ` +
        `drained ${Math.round(run.healedMs)} ms after the last fault`,
    )
    const violations = checkHistory(run.history)
    assert.equal(violations.length, 0, describe(violations))
    const dead = run.receipts.flatMap(({ deliveries }) => deliveries.filter(({ state }) => state === 'dead'))
    assert.equal(dead.length, count('dead'), 'senders are told of each copy that died')
    assert.ok(
      dead.every(({ reason }) => (reason ?? '') !== ''),
      'and why',
    )
    assert.ok(again > 0, 'what a killed receiver had in hand came again under its id')
    assert.ok(run.healedMs < 60_000, 'inboxes are empty within a minute of the last fault')
  },
  { timeout: 700_000 },
)
