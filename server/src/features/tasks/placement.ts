/** Who is to do a task, and how it is tried again: what its creator says of that beside type and capabilities. */
import { CadreError, type Fallback, type ParsedInputOf, type Task } from '@cadre/contract'
import type { Directory } from '../../core/directory.ts'
import type { Agents } from '../agents/service.ts'
import { type Strategies, requireStrategy } from './strategies.ts'
import type { TaskRow } from './store.ts'

/** Stored as JSON with the task. What was not given is left out. */
export interface Placement {
  strategy?: string
  affinity?: string
  backoff_factor?: number
  fallback?: Fallback[]
  /** What the agent that gave up declares, where the task names none. */
  declared?: Fallback[]
  /** What was asked for before a stand-in was. */
  first?: Asked
}

export interface Asked {
  agent_type: string | null
  capabilities: string[]
  assign_to: number | null
}

interface PlacementParts {
  directory: Directory
  agents: Agents
  strategies: Strategies
}

type Given = Pick<
  ParsedInputOf<'tasks.dag'>['tasks'][number],
  'strategy' | 'affinity' | 'backoff_factor' | 'fallback' | 'assign_to'
>

/** What is stored of it; null when nothing was given. Throws for what cannot be done, and `forbidden` for one that may not delegate. */
export function placementText(parts: PlacementParts, tenant: number, creator: number, given: Given): string | null {
  const { strategy, affinity, backoff_factor, fallback, assign_to } = given
  if (assign_to !== undefined) requireDelegation(parts, creator, parts.directory.agent(tenant, assign_to).id)
  if (strategy !== undefined) requireStrategy(parts.strategies, strategy)
  if (affinity !== undefined && strategy !== undefined && strategy !== 'sticky')
    refuse('/affinity', `Affinity goes with the strategy sticky, not with ${strategy}; leave one of them out.`)
  if (affinity === undefined && strategy === 'sticky')
    refuse('/affinity', 'The strategy sticky needs a key that its tasks share; give an affinity.')
  for (const each of fallback ?? [])
    requireDelegation(parts, creator, typeof each === 'string' ? parts.directory.agent(tenant, each).id : undefined)
  const placement: Placement = {
    ...(strategy !== undefined && { strategy }),
    ...(affinity !== undefined && { strategy: 'sticky', affinity }),
    ...(backoff_factor !== undefined && { backoff_factor }),
    ...(fallback !== undefined && { fallback }),
  }
  return Object.keys(placement).length === 0 ? null : JSON.stringify(placement)
}

export const placementOf = (row: Pick<TaskRow, 'placement'>): Placement =>
  row.placement === null ? {} : (JSON.parse(row.placement) as Placement)

/** As the task shows it: absent where nothing was said. */
export function viewPlacement(row: TaskRow): Pick<Task, 'strategy' | 'affinity' | 'backoff_factor' | 'fallback'> {
  const { declared: _, first: __, ...said } = placementOf(row)
  return said
}

/** Whom the task asked for when it was made, whoever stood in since. */
export const firstAsked = (row: TaskRow): Asked =>
  placementOf(row).first ?? {
    agent_type: row.agent_type,
    capabilities: JSON.parse(row.capabilities) as string[],
    assign_to: row.assign_to,
  }

/** Throws `forbidden` when the agent may not give work away; `to` is who would get it, undefined for anybody. */
export function requireDelegation(
  { agents, directory }: Pick<PlacementParts, 'agents' | 'directory'>,
  from: number,
  to?: number,
): void {
  if (from === to || agents.registry.get(from)?.allow_delegation !== false) return
  throw new CadreError('forbidden', {
    reason: `${directory.nameOf(from)} may not delegate; do the work yourself, or ask an operator to assign it.`,
  })
}

function refuse(pointer: string, detail: string): never {
  throw new CadreError('invalid_request', {}, { fields: [{ pointer, detail }] })
}
