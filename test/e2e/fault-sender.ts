/**
 * A sender that may be killed at any moment. Every message has a key of its own; what was not answered before it died is sent again under
 * the same key, in the order of its conversation. Ends when everything is stored.
 */
import { readFileSync } from 'node:fs'
import { connect } from '../../sdk/typescript/src/index.ts'
import { openJournal, readJournal } from './journal.ts'
import { recordedSocket } from './wire-record.ts'

export interface SenderOrders {
  url: string
  agent: string
  token: string
  journal: string
  messages: number
  talks: number
  receivers: readonly string[]
  /** Sends in flight in each conversation. */
  window: number
  /** A file that says how many messages may be sent by now. */
  gate: string
}

export interface Content {
  sender: string
  number: number
  /** The receiver refuses it for good. */
  poison: boolean
}

/** One in so many is refused by its receiver. */
const poisonEvery = 97
/** One conversation in so many goes to every receiver. */
const sharedEvery = 5

const gatePollMs = 5

export const contentOf = (sender: string, number: number): Content => ({
  sender,
  number,
  poison: number % poisonEvery === poisonEvery - 1,
})

export function recipientsOf(talk: number, receivers: readonly string[]): readonly string[] {
  return talk % sharedEvery === sharedEvery - 1 ? receivers : [receivers[talk % receivers.length] as string]
}

async function main(orders: SenderOrders): Promise<void> {
  const { agent, messages, talks, receivers, window } = orders
  const stored = new Set<number>()
  const numberOf = new Map<string, number>()
  for (const { fact } of readJournal(orders.journal)) {
    if (fact.fact === 'send') numberOf.set(fact.call, (JSON.parse(fact.body) as Content).number)
    else if (fact.fact === 'stored') stored.add(numberOf.get(fact.call) ?? -1)
  }
  const { note } = openJournal(orders.journal)
  const hub = await connect(orders.url, {
    agent,
    token: orders.token,
    // No patience with a server that dies every second: the shortest wait before each attempt.
    random: () => 0,
    WebSocket: recordedSocket(agent, note, (content) => (content as Content).number),
  })
  // A message that the receiver refused comes back as a notice; read, so that the inbox drains.
  hub.onMessage(() => undefined)

  let allowed = 0
  const mayGo = async (number: number) => {
    while (number >= allowed) {
      allowed = Number(readFileSync(orders.gate, 'utf8'))
      if (number >= allowed) await new Promise((resolve) => setTimeout(resolve, gatePollMs))
    }
  }

  const talk = async (at: number) => {
    const to = recipientsOf(at, receivers)
    const inFlight = new Set<Promise<unknown>>()
    for (let number = at; number < messages; number += talks) {
      if (stored.has(number)) continue
      await mayGo(number)
      const sending = hub
        .send(to, contentOf(agent, number), { conversation_id: `talk-${at}`, idempotencyKey: `${agent}-${number}` })
        .finally(() => inFlight.delete(sending))
      inFlight.add(sending)
      if (inFlight.size >= window) await Promise.race(inFlight)
    }
    await Promise.all(inFlight)
  }
  await Promise.all(Array.from({ length: talks }, (_, at) => talk(at)))
  // Stays until it is told to go: notices may still come.
}

if (import.meta.main) await main(JSON.parse(process.argv[2] ?? '{}') as SenderOrders)
