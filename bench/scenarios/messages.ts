/**
 * The durable message path: 256 bytes of JSON from a producer process through a server process to a consumer process, acknowledged.
 * Closed loop at 1, 16, 64 and 256 in flight, counted from the first send to the last acknowledgement, and 500 a second for latency.
 */
import type { Settings } from '../lib/arguments.ts'
import { messageSubject, type MessageCell, type MessageSubject } from '../lib/message-subject.ts'
import { installPeers } from '../lib/peer-packages.ts'
import { type Comparison, type Goal, describeMachine, processorTimes, toRatios, toRows, toTargets } from '../lib/report.ts'
import { interleave } from '../lib/rounds.ts'
import type { Scenario } from '../lib/scenario.ts'
import type { Scope } from '../lib/scope.ts'
import { Absent, type Server, startCadre, startPostgres, startRedis } from '../lib/servers.ts'

const ours = 'cadre'
/** The same server without the SDK. */
const wire = 'cadre by bare frames'
const limit = 'append log'
const loop = (inFlight: number): MessageCell => ({ key: `${inFlight} in flight`, suffix: '', inFlight, perSecond: undefined })
const one = loop(1)
const rate: MessageCell = { key: '500/s', suffix: ' at 500/s', inFlight: null, perSecond: 500 }
const loops = [one, loop(16), loop(64), loop(256)]
const cells = [...loops, rate]

const comparisons: Comparison[] = [
  ...loops.map((cell): Comparison => ({ cell, measure: 'per_second' })),
  { cell: one, measure: 'p50' },
  { cell: rate, measure: 'p50' },
  { cell: rate, measure: 'p99' },
]

const throughput = (against: string, inFlight: number, target: number): Goal => ({
  name: `messages/s over ${against}, ${inFlight} in flight`,
  against,
  inFlight,
  target,
  bound: 'at least',
})
const goals: Goal[] = [
  throughput('redis-streams', 1, 0.9),
  throughput('redis-streams', 16, 1),
  throughput('redis-streams', 64, 1.2),
  throughput('redis-streams', 256, 1.5),
  throughput('bullmq', 64, 8),
  throughput('pg-boss send', 64, 30),
  { name: 'p50 over redis-streams, 1 in flight', against: 'redis-streams p50', inFlight: 1, target: 1.5, bound: 'at most' },
  { name: 'p99 over redis-streams at 500/s', against: 'redis-streams at 500/s p99', inFlight: null, target: 1, bound: 'at most' },
]

async function run(scope: Scope, { rounds, quick, only }: Settings, tell: (line: string) => void) {
  const before = processorTimes()
  const absent = new Map<string, string>()
  const subjects: MessageSubject[] = []
  const wanted = (name: string) => only === undefined || only.test(name)
  const missing = ['redis-streams', 'bullmq', 'pg-boss send'].some(wanted) ? await installPeers(tell) : undefined

  const servers = new Map<string, Promise<Server>>()
  const once = (name: string, start: () => Promise<Server>) => {
    const known = servers.get(name) ?? start()
    servers.set(name, known)
    return known
  }
  const add = async (name: string, driver: string, start: (() => Promise<Server>) | undefined) => {
    if (!wanted(name)) return
    try {
      if (missing !== undefined && driver.startsWith('../peers/')) throw new Absent(missing)
      const server = await start?.()
      subjects.push(messageSubject(scope, { name, ours: name === ours, server, driver: new URL(driver, import.meta.url) }))
    } catch (error) {
      if (!(error instanceof Absent)) throw error
      absent.set(name, error.message)
      tell(`absent: ${name}: ${error.message}`)
    }
  }
  const redis = () => once('redis', () => startRedis(scope))
  await add(ours, '../drivers/cadre-messages.ts', () => once('cadre', () => startCadre(scope)))
  await add(wire, '../drivers/wire-messages.ts', () => once('cadre', () => startCadre(scope)))
  await add(limit, '../drivers/append-log.ts', undefined)
  await add('redis-streams', '../peers/redis-streams.ts', redis)
  await add('bullmq', '../peers/bullmq-messages.ts', redis)
  await add('pg-boss send', '../peers/pg-boss-messages.ts', () => once('postgres', () => startPostgres(scope)))

  const series = await interleave(subjects, cells, {
    rounds,
    ms: quick ? 300 : 1000,
    warmUpMs: quick ? 200 : 500,
    limitMs: quick ? 30_000 : 280_000,
    tell,
  })
  const others = [wire, limit, 'redis-streams', 'bullmq', 'pg-boss send'].filter(wanted)
  const names = { ours, others, absent }
  const rows = toRows(series, cells, names, (name) => wanted(name))
  const ratios = toRatios(series, comparisons, names)
  const report = { scenario: 'messages', machine: describeMachine(before), rows, ratios, targets: toTargets(ratios, goals) }
  return { report, ok: [...series.faults.keys()].every((key) => !key.endsWith(` ${ours}`)) }
}

export const messages: Scenario = { limit, run }
