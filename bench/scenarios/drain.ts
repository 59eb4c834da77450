/**
 * Does the engine slow down as its history grows? 100,000 tasks are stored and then worked off by an agent in the server's process, in an
 * empty store and in one with 1,000,000 finished tasks, each time in a process of its own.
 */
import { join } from 'node:path'
import type { Settings } from '../lib/arguments.ts'
import { ClientProcess } from '../lib/client-process.ts'
import type { Durability, RunSettings } from '../lib/drivers.ts'
import { cpuOf } from '../lib/process-cpu.ts'
import { describeMachine, judge, processorTimes, toRatios, toRows } from '../lib/report.ts'
import { type Cell, type Subject, interleave, isFaulty } from '../lib/rounds.ts'
import type { Scenario } from '../lib/scenario.ts'
import type { Scope } from '../lib/scope.ts'
import type { Executions, TaskOutcome } from '../lib/task-client.ts'
import { addFinished } from '../lib/task-history.ts'

const driver = new URL('../drivers/cadre-inprocess.ts', import.meta.url)
const empty = 'cadre, empty store'
const target = 0.8
const sampleMs = 1_000
const drainLimitMs = 600_000

let runs = 0

/** Stores and works off so many tasks in the store of that folder, in a process of its own. */
async function drainOnce(scope: Scope, label: string, folder: string, count: number) {
  const run = ++runs
  const inner = scope.within()
  try {
    const client = ClientProcess.start(inner, 'tasks', driver, label)
    await client.call('submitter', { url: folder, run, inFlight: 1 } satisfies RunSettings, 120_000)
    const before = cpuOf([client.pid])
    const load = { run, shape: 'bulk', inFlight: 1, ms: 0, size: count }
    const outcome = await client.call<TaskOutcome>('load', load, drainLimitMs)
    const cpu = cpuOf([client.pid]) - before
    const executions = await client.call<Executions>('executions', { run })
    const durability = await client.call<Durability>('durability', folder)
    await client.call('end', undefined)
    return { outcome, cpu, executions, durability }
  } finally {
    await inner.close()
  }
}

async function run(scope: Scope, { rounds, quick }: Settings, tell: (line: string) => void) {
  const before = processorTimes()
  const [count, past] = quick ? [500, 5_000] : [100_000, 1_000_000]
  const full = `cadre, ${past} finished`
  const cell: Cell = { key: 'drain', suffix: `, ${count} drained`, inFlight: null }
  const history = scope.folder('history')
  await drainOnce(scope, 'model', history, 1)
  const since = performance.now()
  addFinished(join(history, 'cadre.db'), past)
  tell(`${past} finished tasks stored in ${((performance.now() - since) / 1000).toFixed(1)} s`)

  const durabilities = new Map<string, Durability>()
  const subject = (name: string, folder: () => string): Subject<Cell> => ({
    name,
    ours: name === full,
    durability: () => Promise.resolve(durabilities.get(name) ?? 'none'),
    async measure(_cell, ms) {
      const tasks = Math.max(1, Math.round((count * ms) / sampleMs))
      const { outcome, cpu, executions, durability } = await drainOnce(scope, name, folder(), tasks)
      durabilities.set(name, durability)
      const isWhole = executions.unique === tasks && executions.repeated === 0
      return {
        perSecond: outcome.count / outcome.seconds,
        p50: Number.NaN,
        p99: Number.NaN,
        cpuUs: cpu / outcome.count,
        serverCpuUs: Number.NaN,
        ...(outcome.enqueuedPerSecond !== undefined && { enqueuedPerSecond: outcome.enqueuedPerSecond }),
        fault: isWhole ? undefined : `${executions.unique} of ${tasks} tasks ran, ${executions.repeated} more than once`,
      }
    },
  })
  const subjects = [subject(full, () => history), subject(empty, () => scope.folder('empty'))]
  const series = await interleave(subjects, [cell], { rounds, ms: sampleMs, warmUpMs: sampleMs / 10, limitMs: 900_000, tell })
  const names = { ours: full, others: [empty], absent: new Map<string, string>() }
  const ratios = toRatios(series, [{ cell, measure: 'per_second' }], names)
  const report = {
    scenario: 'drain',
    machine: describeMachine(before),
    rows: toRows(series, [cell], names, () => true),
    ratios,
    targets: [judge('tasks/s with a history over an empty store', ratios[0]?.median ?? null, target, 'at least')],
    notes: [
      `All were stored before the first was worked on; the rate is that of the work. The ${past} finished tasks were written by the database itself, copied from one that the engine had completed: task, attempt and log entries. What a sample drains stays in that store; the empty store is new for each sample.`,
    ],
  }
  return { report, ok: !subjects.some(({ name }) => isFaulty(series, name)) }
}

export const drain: Scenario = { run }
