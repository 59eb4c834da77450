/**
 * The task engine: tasks that do nothing, durable from submission to result. Single tasks at 1, 64 and 256 in flight, a chain of 10,
 * 100 side by side with one that waits for them, and 20,000 that are stored first and then worked off. Ours runs them in an agent inside
 * the server's process, and once more in a worker process behind the SDK.
 */
import type { Settings } from '../lib/arguments.ts'
import { installPeers } from '../lib/peer-packages.ts'
import { type Comparison, type Goal, describeMachine, processorTimes, toRatios, toRows, toTargets } from '../lib/report.ts'
import { interleave, isFaulty } from '../lib/rounds.ts'
import type { Scenario } from '../lib/scenario.ts'
import type { Scope } from '../lib/scope.ts'
import { Absent, type Server, startCadre, startPostgres, startRedis } from '../lib/servers.ts'
import type { Shape } from '../lib/task-client.ts'
import { type TaskCell, type TaskSubject, taskSubject } from '../lib/task-subject.ts'

const ours = 'cadre (in-process worker)'
const remoteWorker = 'cadre (remote worker)'
const ourRows: ReadonlySet<string> = new Set([ours, remoteWorker])
const single = (inFlight: number): TaskCell => ({ key: `${inFlight} in flight`, suffix: '', inFlight, shape: 'task', size: 1 })
const chain: TaskCell = { key: 'chain', suffix: ', chain of 10', inFlight: 1, shape: 'chain', size: 10 }
const fan: TaskCell = { key: 'fan', suffix: ', fan-out/in of 100', inFlight: 1, shape: 'fan', size: 100 }
const singles = [single(1), single(64), single(256)]
/** `--quick` takes fewer. */
const bulkOf = (size: number): TaskCell => ({ key: 'bulk', suffix: `, ${size} drained`, inFlight: null, shape: 'bulk', size })
const bulk = bulkOf(20_000)

const comparisons: Comparison[] = [
  ...singles.map((cell): Comparison => ({ cell, measure: 'per_second' })),
  { cell: chain, measure: 'p50' },
  { cell: fan, measure: 'p50' },
  { cell: bulk, measure: 'per_second' },
]

const wall = (shape: string, against: string, target: number): Goal => ({
  name: `wall time of a ${shape} over ${against}`,
  ours,
  against: `${against}, ${shape} p50`,
  inFlight: 1,
  target,
  bound: 'at most',
})
const rate = (against: string, target: number): Goal => ({
  name: `tasks/s over ${against}, 64 in flight`,
  ours,
  against,
  inFlight: 64,
  target,
  bound: 'at least',
})
const goals: Goal[] = [
  rate('bullmq', 8),
  rate('dbos', 20),
  rate('graphile-worker', 25),
  wall('chain of 10', 'bullmq', 0.5),
  wall('fan-out/in of 100', 'bullmq', 0.2),
  {
    name: 'tasks/s drained over graphile-worker',
    ours,
    against: `graphile-worker${bulk.suffix}`,
    inFlight: null,
    target: 1.5,
    bound: 'at least',
  },
]

const notes = [
  'sync: on stable storage before the submitter is told. No ratio is formed across classes of durability.',
  `${ours}, pg-boss, graphile-worker, dbos and langgraph run the tasks in the submitter's process; ${remoteWorker} and bullmq in a process of their own.`,
  'pg-boss is drained by fetch and complete: its polling worker looks every half second at most. pg-boss and graphile-worker have no fan-in that starts within a second, dbos and langgraph no bulk.',
  'drained: all were stored before the first was worked on; the rate is that of the work.',
]

interface Entrant {
  name: string
  driver: string
  server: 'cadre' | 'redis' | 'postgres' | undefined
  remote: boolean
  shapes: readonly Shape[]
}

const every: readonly Shape[] = ['task', 'chain', 'fan', 'bulk']
const noFan: readonly Shape[] = ['task', 'chain', 'bulk']
const noBulk: readonly Shape[] = ['task', 'chain', 'fan']
const entrants: readonly Entrant[] = [
  { name: ours, driver: '../drivers/cadre-inprocess.ts', server: undefined, remote: false, shapes: every },
  { name: remoteWorker, driver: '../drivers/cadre-tasks.ts', server: 'cadre', remote: true, shapes: noBulk },
  { name: 'bullmq', driver: '../peers/bullmq-tasks.ts', server: 'redis', remote: true, shapes: every },
  // These two tell nobody but the worker that a job is done, so it runs in the submitter's process: to their advantage.
  { name: 'pg-boss', driver: '../peers/pg-boss-tasks.ts', server: 'postgres', remote: false, shapes: noFan },
  { name: 'graphile-worker', driver: '../peers/graphile-tasks.ts', server: 'postgres', remote: false, shapes: noFan },
  { name: 'dbos', driver: '../peers/dbos-tasks.ts', server: 'postgres', remote: false, shapes: noBulk },
  { name: 'langgraph, sqlite', driver: '../peers/langgraph-tasks.ts', server: undefined, remote: false, shapes: noBulk },
]

async function run(scope: Scope, { rounds, quick, only, at, profile }: Settings, tell: (line: string) => void) {
  const before = processorTimes()
  const absent = new Map<string, string>()
  const subjects: TaskSubject[] = []
  const bulkCell = quick ? bulkOf(500) : bulk
  const cells = [...singles, chain, fan, bulkCell].filter((cell) => at === undefined || at.test(cell.key))
  const chosen = entrants.filter((entrant) => only === undefined || only.test(entrant.name))
  const missing = chosen.some((entrant) => !ourRows.has(entrant.name)) ? await installPeers(tell) : undefined
  const starters = { cadre: (of: Scope) => startCadre(of, { profile }), redis: startRedis, postgres: startPostgres }
  const servers = new Map<string, Promise<Server>>()

  for (const { name, driver, server, remote, shapes } of chosen) {
    try {
      if (missing !== undefined && !ourRows.has(name)) throw new Absent(missing)
      const starting = server && (servers.get(server) ?? starters[server](scope))
      if (server && starting) servers.set(server, starting)
      const system = {
        name,
        ours: name === ours,
        server: await starting,
        driver: new URL(driver, import.meta.url),
        remote,
        shapes,
      }
      subjects.push(taskSubject(scope, { ...system, ...(ourRows.has(name) && { profile }) }))
    } catch (error) {
      if (!(error instanceof Absent)) throw error
      absent.set(name, error.message)
      tell(`absent: ${name}: ${error.message}`)
    }
  }
  const series = await interleave(subjects, cells, {
    rounds,
    ms: quick ? 300 : 1000,
    warmUpMs: quick ? 200 : 500,
    limitMs: quick ? 30_000 : 280_000,
    tell,
  })
  const others = chosen.map((entrant) => entrant.name).filter((name) => name !== ours)
  const names = { ours, others, absent }
  const suits = (name: string, cell: TaskCell) =>
    chosen.find((entrant) => entrant.name === name)?.shapes.includes(cell.shape) ?? false
  const rows = toRows(series, cells, names, suits)
  const peers = others.filter((name) => !ourRows.has(name))
  const asked = comparisons.map((each) => (each.cell === bulk ? { ...each, cell: bulkCell } : each))
  const ratios = [
    ...toRatios(series, asked, { ...names, others: peers }),
    ...toRatios(series, asked, { ...names, ours: remoteWorker, others: peers }),
  ]
  const report = {
    scenario: 'tasks',
    machine: describeMachine(before),
    rows,
    ratios,
    targets: toTargets(ratios, goals),
    notes,
  }
  return { report, ok: subjects.every(({ name }) => !ourRows.has(name) || !isFaulty(series, name)) }
}

export const tasks: Scenario = { run }
