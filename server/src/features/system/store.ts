import type { Database, Tx } from '../../drivers/database/port.ts'
import { type Sql, sql } from '../../drivers/database/sql.ts'

export interface KeyRow {
  id: string
  principal: number
  role: string
  name: string
  created_at: number
  last_used_at: number | null
}

export const listKeys = (database: Database, tenant: number, before: string | undefined, limit: number): Promise<KeyRow[]> =>
  database.all<KeyRow>(
    sql`select id, principal, role, name, created_at, last_used_at from credentials ${sql.where([
      sql`tenant = ${tenant}`,
      sql`role <> 'agent'`,
      before === undefined ? undefined : sql`id < ${before}`,
    ])} order by id desc limit ${limit}`,
  )

export async function removeKey(tx: Tx, tenant: number, id: string): Promise<boolean> {
  return (await tx.run(sql`delete from credentials where tenant = ${tenant} and id = ${id} and role <> 'agent'`)) === 1
}

export async function hasKeys(database: Database, tenant: number): Promise<boolean> {
  return (
    (await database.get(sql`select 1 as yes from credentials where tenant = ${tenant} and role = 'admin' limit 1`)) !== undefined
  )
}

export async function countMessages(database: Database, tenant: number): Promise<number> {
  return count(database, sql`select count(*) as count from log where tenant = ${tenant} and kind is not null`)
}

const count = async (database: Database, query: Sql): Promise<number> =>
  (await database.get<{ count: number }>(query))?.count ?? 0

/** Answers given under a key are kept a day at least. */
export async function purgeIdempotency(tx: Tx, before: number): Promise<number> {
  return tx.run(sql`delete from idempotency where (tenant, actor, operation, key) in
    (select tenant, actor, operation, key from idempotency where at < ${before} order by at limit 5000)`)
}
