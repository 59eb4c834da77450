/** pg-boss: jobs and flows. A job counts as done once its completion is committed. */
import type { PgBoss } from 'pg-boss'
import type { TaskDriver } from '../lib/drivers.ts'
import { drainQueue, postgresDurability, startBoss } from './pg-boss-state.ts'

interface Data {
  name: string
}

const queueOf = (run: number) => `tasks-${run}`
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
    const job = (ref: string, name: string, dependsOn: string[]) => ({ ref, name: queue, data: { name }, dependsOn })
    return {
      async task(name) {
        const ended = done(name)
        await own.send(queue, { name })
        await ended
      },
      async chain(name, length) {
        const ended = done(`${name}/${length - 1}`)
        await own.flow(
          Array.from({ length }, (_, step) => job(`t${step}`, `${name}/${step}`, step === 0 ? [] : [`t${step - 1}`])),
        )
        await ended
      },
      async fan(name, width) {
        const ended = done(`${name}/join`)
        const side = Array.from({ length: width }, (_, index) => job(`t${index}`, `${name}/${index}`, []))
        const refs = side.map(({ ref }) => ref)
        await own.flow([...side, job('join', `${name}/join`, refs)])
        await ended
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
