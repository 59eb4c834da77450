/** Groups that read the log at their own pace: each pulls, so that a slow one holds up nobody. */
import { CadreError, type Consumer, type LogEntry, type OutputOf, type Receipt, eventTopicNames } from '@cadre/contract'
import { type Clock, iso } from '../../core/clock.ts'
import type { Context } from '../../core/context.ts'
import type { Directory } from '../../core/directory.ts'
import type { Entry, EventLog } from '../../core/events.ts'
import type { Handlers } from '../../core/invoke.ts'
import { topicOf } from '../../core/partitions.ts'
import type { Database } from '../../drivers/database/port.ts'
import { decodeCursor, encodeCursor } from './cursor.ts'
import { Group, type Slot, slotsOf } from './group.ts'
import { type Lag, makeLag } from './lag.ts'
import type { LogReader } from './reading.ts'
import {
  type GroupRow,
  advanceCursors,
  insertGroup,
  isCurrent,
  loadGroups,
  nextGeneration,
  removeGroup,
  setCursors,
} from './store.ts'

export interface ConsumerParts {
  database: Database
  directory: Directory
  clock: Clock
  log: EventLog
  reader: LogReader
  epoch: string
  newId: (prefix: string) => string
}

type Names = 'consumers.create' | 'consumers.list' | 'consumers.read' | 'consumers.commit' | 'consumers.seek' | 'consumers.delete'

export interface Consumers {
  handlers: Pick<Handlers, Names>
  /** Every group of a tenant with its lag by topic. */
  lags(tenant: number): Promise<{ group: string; lag: Lag }[]>
  close(): void
}

const maxGroups = 256

export async function makeConsumers(parts: ConsumerParts): Promise<Consumers> {
  const { database, directory, clock, log, reader, epoch } = parts
  const lagOf = makeLag(parts)
  const groups = new Map<number, Map<string, Group>>()
  const closing = new AbortController()
  const ofTenant = (tenant: number) => {
    const found = groups.get(tenant) ?? new Map<string, Group>()
    groups.set(tenant, found)
    return found
  }
  const stored = await loadGroups(database)
  for (const row of stored.groups) {
    const cursors = stored.cursors.filter((cursor) => cursor.group_id === row.id)
    ofTenant(row.tenant).set(row.name, new Group(row, cursors))
  }
  const unsubscribe = log.subscribe((entries) => {
    for (const [tenant, found] of groups) {
      for (const group of found.values()) {
        if (!group.isAwaited) continue
        const hasNews = ({ seq, tenant: of, type }: Entry) => seq > 0 && of === tenant && group.topics.includes(topicOf(type))
        if (entries.some(hasNews)) group.wake()
      }
    }
  })

  function required(context: Context, name: string): Group {
    const group = ofTenant(context.tenant).get(name)
    if (!group) throw new CadreError('not_found', { entity: 'consumer group', id: name })
    return group
  }

  async function view(group: Group): Promise<Consumer> {
    const { row, topics, slots, members } = group
    return {
      group: row.name,
      topics: [...topics],
      lag: await lagOf(group),
      cursors: slots.map(({ topic, partition, committed, owner }) => ({ topic, partition, committed, member: owner ?? null })),
      members,
      created_by: directory.nameOf(row.created_by) ?? 'unknown',
      created_at: iso(row.created_at),
    }
  }

  /** The first entries after the places of these slots. An empty answer tells that there is nothing up to the end. */
  async function readOnce(
    group: Group,
    slots: readonly Slot[],
    limit: number,
  ): Promise<{ items: LogEntry[]; through: number; gap: boolean }> {
    const { generation } = group
    const topics = [...new Set(slots.map(({ topic }) => topic))]
    const gap = reader.hasGap(group.row.tenant, Math.min(...slots.map(({ committed }) => committed)), { topics })
    for (let after = Math.min(...slots.map(({ clear }) => clear)); ; ) {
      const { entries, through } = await reader.read(group.row.tenant, after, { topics }, limit)
      const items = entries.filter((entry) => {
        const slot = group.slotOf(entry)
        return slot !== undefined && slots.includes(slot) && entry.seq > slot.committed
      })
      const clear = (items[0]?.seq ?? through + 1) - 1
      if (group.generation === generation) for (const slot of slots) slot.clear = Math.max(slot.clear, clear)
      if (items.length > 0 || entries.length === 0) return { items, through, gap }
      after = through
    }
  }

  const handlers: Consumers['handlers'] = {
    'consumers.create': async (context, input) => {
      const topics = eventTopicNames.filter((name) => input.topics.includes(name))
      const after = await reader.positionOf(context.tenant, input.from, 'from')
      const row: GroupRow = {
        tenant: context.tenant,
        name: input.group,
        id: parts.newId('grp'),
        topics: JSON.stringify(topics),
        generation: 1,
        created_by: context.caller.id,
        created_at: clock.now(),
      }
      const cursors = slotsOf(topics).map((slot) => ({ ...slot, seq: after }))
      const answer = await context.write(async (tx) => {
        if (ofTenant(context.tenant).size >= maxGroups)
          throw new CadreError('conflict', {
            reason: `There are ${maxGroups} consumer groups already; delete one that is not used.`,
          })
        if (!(await insertGroup(tx, row)))
          throw new CadreError('conflict', {
            reason: `A consumer group ${row.name} exists; seek it, delete it or choose another name.`,
          })
        await setCursors(tx, row.tenant, row.id, cursors)
        tx.emit({ type: 'consumer.created', subject: row.id, data: { group_id: row.id, group: row.name, topics, after } })
        const group = new Group(
          row,
          cursors.map(({ topic, partition, seq }) => ({ topic, partition_number: partition, seq })),
        )
        tx.afterCommit(() => ofTenant(row.tenant).set(row.name, group))
        return { id: row.id }
      })
      return { ...(await view(required(context, input.group))), receipt: answer.receipt as Receipt }
    },

    'consumers.list': async (context) => {
      const all = [...ofTenant(context.tenant).values()].toSorted((a, b) => (a.row.name < b.row.name ? -1 : 1))
      return { items: await Promise.all(all.map(view)) }
    },

    'consumers.read': async (context, { group: name, member, limit, wait_ms }) => {
      const group = required(context, name)
      const ending = new AbortController()
      const signal = AbortSignal.any([context.signal, closing.signal, ending.signal])
      const cancel = wait_ms > 0 ? clock.after(wait_ms, () => ending.abort()) : () => ending.abort()
      if (wait_ms === 0) ending.abort()
      try {
        for (;;) {
          const { generation } = group
          const slots = group.join(member, clock.now())
          const changed = group.wait(member, signal)
          const { items, through, gap } =
            slots.length > 0 ? await readOnce(group, slots, limit) : { items: [], through: 0, gap: false }
          // A seek or a deletion in between: what was read is of no use.
          if (ofTenant(context.tenant).get(name) !== group)
            throw new CadreError('not_found', { entity: 'consumer group', id: name })
          if (group.generation !== generation) continue
          if (items.length > 0 || signal.aborted) {
            return {
              items,
              cursor: encodeCursor({ group: group.row.id, generation, through, mask: group.maskOf(slots) }, epoch),
              partitions: slots.map(({ topic, partition }) => ({ topic, partition })),
              gap,
            }
          }
          await changed
        }
      } finally {
        cancel()
        ending.abort()
      }
    },

    'consumers.commit': async (context, { group: name, cursor: text }) => {
      const group = required(context, name)
      const cursor = decodeCursor(text, epoch)
      const slots = group.inMask(cursor.mask)
      const through = Math.min(cursor.through, log.head)
      const moved = slots.some(({ committed }) => committed < through)
      await context.write(async (tx) => {
        if (cursor.group !== group.row.id || !(await isCurrent(tx, context.tenant, cursor.group, cursor.generation)))
          throw new CadreError('stale_cursor', {
            reason: `The cursor is not of ${name} as it is now: the group was set to another place or made anew. Read again.`,
          })
        if (!moved) return {}
        await advanceCursors(
          tx,
          context.tenant,
          group.row.id,
          slots.map(({ topic, partition }) => ({ topic, partition, seq: through })),
        )
        tx.afterCommit(() => group.advance(slots, through))
        return {}
      })
      const committed = slots.length === 0 ? through : Math.min(...slots.map((slot) => slot.committed))
      return { group: name, committed, moved }
    },

    'consumers.seek': async (context, { group: name, to }) => {
      const group = required(context, name)
      const after = await reader.positionOf(context.tenant, to, 'to')
      const { row } = group
      const answer = await context.write(async (tx) => {
        if (!(await nextGeneration(tx, row.tenant, row.id)))
          throw new CadreError('not_found', { entity: 'consumer group', id: name })
        await setCursors(
          tx,
          row.tenant,
          row.id,
          group.slots.map(({ topic, partition }) => ({ topic, partition, seq: after })),
        )
        tx.emit({ type: 'consumer.moved', subject: row.id, data: { group_id: row.id, group: name, after } })
        tx.afterCommit(() => group.reset(after))
        return { id: row.id }
      })
      return { ...(await view(group)), receipt: answer.receipt as Receipt }
    },

    'consumers.delete': async (context, { group: name }) => {
      const answer = await context.write(async (tx) => {
        const { row } = required(context, name)
        if (!(await removeGroup(tx, row.tenant, row.id)))
          throw new CadreError('not_found', { entity: 'consumer group', id: name })
        tx.emit({ type: 'consumer.deleted', subject: row.id, data: { group_id: row.id, group: name } })
        tx.afterCommit(() => {
          const group = ofTenant(row.tenant).get(name)
          ofTenant(row.tenant).delete(name)
          group?.wake()
        })
        return { group: name, deleted: true as const }
      })
      return answer as OutputOf<'consumers.delete'>
    },
  }

  return {
    handlers,
    lags: (tenant) =>
      Promise.all(
        [...ofTenant(tenant).values()].map(async (group) => ({
          group: group.row.name,
          lag: await lagOf(group),
        })),
      ),
    close() {
      unsubscribe()
      closing.abort()
    },
  }
}
