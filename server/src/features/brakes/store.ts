/** SQL of the brakes. */
import { type BrakeRule, type BrakeSettings, brakeSettings, defaultBrakeSettings } from '@cadre/contract'
import type { Reader, Tx } from '../../drivers/database/port.ts'
import { sql } from '../../drivers/database/sql.ts'

export interface BrakeRow {
  tenant: number
  id: string
  rule: BrakeRule
  low: number
  high: number
  /** Null: all that the parties send each other. */
  conversation: string | null
  tool: string | null
  digest: string | null
  task: string | null
  reason: string
  counted: number
  limited_to: number
  window_ms: number | null
  /** JSON array of positions in the log, newest first. */
  messages: string
  up_to: number
  tripped_at: number
  held_until: number
  reset_at: number | null
  reset_by: number | null
}

/** One message of a chain of replies. */
export interface Link {
  seq: number
  reply_to: number | null
  actor: number
}

const kept = 10_000

export async function insertBrake(tx: Tx, row: BrakeRow): Promise<void> {
  await tx.run(sql`insert into brakes (tenant, id, rule, low, high, conversation, tool, digest, task, reason, counted, limited_to, window_ms,
      messages, up_to, tripped_at, held_until, reset_at, reset_by)
    values (${row.tenant}, ${row.id}, ${row.rule}, ${row.low}, ${row.high}, ${row.conversation}, ${row.tool}, ${row.digest}, ${row.task},
      ${row.reason}, ${row.counted}, ${row.limited_to}, ${row.window_ms}, ${row.messages}, ${row.up_to}, ${row.tripped_at},
      ${row.held_until}, ${row.reset_at}, ${row.reset_by})`)
  await tx.run(sql`delete from brakes where tenant = ${row.tenant} and id <
    (select id from brakes where tenant = ${row.tenant} order by id desc limit 1 offset ${kept})`)
}

export const getBrake = (reader: Reader, tenant: number, id: string): Promise<BrakeRow | undefined> =>
  reader.get<BrakeRow>(sql`select * from brakes where tenant = ${tenant} and id = ${id}`)

/** Newest first; with `heldAt` only what is held at that time. */
export const listBrakes = (
  reader: Reader,
  tenant: number,
  { heldAt, before }: { heldAt: number | undefined; before: string | undefined },
  limit: number,
): Promise<BrakeRow[]> =>
  reader.all<BrakeRow>(sql`select * from brakes where tenant = ${tenant}
    ${before === undefined ? sql`` : sql`and id < ${before}`}
    ${heldAt === undefined ? sql`` : sql`and reset_at is null and held_until > ${heldAt}`}
    order by id desc limit ${limit}`)

export const saveReset = (tx: Tx, row: BrakeRow): Promise<number> =>
  tx.run(sql`update brakes set reset_at = ${row.reset_at}, reset_by = ${row.reset_by}, up_to = ${row.up_to}
    where tenant = ${row.tenant} and id = ${row.id} and reset_at is null`)

/** What a new process has to know: what is held, and from where on the replies of an exchange count. Oldest first. */
export const allBrakes = async (reader: Reader): Promise<BrakeRow[]> =>
  (await reader.all<BrakeRow>(sql`select * from brakes order by id desc limit ${kept}`)).toReversed()

export async function loadSettings(reader: Reader): Promise<Map<number, BrakeSettings>> {
  const rows = await reader.all<{ tenant: number; settings: string }>(sql`select tenant, settings from brake_settings`)
  return new Map(
    rows.map((row) => [row.tenant, brakeSettings.parse({ ...defaultBrakeSettings, ...(JSON.parse(row.settings) as object) })]),
  )
}

export async function saveSettings(tx: Tx, tenant: number, settings: BrakeSettings): Promise<void> {
  await tx.run(sql`insert into brake_settings (tenant, settings) values (${tenant}, ${JSON.stringify(settings)})
    on conflict (tenant) do update set settings = excluded.settings`)
}

export const loadExemptions = (reader: Reader): Promise<{ tenant: number; conversation: string }[]> =>
  reader.all(sql`select tenant, conversation from brake_exemptions`)

export async function saveExemption(tx: Tx, tenant: number, conversation: string, exempt: boolean): Promise<boolean> {
  const changed = exempt
    ? await tx.run(
        sql`insert into brake_exemptions (tenant, conversation) values (${tenant}, ${conversation}) on conflict do nothing`,
      )
    : await tx.run(sql`delete from brake_exemptions where tenant = ${tenant} and conversation = ${conversation}`)
  return changed > 0
}

/** A message and those it answers, one after the other, at most `most`. */
export const chainOf = (reader: Reader, tenant: number, seq: number, most: number): Promise<Link[]> =>
  reader.all<Link>(sql`with recursive chain (seq, reply_to, actor, depth) as (
      select seq, reply_to, actor, 1 from log where seq = ${seq} and tenant = ${tenant}
      union all
      select log.seq, log.reply_to, log.actor, chain.depth + 1 from log join chain on log.seq = chain.reply_to
        where log.tenant = ${tenant} and chain.depth < ${most})
    select seq, reply_to, actor from chain order by depth`)

/** The last messages from one to the other, in a conversation or whatever the conversation. */
export const lastBetween = (
  reader: Reader,
  row: Pick<BrakeRow, 'tenant' | 'conversation'>,
  from: number,
  to: number,
  limit: number,
): Promise<{ seq: number }[]> =>
  reader.all(sql`select seq from log where tenant = ${row.tenant} and recipient = ${to} and actor = ${from}
    ${row.conversation === null ? sql`` : sql`and conversation = ${row.conversation}`} order by seq desc limit ${limit}`)
