/** BullMQ: one job a message, removed when it is done. */
import { Queue, Worker } from 'bullmq'
import type { MessageDriver, Payload } from '../lib/drivers.ts'
import { redisDurability } from './redis-state.ts'

const queueOf = (run: number) => `messages-${run}`
const connectionOf = (url: string) => ({ host: '127.0.0.1', port: Number(new URL(url).port), maxRetriesPerRequest: null })

export const driver: MessageDriver = {
  async openConsumer({ url, run, inFlight }, taken) {
    const queue = new Queue(queueOf(run), { connection: connectionOf(url) })
    await queue.waitUntilReady()
    const worker = new Worker<Payload>(queueOf(run), (job) => Promise.resolve(taken.take(job.data)), {
      connection: connectionOf(url),
      concurrency: Math.max(1, inFlight),
    })
    worker.on('completed', () => taken.acknowledged(1))
    worker.on('error', (error) => process.stderr.write(`bullmq: ${error.message}\n`))
    await worker.waitUntilReady()
    return {
      async close() {
        await worker.close()
        await queue.obliterate({ force: true })
        await queue.close()
      },
    }
  },
  async openProducer({ url, run }) {
    const queue = new Queue<Payload>(queueOf(run), { connection: connectionOf(url) })
    await queue.waitUntilReady()
    return {
      send: (payload) => queue.add('m', payload, { removeOnComplete: true, removeOnFail: true }),
      close: () => queue.close(),
    }
  },
  durability: redisDurability,
}
