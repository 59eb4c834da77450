/** How many entries groups have not committed, by topic. Counted when asked: a group that is far behind costs nobody anything until then. */
import type { EventTopic } from '@cadre/contract'
import type { EventLog } from '../../core/events.ts'
import { topicOf } from '../../core/partitions.ts'
import type { Database } from '../../drivers/database/port.ts'
import type { Group } from './group.ts'
import type { LogReader } from './reading.ts'
import { countLog } from './store.ts'

export type Lag = Partial<Record<EventTopic, number>>

interface Counted {
  version: number
  through: number
  lag: Lag
}

const pageSize = 500

export function makeLag({ database, log, reader }: { database: Database; log: EventLog; reader: LogReader }) {
  const known = new WeakMap<Group, Promise<Counted>>()

  async function count(group: Group, former: Counted | undefined): Promise<Counted> {
    const { tenant } = group.row
    const { version } = group
    const through = log.head
    const lag: Lag = {}
    if (former?.version === version) {
      const counts = await countLog(database, tenant, former.through, through)
      for (const topic of group.topics) lag[topic] = (former.lag[topic] ?? 0) + inTopic(counts, topic)
      return { version, through, lag }
    }
    const places = group.topics.map((topic) => {
      const clear = group.slots.filter((slot) => slot.topic === topic).map((slot) => slot.clear)
      return { topic, low: Math.min(...clear), high: Math.max(...clear) }
    })
    // Topics that are read to the same place are counted in one walk.
    const walks = new Map<number, Promise<Map<string, number>>>()
    for (const { topic, low, high } of places) {
      const walk = walks.get(high) ?? countLog(database, tenant, high, through)
      walks.set(high, walk)
      lag[topic] = inTopic(await walk, topic)
      // Members do not commit at the same pace: what lies between is counted by partition, which is not a column.
      for (let after = low; after < high; ) {
        const page = await reader.read(tenant, after, { topics: [topic] }, pageSize)
        const between = page.entries.filter((entry) => entry.seq <= high && entry.seq > (group.slotOf(entry)?.clear ?? high))
        lag[topic] += between.length
        after = page.through
      }
    }
    return { version, through, lag }
  }

  /** One count at a time for each group; who asks meanwhile gets the same. */
  return async (group: Group): Promise<Lag> => {
    const before = known.get(group)
    const fresh = (async () => {
      const former = await before?.catch(() => undefined)
      return former?.version === group.version && former.through === log.head ? former : count(group, former)
    })()
    known.set(group, fresh)
    return (await fresh).lag
  }
}

function inTopic(counts: ReadonlyMap<string, number>, topic: EventTopic): number {
  let sum = 0
  for (const [type, count] of counts) if (topicOf(type) === topic) sum += count
  return sum
}
