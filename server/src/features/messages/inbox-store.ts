/** How full one inbox is, by its rows. */
import type { Reader } from '../../drivers/database/port.ts'
import { sql } from '../../drivers/database/sql.ts'
import { replayPriority } from './replay-priority.ts'

export interface InboxFacts {
  ready: number
  delayed: number
  behind: number
  /** When the oldest message that is not settled was stored; replayed copies do not count. */
  oldest_at: number | null
  dead: number
}

/** `flying`: position of the oldest message that has no row. */
export async function inboxFacts(
  reader: Reader,
  tenant: number,
  agent: number,
  now: number,
  flying: number | undefined,
): Promise<InboxFacts> {
  const counted = await reader.get<Omit<InboxFacts, 'oldest_at' | 'dead'> & { oldest: number | null }>(sql`select
      coalesce(sum(case when state = 0 and available_at <= ${now} then 1 else 0 end), 0) as ready,
      coalesce(sum(case when state = 0 and available_at > ${now} then 1 else 0 end), 0) as delayed,
      coalesce(sum(case when state = 2 then 1 else 0 end), 0) as behind,
      min(case when priority = ${replayPriority} then null else seq end) as oldest
    from inbox where tenant = ${tenant} and agent = ${agent}`)
  const oldest = Math.min(counted?.oldest ?? Number.MAX_SAFE_INTEGER, flying ?? Number.MAX_SAFE_INTEGER)
  const message = await reader.get<{ at: number }>(sql`select at from log where seq = ${oldest}`)
  const dead = await reader.get<{ count: number }>(sql`select count(*) as count from dead_letters
    where tenant = ${tenant} and agent = ${agent} and reason not in ('expired', 'purged')`)
  const { ready, delayed, behind } = counted ?? { ready: 0, delayed: 0, behind: 0 }
  return { ready, delayed, behind, oldest_at: message?.at ?? null, dead: dead?.count ?? 0 }
}
