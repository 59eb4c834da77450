/** Messages of long ago: found again for replay, removed by retention. */
import type { Database, Dialect, Reader, Tx } from '../../drivers/database/port.ts'
import { sql } from '../../drivers/database/sql.ts'
import { metaOf } from './envelope.ts'
import { replayPriority } from './replay-priority.ts'
import type { MessageRow } from './store.ts'

export interface HistoryFilter {
  tenant: number
  /** Sent or received by this agent, or sent to a topic. */
  party: number | undefined
  sender: number | undefined
  topic: string | undefined
  conversation: { id: string; seq: number } | undefined
  since: number | undefined
  until: number | undefined
}

/** Does an index lead to what is wanted? Otherwise the log is walked, and the range of positions has to be small. */
export const isIndexed = ({ topic, sender, conversation }: HistoryFilter): boolean =>
  topic !== undefined || sender !== undefined || conversation !== undefined

/** Messages at positions after `after` up to `upTo`, oldest first. */
export async function messagesAfter(
  database: Database,
  filter: HistoryFilter,
  after: number,
  upTo: number,
  limit: number,
): Promise<MessageRow[]> {
  const { tenant, party, sender, topic, conversation, since, until } = filter
  const conditions = [
    // Bare, the tenant leads to an index of all its messages, which are then sorted: only the range of positions is to be walked.
    topic !== undefined || sender !== undefined ? sql`tenant = ${tenant}` : sql`+tenant = ${tenant}`,
    sql`kind is not null`,
    sql`seq > ${after}`,
    sql`seq <= ${upTo}`,
    party === undefined
      ? undefined
      : sql`(actor = ${party} or recipient = ${party} or topic is not null or ${database.dialect.jsonArrayHas('recipients', party)})`,
    sender === undefined ? undefined : sql`actor = ${sender}`,
    topic === undefined ? undefined : sql`topic = ${topic}`,
    conversation === undefined
      ? undefined
      : sql`seq in (select seq from log where tenant = ${tenant} and conversation = ${conversation.id} union all select ${conversation.seq})`,
    since === undefined ? undefined : sql`at >= ${since}`,
    until === undefined ? undefined : sql`at <= ${until}`,
  ]
  return database.all<MessageRow>(sql`select * from log ${sql.where(conditions)} order by seq limit ${limit}`)
}

/** Position after which entries are of `at` or later. Times rise with positions, so twenty looks find it among a million. */
export async function positionAt(reader: Reader, at: number, head: number): Promise<number> {
  let low = 0
  let high = head
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    const next = await reader.get<{ seq: number; at: number }>(
      sql`select seq, at from log where seq > ${middle} order by seq limit 1`,
    )
    if (!next || next.at >= at) high = middle
    else low = next.seq
  }
  return low
}

/** Those of these messages, a JSON array of positions, of which the agent has a replayed copy, or anybody when none is named. */
export async function replayedOf(tx: Tx, dialect: Dialect, seqs: string, tenant: number, agent?: number): Promise<Set<number>> {
  const conditions = [
    sql`tenant = ${tenant}`,
    // A literal, as in the index.
    sql`priority = ${sql.raw(String(replayPriority))}`,
    sql`seq in ${dialect.values(seqs)}`,
    agent === undefined ? undefined : sql`agent = ${agent}`,
  ]
  const rows = await tx.all<{ seq: number }>(sql`select seq from inbox ${sql.where(conditions)}`)
  return new Set(rows.map(({ seq }) => seq))
}

export interface RetentionRow {
  tenant: number
  messages_days: number | null
  messages_max: number | null
  trimmed_to: number
  removed: number
}

export const loadRetention = (reader: Reader): Promise<RetentionRow[]> => reader.all<RetentionRow>(sql`select * from retention`)

export async function saveRetention(tx: Tx, row: RetentionRow): Promise<void> {
  await tx.run(sql`insert into retention (tenant, messages_days, messages_max, trimmed_to, removed)
    values (${row.tenant}, ${row.messages_days}, ${row.messages_max}, ${row.trimmed_to}, ${row.removed})
    on conflict (tenant) do update set messages_days = excluded.messages_days, messages_max = excluded.messages_max,
      trimmed_to = excluded.trimmed_to, removed = excluded.removed`)
}

export async function countMessages(reader: Reader, tenant: number): Promise<number> {
  const row = await reader.get<{ count: number }>(
    sql`select count(*) as count from log where tenant = ${tenant} and kind is not null`,
  )
  return row?.count ?? 0
}

/** Has the sender said more in the conversation? */
async function hasLater(tx: Tx, row: MessageRow): Promise<boolean> {
  const last = await tx.get<{ last: number | null }>(sql`select max(sender_seq) as last from log
    where tenant = ${row.tenant} and conversation = ${row.conversation} and actor = ${row.actor}`)
  return (last?.last ?? 0) > row.sender_seq
}

/**
 * Removes messages. The last of its sender in a conversation leaves an entry without content: the numbers of that sender go on from it.
 * What dead letters told of them goes too.
 */
export async function removeMessages(tx: Tx, rows: readonly MessageRow[]): Promise<void> {
  const gone: MessageRow[] = []
  const emptied: MessageRow[] = []
  for (const row of rows) {
    if (row.conversation === null || (await hasLater(tx, row))) gone.push(row)
    else emptied.push(row)
  }
  await tx.runMany(
    'delete from log where seq = ?',
    gone.map((row) => [row.seq]),
  )
  await tx.runMany(
    `update log set type = 'message.trimmed', kind = null, body = '{}', subject = '', trace = null, key = null, recipient = null,
      recipients = null, topic = null, message_type = null, reply_to = null, task = null, meta = null, lane = null where seq = ?`,
    emptied.map((row) => [row.seq]),
  )
  await tx.runMany(
    'delete from dead_letters where tenant = ? and seq = ?',
    rows.map((row) => [row.tenant, row.seq]),
  )
  await tx.runMany(
    'delete from message_intents where tenant = ? and intent = ? and seq = ?',
    rows.flatMap((row) => {
      const intent = metaOf(row).purpose?.intent
      return intent === undefined ? [] : [[row.tenant, intent, row.seq]]
    }),
  )
}
