/** Durability of a running Redis, as it answers itself. */
import { Redis } from 'ioredis'
import type { Durability } from '../lib/drivers.ts'

export async function redisDurability(url: string): Promise<Durability> {
  const client = new Redis(url)
  try {
    const setting = async (name: string) => ((await client.config('GET', name)) as string[])[1]
    if ((await setting('appendonly')) !== 'yes') return 'none'
    return (await setting('appendfsync')) === 'always' ? 'sync' : 'async'
  } finally {
    client.disconnect()
  }
}
