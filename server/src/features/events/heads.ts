/** The newest position of each topic: looked up once, then heard. */
import { type EventTopic, eventTopicNames } from '@cadre/contract'
import type { EventLog } from '../../core/events.ts'
import { topicOf } from '../../core/partitions.ts'
import type { Database } from '../../drivers/database/port.ts'
import { newestOf } from './store.ts'

export function makeHeads({ database, log }: { database: Database; log: EventLog }) {
  const known = new Map<number, Promise<Map<EventTopic, number>>>()
  const heard = new Map<number, Map<EventTopic, number>>()

  const note = (into: Map<EventTopic, number>, type: string, seq: number) => {
    const topic = topicOf(type)
    if (seq > (into.get(topic) ?? 0)) into.set(topic, seq)
  }
  const unsubscribe = log.subscribe((entries) => {
    for (const { tenant, type, seq } of entries) {
      const mine = heard.get(tenant)
      if (mine && seq > 0) note(mine, type, seq)
    }
  })

  async function look(tenant: number): Promise<Map<EventTopic, number>> {
    const found = await newestOf(database, tenant, log.head, (newest) => {
      const topics = new Set([...newest.keys()].map(topicOf))
      return topics.size === eventTopicNames.length
    })
    const newest = new Map<EventTopic, number>()
    for (const [type, seq] of found) note(newest, type, seq)
    return newest
  }

  return {
    async of(tenant: number): Promise<Map<EventTopic, number>> {
      if (!heard.has(tenant)) heard.set(tenant, new Map())
      const looked =
        known.get(tenant) ??
        look(tenant).catch((error: unknown) => {
          known.delete(tenant)
          throw error
        })
      known.set(tenant, looked)
      const newest = new Map(await looked)
      for (const [topic, seq] of heard.get(tenant) ?? []) newest.set(topic, seq)
      return newest
    },
    close: unsubscribe,
  }
}
