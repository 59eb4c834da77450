/**
 * Redis Streams with a consumer group. The producer pipelines what one turn sends; the consumer reads up to 256 entries at a time and
 * acknowledges each batch in one call without waiting for it before it reads on.
 */
import { Redis } from 'ioredis'
import type { MessageDriver, Payload } from '../lib/drivers.ts'
import { redisDurability } from './redis-state.ts'

const group = 'bench'
const batch = 256
const streamOf = (run: number) => `messages-${run}`
type Read = [stream: string, entries: [id: string, fields: string[]][]][] | null

export const driver: MessageDriver = {
  async openConsumer({ url, run }, taken) {
    const stream = streamOf(run)
    const reader = new Redis(url)
    const acknowledger = new Redis(url)
    await acknowledger.xgroup('CREATE', stream, group, '$', 'MKSTREAM')
    let open = true
    const acknowledgements = new Set<Promise<unknown>>()
    const reading = (async () => {
      while (open) {
        const read = (await reader.xreadgroup('GROUP', group, 'c', 'COUNT', batch, 'BLOCK', 100, 'STREAMS', stream, '>')) as Read
        const entries = read?.[0]?.[1] ?? []
        if (entries.length === 0) continue
        for (const [, fields] of entries) taken.take(JSON.parse(fields[1] as string) as Payload)
        const acknowledging: Promise<unknown> = acknowledger
          .xack(stream, group, ...entries.map(([id]) => id))
          .then((count) => taken.acknowledged(count))
          .finally(() => acknowledgements.delete(acknowledging))
        acknowledgements.add(acknowledging)
      }
    })()
    return {
      async close() {
        open = false
        await reading
        await Promise.all(acknowledgements)
        await acknowledger.unlink(stream)
        reader.disconnect()
        acknowledger.disconnect()
      },
    }
  },
  async openProducer({ url, run }) {
    const client = new Redis(url, { enableAutoPipelining: true })
    await client.ping()
    return {
      send: (payload) => client.xadd(streamOf(run), '*', 'm', JSON.stringify(payload)),
      close: async () => client.disconnect(),
    }
  },
  durability: redisDurability,
}
