/**
 * pg-boss: a job counts as done once its completion is committed; a chain sends its next job then. Its flows are not measured: it looks
 * for jobs whose dependencies have ended once a second at most, so a chain of ten would take ten seconds.
 */
import type { PgBoss } from 'pg-boss'
import type { TaskDriver } from '../lib/drivers.ts'
import { drainQueue, postgresDurability, startBoss } from './pg-boss-state.ts'

interface Data {
  name: string
}

const queueOf = (run: number) => `tasks-${run}`
const bulkOf = (run: number) => `bulk-${run}`
const bulkSize = 1_000
let boss: PgBoss | undefined

export const driver: TaskDriver = {
  openWorker: undefined,
  async openSubmitter({ url, run }, ran) {
    const queue = queueOf(run)
    const own = (boss ??= await startBoss(url, 32))
    await own.createQueue(queue)
    const waiting = new Map<string, () => void>()
    const done = (name: string) => new Promise<void>((resolve) => waiting.set(name, resolve))
    const draining = drainQueue<Data>(
      own,
      queue,
      ({ name }) => ran(name),
      (batch) => {
        for (const { name } of batch) {
          waiting.get(name)?.()
          waiting.delete(name)
        }
      },
    )
    const finish = async (name: string) => {
      const ended = done(name)
      await own.send(queue, { name })
      await ended
    }
    return {
      task: finish,
      async chain(name, length) {
        for (let step = 0; step < length; step++) await finish(`${name}/${step}`)
      },
      fan: undefined,
      bulk: {
        async enqueue(name, count) {
          await own.createQueue(bulkOf(run))
          for (let from = 0; from < count; from += bulkSize) {
            const data = (index: number) => ({ data: { name: `${name}/${from + index}` } })
            const jobs = Array.from({ length: Math.min(bulkSize, count - from) }, (_, index) => data(index))
            await own.insert(bulkOf(run), jobs)
          }
        },
        async drain(_name, count) {
          for (let done = 0; done < count; ) {
            const jobs = await own.fetch<Data>(bulkOf(run), { batchSize: bulkSize })
            for (const { data } of jobs) ran(data.name)
            await own.complete(
              bulkOf(run),
              jobs.map((job) => job.id),
            )
            done += jobs.length
          }
          await own.deleteQueue(bulkOf(run))
        },
      },
      async close() {
        await draining.close()
        await own.deleteQueue(queue)
      },
    }
  },
  durability: postgresDurability,
  end: () => boss?.stop({ graceful: false }) ?? Promise.resolve(),
}
