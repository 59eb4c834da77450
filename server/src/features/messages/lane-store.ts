/** What the store says of deliveries without a row of their own. See migration 0006. */
import type { Dialect, Reader, Tx } from '../../drivers/database/port.ts'
import { sql } from '../../drivers/database/sql.ts'
import type { MessageRow } from './store.ts'

/** A message as far as it takes to make inbox rows of it. */
export type Unsettled = Pick<
  MessageRow,
  'seq' | 'tenant' | 'actor' | 'priority' | 'recipient' | 'recipients' | 'lane' | 'expires_at'
>
const columns = sql.raw('log.seq, log.tenant, log.actor, log.priority, log.recipient, log.recipients, log.lane, log.expires_at')

/** Position up to which nothing of the agent is in flight without a row. */
export async function settledOf(reader: Reader, tenant: number, agent: number): Promise<number> {
  const row = await reader.get<{ settled: number }>(sql`select settled from lanes where tenant = ${tenant} and agent = ${agent}`)
  return row?.settled ?? 0
}

/** The same for many at once, by agent. */
export async function settledOfMany(
  reader: Reader,
  values: Dialect['values'],
  agents: readonly { tenant: number; agent: number }[],
): Promise<Map<number, number>> {
  const [first] = agents
  if (first === undefined) return new Map()
  if (agents.length === 1) return new Map([[first.agent, await settledOf(reader, first.tenant, first.agent)]])
  const found = new Map<number, number>()
  for (const tenant of new Set(agents.map((each) => each.tenant))) {
    const ids = JSON.stringify(agents.flatMap((each) => (each.tenant === tenant ? [each.agent] : [])))
    const rows = await reader.all<{ agent: number; settled: number }>(
      sql`select agent, settled from lanes where tenant = ${tenant} and agent in ${values(ids)}`,
    )
    for (const row of rows) found.set(row.agent, row.settled)
  }
  return found
}

/** Every agent that has a lane has a row: it gets one when it connects. */
export async function openLane(tx: Tx, tenant: number, agent: number, settled: number): Promise<void> {
  await tx.run(sql`insert into lanes (tenant, agent, settled) values (${tenant}, ${agent}, ${settled})
    on conflict (tenant, agent) do update set settled = excluded.settled where excluded.settled > lanes.settled`)
}

export async function moveSettled(tx: Tx, moves: readonly { tenant: number; agent: number; settled: number }[]): Promise<void> {
  await tx.runMany(
    'update lanes set settled = ? where tenant = ? and agent = ?',
    moves.map(({ tenant, agent, settled }) => [settled, tenant, agent]),
  )
}

/** Did this recipient of the message get no row when it was stored? */
export function isInLane(row: Pick<MessageRow, 'lane'>, agent: number): boolean {
  if (row.lane === null) return false
  return row.lane === '' || !(JSON.parse(row.lane) as number[]).includes(agent)
}

const isFor = (row: Unsettled, agent: number): boolean =>
  isInLane(row, agent) && (row.recipient === agent || (JSON.parse(row.recipients ?? '[]') as number[]).includes(agent))

/** Is this delivery in flight without a row? */
export async function isInFlight(reader: Reader, row: Unsettled, agent: number): Promise<boolean> {
  return isFor(row, agent) && row.seq > (await settledOf(reader, row.tenant, agent))
}

/** Messages to the agent after that position that are in flight without a row, in order. */
export async function inFlightOf(reader: Reader, tenant: number, agent: number, after: number): Promise<Unsettled[]> {
  const own = await reader.all<Unsettled>(sql`select ${columns} from log
    where tenant = ${tenant} and recipient = ${agent} and seq > ${after} and lane is not null`)
  const shared = await reader.all<Unsettled>(sql`select ${columns} from log
    where tenant = ${tenant} and lane is not null and recipient is null and seq > ${after}`)
  return [...own, ...shared.filter((row) => isFor(row, agent))].toSorted((a, b) => a.seq - b.seq)
}

/** Messages to several that are looked at in one statement. */
const perRead = 5_000

/** Everything in flight without a row, as a starting server finds it. */
export async function allInFlight(reader: Reader): Promise<{ agent: number; message: Unsettled }[]> {
  const lanes = await reader.all<{ tenant: number; agent: number; settled: number }>(
    sql`select tenant, agent, settled from lanes`,
  )
  const own = await reader.all<Unsettled & { agent: number }>(sql`select ${columns}, lanes.agent from lanes
    join log on log.tenant = lanes.tenant and log.recipient = lanes.agent and log.seq > lanes.settled where log.lane is not null`)
  const found: { agent: number; message: Unsettled }[] = own.map((message) => ({ agent: message.agent, message }))
  // An agent that was away has a position of long ago, and everything that others were sent since is walked past for it.
  for (const tenant of new Set(lanes.map((lane) => lane.tenant))) {
    const settled = new Map(lanes.flatMap((lane) => (lane.tenant === tenant ? [[lane.agent, lane.settled] as const] : [])))
    let after = Math.min(...settled.values())
    for (let more = true; more; ) {
      const shared = await reader.all<Unsettled>(sql`select ${columns} from log
        where tenant = ${tenant} and lane is not null and recipient is null and seq > ${after} order by seq limit ${perRead}`)
      for (const message of shared) {
        for (const agent of JSON.parse(message.recipients ?? '[]') as number[])
          if (message.seq > (settled.get(agent) ?? message.seq) && isInLane(message, agent)) found.push({ agent, message })
        after = message.seq
      }
      more = shared.length === perRead
    }
  }
  return found
}

/** Nothing up to there is in flight: later starts need not look back further than this. */
export async function settleLanes(tx: Tx, head: number): Promise<void> {
  await tx.run(sql`update lanes set settled = ${head} where settled < ${head}`)
}
