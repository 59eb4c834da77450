/** The log for clients: read from a position, followed live, by topic, and in groups that keep their place. */
import { CadreError, type EventTopic, type LogEntry, eventTopicNames, eventTopics, events } from '@cadre/contract'
import type { Handlers } from '../../core/invoke.ts'
import { type ConsumerParts, type Consumers, makeConsumers } from './consumers.ts'
import { makeHeads } from './heads.ts'
import { type Filter, type LogReader, type ReadingParts, makeLogReader } from './reading.ts'
import { Watchers, eventFrame } from './watch.ts'

export interface EventsParts extends Omit<ReadingParts, 'trimmedTo'>, Omit<ConsumerParts, 'reader'> {
  trimmedTo?: ReadingParts['trimmedTo']
}

type Names = 'events.list' | 'events.topics' | 'events.watch' | 'events.unwatch'

export interface Events {
  handlers: Pick<Handlers, Names> & Consumers['handlers']
  reader: LogReader
  watchers: Watchers
  /** Every group of a tenant with what it has not committed, by topic. */
  lags: Consumers['lags']
  close(): Promise<void>
}

export type { LogReader } from './reading.ts'

const watchName = 'events'

export async function makeEvents(parts: EventsParts): Promise<Events> {
  const { log, clock } = parts
  const reader = makeLogReader({ ...parts, trimmedTo: parts.trimmedTo ?? (() => 0) })
  const watchers = new Watchers({ log, clock, reader })
  const consumers = await makeConsumers({ ...parts, reader })
  const heads = makeHeads(parts)

  /** Pages of the log until enough entries are in that partition, or the end. */
  async function readPartition(tenant: number, start: number, filter: Filter, partition: number | undefined, limit: number) {
    const items: LogEntry[] = []
    for (let after = start; ; ) {
      const { entries, through } = await reader.read(tenant, after, filter, limit - items.length)
      if (partition === undefined) return { items: entries, next: Math.max(start, through) }
      items.push(...entries.filter((entry) => entry.partition === partition))
      after = Math.max(after, through)
      if (entries.length === 0 || items.length > 0) return { items, next: after }
    }
  }

  const handlers: Events['handlers'] = {
    ...consumers.handlers,

    'events.list': async (context, input) => {
      const { topics, types, partition } = input
      if (
        partition !== undefined &&
        (topics === undefined || topics.every((topic) => partition >= eventTopics[topic].partitions))
      )
        throw invalid('/partition', 'Name a topic that has this partition; GET /api/v1/events/topics lists them.')
      // Before the read: a position set to it must not pass an entry that came in between.
      const { head } = log
      const after =
        input.from_time === undefined
          ? input.after
          : await reader.positionOf(context.tenant, isTime(input.from_time), 'from_time')
      const gap = reader.hasGap(context.tenant, after, { topics, types })
      return { ...(await readPartition(context.tenant, after, { topics, types }, partition, input.limit)), head, gap }
    },

    'events.topics': async (context) => {
      const [newest, lags] = await Promise.all([heads.of(context.tenant), consumers.lags(context.tenant)])
      return {
        head: log.head,
        items: eventTopicNames.map((name) => {
          const { summary, partitions, keys, inside } = eventTopics[name]
          return {
            name,
            summary,
            partitions,
            key: [...keys, 'subject'],
            events: carried(name),
            head: newest.get(name) ?? null,
            inside: [...inside],
            groups: lags.flatMap(({ group, lag }) => (lag[name] === undefined ? [] : [{ group, lag: lag[name] }])),
          }
        }),
      }
    },

    'events.watch': async (context, input) => {
      const { session } = context
      if (!session)
        throw new CadreError('unsupported', {
          reason: 'Follow the log on a socket, or over HTTP by GET /api/v1/events/stream.',
        })
      const filter = { topics: input.topics, types: input.types }
      const after = input.after ?? log.head
      watchers.start(session, { name: watchName, after, filter, frame: eventFrame, live: true })
      return { head: log.head, after, gap: reader.hasGap(context.tenant, after, filter) }
    },

    'events.unwatch': async (context) => {
      if (context.session) watchers.stop(context.session, watchName)
      return { watching: false as const }
    },
  }

  return {
    handlers,
    reader,
    watchers,
    lags: (tenant) => consumers.lags(tenant),
    async close() {
      consumers.close()
      heads.close()
    },
  }
}

const carried = (topic: EventTopic) =>
  Object.values(events)
    .filter((event) => event.topic === topic)
    .map(({ name, summary, schema_version }) => ({ type: name, summary, schema_version }))

/** Only a time: the other ways to name a position have a field of their own. */
function isTime(text: string): string {
  if (Number.isNaN(Date.parse(text))) throw invalid('/from_time', 'Give an ISO 8601 time.')
  return text
}

const invalid = (pointer: string, detail: string) => new CadreError('invalid_request', {}, { fields: [{ pointer, detail }] })
