/** Rows of subscriptions: one for each agent and pattern, with the group the agent shares it with. */
import type { Database, Reader, Tx } from '../../drivers/database/port.ts'
import { sql } from '../../drivers/database/sql.ts'

export interface SubscriptionRow {
  tenant: number
  agent: number
  pattern: string
  group_name: string | null
}

export async function loadSubscriptions(database: Database): Promise<SubscriptionRow[]> {
  return database.all<SubscriptionRow>(sql`select tenant, agent, pattern, group_name from subscriptions`)
}

/** False when it stood like this before. */
export async function putSubscription(tx: Tx, row: SubscriptionRow): Promise<boolean> {
  const { tenant, agent, pattern } = row
  const before = await tx.get<SubscriptionRow>(
    sql`select group_name from subscriptions where tenant = ${tenant} and agent = ${agent} and pattern = ${pattern}`,
  )
  if (before && before.group_name === row.group_name) return false
  await tx.run(sql`insert into subscriptions (tenant, agent, pattern, group_name)
    values (${tenant}, ${agent}, ${pattern}, ${row.group_name})
    on conflict (tenant, agent, pattern) do update set group_name = excluded.group_name`)
  return true
}

export async function countSubscriptions(reader: Reader, tenant: number, agent: number): Promise<number> {
  const row = await reader.get<{ count: number }>(
    sql`select count(*) as count from subscriptions where tenant = ${tenant} and agent = ${agent}`,
  )
  return row?.count ?? 0
}

export async function removeSubscription(tx: Tx, tenant: number, agent: number, pattern: string): Promise<boolean> {
  return (
    (await tx.run(sql`delete from subscriptions where tenant = ${tenant} and agent = ${agent} and pattern = ${pattern}`)) === 1
  )
}

/** By agent, then pattern. */
export async function listSubscriptions(
  database: Database,
  filter: { tenant: number; agent: number | undefined; group: string | undefined },
  after: Pick<SubscriptionRow, 'agent' | 'pattern'> | undefined,
  limit: number,
): Promise<SubscriptionRow[]> {
  const conditions = [
    sql`tenant = ${filter.tenant}`,
    filter.agent === undefined ? undefined : sql`agent = ${filter.agent}`,
    filter.group === undefined ? undefined : sql`group_name = ${filter.group}`,
    after === undefined ? undefined : sql`(agent > ${after.agent} or (agent = ${after.agent} and pattern > ${after.pattern}))`,
  ]
  return database.all<SubscriptionRow>(
    sql`select tenant, agent, pattern, group_name from subscriptions ${sql.where(conditions)} order by agent, pattern limit ${limit}`,
  )
}
