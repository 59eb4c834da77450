/**
 * How many messages each agent sent and received. The log is the only record: it is walked once, when somebody asks, and from there on only
 * what is new. An index for it would cost every message a write.
 */
import type { Directory } from '../../core/directory.ts'
import type { EventLog } from '../../core/events.ts'
import type { Handlers } from '../../core/invoke.ts'
import type { Database } from '../../drivers/database/port.ts'
import { sql } from '../../drivers/database/sql.ts'

export interface CountingParts {
  database: Database
  directory: Directory
  log: EventLog
}

export interface Counting {
  handlers: Pick<Handlers, 'messages.counts'>
  close(): void
}

interface Sides {
  actor: number
  recipient: number | null
  recipients: string | null
}

interface Counts {
  through: number
  messages: number
  agents: Map<number, { sent: number; received: number }>
}

/** Positions that one statement walks: some ten milliseconds, between which others have their turn. */
const span = 10_000

export function makeCounting({ database, directory, log }: CountingParts): Counting {
  const known = new Map<number, Promise<Counts>>()
  // What was removed is not told from what is left, so all is counted anew.
  const unsubscribe = log.subscribe((entries) => {
    for (const { type, tenant } of entries) if (type === 'retention.compacted') known.delete(tenant)
  })

  async function countAll(tenant: number, former: Counts | undefined): Promise<Counts> {
    const counts = former ?? { through: 0, messages: 0, agents: new Map() }
    const { head } = log
    while (counts.through < head) {
      const end = Math.min(head, counts.through + span)
      add(
        counts,
        await database.all<Sides>(sql`select actor, recipient, recipients from log
          where seq > ${counts.through} and seq <= ${end} and tenant = ${tenant} and type = 'message.sent'`),
      )
      counts.through = end
      if (end < head) await new Promise<void>((resolve) => setImmediate(resolve))
    }
    return counts
  }

  async function countTasks(tenant: number, tasks: readonly string[]): Promise<Counts> {
    const counts: Counts = { through: 0, messages: 0, agents: new Map() }
    for (const task of new Set(tasks)) {
      add(
        counts,
        await database.all<Sides>(sql`select actor, recipient, recipients from log
          where tenant = ${tenant} and task = ${task} and type = 'message.sent'`),
      )
    }
    return counts
  }

  const handlers: Counting['handlers'] = {
    'messages.counts': async (context, { task_ids, limit }) => {
      const { tenant, caller } = context
      let counting: Promise<Counts>
      if (task_ids === undefined) {
        const before = known.get(tenant)
        // One after the other: the second counts on from the first.
        counting = (async () => countAll(tenant, await before?.catch(() => undefined)))()
        known.set(tenant, counting)
      } else counting = countTasks(tenant, task_ids)
      const { messages, agents } = await counting
      const items = [...agents]
        .flatMap(([id, counts]) => {
          const { kind, publicId, name } = directory.byId(id)
          return kind === 'agent' ? [{ agent_id: publicId, agent: name, ...counts }] : []
        })
        .filter(({ agent_id }) => caller.role !== 'agent' || agent_id === caller.publicId)
        .toSorted((a, b) => b.sent + b.received - a.sent - a.received || (a.agent < b.agent ? -1 : 1))
      const own = items[0] ? items[0].sent + items[0].received : 0
      return { messages: caller.role === 'agent' ? own : messages, items: items.slice(0, limit) }
    },
  }
  return { handlers, close: unsubscribe }
}

function add(counts: Counts, rows: readonly Sides[]): void {
  const of = (agent: number) => {
    let found = counts.agents.get(agent)
    if (!found) counts.agents.set(agent, (found = { sent: 0, received: 0 }))
    return found
  }
  for (const { actor, recipient, recipients } of rows) {
    counts.messages += 1
    of(actor).sent += 1
    if (recipient !== null) of(recipient).received += 1
    else if (recipients !== null) for (const agent of JSON.parse(recipients) as number[]) of(agent).received += 1
  }
}
