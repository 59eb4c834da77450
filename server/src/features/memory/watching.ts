/** Following keys over a socket: versions from the log, in order and without a gap; each is asked about before it leaves. */
import { CadreError, type OutputOf } from '@cadre/contract'
import type { Context } from '../../core/context.ts'
import type { EventLog } from '../../core/events.ts'
import type { Handlers } from '../../core/invoke.ts'
import type { Session } from '../../core/sessions.ts'
import type { Database } from '../../drivers/database/port.ts'
import type { Events } from '../events/service.ts'
import { mayReadRow } from './grants.ts'
import { findMemory } from './store.ts'

export interface MemoryWatchParts {
  database: Database
  log: EventLog
  events: Pick<Events, 'reader' | 'watchers'>
}

interface Watched {
  key?: string | undefined
  prefix?: string | undefined
}

const maxWatches = 64
const filter = { types: ['memory.updated'] }
const names = 'memory '

export function makeMemoryWatch(parts: MemoryWatchParts): Pick<Handlers, 'memory.watch' | 'memory.unwatch'> {
  const { database, log, events } = parts
  const { watchers, reader } = events

  /** As it is now: who was taken off the list is told no more, not even of what was written before. */
  async function mayRead(session: Session, tenant: number, key: string): Promise<boolean> {
    const row = await findMemory(database, tenant, key)
    return row !== undefined && mayReadRow({ caller: session.caller }, row)
  }

  return {
    'memory.watch': async (context, input) => {
      const session = socketOf(context)
      if (session.mode === 'plain' && session.agent !== undefined)
        throw new CadreError('conflict', {
          reason: 'This connection is told of every key it may read already; register with credits to choose.',
        })
      const name = nameOf(input)
      watchers.stop(session, name)
      if (watchers.count(session, names) >= maxWatches)
        throw new CadreError('conflict', {
          reason: `A connection follows ${maxWatches} keys or prefixes at most; watch a shorter prefix.`,
        })
      const from = input.from ?? log.head
      const isWanted = (key: string) => (input.key === undefined ? key.startsWith(input.prefix ?? '') : key === input.key)
      watchers.start(session, {
        name,
        after: from,
        filter,
        live: false,
        frame: async ({ seq, subject: key, data }) =>
          isWanted(key) && (await mayRead(session, context.tenant, key))
            ? JSON.stringify({ type: 'memory:updated', seq, data })
            : undefined,
      })
      const answer: OutputOf<'memory.watch'> = { head: log.head, from, resync: reader.hasGap(context.tenant, from, filter) }
      return answer
    },

    'memory.unwatch': async (context, input) => {
      watchers.stop(socketOf(context), nameOf(input))
      return { watching: false as const }
    },
  }
}

function socketOf({ session }: Context): Session {
  if (session) return session
  throw new CadreError('unsupported', { reason: 'Follow keys on a socket; over HTTP follow the topic agent.state.' })
}

/** One watch for a key or a prefix on a connection; asking again begins anew. */
function nameOf({ key, prefix }: Watched): string {
  if (key !== undefined && prefix !== undefined)
    throw new CadreError('invalid_request', {}, { fields: [{ pointer: '/prefix', detail: 'Give a key or a prefix, not both.' }] })
  return `${names}${key === undefined ? `prefix ${prefix ?? ''}` : `key ${key}`}`
}
