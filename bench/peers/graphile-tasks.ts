/** graphile-worker: one job at a time is added; a chain adds its next job from the handler. It has no fan-in. */
import { Logger, makeWorkerUtils, run as startRunner } from 'graphile-worker'
import { Pool } from 'pg'
import type { TaskDriver } from '../lib/drivers.ts'
import { postgresDurability } from './pg-boss-state.ts'

interface Payload {
  name: string
  step: number
  last: number
}

const task = 'noop'
const silent = new Logger(() => () => {})

export const driver: TaskDriver = {
  openWorker: undefined,
  async openSubmitter({ url }, ran) {
    const pool = new Pool({ connectionString: url, max: 30 })
    pool.on('error', () => {})
    pool.on('connect', (client) => client.on('error', () => {}))
    const utils = await makeWorkerUtils({ pgPool: pool, logger: silent })
    await utils.migrate()
    const waiting = new Map<string, () => void>()
    const runner = await startRunner({
      pgPool: pool,
      concurrency: 24,
      noHandleSignals: true,
      logger: silent,
      taskList: {
        [task]: async (given, helpers) => {
          const { name, step, last } = given as Payload
          ran(last === 0 ? name : `${name}/${step}`)
          if (step < last) await helpers.addJob(task, { name, step: step + 1, last })
        },
      },
    })
    runner.events.on('job:complete', ({ job }) => {
      const { name, step, last } = job.payload as Payload
      if (step < last) return
      waiting.get(name)?.()
      waiting.delete(name)
    })
    const finish = async (name: string, last: number) => {
      const ended = new Promise<void>((resolve) => waiting.set(name, resolve))
      await utils.addJob(task, { name, step: 0, last })
      await ended
    }
    return {
      task: (name) => finish(name, 0),
      chain: (name, length) => finish(name, length - 1),
      fan: undefined,
      async close() {
        await runner.stop()
        await utils.release()
        await pool.end()
      },
    }
  },
  durability: postgresDurability,
}
