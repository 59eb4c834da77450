/** Agents that fetch their work themselves. */
import { CadreError, type ParsedInputOf, canonical } from '@cadre/contract'
import type { Context, WriteTx } from '../../core/context.ts'
import type { Directory } from '../../core/directory.ts'
import type { Handlers } from '../../core/invoke.ts'
import type { Known } from '../agents/service.ts'
import type { Engine } from './engine.ts'
import { take, toAssignment } from './leases.ts'
import { findTask } from './listing.ts'
import { assign, illegal, isGone } from './moves.ts'
import { type TaskRow, getTask, getTasks, heldBy, openTasks } from './store.ts'

export function makeClaiming(engine: Engine): Pick<Handlers, 'tasks.claim'> {
  const { parts } = engine
  return {
    'tasks.claim': async (context, input) => {
      const agent = claimant(context, parts.directory, input.agent)
      const profile = parts.agents.registry.get(agent)
      const { rows } = await context.write(async (tx) => {
        const rows: TaskRow[] = []
        for (const row of await heldBy(tx, context.tenant, agent)) {
          // What was handed out already is worked on by whoever got it; another process of the agent has to ask for it by its id.
          if (input.id === undefined ? row.taken_at !== null : row.id !== input.id) continue
          if (rows.length < input.limit && row.state === 'assigned') rows.push(await take(parts, tx, row))
        }
        if (rows.length < input.limit && !isGone(parts, agent)) {
          for (const row of await claimable(engine, tx, context.tenant, profile, input)) {
            if (rows.length >= input.limit) break
            rows.push(await take(parts, tx, await assign(parts, tx, row, agent, 'claimed')))
          }
        }
        if (input.id !== undefined && rows.length === 0) throw illegal(await findTask(tx, context, input.id), 'assigned')
        return { rows }
      })
      return { items: rows.map((row) => toAssignment(parts, row)) }
    },
  }
}

/** Ready tasks that the agent may do, most urgent first: those that ask for what it is, and those that ask for nobody. */
async function claimable(
  engine: Engine,
  tx: WriteTx,
  tenant: number,
  profile: Known | undefined,
  input: ParsedInputOf<'tasks.claim'>,
): Promise<TaskRow[]> {
  const may = (row: TaskRow | undefined): row is TaskRow => row?.state === 'ready' && able(profile, row)
  if (input.id !== undefined) return [await getTask(tx, tenant, input.id)].filter(may)
  const open = await openTasks(tx, tenant, input.limit)
  if (!profile) return open
  // Others that claim in the same turn were given the first of these already.
  for (let count = input.limit + 64; ; count *= 4) {
    const ids = engine.assigning.claimable(profile, count)
    const asking = (await getTasks(tx, engine.parts.database.dialect.values, tenant, ids)).filter(may)
    if (asking.length < input.limit && ids.length === count) continue
    return [...open, ...asking].toSorted((a, b) => a.priority - b.priority || (a.id < b.id ? -1 : 1)).slice(0, input.limit)
  }
}

function able(agent: Known | undefined, row: TaskRow): boolean {
  if (row.assign_to !== null) return false
  if (row.agent_type !== null && canonical(row.agent_type) !== agent?.type_key) return false
  return (JSON.parse(row.capabilities) as string[]).every((capability) => agent?.capabilityKeys.has(canonical(capability)))
}

/** Agents claim for themselves; others name the agent they claim for. */
function claimant({ caller, tenant }: Context, directory: Directory, reference: string | undefined): number {
  if (caller.role !== 'agent') {
    if (reference === undefined)
      throw new CadreError('invalid_request', {}, { fields: [{ pointer: '/agent', detail: 'Name the agent that claims.' }] })
    return directory.agent(tenant, reference).id
  }
  if (reference !== undefined && directory.find(tenant, reference)?.id !== caller.id) {
    throw new CadreError('forbidden', { reason: `You act as ${caller.name}; claim for yourself.` })
  }
  return caller.id
}
