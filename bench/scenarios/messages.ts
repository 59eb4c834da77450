/**
 * The durable message path: 256 bytes of JSON from a producer process through a server process to a consumer process, acknowledged.
 * Closed loop at 1, 16, 64 and 256 in flight, counted from the first send to the last acknowledgement, and 500 a second for latency.
 */
import type { Settings } from '../lib/arguments.ts'
import { messageSubject, type MessageCell, type MessageSubject } from '../lib/message-subject.ts'
import { installPeers } from '../lib/peer-packages.ts'
import { type Comparison, type Goal, describeMachine, processorTimes, toRatios, toRows, toTargets } from '../lib/report.ts'
import { interleave, isFaulty } from '../lib/rounds.ts'
import type { Scenario } from '../lib/scenario.ts'
import type { Scope } from '../lib/scope.ts'
import { Absent, type Server, startCadre, startNats, startPostgres, startRedis } from '../lib/servers.ts'

const ours = 'cadre'
/** The same server without the SDK. */
const wire = 'cadre by bare frames'
/** The same code without a socket: producer, server and consumer in one process, as the limit is. */
const embedded = 'cadre embedded'
const limit = 'append log'
const nats = 'nats-jetstream, file'
const natsAlways = 'nats-jetstream, file, sync always'
const peers = ['redis-streams', 'bullmq', 'pg-boss send', nats, natsAlways]
const ourRows: ReadonlySet<string> = new Set([ours, wire, embedded])
const loop = (inFlight: number): MessageCell => ({ key: `${inFlight} in flight`, suffix: '', inFlight, perSecond: undefined })
const one = loop(1)
const rate: MessageCell = { key: '500/s', suffix: ' at 500/s', inFlight: null, perSecond: 500 }
const loops = [one, loop(16), loop(64), loop(256)]
const everyCell = [...loops, rate]

const comparisons: Comparison[] = [
  ...loops.map((cell): Comparison => ({ cell, measure: 'per_second' })),
  { cell: one, measure: 'p50' },
  { cell: rate, measure: 'p50' },
  { cell: rate, measure: 'p99' },
]

const throughput = (against: string, inFlight: number, target: number): Goal => ({
  name: `messages/s over ${against}, ${inFlight} in flight`,
  ours,
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
  { name: 'p50 over redis-streams, 1 in flight', ours, against: 'redis-streams p50', inFlight: 1, target: 1.5, bound: 'at most' },
  {
    name: 'p99 over redis-streams at 500/s',
    ours,
    against: 'redis-streams at 500/s p99',
    inFlight: null,
    target: 1,
    bound: 'at most',
  },
  ...[64, 256].map(
    (inFlight): Goal => ({
      name: `messages/s embedded over the append log, ${inFlight} in flight`,
      ours: embedded,
      against: limit,
      inFlight,
      target: 0.5,
      bound: 'at least',
    }),
  ),
]

const notes = [
  'sync: on stable storage before the sender is told. async: survives a crash of the process, not a power cut. No ratio is formed across the two.',
  `${nats}: nats-server answers before it syncs, and by default syncs every 2 minutes (sync_interval); it is therefore async and stands here for its rates only.`,
  `${limit}: one process that appends and syncs what one turn of its event loop brings; no database, no network. ${embedded}: producer, server and consumer in one process too.`,
]

async function run(scope: Scope, { rounds, quick, only, at, profile }: Settings, tell: (line: string) => void) {
  const before = processorTimes()
  const absent = new Map<string, string>()
  const subjects: MessageSubject[] = []
  const wanted = (name: string) => only === undefined || only.test(name)
  const cells = everyCell.filter((cell) => at === undefined || at.test(cell.key))
  const missing = peers.some(wanted) ? await installPeers(tell) : undefined

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
  const cadre = () => once('cadre', () => startCadre(scope, { profile }))
  await add(ours, '../drivers/cadre-messages.ts', cadre)
  await add(wire, '../drivers/wire-messages.ts', cadre)
  await add(embedded, '../drivers/cadre-embedded.ts', undefined)
  await add(limit, '../drivers/append-log.ts', undefined)
  await add('redis-streams', '../peers/redis-streams.ts', redis)
  await add('bullmq', '../peers/bullmq-messages.ts', redis)
  await add('pg-boss send', '../peers/pg-boss-messages.ts', () => once('postgres', () => startPostgres(scope)))
  await add(nats, '../peers/nats-jetstream.ts', () => startNats(scope, 'default'))
  await add(natsAlways, '../peers/nats-jetstream.ts', () => startNats(scope, 'always'))

  const series = await interleave(subjects, cells, {
    rounds,
    ms: quick ? 300 : 1000,
    warmUpMs: quick ? 200 : 500,
    limitMs: quick ? 30_000 : 280_000,
    tell,
  })
  const others = [wire, embedded, limit, ...peers].filter(wanted)
  const names = { ours, others, absent, limit }
  const rows = toRows(series, cells, names, (name) => wanted(name))
  const ratios = [
    ...toRatios(series, comparisons, names),
    // Of the limit in each round, for what runs as the limit does and for the way through sockets.
    ...toRatios(series, comparisons, { ...names, ours: embedded, others: [limit] }),
  ]
  const machine = describeMachine(before)
  const report = { scenario: 'messages', machine, rows, ratios, targets: toTargets(ratios, goals), notes }
  return { report, ok: subjects.every(({ name }) => !ourRows.has(name) || !isFaulty(series, name)) }
}

export const messages: Scenario = { run }
