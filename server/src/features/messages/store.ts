/** Messages are log entries; an inbox row is a pointer to one, there until the delivery is settled. */
import type { Database, Reader, Tx } from '../../drivers/database/port.ts'
import { type Sql, sql } from '../../drivers/database/sql.ts'

export interface MessageRow {
  seq: number
  tenant: number
  at: number
  actor: number
  trace: string | null
  /** JSON text of the content, exactly as stored. */
  body: string
  key: string | null
  /** The one recipient; null when there are several, listed in `recipients` as a JSON array of interned ids. */
  recipient: number | null
  recipients: string | null
  topic: string | null
  kind: string
  message_type: string
  priority: number
  /** Null for a message that is a conversation of its own. */
  conversation: string | null
  sender_seq: number
  reply_to: number | null
  task: string | null
  meta: string | null
  expires_at: number | null
  late: number | null
  /** For whom it has no inbox row: null for nobody, '' for all, else a JSON array of those that have one. */
  lane: string | null
}

export interface InboxRow {
  tenant: number
  agent: number
  priority: number
  seq: number
  /** 0 ready, 1 leased, 2 behind an earlier message of its sender in its conversation. */
  state: 0 | 1 | 2
  attempt: number
  lease_until: number | null
  available_at: number
  /** What it is ordered by, with the sender: null while no other message names its conversation. */
  conversation: string | null
  sender: number
  expires_at: number | null
  errors: string | null
}

export interface AttemptError {
  attempt: number
  error: string
  at: number
}

const messageColumns = sql.raw(
  'seq, tenant, at, actor, trace, body, key, recipient, recipients, topic, kind, message_type, priority, conversation, sender_seq, reply_to, task, meta, expires_at, late, lane',
)

const insertMessage = `insert into log (seq, tenant, type, schema_version, at, actor, subject, trace, body, key, recipient, recipients, topic,
  kind, message_type, priority, conversation, sender_seq, reply_to, task, meta, expires_at, late, lane)
  values (?, ?, 'message.sent', 1, ?, ?, null, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

export async function appendMessages(tx: Tx, rows: readonly MessageRow[]): Promise<void> {
  await tx.runMany(
    insertMessage,
    rows.map((row) => [
      row.seq,
      row.tenant,
      row.at,
      row.actor,
      row.trace,
      row.body,
      row.key,
      row.recipient,
      row.recipients,
      row.topic,
      row.kind,
      row.message_type,
      row.priority,
      row.conversation,
      row.sender_seq,
      row.reply_to,
      row.task,
      row.meta,
      row.expires_at,
      row.late,
      row.lane,
    ]),
  )
}

const insertInbox = `insert into inbox (tenant, agent, priority, seq, state, attempt, lease_until, available_at, conversation, sender, expires_at, errors)
  values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, null)`

export async function insertDeliveries(tx: Tx, rows: readonly InboxRow[]): Promise<void> {
  await tx.runMany(
    insertInbox,
    rows.map((row) => [
      row.tenant,
      row.agent,
      row.priority,
      row.seq,
      row.state,
      row.attempt,
      row.lease_until,
      row.available_at,
      row.conversation,
      row.sender,
      row.expires_at,
    ]),
  )
}

/** Messages the sender stored under these keys before. */
export async function findByKeys(
  tx: Tx,
  values: (json: string) => Sql,
  tenant: number,
  actor: number,
  keys: readonly string[],
): Promise<MessageRow[]> {
  return tx.all<MessageRow>(sql`select ${messageColumns} from log
    where tenant = ${tenant} and actor = ${actor} and key in ${values(JSON.stringify(keys))}`)
}

/** A conversation is named by the id of its first message, which itself carries no name: `first` is that message, if there is one. */
export async function lastSenderSeq(
  tx: Tx,
  tenant: number,
  actor: number,
  conversation: string,
  first: MessageRow | undefined,
): Promise<number> {
  const row = await tx.get<{ last: number | null }>(sql`select max(sender_seq) as last from log
    where tenant = ${tenant} and conversation = ${conversation} and actor = ${actor}`)
  return Math.max(row?.last ?? 0, first?.actor === actor ? first.sender_seq : 0)
}

/** What is ordered among itself: the deliveries of one sender in one conversation to one agent. */
export interface Line {
  tenant: number
  agent: number
  conversation: string
  sender: number
}

const inLine = (line: Line): Sql => sql`tenant = ${line.tenant} and agent = ${line.agent}
  and conversation = ${line.conversation} and sender = ${line.sender}`

/** Puts the first message of a conversation at the head of the line, when it still waits here. True when it did. */
export async function joinLine(tx: Tx, line: Line, first: MessageRow): Promise<boolean> {
  return (
    (await tx.run(sql`update inbox set conversation = ${line.conversation} where tenant = ${line.tenant} and agent = ${line.agent}
      and priority = ${first.priority} and seq = ${first.seq} and sender = ${line.sender} and conversation is null`)) === 1
  )
}

export async function hasLine(tx: Tx, line: Line): Promise<boolean> {
  return (await tx.get(sql`select seq from inbox where ${inLine(line)} limit 1`)) !== undefined
}

/** Makes the next of the line ready after its predecessor left. False when there is none, or it is under way already. */
export async function advanceLine(tx: Tx, line: Line): Promise<boolean> {
  // In two statements: as one, SQLite walks the whole inbox of the agent by its key instead of using the index of lines.
  const next = await tx.get<{ priority: number; seq: number }>(
    sql`select priority, seq from inbox where ${inLine(line)} order by seq limit 1`,
  )
  if (!next) return false
  return (
    (await tx.run(sql`update inbox set state = 0 where tenant = ${line.tenant} and agent = ${line.agent}
      and priority = ${next.priority} and seq = ${next.seq} and state = 2`)) === 1
  )
}

/** An inbox row with its message; what both have is the message's, but for the priority. */
export type ReadyDelivery = InboxRow &
  MessageRow & { inbox_attempt: number; line: string | null; ends_at: number | null; own_priority: number }

/** Ready deliveries of an agent in the order they are due. Those behind another in their conversation are not ready. */
export async function readyDeliveries(
  tx: Tx,
  tenant: number,
  agent: number,
  now: number,
  limit: number,
): Promise<ReadyDelivery[]> {
  return tx.all(sql`select i.agent, i.priority, i.attempt as inbox_attempt, i.errors, i.sender, i.conversation as line, i.expires_at as ends_at, i.state, i.lease_until, i.available_at, m.priority as own_priority, m.seq, m.tenant, m.at, m.actor, m.trace, m.body, m.key,
      m.recipient, m.recipients, m.topic, m.kind, m.message_type, m.conversation, m.sender_seq, m.reply_to, m.task, m.meta, m.expires_at, m.late, m.lane
    from (select tenant, agent, priority, seq from inbox
        where tenant = ${tenant} and agent = ${agent} and state = 0 and available_at <= ${now} order by priority, seq limit ${limit}) r
      join inbox i on i.tenant = r.tenant and i.agent = r.agent and i.priority = r.priority and i.seq = r.seq
      join log m on m.seq = r.seq
    order by r.priority, r.seq`)
}

type Place = Pick<InboxRow, 'tenant' | 'agent' | 'priority' | 'seq'>

export async function leaseDeliveries(
  tx: Tx,
  places: readonly (Place & { attempt: number })[],
  leaseUntil: number,
): Promise<void> {
  await tx.runMany(
    'update inbox set state = 1, attempt = ?, lease_until = ? where tenant = ? and agent = ? and priority = ? and seq = ?',
    places.map((place) => [place.attempt, leaseUntil, place.tenant, place.agent, place.priority, place.seq]),
  )
}

async function deleteDeliveries(tx: Tx, places: readonly (Place & { attempt: number })[]): Promise<void> {
  await tx.runMany(
    'delete from inbox where tenant = ? and agent = ? and priority = ? and seq = ? and attempt = ?',
    places.map((place) => [place.tenant, place.agent, place.priority, place.seq, place.attempt]),
  )
}

/** Only what is leased under this very attempt: one that went back to the inbox meanwhile stays there. */
export async function settleDeliveries(tx: Tx, places: readonly (Place & { attempt: number })[]): Promise<void> {
  await tx.runMany(
    'delete from inbox where tenant = ? and agent = ? and priority = ? and seq = ? and attempt = ? and state = 1',
    places.map((place) => [place.tenant, place.agent, place.priority, place.seq, place.attempt]),
  )
}

export async function getDelivery(tx: Reader, place: Place): Promise<InboxRow | undefined> {
  return tx.get<InboxRow>(
    sql`select * from inbox where tenant = ${place.tenant} and agent = ${place.agent} and priority = ${place.priority} and seq = ${place.seq}`,
  )
}

export async function extendDelivery(tx: Tx, place: Place & { attempt: number }, leaseUntil: number): Promise<boolean> {
  return (
    (await tx.run(sql`update inbox set lease_until = ${leaseUntil} where tenant = ${place.tenant} and agent = ${place.agent}
      and priority = ${place.priority} and seq = ${place.seq} and state = 1 and attempt = ${place.attempt}`)) === 1
  )
}

export async function returnDelivery(tx: Tx, place: Place, availableAt: number, errors: readonly AttemptError[]): Promise<void> {
  await tx.run(sql`update inbox set state = 0, lease_until = null, available_at = ${availableAt}, errors = ${JSON.stringify(errors)}
    where tenant = ${place.tenant} and agent = ${place.agent} and priority = ${place.priority} and seq = ${place.seq}`)
}

/** Takes back leases whose deliveries nobody was sent, as if they had never been. */
export async function undoLeases(tx: Tx, places: readonly (Place & { attempt: number })[]): Promise<void> {
  await tx.runMany(
    'update inbox set state = 0, lease_until = null, attempt = attempt - 1 where tenant = ? and agent = ? and priority = ? and seq = ? and attempt = ? and state = 1',
    places.map((place) => [place.tenant, place.agent, place.priority, place.seq, place.attempt]),
  )
}

/** Leases that end with the process that gave them; the attempt is not the message's fault. */
export async function releaseLeases(tx: Tx, places: readonly (Place & { attempt: number })[]): Promise<void> {
  await tx.runMany(
    'update inbox set state = 0, lease_until = null where tenant = ? and agent = ? and priority = ? and seq = ? and attempt = ? and state = 1',
    places.map((place) => [place.tenant, place.agent, place.priority, place.seq, place.attempt]),
  )
}

export async function buryDelivery(
  tx: Tx,
  row: InboxRow,
  reason: string,
  errors: readonly AttemptError[],
  at: number,
): Promise<void> {
  await deleteDeliveries(tx, [row])
  await tx.run(sql`insert into dead_letters (tenant, agent, seq, priority, attempts, reason, errors, at)
    values (${row.tenant}, ${row.agent}, ${row.seq}, ${row.priority}, ${row.attempt}, ${reason}, ${JSON.stringify(errors)}, ${at})
    on conflict (tenant, agent, seq) do update set attempts = excluded.attempts, reason = excluded.reason, errors = excluded.errors, at = excluded.at`)
}

export interface DeadRow {
  tenant: number
  agent: number
  seq: number
  priority: number
  attempts: number
  reason: string
  errors: string
  at: number
}

/** Kept so that the message still says what became of it; neither is listed. */
const unlisted = ['expired', 'purged']
export const isListed = (row: Pick<DeadRow, 'reason'>): boolean => !unlisted.includes(row.reason)

/** Newest first; recipients of one message by falling id. */
export async function listDead(
  database: Database,
  tenant: number,
  agent: number | undefined,
  before: { seq: number; agent: number } | undefined,
  limit: number,
): Promise<DeadRow[]> {
  const conditions = [
    sql`tenant = ${tenant}`,
    agent === undefined ? undefined : sql`agent = ${agent}`,
    before === undefined ? undefined : sql`(seq < ${before.seq} or (seq = ${before.seq} and agent < ${before.agent}))`,
    sql`reason not in ('expired', 'purged')`,
  ]
  return database.all<DeadRow>(
    sql`select * from dead_letters ${sql.where(conditions)} order by seq desc, agent desc limit ${limit}`,
  )
}

export async function getDead(reader: Reader, tenant: number, agent: number, seq: number): Promise<DeadRow | undefined> {
  return reader.get<DeadRow>(sql`select * from dead_letters where tenant = ${tenant} and agent = ${agent} and seq = ${seq}`)
}

export async function removeDead(tx: Tx, row: DeadRow): Promise<boolean> {
  return (
    (await tx.run(sql`delete from dead_letters where tenant = ${row.tenant} and agent = ${row.agent} and seq = ${row.seq}`)) === 1
  )
}

export async function purgeDead(tx: Tx, row: DeadRow): Promise<void> {
  await tx.run(sql`update dead_letters set reason = 'purged', errors = '[]'
    where tenant = ${row.tenant} and agent = ${row.agent} and seq = ${row.seq}`)
}

export async function getMessage(reader: Reader, tenant: number, seq: number): Promise<MessageRow | undefined> {
  return reader.get<MessageRow>(
    sql`select ${messageColumns} from log where seq = ${seq} and tenant = ${tenant} and kind is not null`,
  )
}

/** The first answer to a request by the agent that was asked. */
export async function getReply(reader: Reader, tenant: number, replyTo: number, asked: number): Promise<MessageRow | undefined> {
  return reader.get<MessageRow>(sql`select ${messageColumns} from log
    where tenant = ${tenant} and reply_to = ${replyTo} and kind = 'response' and actor = ${asked} order by seq limit 1`)
}

export interface MessageFilter {
  tenant: number
  sender?: number | undefined
  recipient?: number | undefined
  /** Sent or received by this agent. */
  party?: number | undefined
  task?: string | undefined
  conversation?: { id: string; seq: number } | undefined
  topic?: string | undefined
  type?: string | undefined
  kind?: string | undefined
  intent?: string | undefined
  since?: number | undefined
  until?: number | undefined
  before?: number | undefined
}

export async function listMessages(database: Database, filter: MessageFilter, limit: number): Promise<MessageRow[]> {
  const has = (agent: number) => sql`(recipient = ${agent} or ${database.dialect.jsonArrayHas('recipients', agent)})`
  const conditions: (Sql | undefined)[] = [
    sql`tenant = ${filter.tenant}`,
    sql`kind is not null`,
    filter.sender === undefined ? undefined : sql`actor = ${filter.sender}`,
    filter.recipient === undefined ? undefined : has(filter.recipient),
    filter.party === undefined ? undefined : sql`(actor = ${filter.party} or ${has(filter.party)})`,
    filter.task === undefined ? undefined : sql`task = ${filter.task}`,
    filter.conversation === undefined
      ? undefined
      : sql`(conversation = ${filter.conversation.id} or seq = ${filter.conversation.seq})`,
    filter.topic === undefined ? undefined : sql`topic = ${filter.topic}`,
    filter.type === undefined ? undefined : sql`message_type = ${filter.type}`,
    filter.kind === undefined ? undefined : sql`kind = ${filter.kind}`,
    filter.intent === undefined
      ? undefined
      : sql`seq in (select seq from message_intents where tenant = ${filter.tenant} and intent = ${filter.intent})`,
    filter.since === undefined ? undefined : sql`at >= ${filter.since}`,
    filter.until === undefined ? undefined : sql`at <= ${filter.until}`,
  ]
  // In stretches, newest first: a filter that little passes would walk the whole log in one statement, 40 ms for 300,000 entries.
  const newest = await database.get<{ seq: number | null }>(sql`select max(seq) as seq from log`)
  const found: MessageRow[] = []
  let below = Math.min(filter.before ?? Number.MAX_SAFE_INTEGER, (newest?.seq ?? 0) + 1)
  while (found.length < limit && below > 1) {
    const from = Math.max(1, below - stretch)
    const within = [...conditions, sql`seq >= ${from}`, sql`seq < ${below}`]
    found.push(
      ...(await database.all<MessageRow>(
        sql`select ${messageColumns} from log ${sql.where(within)} order by seq desc limit ${limit - found.length}`,
      )),
    )
    below = from
    await new Promise((resume) => setImmediate(resume))
  }
  return found
}

const stretch = 20_000

/** Counts the starts of servers on this store; answers the number of this one. */
export async function countStart(tx: Tx): Promise<number> {
  const row = await tx.get<{ value: string }>(sql`select value from meta where key = 'starts'`)
  const start = Number(row?.value ?? 0) + 1
  await tx.run(sql`insert into meta (key, value) values ('starts', ${String(start)})
    on conflict (key) do update set value = excluded.value`)
  return start
}

/** What a starting server must know: how full each inbox is and which leases run. */
export async function loadInboxes(database: Database): Promise<{
  depths: { agent: number; ready: number; leased: number; behind: number }[]
  leased: InboxRow[]
  dead: number
}> {
  const depths = await database.all<{ agent: number; ready: number; leased: number; behind: number }>(
    sql`select agent, sum(case when state = 0 then 1 else 0 end) as ready, sum(case when state = 1 then 1 else 0 end) as leased,
      sum(case when state = 2 then 1 else 0 end) as behind from inbox group by agent`,
  )
  const leased = await database.all<InboxRow>(sql`select * from inbox where state = 1`)
  const dead = await database.get<{ count: number }>(
    sql`select count(*) as count from dead_letters where reason not in ('expired', 'purged')`,
  )
  return { depths, leased, dead: dead?.count ?? 0 }
}

export async function leasedOf(tx: Tx, tenant: number, agent: number): Promise<InboxRow[]> {
  return tx.all<InboxRow>(sql`select * from inbox where tenant = ${tenant} and agent = ${agent} and state = 1`)
}
