/** BullMQ: jobs and flows; the submitter hears of the end through the queue's own event stream. */
import { FlowProducer, Queue, QueueEvents, Worker } from 'bullmq'
import type { FlowJob, JobsOptions } from 'bullmq'
import type { TaskDriver } from '../lib/drivers.ts'
import { sleep } from '../lib/now.ts'
import { redisDurability } from './redis-state.ts'

interface Data {
  name: string
}

const queueOf = (run: number) => `tasks-${run}`
const connectionOf = (url: string) => ({ host: '127.0.0.1', port: Number(new URL(url).port), maxRetriesPerRequest: null })
const limitMs = 60_000
const bulkSize = 1_000
// Waiting for a job reads its record, so it must still be there for a while after it has ended.
const single: JobsOptions = { removeOnComplete: { count: 10_000 }, removeOnFail: { count: 10_000 } }

export const driver: TaskDriver = {
  async openWorker({ url, run }, ran) {
    const worker = new Worker<Data>(
      queueOf(run),
      (job) => {
        ran(job.data.name)
        return Promise.resolve({ name: job.data.name })
      },
      { connection: connectionOf(url), concurrency: 100 },
    )
    worker.on('error', (error) => process.stderr.write(`bullmq: ${error.message}\n`))
    await worker.waitUntilReady()
    return { close: () => worker.close() }
  },
  async openSubmitter({ url, run }) {
    const queueName = queueOf(run)
    const connection = connectionOf(url)
    const queue = new Queue<Data>(queueName, { connection })
    const events = new QueueEvents(queueName, { connection })
    const flows = new FlowProducer({ connection })
    // Each waiting job adds listeners.
    for (const emitter of [queue, events, flows]) emitter.setMaxListeners(0)
    await Promise.all([queue.waitUntilReady(), events.waitUntilReady(), flows.waitUntilReady()])
    const job = (name: string, children: FlowJob[] = []): FlowJob => ({
      name: 't',
      queueName,
      data: { name },
      opts: single,
      children,
    })
    const finish = async (root: FlowJob) => {
      const { job: last } = await flows.add(root)
      await last.waitUntilFinished(events, limitMs)
    }
    return {
      async task(name) {
        const added = await queue.add('t', { name }, single)
        await added.waitUntilFinished(events, limitMs)
      },
      chain(name, length) {
        let node = job(`${name}/0`)
        for (let step = 1; step < length; step++) node = job(`${name}/${step}`, [node])
        return finish(node)
      },
      fan: (name, width) =>
        finish(
          job(
            `${name}/join`,
            Array.from({ length: width }, (_, index) => job(`${name}/${index}`)),
          ),
        ),
      // The worker runs already, so the queue stands still until all is in it.
      bulk: {
        async enqueue(name, count) {
          await queue.pause()
          for (let from = 0; from < count; from += bulkSize) {
            const jobs = Array.from({ length: Math.min(bulkSize, count - from) }, (_, index) => ({
              name: 't',
              data: { name: `${name}/${from + index}` },
              opts: { removeOnComplete: true },
            }))
            await queue.addBulk(jobs)
          }
        },
        async drain() {
          await queue.resume()
          for (let left = 1; left > 0; ) {
            const { waiting = 0, active = 0, paused = 0 } = await queue.getJobCounts('waiting', 'active', 'paused')
            left = waiting + active + paused
            if (left > 0) await sleep(5)
          }
        },
      },
      async close() {
        await events.close()
        await flows.close()
        await queue.obliterate({ force: true })
        await queue.close()
      },
    }
  },
  durability: redisDurability,
}
