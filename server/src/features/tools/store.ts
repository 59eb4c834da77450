import type { Database, Reader, Tx } from '../../drivers/database/port.ts'
import { sql } from '../../drivers/database/sql.ts'

export interface ToolRow {
  tenant: number
  name: string
  description: string
  input_schema: string
  permissions: string
  once: number
  provider: number
  created_at: number
}

export interface GrantRow {
  tool: string
  /** 0 stands for everyone. */
  agent: number
  permissions: string
}

export interface CallRow {
  tenant: number
  id: string
  tool: string
  key: string
  caller: number
  task: string | null
  state: 'started' | 'succeeded' | 'failed' | 'unknown'
  attempts: number
  executions: number
  arguments: string
  result: string
  error: string | null
  started_at: number
  ended_at: number | null
}

export const getTool = (reader: Reader, tenant: number, name: string): Promise<ToolRow | undefined> =>
  reader.get<ToolRow>(sql`select * from tools where tenant = ${tenant} and name = ${name}`)

export const listTools = (database: Database, tenant: number, after: string, limit: number): Promise<ToolRow[]> =>
  database.all<ToolRow>(sql`select * from tools where tenant = ${tenant} and name > ${after} order by name limit ${limit}`)

export async function saveTool(tx: Tx, row: ToolRow): Promise<void> {
  await tx.run(sql`insert into tools (tenant, name, description, input_schema, permissions, once, provider, created_at)
    values (${row.tenant}, ${row.name}, ${row.description}, ${row.input_schema}, ${row.permissions}, ${row.once}, ${row.provider}, ${row.created_at})
    on conflict (tenant, name) do update set description = excluded.description, input_schema = excluded.input_schema,
      permissions = excluded.permissions, once = excluded.once, provider = excluded.provider`)
}

export const grantsOf = (reader: Reader, tenant: number, tool: string): Promise<GrantRow[]> =>
  reader.all<GrantRow>(
    sql`select tool, agent, permissions from tool_grants where tenant = ${tenant} and tool = ${tool} limit 1000`,
  )

export const grantFor = (reader: Reader, tenant: number, tool: string, agent: number): Promise<GrantRow | undefined> =>
  reader.get<GrantRow>(sql`select tool, agent, permissions from tool_grants
    where tenant = ${tenant} and tool = ${tool} and agent in (${agent}, 0) order by agent desc limit 1`)

export async function saveGrant(tx: Tx, tenant: number, grant: GrantRow): Promise<void> {
  await tx.run(sql`insert into tool_grants (tenant, tool, agent, permissions) values (${tenant}, ${grant.tool}, ${grant.agent}, ${grant.permissions})
    on conflict (tenant, tool, agent) do update set permissions = excluded.permissions`)
}

export async function removeGrant(tx: Tx, tenant: number, tool: string, agent: number): Promise<boolean> {
  return (await tx.run(sql`delete from tool_grants where tenant = ${tenant} and tool = ${tool} and agent = ${agent}`)) === 1
}

export const getCall = (reader: Reader, tenant: number, tool: string, key: string): Promise<CallRow | undefined> =>
  reader.get<CallRow>(sql`select * from tool_calls where tenant = ${tenant} and tool = ${tool} and key = ${key}`)

export async function saveCall(tx: Tx, row: CallRow): Promise<void> {
  await tx.run(sql`insert into tool_calls (tenant, id, tool, key, caller, task, state, attempts, executions, arguments, result, error, started_at, ended_at)
    values (${row.tenant}, ${row.id}, ${row.tool}, ${row.key}, ${row.caller}, ${row.task}, ${row.state}, ${row.attempts}, ${row.executions},
      ${row.arguments}, ${row.result}, ${row.error}, ${row.started_at}, ${row.ended_at})
    on conflict (tenant, tool, key) do update set caller = excluded.caller, task = excluded.task, state = excluded.state,
      attempts = excluded.attempts, executions = excluded.executions, result = excluded.result, error = excluded.error, ended_at = excluded.ended_at`)
}

export const listCalls = (
  database: Database,
  tenant: number,
  filter: { tool?: string | undefined; task?: string | undefined; before?: string | undefined },
  limit: number,
): Promise<CallRow[]> =>
  database.all<CallRow>(
    sql`select * from tool_calls ${sql.where([
      sql`tenant = ${tenant}`,
      filter.tool === undefined ? undefined : sql`tool = ${filter.tool}`,
      filter.task === undefined ? undefined : sql`task = ${filter.task}`,
      filter.before === undefined ? undefined : sql`id < ${filter.before}`,
    ])} order by id desc limit ${limit}`,
  )

/** Calls that a former process began and never saw the end of. */
export async function abandonCalls(tx: Tx): Promise<void> {
  await tx.run(sql`update tool_calls set state = 'unknown' where state = 'started'`)
}
