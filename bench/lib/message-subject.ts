/** One system of the `messages` scenario: its two client processes, and one verified run. */
import { ClientProcess } from './client-process.ts'
import type { Durability, RunSettings } from './drivers.ts'
import type { Outcome } from './ledger.ts'
import type { Sent } from './load.ts'
import { cpuOf } from './process-cpu.ts'
import type { Cell, Subject } from './rounds.ts'
import type { Scope } from './scope.ts'
import { recorded } from './server-control.ts'
import type { Server } from './servers.ts'

export interface MessageCell extends Cell {
  /** Undefined: closed loop of `inFlight`. */
  perSecond: number | undefined
}

export type MessageSubject = Subject<MessageCell>

/** How long the consumer may take after the last send. */
const drainMs = 15_000
const rateMs = 2_000

export interface MessageSystem {
  name: string
  ours: boolean
  /** Undefined: it needs none, and one process both produces and consumes. */
  server: Server | undefined
  driver: URL
}

let runs = 0

export function messageSubject(scope: Scope, { name, ours, server, driver }: MessageSystem): MessageSubject {
  const start = (role: string) => ClientProcess.start(scope, 'messages', driver, `${name} ${role}`)
  const consumer = start('consumer')
  const producer = server ? start('producer') : consumer
  const url = server?.url ?? ''
  const serverPids = server ? [server.pid] : []
  const pids = [...new Set([consumer.pid, producer.pid, ...serverPids])]
  scope.defer(async () => {
    await Promise.allSettled([...new Set([producer, consumer])].map((client) => client.call('end', undefined, 3_000)))
  })

  return {
    name,
    ours,
    durability: () => producer.call<Durability>('durability', url),
    async measure(cell, ms) {
      const run = ++runs
      const inFlight = cell.inFlight ?? 16
      const settings: RunSettings = { url, run, inFlight }
      await consumer.call('consumer', settings)
      await producer.call('producer', settings)
      const before = cpuOf(pids)
      const serverBefore = cpuOf(serverPids)
      const { perSecond } = cell
      const load = { run, inFlight, ms: perSecond === undefined ? ms : Math.min(2 * ms, rateMs), perSecond }
      const { sent, outcome } = await recorded(server, `${name} ${cell.key}`, async () => {
        const made = await producer.call<Sent>('load', load)
        return { sent: made, outcome: await consumer.call<Outcome>('finish', { expected: made.count, ms: drainMs }) }
      })
      const cpu = cpuOf(pids) - before
      const serverCpu = cpuOf(serverPids) - serverBefore
      const unsettled = await producer.call<string | undefined>('unsettled', url)
      for (const client of new Set([producer, consumer])) await client.call('close', undefined)
      return {
        perSecond: (sent.count / (outcome.lastAt - sent.firstAt)) * 1000,
        p50: outcome.p50,
        p99: outcome.p99,
        cpuUs: cpu / sent.count,
        serverCpuUs: serverPids.length === 0 ? Number.NaN : serverCpu / sent.count,
        fault: faultOf(sent, outcome) ?? unsettled,
      }
    },
  }
}

/** Each id that was sent must have come, once. */
function faultOf(sent: Sent, outcome: Outcome): string | undefined {
  if (sent.count === 0) return 'nothing was sent'
  if (sent.failed > 0) return `${sent.failed} of ${sent.count} sends failed: ${sent.failure}`
  if (outcome.missing > 0) return `${outcome.missing} of ${sent.count} messages did not come`
  if (outcome.duplicates > 0) return `${outcome.duplicates} of ${sent.count} messages came twice`
  if (outcome.strays > 0) return `${outcome.strays} messages of another run came`
  return undefined
}
