import type { AgentStatus, Fallback } from '@cadre/contract'
import type { Principal } from '../../core/context.ts'
import type { Database, Tx } from '../../drivers/database/port.ts'
import { sql } from '../../drivers/database/sql.ts'

export interface AgentRow {
  tenant: number
  id: number
  type: string
  type_key: string
  status: AgentStatus
  capabilities: string[]
  description: string | null
  managed: boolean
  /** Managed agents only: `running` is started again after a crash. */
  desired: 'running' | 'stopped' | null
  concurrency: number
  metadata: Record<string, unknown>
  last_seen: number | null
  created_at: number
  /** False: it may give no work to others. */
  allow_delegation: boolean
  /** Who takes over what it cannot bring to an end, in order. */
  fallback: Fallback[]
}

type Stored = Omit<AgentRow, 'capabilities' | 'metadata' | 'managed' | 'allow_delegation' | 'fallback'> & {
  capabilities: string
  metadata: string
  managed: number
  allow_delegation: number
  fallback: string
}

export async function loadAgents(database: Database): Promise<AgentRow[]> {
  const rows = await database.all<Stored>(sql`select * from agents order by id`)
  return rows.map(fromStore)
}

const fromStore = (row: Stored): AgentRow => ({
  ...row,
  managed: row.managed === 1,
  capabilities: JSON.parse(row.capabilities) as string[],
  metadata: JSON.parse(row.metadata) as Record<string, unknown>,
  allow_delegation: row.allow_delegation === 1,
  fallback: JSON.parse(row.fallback) as Fallback[],
})

type PrincipalRow = { id: number; tenant: number; public_id: string; kind: Principal['kind']; name: string }

/** Read in the transaction: sees also who was registered by another of the same group, whom the directory does not know yet. */
export async function namedInStore(tx: Tx, tenant: number, name: string): Promise<Principal | undefined> {
  const row = await tx.get<PrincipalRow>(
    sql`select id, tenant, public_id, kind, name from principals where tenant = ${tenant} and name = ${name}`,
  )
  return row && { id: row.id, tenant: row.tenant, publicId: row.public_id, kind: row.kind, name: row.name }
}

export async function loadAgent(tx: Tx, tenant: number, id: number): Promise<AgentRow | undefined> {
  const row = await tx.get<Stored>(sql`select * from agents where tenant = ${tenant} and id = ${id}`)
  return row && fromStore(row)
}

export async function saveAgent(tx: Tx, row: AgentRow): Promise<void> {
  const capabilities = JSON.stringify(row.capabilities)
  const metadata = JSON.stringify(row.metadata)
  await tx.run(sql`insert into agents
    (tenant, id, type, type_key, status, capabilities, description, managed, desired, concurrency, metadata, last_seen, created_at,
      allow_delegation, fallback)
    values (${row.tenant}, ${row.id}, ${row.type}, ${row.type_key}, ${row.status}, ${capabilities}, ${row.description}, ${row.managed},
      ${row.desired}, ${row.concurrency}, ${metadata}, ${row.last_seen}, ${row.created_at}, ${row.allow_delegation}, ${JSON.stringify(row.fallback)})
    on conflict (tenant, id) do update set type = excluded.type, type_key = excluded.type_key, status = excluded.status,
      capabilities = excluded.capabilities, description = excluded.description, managed = excluded.managed, desired = excluded.desired,
      concurrency = excluded.concurrency, metadata = excluded.metadata, last_seen = excluded.last_seen,
      allow_delegation = excluded.allow_delegation, fallback = excluded.fallback`)
}

/** Compare-and-set: false when the agent is no longer in `from`. */
export async function moveAgent(tx: Tx, tenant: number, id: number, from: AgentStatus, to: AgentStatus): Promise<boolean> {
  return (await tx.run(sql`update agents set status = ${to} where tenant = ${tenant} and id = ${id} and status = ${from}`)) === 1
}

export async function setDesired(tx: Tx, tenant: number, id: number, desired: 'running' | 'stopped'): Promise<void> {
  await tx.run(sql`update agents set desired = ${desired} where tenant = ${tenant} and id = ${id}`)
}

export async function saveLastSeen(tx: Tx, rows: readonly { tenant: number; id: number; last_seen: number }[]): Promise<void> {
  await tx.runMany(
    'update agents set last_seen = ? where tenant = ? and id = ?',
    rows.map((row) => [row.last_seen, row.tenant, row.id]),
  )
}
