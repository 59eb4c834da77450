/** A pg-boss instance without its maintenance timers, and the durability of its PostgreSQL. */
import { Client } from 'pg'
import { PgBoss } from 'pg-boss'
import type { Durability } from '../lib/drivers.ts'

export async function startBoss(url: string, connections: number): Promise<PgBoss> {
  const boss = new PgBoss({ connectionString: url, max: connections, supervise: false, schedule: false })
  boss.on('error', (error) => process.stderr.write(`pg-boss: ${error.message}\n`))
  await boss.start()
  return boss
}

export async function postgresDurability(url: string): Promise<Durability> {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    const setting = async (name: string) =>
      (await client.query<{ value: string }>('select current_setting($1) as value', [name])).rows[0]?.value
    if ((await setting('fsync')) !== 'on') return 'none'
    return ['on', 'remote_apply', 'local', 'remote_write'].includes((await setting('synchronous_commit')) ?? '')
      ? 'sync'
      : 'async'
  } finally {
    await client.end()
  }
}

/** Fetches up to 256 jobs at a time, hands them over, completes them in one call; looks again 2 ms after an empty fetch. */
export function drainQueue<T>(
  boss: PgBoss,
  queue: string,
  take: (data: T) => void,
  completed: (batch: readonly T[]) => void,
): { close(): Promise<void> } {
  let open = true
  const draining = (async () => {
    while (open) {
      const jobs = await boss.fetch<T>(queue, { batchSize: 256 })
      if (jobs.length === 0) {
        await new Promise((done) => setTimeout(done, 2))
        continue
      }
      for (const job of jobs) take(job.data)
      await boss.complete(
        queue,
        jobs.map((job) => job.id),
      )
      completed(jobs.map((job) => job.data))
    }
  })()
  draining.catch((error: unknown) => process.stderr.write(`pg-boss: the consumer stopped: ${String(error)}\n`))
  return {
    async close() {
      open = false
      await draining
    },
  }
}
