/**
 * NATS JetStream on files. The producer has many publishes on their way, each answered by the stream; the consumer pulls up to 1,000 ahead
 * and acknowledges the last message of each turn, which stands for all before it, without waiting for that to be taken. A stream that keeps
 * its messages, as Redis Streams does: at 64 in flight that made 29,900 a second, a work queue with an acknowledgement each 17,800.
 */
import { AckPolicy, type JsMsg, RetentionPolicy, StorageType, jetstream, jetstreamManager } from '@nats-io/jetstream'
import { type NatsConnection, connect } from '@nats-io/transport-node'
import type { Durability, MessageDriver, Payload } from '../lib/drivers.ts'

const consumerName = 'c'
const ahead = 1000
const streamOf = (run: number) => `messages-${run}`
const encoder = new TextEncoder()

let connecting: Promise<NatsConnection> | undefined
const connection = (url: string) => (connecting ??= connect({ servers: new URL(url).host }))

export const driver: MessageDriver = {
  async openConsumer({ url, run }, taken) {
    const nats = await connection(url)
    const name = streamOf(run)
    const manager = await jetstreamManager(nats)
    await manager.streams.add({ name, subjects: [name], storage: StorageType.File, retention: RetentionPolicy.Limits })
    await manager.consumers.add(name, { durable_name: consumerName, ack_policy: AckPolicy.All, max_ack_pending: 10_000 })
    const consumer = await jetstream(nats).consumers.get(name, consumerName)
    const messages = await consumer.consume({ max_messages: ahead })
    let last: JsMsg | undefined
    let count = 0
    const acknowledge = () => {
      last?.ack()
      taken.acknowledged(count)
      last = undefined
      count = 0
    }
    const reading = (async () => {
      for await (const message of messages) {
        taken.take(message.json<Payload>())
        if (last === undefined) setImmediate(acknowledge)
        last = message
        count += 1
      }
    })()
    return {
      async close() {
        await messages.close()
        await reading
        await manager.streams.delete(name)
      },
    }
  },
  async openProducer({ url, run }) {
    const stream = jetstream(await connection(url))
    return {
      send: (payload) => stream.publish(streamOf(run), encoder.encode(JSON.stringify(payload))),
      close: () => Promise.resolve(),
    }
  },
  durability,
  async end() {
    await (await connecting)?.close()
  },
}

/** By the server's own monitor, whose port stands in the address. Without `sync_always` a write is synced every two minutes, or as set. */
async function durability(url: string): Promise<Durability> {
  const { port, searchParams } = new URL(url)
  const response = await fetch(`http://127.0.0.1:${searchParams.get('monitor')}/jsz`)
  const { config } = (await response.json()) as { config?: { store_dir?: string; sync_always?: boolean } }
  if (!config?.store_dir) throw new Error(`JetStream keeps no files at ${port}`)
  return config.sync_always === true ? 'sync' : 'async'
}
