/** What a client process of the `tasks` scenario does when called: submit, work, tell what happened. */
import type { Consumer, RunSettings, Submitter, TaskDriver } from './drivers.ts'
import { closedLoop } from './load.ts'
import { now } from './now.ts'
import { startRecording, stopRecording } from './recorder.ts'
import { percentile } from './statistics.ts'

export type Shape = 'task' | 'chain' | 'fan' | 'bulk'

export interface TaskLoad {
  run: number
  shape: Shape
  inFlight: number
  ms: number
  /** Length of the chain, width of the fan, tasks of the bulk. */
  size: number
}

export interface TaskOutcome {
  count: number
  seconds: number
  failed: number
  failure: string | undefined
  p50: number | null
  p99: number | null
  /** Of a bulk, whose rate is that of the draining. */
  enqueuedPerSecond?: number
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
      case 'record':
        return startRecording()
      case 'recorded':
        return stopRecording(input as string)
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

async function bulk({ bulk: of }: Submitter, run: number, count: number): Promise<TaskOutcome> {
  if (!of) throw new Error('it has no bulk')
  const startedAt = now()
  await of.enqueue(`${run}.bulk`, count)
  const enqueuedAt = now()
  await of.drain(`${run}.bulk`, count)
  const seconds = (now() - enqueuedAt) / 1000
  const enqueuedPerSecond = (count / (enqueuedAt - startedAt)) * 1000
  return { count, seconds, failed: 0, failure: undefined, p50: null, p99: null, enqueuedPerSecond }
}

async function load(submitter: Submitter, { run, shape, inFlight, ms, size }: TaskLoad): Promise<TaskOutcome> {
  if (shape === 'bulk') return bulk(submitter, run, size)
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
