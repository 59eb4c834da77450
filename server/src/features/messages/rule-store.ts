/** Rows of routing rules, and which messages have an intent. */
import type { MessageIntent, Rule } from '@cadre/contract'
import type { Database, Reader, Tx } from '../../drivers/database/port.ts'
import { sql } from '../../drivers/database/sql.ts'

export interface RuleRow {
  tenant: number
  id: string
  name: string
  /** Lower is tried first. */
  priority: number
  enabled: number
  /** JSON, as the operator gave it. */
  condition: string
  target: string
  created_by: number
  created_at: number
  updated_at: number
}

export type RuleTarget = Rule['to']

export async function loadRules(database: Database): Promise<RuleRow[]> {
  return database.all<RuleRow>(sql`select * from rules`)
}

export async function getRule(reader: Reader, tenant: number, id: string): Promise<RuleRow | undefined> {
  return reader.get<RuleRow>(sql`select * from rules where tenant = ${tenant} and id = ${id}`)
}

export async function countRules(reader: Reader, tenant: number): Promise<number> {
  return (await reader.get<{ count: number }>(sql`select count(*) as count from rules where tenant = ${tenant}`))?.count ?? 0
}

export async function saveRule(tx: Tx, row: RuleRow): Promise<void> {
  await tx.run(sql`insert into rules (tenant, id, name, priority, enabled, condition, target, created_by, created_at, updated_at)
    values (${row.tenant}, ${row.id}, ${row.name}, ${row.priority}, ${row.enabled}, ${row.condition}, ${row.target}, ${row.created_by},
      ${row.created_at}, ${row.updated_at})
    on conflict (tenant, id) do update set name = excluded.name, priority = excluded.priority, enabled = excluded.enabled,
      condition = excluded.condition, target = excluded.target, updated_at = excluded.updated_at`)
}

export async function deleteRule(tx: Tx, tenant: number, id: string): Promise<void> {
  await tx.run(sql`delete from rules where tenant = ${tenant} and id = ${id}`)
}

export async function noteIntent(tx: Tx, tenant: number, seq: number, intent: MessageIntent): Promise<void> {
  await tx.run(sql`insert into message_intents (tenant, intent, seq) values (${tenant}, ${intent}, ${seq})`)
}
