/** One system of the `tasks` scenario: submitter and worker processes, and one verified run. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { ClientProcess } from './client-process.ts'
import type { Durability, RunSettings } from './drivers.ts'
import { cpuOf } from './process-cpu.ts'
import type { Cell, Subject } from './rounds.ts'
import type { Scope } from './scope.ts'
import { recorded } from './server-control.ts'
import type { Server } from './servers.ts'
import type { Executions, Shape, TaskOutcome } from './task-client.ts'

export interface TaskCell extends Cell {
  shape: Shape
  /** Length of the chain, width of the fan, tasks of the bulk. */
  size: number
}

export type TaskSubject = Subject<TaskCell>

export interface TaskSystem {
  name: string
  ours: boolean
  /** Undefined: the submitter's process is the whole system. */
  server: Server | undefined
  driver: URL
  /** Worker in a process of its own; otherwise the submitter runs the tasks itself. */
  remote: boolean
  shapes: readonly Shape[]
  /** Folder for profiles of a system without a server process. */
  profile?: string | undefined
}

let runs = 0

export function taskSubject(scope: Scope, { name, ours, server, driver, remote, shapes, profile }: TaskSystem): TaskSubject {
  const url = server?.url ?? ''
  const start = (role: string) => ClientProcess.start(scope, 'tasks', driver, `${name} ${role}`)
  const submitter = start('submitter')
  const worker = remote ? start('worker') : submitter
  const clients = [...new Set([submitter, worker])]
  const serverPids = server ? [server.pid] : []
  const pids = [...clients.map((client) => client.pid), ...serverPids]
  scope.defer(() => Promise.allSettled(clients.map((client) => client.call('end', undefined, 3_000))))

  return {
    name,
    ours,
    suits: (cell) => shapes.includes(cell.shape),
    durability: () => submitter.call<Durability>('durability', url),
    async measure(cell, ms) {
      const run = ++runs
      const inFlight = cell.inFlight ?? 1
      const settings: RunSettings = { url, run, inFlight }
      if (remote) await worker.call('worker', settings)
      await submitter.call('submitter', settings)
      const before = cpuOf(pids)
      const serverBefore = cpuOf(serverPids)
      const { shape, size } = cell
      const label = `${name} ${cell.key}`
      const load = () =>
        submitter.call<TaskOutcome>('load', { run, shape, inFlight, ms, size }, shape === 'bulk' ? 120_000 : 25_000)
      const outcome = server ? await recorded(server, label, load) : await profiled(label, load)
      const cpu = cpuOf(pids) - before
      const serverCpu = cpuOf(serverPids) - serverBefore
      const executions = await worker.call<Executions>('executions', { run })
      for (const client of clients) await client.call('close', undefined)
      return {
        perSecond: outcome.count / outcome.seconds,
        // A bulk has none, and what is no number comes over the channel as null.
        p50: outcome.p50 ?? Number.NaN,
        p99: outcome.p99 ?? Number.NaN,
        cpuUs: cpu / outcome.count,
        ...(outcome.enqueuedPerSecond !== undefined && { enqueuedPerSecond: outcome.enqueuedPerSecond }),
        serverCpuUs: serverPids.length === 0 ? Number.NaN : serverCpu / outcome.count,
        fault: faultOf(cell, outcome, executions),
      }
    },
  }

  async function profiled<T>(label: string, work: () => Promise<T>): Promise<T> {
    if (profile === undefined) return work()
    mkdirSync(profile, { recursive: true })
    await submitter.call('record', undefined)
    try {
      return await work()
    } finally {
      await submitter.call('recorded', join(profile, `${label.replaceAll(/[^\w]+/g, '-')}.${runs}.cpuprofile`))
    }
  }
}

/** Every task of every graph must have run, once. */
function faultOf({ shape, size }: TaskCell, { count, failed, failure }: TaskOutcome, executions: Executions): string | undefined {
  const expected = count * (shape === 'task' || shape === 'bulk' ? 1 : shape === 'chain' ? size : size + 1)
  if (count === 0) return 'nothing was submitted'
  if (failed > 0) return `${failed} of ${count} submissions failed: ${failure}`
  if (executions.unique !== expected) return `${executions.unique} of ${expected} tasks ran`
  if (executions.repeated > 0) return `${executions.repeated} of ${expected} tasks ran more than once`
  return undefined
}
