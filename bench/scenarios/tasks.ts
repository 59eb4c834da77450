/**
 * The task engine: tasks that do nothing, durable from submission to result. Single tasks at 1, 64 and 256 in flight, a chain of 10, and
 * 100 side by side with one that waits for them. Ours runs them in a worker process behind the SDK.
 */
import type { Settings } from '../lib/arguments.ts'
import { installPeers } from '../lib/peer-packages.ts'
import { type Comparison, type Goal, describeMachine, processorTimes, toRatios, toRows, toTargets } from '../lib/report.ts'
import { interleave } from '../lib/rounds.ts'
import type { Scenario } from '../lib/scenario.ts'
import type { Scope } from '../lib/scope.ts'
import { Absent, type Server, startCadre, startPostgres, startRedis } from '../lib/servers.ts'
import type { Shape } from '../lib/task-client.ts'
import { type TaskCell, type TaskSubject, taskSubject } from '../lib/task-subject.ts'

const ours = 'cadre (remote worker)'
const single = (inFlight: number): TaskCell => ({ key: `${inFlight} in flight`, suffix: '', inFlight, shape: 'task', size: 1 })
const chain: TaskCell = { key: 'chain', suffix: ', chain of 10', inFlight: 1, shape: 'chain', size: 10 }
const fan: TaskCell = { key: 'fan', suffix: ', fan-out/in of 100', inFlight: 1, shape: 'fan', size: 100 }
const singles = [single(1), single(64), single(256)]
const everyCell = [...singles, chain, fan]

const comparisons: Comparison[] = [
  ...singles.map((cell): Comparison => ({ cell, measure: 'per_second' })),
  { cell: chain, measure: 'p50' },
  { cell: fan, measure: 'p50' },
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
  rate('graphile-worker', 25),
  wall('chain of 10', 'bullmq', 0.5),
  wall('fan-out/in of 100', 'bullmq', 0.2),
]

interface Entrant {
  name: string
  driver: string
  server: 'cadre' | 'redis' | 'postgres'
  remote: boolean
  shapes: readonly Shape[]
}

const every: readonly Shape[] = ['task', 'chain', 'fan']
const noFan: readonly Shape[] = ['task', 'chain']
const entrants: readonly Entrant[] = [
  { name: ours, driver: '../drivers/cadre-tasks.ts', server: 'cadre', remote: true, shapes: every },
  { name: 'bullmq', driver: '../peers/bullmq-tasks.ts', server: 'redis', remote: true, shapes: every },
  // These two tell nobody but the worker that a job is done, so it runs in the submitter's process: to their advantage.
  { name: 'pg-boss', driver: '../peers/pg-boss-tasks.ts', server: 'postgres', remote: false, shapes: noFan },
  { name: 'graphile-worker', driver: '../peers/graphile-tasks.ts', server: 'postgres', remote: false, shapes: noFan },
]

async function run(scope: Scope, { rounds, quick, only, at, profile }: Settings, tell: (line: string) => void) {
  const before = processorTimes()
  const absent = new Map<string, string>()
  const subjects: TaskSubject[] = []
  const cells = everyCell.filter((cell) => at === undefined || at.test(cell.key))
  const chosen = entrants.filter((entrant) => only === undefined || only.test(entrant.name))
  const missing = chosen.some((entrant) => entrant.name !== ours) ? await installPeers(tell) : undefined
  const starters = { cadre: (of: Scope) => startCadre(of, { profile }), redis: startRedis, postgres: startPostgres }
  const servers = new Map<string, Promise<Server>>()

  for (const { name, driver, server, remote, shapes } of chosen) {
    try {
      if (missing !== undefined && name !== ours) throw new Absent(missing)
      const starting = servers.get(server) ?? starters[server](scope)
      servers.set(server, starting)
      const url = new URL(driver, import.meta.url)
      subjects.push(taskSubject(scope, { name, ours: name === ours, server: await starting, driver: url, remote, shapes }))
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
  const ratios = toRatios(series, comparisons, names)
  const report = {
    scenario: 'tasks',
    machine: describeMachine(before),
    rows,
    ratios,
    targets: toTargets(ratios, goals),
    notes: [],
  }
  return { report, ok: [...series.faults.keys()].every((key) => !key.endsWith(` ${ours}`)) }
}

export const tasks: Scenario = { run }
