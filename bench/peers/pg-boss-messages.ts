/** pg-boss: `send` one job a message; the consumer fetches and completes in batches, which is faster than its polling worker. */
import type { PgBoss } from 'pg-boss'
import type { MessageDriver, Payload } from '../lib/drivers.ts'
import { drainQueue, postgresDurability, startBoss } from './pg-boss-state.ts'

const queueOf = (run: number) => `messages-${run}`
let boss: PgBoss | undefined

export const driver: MessageDriver = {
  async openConsumer({ url, run }, taken) {
    const own = (boss ??= await startBoss(url, 4))
    await own.createQueue(queueOf(run))
    const draining = drainQueue<Payload>(
      own,
      queueOf(run),
      (payload) => taken.take(payload),
      (batch) => taken.acknowledged(batch.length),
    )
    return {
      async close() {
        await draining.close()
        await own.deleteQueue(queueOf(run))
      },
    }
  },
  async openProducer({ url, run }) {
    const own = (boss ??= await startBoss(url, 32))
    return { send: (payload) => own.send(queueOf(run), payload), close: () => Promise.resolve() }
  },
  durability: postgresDurability,
  end: () => boss?.stop({ graceful: false }) ?? Promise.resolve(),
}
