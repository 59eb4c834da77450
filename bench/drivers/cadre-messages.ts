/** Messages through the public SDK: one connection for the producer, one for the consumer, kept from run to run. */
import { type Hub, connect } from '@cadre/sdk'
import type { MessageDriver, Payload, Taken } from '../lib/drivers.ts'
import { storeDurability, unsettledMessages } from './cadre-state.ts'

const consumerName = 'bench-consumer'
/** Room for the most messages that are in flight at once, twice. */
const window = 512

let consumer: Hub | undefined
let producer: Hub | undefined
let current: Taken | undefined

export const driver: MessageDriver = {
  async openConsumer({ url }, taken) {
    current = taken
    if (!consumer) {
      consumer = await connect(url, { agent: consumerName, window })
      consumer.onMessage((message) => {
        current?.take(message.content as Payload)
        current?.acknowledged(1)
      })
    }
    return { close: async () => {} }
  },
  async openProducer({ url }) {
    const hub = (producer ??= await connect(url, { agent: 'bench-producer' }))
    return { send: (payload) => hub.send(consumerName, payload), close: async () => {} }
  },
  durability: storeDurability,
  unsettled: unsettledMessages,
  async end() {
    await producer?.close()
    await consumer?.close()
  },
}
