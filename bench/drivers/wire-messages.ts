/** Messages by hand-made frames over one socket each. */
import type { MessageDriver, Payload, Taken } from '../lib/drivers.ts'
import { storeDurability, unsettledMessages } from './cadre-state.ts'
import { WireClient } from './wire-client.ts'

const consumerName = 'bench-wire-consumer'
const window = 512

let consumer: WireClient | undefined
let producer: WireClient | undefined
let current: Taken | undefined

export const driver: MessageDriver = {
  async openConsumer({ url }, taken) {
    current = taken
    if (!consumer) {
      consumer = await WireClient.open(url, consumerName, window)
      consumer.onDelivery = (content) => {
        current?.take(content as Payload)
        current?.acknowledged(1)
      }
    }
    return { close: async () => {} }
  },
  async openProducer({ url }) {
    const client = (producer ??= await WireClient.open(url, 'bench-wire-producer', 0))
    return {
      send: (payload) => client.call('message:send', { to: consumerName, content: payload }, `${payload.run}.${payload.id}`),
      close: async () => {},
    }
  },
  durability: storeDurability,
  unsettled: unsettledMessages,
  async end() {
    await producer?.close()
    await consumer?.close()
  },
}
