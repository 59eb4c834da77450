/** What a client process of the `messages` scenario does when called: produce, consume, tell what happened. */
import type { Consumer, MessageDriver, Producer, RunSettings } from './drivers.ts'
import { Ledger, maxMessages } from './ledger.ts'
import { closedLoop, fixedRate } from './load.ts'
import { makePayload } from './payload.ts'

export interface LoadSettings {
  run: number
  inFlight: number
  ms: number
  /** Messages a second; undefined for a closed loop. */
  perSecond: number | undefined
}

export function serveMessages(driver: MessageDriver): (name: string, input: unknown) => Promise<unknown> {
  let producer: Producer | undefined
  let consumer: Consumer | undefined
  let ledger: Ledger | undefined
  return async (name, input) => {
    switch (name) {
      case 'consumer': {
        const settings = input as RunSettings
        const book = new Ledger(settings.run)
        ledger = book
        consumer = await driver.openConsumer(settings, {
          take: (payload) => book.take(payload),
          acknowledged: (count) => book.acknowledged(count),
        })
        return undefined
      }
      case 'producer':
        producer = await driver.openProducer(input as RunSettings)
        return undefined
      case 'load': {
        const { run, inFlight, ms, perSecond } = input as LoadSettings
        const sender = producer as Producer
        const call = (id: number, at: number) => sender.send(makePayload(run, id, at))
        return perSecond === undefined
          ? closedLoop({ inFlight, ms, most: maxMessages }, call)
          : fixedRate({ perSecond, ms }, call)
      }
      case 'finish': {
        const { expected, ms } = input as { expected: number; ms: number }
        return (ledger as Ledger).finish(expected, ms)
      }
      case 'close':
        await producer?.close()
        await consumer?.close()
        producer = undefined
        consumer = undefined
        return undefined
      case 'durability':
        return driver.durability(input as string)
      case 'unsettled':
        return driver.unsettled?.(input as string)
      case 'end':
        await driver.end?.()
        return undefined
      default:
        throw new Error(`no such call: ${name}`)
    }
  }
}
