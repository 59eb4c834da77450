/**
 * One message to many connections: broadcasts to registered agents, and the event feed to those who follow the log, each beside a bare
 * `ws` server that stores nothing. Then ten messages at once, and what a connection costs that does nothing.
 */
import type { Settings } from '../lib/arguments.ts'
import { type FanCell, type FanSubject, fanSubject, idleMemory } from '../lib/fan-subject.ts'
import { installPeers } from '../lib/peer-packages.ts'
import {
  type Comparison,
  type Goal,
  type Ratio,
  type Row,
  type Target,
  describeMachine,
  judge,
  processorTimes,
  toRatios,
  toRows,
  toTargets,
} from '../lib/report.ts'
import { interleave, isFaulty } from '../lib/rounds.ts'
import type { Scenario } from '../lib/scenario.ts'
import type { Scope } from '../lib/scope.ts'
import { Absent, type Server, startBareSockets, startCadre } from '../lib/servers.ts'
import { median, rounded } from '../lib/statistics.ts'

interface Entrant {
  name: string
  mode: string
  server: 'cadre' | 'bare'
}

const plain: Entrant = { name: 'cadre broadcast, plain', mode: 'plain', server: 'cadre' }
const leased: Entrant = { name: 'cadre broadcast, leased', mode: 'leased', server: 'cadre' }
const feed: Entrant = { name: 'cadre event feed', mode: 'watch', server: 'cadre' }
const prepared: Entrant = { name: 'ws, one prepared frame', mode: 'prepared', server: 'bare' }
const sends: Entrant = { name: 'ws, a send each', mode: 'sends', server: 'bare' }
const ours = [plain, leased, feed]
const bounds = [prepared, sends]
const idlers: readonly Entrant[] = [
  { name: 'cadre, connected', mode: 'connected', server: 'cadre' },
  { name: 'cadre, registered', mode: 'leased', server: 'cadre' },
  { name: 'ws, connected', mode: 'sends', server: 'bare' },
]
const drivers = {
  cadre: new URL('../drivers/fan-cadre.ts', import.meta.url),
  bare: new URL('../drivers/fan-bare.ts', import.meta.url),
}

const burstSize = 10
const burstConnections = 1_000
const idleConnections = 5_000
/** Each opens all its connections again. */
const mostIdleRounds = 3

const goals: Goal[] = ours.flatMap(({ name }) => [
  ...[100, 1_000, 5_000].map(
    (connections): Goal => ({
      name: `deliveries/s of ${name} over ${prepared.name}, ${connections} connections`,
      ours: name,
      against: prepared.name,
      inFlight: null,
      connections,
      target: 0.9,
      bound: 'at least',
    }),
  ),
  {
    name: `deliveries/s of ${name} over ${sends.name}, burst of ${burstSize} to ${burstConnections}`,
    ours: name,
    against: `${sends.name}, burst of ${burstSize}`,
    inFlight: null,
    connections: burstConnections,
    target: 4,
    bound: 'at least',
  },
])
const idleGoals = idlers
  .filter((idler) => idler.server === 'cadre')
  .map(({ name }) => ({ name, title: `KiB resident of an idle connection: ${name}`, target: 12 }))

const notes = [
  'A delivery is one message at one connection. One order after the other, each when the one before it has arrived everywhere; latencies run from the order.',
  'Cadre stores the message on stable storage before it is delivered, delivers an envelope of some 600 bytes and counts each delivery; ws delivers 256 bytes and stores nothing: a bound, not a peer.',
  'plain: acknowledged on write. leased: each client acknowledges each delivery at once, which the server reads and stores. event feed: operators who follow message.sent.',
  'Idle: resident memory of the server process, its garbage collected before and after; buffers of the kernel are not in it.',
]

const cellOf = (connections: number, burst: number): FanCell => ({
  key: `${burst === 1 ? 'one message' : `${burst} messages`} to ${connections}`,
  suffix: burst === 1 ? '' : `, burst of ${burst}`,
  inFlight: null,
  connections,
  burst,
})

async function run(scope: Scope, { rounds, quick, only, at, profile }: Settings, tell: (line: string) => void) {
  const before = processorTimes()
  const wanted = ({ name }: Entrant) => only === undefined || only.test(name)
  const absent = new Map<string, string>()
  const rows: Row[] = []
  const ratios: Ratio[] = []
  let ok = true
  const missing = [...bounds, ...idlers].some((each) => each.server === 'bare' && wanted(each))
    ? await installPeers(tell)
    : undefined
  const start = (of: Scope, server: Entrant['server']): Promise<Server> => {
    if (server === 'cadre') return startCadre(of, { hook: true, profile })
    if (missing !== undefined) throw new Absent(missing)
    return startBareSockets(of, { hook: true })
  }

  for (const connections of quick ? [20] : [100, 1_000, 5_000]) {
    const bursts = connections === burstConnections || quick ? [1, burstSize] : [1]
    const cells = bursts.map((burst) => cellOf(connections, burst)).filter((cell) => at === undefined || at.test(cell.key))
    if (cells.length === 0) continue
    const inner = scope.within()
    try {
      await measureSize(inner, connections, cells)
    } finally {
      await inner.close()
    }
  }
  const targets = toTargets(ratios, goals)
  if (at === undefined || at.test('idle')) targets.push(...(await measureIdle(quick ? 100 : idleConnections)))
  return { report: { scenario: 'fanout', machine: describeMachine(before), rows, ratios, targets, notes }, ok }

  async function measureSize(inner: Scope, connections: number, cells: readonly FanCell[]): Promise<void> {
    const subjects: FanSubject[] = []
    for (const entrant of [...ours, ...bounds].filter(wanted)) {
      const { name, mode, server } = entrant
      try {
        // Each of ours has a server of its own, for a broadcast reaches every agent; both ways of the bare one have sockets of their own too.
        const running = await start(inner, server)
        const openedAt = performance.now()
        const system = { name, ours: server === 'cadre', server: running, driver: drivers[server], mode }
        subjects.push(await fanSubject(inner, system, connections))
        tell(`${name}: ${connections} connections in ${Math.round(performance.now() - openedAt)} ms`)
      } catch (error) {
        if (!(error instanceof Absent)) throw error
        absent.set(name, error.message)
        tell(`absent: ${name}: ${error.message}`)
      }
    }
    const series = await interleave(subjects, cells, {
      rounds,
      ms: quick ? 200 : 1000,
      warmUpMs: quick ? 100 : 1000,
      limitMs: quick ? 20_000 : 180_000,
      tell,
    })
    const comparisons = cells.flatMap((cell): Comparison[] => [
      { cell, measure: 'per_second' },
      { cell, measure: 'p99' },
    ])
    const present = [...ours, ...bounds].filter(wanted).map((each) => each.name)
    const [first, ...others] = present
    if (first === undefined) return
    const boundNames = bounds.filter(wanted).map((each) => each.name)
    rows.push(...toRows(series, cells, { ours: first, others, absent }, () => true))
    for (const { name } of ours.filter(wanted)) {
      ratios.push(...toRatios(series, comparisons, { ours: name, others: boundNames, absent, bounds: boundNames }))
      ok &&= !isFaulty(series, name)
    }
  }

  async function measureIdle(connections: number): Promise<Target[]> {
    const found = new Map<string, number[]>()
    for (let round = 1; round <= Math.min(rounds, mostIdleRounds); round++) {
      for (const idler of idlers.filter(wanted)) {
        const inner = scope.within()
        try {
          const kib = await idleMemory(
            inner,
            () => start(inner, idler.server),
            { ...idler, driver: drivers[idler.server] },
            connections,
          )
          tell(`round ${round} ${idler.name}: ${rounded(kib)} KiB each of ${connections}`)
          if (Number.isFinite(kib)) found.set(idler.name, [...(found.get(idler.name) ?? []), kib])
        } catch (error) {
          if (!(error instanceof Absent)) throw error
          absent.set(idler.name, error.message)
        } finally {
          await inner.close()
        }
      }
    }
    for (const { name } of idlers.filter(wanted)) {
      const values = found.get(name)
      rows.push({
        name,
        durability: absent.has(name) ? 'absent' : 'none',
        in_flight: null,
        connections,
        per_second: null,
        p50_ms: null,
        p99_ms: null,
        cpu_us_per_op: null,
        server_cpu_us_per_op: null,
        kib_per_connection: values ? rounded(median(values)) : null,
      })
    }
    return idleGoals.map(({ name, title, target }) => {
      const values = connections === idleConnections ? found.get(name) : undefined
      return judge(title, values ? rounded(median(values)) : null, target, 'at most')
    })
  }
}

export const fanout: Scenario = { run }
