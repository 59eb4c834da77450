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
const bulkTask = 'bulk'
const bulkSize = 5_000
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
      // A runner of its own with the local queue and batched completions that its manual recommends for throughput.
      bulk: {
        async enqueue(name, count) {
          for (let from = 0; from < count; from += bulkSize) {
            const job = (index: number) => ({ identifier: bulkTask, payload: { name: `${name}/${from + index}` } })
            await utils.addJobs(Array.from({ length: Math.min(bulkSize, count - from) }, (_, index) => job(index)))
          }
        },
        async drain(_name, count) {
          let done = 0
          let finished = () => {}
          const all = new Promise<void>((resolve) => (finished = resolve))
          const bulkRunner = await startRunner({
            pgPool: pool,
            noHandleSignals: true,
            logger: silent,
            preset: {
              worker: { concurrentJobs: 24, localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 },
            },
            taskList: {
              [bulkTask]: (given) => {
                ran((given as { name: string }).name)
                done += 1
                if (done === count) finished()
              },
            },
          })
          await all
          // Its end is that of the last completion.
          await bulkRunner.stop()
        },
      },
      async close() {
        await runner.stop()
        await utils.release()
        await pool.end()
      },
    }
  },
  durability: postgresDurability,
}
