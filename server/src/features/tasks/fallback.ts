/** Who stands in when a task was tried as often as it may be. */
import { canonical } from '@cadre/contract'
import type { WriteTx } from '../../core/context.ts'
import { type MoveParts, isGone, settleReady } from './moves.ts'
import { type Placement, firstAsked, placementOf } from './placement.ts'
import { type TaskRow, retarget } from './store.ts'

interface StandIn {
  /** Its place in the list, from 1. */
  at: number
  agent: number | null
  type: string | null
  /** How many there are. */
  of: number
  placement: Placement
}

/** The next that is there: an agent that is online, or a type of which one is. The list is the task's, or else what the agent declares. */
export function nextFallback(parts: MoveParts, row: TaskRow): StandIn | undefined {
  const { registry } = parts.agents
  const said = placementOf(row)
  const list = said.fallback ?? said.declared ?? registry.get(row.assignee ?? -1)?.fallback ?? []
  const placement = { ...said, first: firstAsked(row), ...(said.fallback === undefined && { declared: list }) }
  const of = list.length
  for (let at = row.fallback_at + 1; at <= list.length; at++) {
    const each = list[at - 1]
    if (typeof each === 'string') {
      const agent = registry.get(parts.directory.find(row.tenant, each)?.id ?? -1)
      if (agent && agent.id !== row.assignee && !isGone(parts, agent.id) && registry.presence(agent) === 'online')
        return { at, agent: agent.id, type: null, of, placement }
    } else if (each && registry.able(row.tenant, canonical(each.agent_type), []).some(({ id }) => id !== row.assignee))
      return { at, agent: null, type: each.agent_type, of, placement }
  }
  return undefined
}

/** Gives the task to the stand-in, for one attempt. What the task asked of its first agent is not asked of this one. */
export async function fallBack(parts: MoveParts, tx: WriteTx, row: TaskRow, next: StandIn, message: string): Promise<TaskRow> {
  const changed: TaskRow = {
    ...row,
    assign_to: next.agent,
    fallback_at: next.at,
    placement: JSON.stringify(next.placement),
    ...(next.type !== null && { agent_type: next.type, capabilities: '[]' }),
  }
  await retarget(tx, changed)
  const why = `fallback ${next.at} of ${next.of} after ${parts.directory.nameOf(row.assignee)}`
  return settleReady(parts, tx, changed, message, why)
}
