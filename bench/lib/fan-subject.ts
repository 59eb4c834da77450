/** One system of the `fanout` scenario at one number of connections: its server, its client process, and one verified run. */
import { ClientProcess } from './client-process.ts'
import type { Durability } from './drivers.ts'
import type { FanOutcome, FanSettings } from './fan-client.ts'
import { sleep } from './now.ts'
import { cpuOf, residentKib } from './process-cpu.ts'
import type { Cell, Subject } from './rounds.ts'
import type { Scope } from './scope.ts'
import { recorded } from './server-control.ts'
import type { Server } from './servers.ts'

export interface FanCell extends Cell {
  connections: number
  /** Messages at once. */
  burst: number
}

export type FanSubject = Subject<FanCell>

export interface FanSystem {
  name: string
  ours: boolean
  server: Server
  driver: URL
  mode: string
}

const openMs = 240_000

/** Opens the connections; they stay until the scope closes. */
export async function fanSubject(
  scope: Scope,
  { name, ours, server, driver, mode }: FanSystem,
  connections: number,
): Promise<FanSubject> {
  const client = ClientProcess.start(scope, 'fanout', driver, name)
  await client.call('open', { url: server.url, mode, connections } satisfies FanSettings, openMs)
  const serverPids = [server.pid]
  const pids = [client.pid, server.pid]
  return {
    name,
    ours,
    durability: () => client.call<Durability>('durability', server.url),
    async measure(cell, ms) {
      const before = cpuOf(pids)
      const serverBefore = cpuOf(serverPids)
      const outcome = await recorded(server, `${name} ${cell.key}`, () =>
        client.call<FanOutcome>('run', { mode, burst: cell.burst, ms }, 120_000),
      )
      const cpu = cpuOf(pids) - before
      const serverCpu = cpuOf(serverPids) - serverBefore
      const { deliveries, wallMs, p50, p99, fault } = outcome
      return {
        perSecond: (deliveries / wallMs) * 1000,
        p50,
        p99,
        cpuUs: cpu / deliveries,
        serverCpuUs: serverCpu / deliveries,
        fault,
      }
    },
  }
}

const warmUp = 200
const settleMs = 1_000

/** KiB of resident memory that each of so many idle connections adds to a fresh server, its garbage collected before and after. */
export async function idleMemory(
  scope: Scope,
  start: () => Promise<Server>,
  { name, driver, mode }: Pick<FanSystem, 'name' | 'driver' | 'mode'>,
  connections: number,
): Promise<number> {
  const server = await start()
  const client = ClientProcess.start(scope, 'fanout', driver, `${name}, idle`)
  const read = async () => {
    // Twice: what the first leaves to finalisers the second takes. Pages go back to the system a moment later.
    for (let times = 0; times < 2; times++) {
      await sleep(settleMs)
      await server.control?.collect()
    }
    await sleep(settleMs)
    return residentKib(server.pid)
  }
  // Code that runs for the first time takes memory too, and only once.
  await client.call('open', { url: server.url, mode, connections: warmUp } satisfies FanSettings, openMs)
  await client.call('close', undefined)
  const before = await read()
  await client.call('open', { url: server.url, mode, connections } satisfies FanSettings, openMs)
  const after = await read()
  return (after - before) / connections
}
