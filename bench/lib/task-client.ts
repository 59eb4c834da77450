/** What a client process of the `tasks` scenario does when called: submit, work, tell what happened. */
import type { Consumer, RunSettings, Submitter, TaskDriver } from './drivers.ts'
import { closedLoop } from './load.ts'
import { now } from './now.ts'
import { percentile } from './statistics.ts'

export type Shape = 'task' | 'chain' | 'fan'

export interface TaskLoad {
  run: number
  shape: Shape
  inFlight: number
  ms: number
  /** Length of the chain or width of the fan. */
  size: number
}

export interface TaskOutcome {
  count: number
  seconds: number
  failed: number
  failure: string | undefined
  p50: number
  p99: number
}

export interface Executions {
  unique: number
  repeated: number
}

export function serveTasks(driver: TaskDriver): (name: string, input: unknown) => Promise<unknown> {
  let worker: Consumer | undefined
  let submitter: Submitter | undefined
  let executed = new Map<string, number>()
  const ran = (name: string) => executed.set(name, (executed.get(name) ?? 0) + 1)
  return async (name, input) => {
    switch (name) {
      case 'worker':
        worker = await driver.openWorker?.(input as RunSettings, ran)
        return undefined
      case 'submitter':
        submitter = await driver.openSubmitter(input as RunSettings, ran)
        return { chain: submitter.chain !== undefined, fan: submitter.fan !== undefined }
      case 'load':
        return load(submitter as Submitter, input as TaskLoad)
      case 'executions': {
        const prefix = `${(input as { run: number }).run}.`
        const counts = [...executed].filter(([task]) => task.startsWith(prefix)).map(([, count]) => count)
        executed = new Map()
        const answer: Executions = { unique: counts.length, repeated: counts.filter((count) => count > 1).length }
        return answer
      }
      case 'close':
        await submitter?.close()
        await worker?.close()
        submitter = undefined
        worker = undefined
        return undefined
      case 'durability':
        return driver.durability(input as string)
      case 'end':
        await driver.end?.()
        return undefined
      default:
        throw new Error(`no such call: ${name}`)
    }
  }
}

async function load(submitter: Submitter, { run, shape, inFlight, ms, size }: TaskLoad): Promise<TaskOutcome> {
  const latencies: number[] = []
  let endedAt = 0
  const sent = await closedLoop({ inFlight, ms, most: 1_000_000 }, async (id, at) => {
    const name = `${run}.${id}`
    if (shape === 'task') await submitter.task(name)
    else await submitter[shape]?.(name, size)
    endedAt = now()
    latencies.push(endedAt - at)
  })
  const sorted = Float64Array.from(latencies).sort()
  return {
    count: sent.count,
    seconds: (endedAt - sent.firstAt) / 1000,
    failed: sent.failed,
    failure: sent.failure,
    p50: percentile(sorted, 0.5),
    p99: percentile(sorted, 0.99),
  }
}
