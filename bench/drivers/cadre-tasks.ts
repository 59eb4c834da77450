/** Tasks through the public SDK: the worker runs in a process of its own and is reached over its socket like any agent. */
import { type Hub, connect } from '@cadre/sdk'
import type { TaskDriver } from '../lib/drivers.ts'
import { storeDurability } from './cadre-state.ts'

const capability = 'bench'
const concurrency = 256

let worker: Hub | undefined
let submitter: Hub | undefined
let report: ((name: string) => void) | undefined

const fields = (name: string) => ({ type: 'noop', title: name, capabilities: [capability], input: { name } })

function expectResult(result: { name?: string } | null, name: string): void {
  if (result?.name !== name) throw new Error(`task ${name} answered ${JSON.stringify(result)}`)
}

export const driver: TaskDriver = {
  async openWorker({ url }, ran) {
    report = ran
    if (!worker) {
      worker = await connect(url, { agent: 'bench-worker', capabilities: [capability], concurrency })
      worker.onTask((task) => {
        const { name } = task.input as { name: string }
        report?.(name)
        return { name }
      })
    }
    return { close: async () => {} }
  },
  async openSubmitter({ url }) {
    const hub = (submitter ??= await connect(url, { agent: 'bench-submitter' }))
    const lastOf = async (name: string, tasks: { key: string; after: string[] }[]) => {
      const graph = await hub.dag(name, (builder) => {
        for (const { key, after } of tasks) builder.task(key, fields(`${name}/${key}`), after)
      })
      const last = tasks.at(-1)?.key ?? ''
      expectResult(await graph.task(last).result(), `${name}/${last}`)
    }
    return {
      async task(name) {
        const handle = await hub.task.create(fields(name))
        expectResult(await handle.result(), name)
      },
      chain: (name, length) =>
        lastOf(
          name,
          Array.from({ length }, (_, step) => ({ key: `t${step}`, after: step === 0 ? [] : [`t${step - 1}`] })),
        ),
      fan(name, width) {
        const side = Array.from({ length: width }, (_, index) => ({ key: `t${index}`, after: [] }))
        return lastOf(name, [...side, { key: 'join', after: side.map((task) => task.key) }])
      },
      close: async () => {},
    }
  },
  durability: storeDurability,
  async end() {
    await submitter?.close()
    await worker?.close()
  },
}
