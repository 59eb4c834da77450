/**
 * DBOS Transact on PostgreSQL: a workflow a task, which writes when it begins and when it has ended; chain and fan are steps of one
 * workflow, each written when it has ended. Workflows run in the process that starts them, as DBOS has it, on a
 * pool of 24 connections instead of its 10.
 */
import { DBOS } from '@dbos-inc/dbos-sdk'
import type { TaskDriver } from '../lib/drivers.ts'
import { postgresDurability } from './pg-boss-state.ts'

interface Workflows {
  task(name: string): Promise<string>
  chain(name: string, length: number): Promise<string>
  fan(name: string, width: number): Promise<string>
}

let report: (name: string) => void = () => {}
let launching: Promise<Workflows> | undefined

async function launch(url: string): Promise<Workflows> {
  DBOS.setConfig({ name: 'bench', systemDatabaseUrl: url, runAdminServer: false, logLevel: 'error', systemDatabasePoolSize: 24 })
  const step = (name: string) =>
    DBOS.runStep(
      () => {
        report(name)
        return Promise.resolve(name)
      },
      { name: 'step' },
    )
  const task = DBOS.registerWorkflow(
    (name: string) => {
      report(name)
      return Promise.resolve(name)
    },
    { name: 'task' },
  )
  const chain = DBOS.registerWorkflow(
    async (name: string, length: number) => {
      for (let index = 0; index < length; index++) await step(`${name}/${index}`)
      return name
    },
    { name: 'chain' },
  )
  const fan = DBOS.registerWorkflow(
    async (name: string, width: number) => {
      await Promise.all(Array.from({ length: width }, (_, index) => step(`${name}/${index}`)))
      await step(`${name}/join`)
      return name
    },
    { name: 'fan' },
  )
  await DBOS.launch()
  return { task, chain, fan }
}

async function expectName(name: string, answer: Promise<string>): Promise<void> {
  if ((await answer) !== name) throw new Error(`workflow ${name} answered ${await answer}`)
}

export const driver: TaskDriver = {
  openWorker: undefined,
  async openSubmitter({ url }, ran) {
    report = ran
    const { task, chain, fan } = await (launching ??= launch(url))
    return {
      task: (name) => expectName(name, task(name)),
      chain: (name, length) => expectName(name, chain(name, length)),
      fan: (name, width) => expectName(name, fan(name, width)),
      close: () => Promise.resolve(),
    }
  },
  durability: postgresDurability,
  async end() {
    await launching
    await DBOS.shutdown()
  },
}
