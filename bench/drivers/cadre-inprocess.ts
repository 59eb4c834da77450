/**
 * Tasks of an agent inside the server's process: the same door, store and engine without a socket. A task counts as done once its
 * completion is answered, which is after the commit.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Assignment } from '@cadre/contract'
import { type RunningServer, startServer } from 'cadre'
import { readConfig } from '../../server/src/config.ts'
import type { TaskDriver } from '../lib/drivers.ts'
import { storeDurability } from './cadre-state.ts'

type Agent = Awaited<ReturnType<RunningServer['embed']>>

const capability = 'bench'
const concurrency = 256
/** Tasks in one call of a bulk submission. */
const bulkSize = 1_000
const assigned = '{"type":"task:assigned"'

let folder: string | undefined
process.once('exit', () => folder !== undefined && rmSync(folder, { recursive: true, force: true }))

/** `given`: a folder whose store is taken up and stays. */
async function start(given: string): Promise<RunningServer> {
  if (given === '') folder = mkdtempSync(join(tmpdir(), 'cadre-bench-inprocess-'))
  const data = folder ?? given
  const config = readConfig({ CADRE_DATA: data, CADRE_PORT: '0', CADRE_HOST: '127.0.0.1', LOG_LEVEL: 'warn' })
  return startServer({ config, workerCommand: [process.execPath, '-e', ''], assets: data })
}

const waiting = new Map<string, { resolve: () => void; reject: (error: unknown) => void }>()
const ended = (name: string) => new Promise<void>((resolve, reject) => waiting.set(name, { resolve, reject }))
let report: (name: string) => void = () => {}

async function work(server: RunningServer): Promise<Agent> {
  const finish = async ({ id, lease, input }: Assignment) => {
    const { name } = input as { name: string }
    report(name)
    try {
      const { state, result } = await agent.invoke('tasks.complete', { id, lease, result: { name } })
      if (state !== 'completed' || (result as { name: string }).name !== name) throw new Error(`task ${name} is ${state}`)
      waiting.get(name)?.resolve()
    } catch (error) {
      waiting.get(name)?.reject(error)
    }
    waiting.delete(name)
  }
  const agent = await server.embed({ name: 'bench-worker', capabilities: [capability], concurrency, credits: 1 }, (frames) => {
    for (const text of frames) if (text.startsWith(assigned)) void finish((JSON.parse(text) as { data: Assignment }).data)
  })
  return agent
}

let starting: Promise<RunningServer> | undefined
let submitting: Promise<Agent> | undefined
let working: Promise<Agent> | undefined
/** `url`: empty, or the folder of a store that is to be taken up. */
const running = (url: string) => (starting ??= start(url))

const fields = (name: string) => ({ type: 'noop', title: name, capabilities: [capability], input: { name } })

export const driver: TaskDriver = {
  openWorker: undefined,
  async openSubmitter({ url }, ran) {
    report = ran
    const server = await running(url)
    const submitter = await (submitting ??= server.embed({ name: 'bench-submitter', credits: 1 }, () => {}))
    const worker = () => (working ??= work(server))
    const lastOf = async (name: string, tasks: readonly { key: string; depends_on: string[] }[]) => {
      const last = ended(`${name}/${tasks.at(-1)?.key}`)
      await submitter.invoke('tasks.dag', { name, tasks: tasks.map((task) => ({ ...task, ...fields(`${name}/${task.key}`) })) })
      await last
    }
    await worker()
    return {
      async task(name) {
        const end = ended(name)
        await submitter.invoke('tasks.create', fields(name))
        await end
      },
      chain: (name, length) =>
        lastOf(
          name,
          Array.from({ length }, (_, step) => ({ key: `t${step}`, depends_on: step === 0 ? [] : [`t${step - 1}`] })),
        ),
      fan(name, width) {
        const side = Array.from({ length: width }, (_, index) => ({ key: `t${index}`, depends_on: [] as string[] }))
        return lastOf(name, [...side, { key: 'join', depends_on: side.map((task) => task.key) }])
      },
      bulk: {
        async enqueue(name, count) {
          ;(await worker()).close()
          working = undefined
          const keys = Array.from({ length: count }, (_, index) => String(index))
          for (let from = 0; from < count; from += bulkSize) {
            const tasks = keys.slice(from, from + bulkSize).map((key) => ({ key, ...fields(`${name}/${key}`) }))
            await submitter.invoke('tasks.dag', { name, tasks })
          }
        },
        async drain(name, count) {
          const all = Promise.all(Array.from({ length: count }, (_, index) => ended(`${name}/${index}`)))
          await worker()
          await all
        },
      },
      close: async () => {},
    }
  },
  durability: async (url) => storeDurability(`http://127.0.0.1:${(await running(url)).port}`),
  async end() {
    await (await starting)?.close()
  },
}
