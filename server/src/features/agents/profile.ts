/** What an agent says of itself: written when it registers or is spawned, and as clients see it. */
import { type Agent, CadreError, type Fallback, canonical } from '@cadre/contract'
import { type Clock, iso, isoOrNull } from '../../core/clock.ts'
import type { Context, Principal, WriteTx } from '../../core/context.ts'
import type { Directory } from '../../core/directory.ts'
import { serialise } from '../../core/limits.ts'
import type { Known, Registry } from './registry.ts'
import { type AgentRow, loadAgent, namedInStore, saveAgent } from './store.ts'

export interface Profile {
  name: string
  type?: string | undefined
  capabilities?: string[] | undefined
  description?: string | undefined
  metadata?: Record<string, unknown> | undefined
  concurrency?: number | undefined
  allow_delegation?: boolean | undefined
  fallback?: Fallback[] | undefined
}

export interface ProfileParts {
  directory: Directory
  clock: Clock
  registry: Registry
  newId: (prefix: string) => string
  available: (agent: Known) => void
}

type Admit = (existing: Principal, former: AgentRow | undefined) => { itself: boolean }

const maxMetadataBytes = 64 * 1024

/**
 * Writes the profile of a new or returning agent in `tx`; the registry follows after the commit. `admit` judges whether the caller may
 * have a name that is there already, and throws if not. Throws `name_taken` for a name that is no agent's.
 */
export async function enrol(
  parts: ProfileParts,
  tx: WriteTx,
  context: Context,
  profile: Profile,
  managed: boolean,
  admit: Admit,
): Promise<{ agent: Known; principal: Principal }> {
  const { directory, clock, registry } = parts
  if (profile.metadata !== undefined) serialise(profile.metadata, 'metadata', maxMetadataBytes)
  const existing = directory.find(context.tenant, profile.name) ?? (await namedInStore(tx, context.tenant, profile.name))
  if (existing && existing.kind !== 'agent') throw new CadreError('name_taken', { name: profile.name })
  const principal = existing ?? (await directory.create(tx, context.tenant, 'agent', profile.name, parts.newId('agt')))
  const former = existing && (registry.get(existing.id) ?? (await loadAgent(tx, context.tenant, existing.id)))
  const itself = existing !== undefined && admit(existing, former).itself
  // A new connection of one that drains goes on draining; only others, or nothing left to do, bring it back.
  const draining = itself && former?.status === 'stopping' && (registry.get(former.id)?.load ?? 0) > 0
  const revived =
    former === undefined ||
    former.status === 'terminated' ||
    (former.status === 'stopping' && !draining) ||
    former.status === 'failed'
  const type = profile.type ?? former?.type ?? 'custom'
  const row: AgentRow = {
    tenant: context.tenant,
    id: principal.id,
    type,
    type_key: canonical(type),
    status: managed ? 'starting' : revived || former.status === 'starting' ? 'idle' : former.status,
    capabilities: profile.capabilities ?? former?.capabilities ?? [],
    description: profile.description ?? former?.description ?? null,
    managed: managed || (former?.managed === true && !revived),
    desired: managed ? 'running' : revived ? null : (former?.desired ?? null),
    concurrency: profile.concurrency ?? former?.concurrency ?? 1,
    metadata: profile.metadata ?? former?.metadata ?? {},
    last_seen: managed ? (former?.last_seen ?? null) : clock.now(),
    created_at: former?.created_at ?? clock.now(),
    // What an operator forbade an agent does not allow itself by registering again.
    allow_delegation:
      former?.allow_delegation === false && context.caller.role === 'agent'
        ? false
        : (profile.allow_delegation ?? former?.allow_delegation ?? true),
    fallback: profile.fallback ?? former?.fallback ?? [],
  }
  await saveAgent(tx, row)
  tx.emit({
    type: 'agent.registered',
    subject: principal.publicId,
    data: {
      agent_id: principal.publicId,
      name: principal.name,
      type: row.type,
      capabilities: row.capabilities,
      managed: row.managed,
    },
  })
  const agent: Known = { ...row, capabilityKeys: new Set(), seen: null, connected: false, load: 0, joined: false }
  tx.afterCommit(() => {
    const kept = registry.keep(row)
    if (!managed) kept.seen = clock.now()
    parts.available(kept)
  })
  return { agent, principal }
}

export function viewAgent(
  { directory, clock, registry }: Omit<ProfileParts, 'newId' | 'available'>,
  agent: Known,
  inboxDepth: number,
): Agent {
  const principal = directory.byId(agent.id)
  return {
    id: principal.publicId,
    agent_id: principal.publicId,
    name: principal.name,
    type: agent.type,
    agent_type: agent.type,
    status: agent.status,
    presence: registry.presence(agent),
    capabilities: agent.capabilities,
    description: agent.description,
    managed: agent.managed,
    concurrency: agent.concurrency,
    load: agent.load,
    inbox_depth: inboxDepth,
    created_at: iso(agent.created_at),
    last_seen: isoOrNull(agent.connected ? clock.now() : agent.last_seen),
    metadata: agent.metadata,
    ...policyOf(agent),
  }
}

/** Inside its own transaction an agent has neither inbox nor load that the answer could show yet. */
export function viewEnrolled(registry: Registry, principal: Principal, row: Known, presence: Agent['presence']): Agent {
  const current = registry.get(principal.id)
  return {
    id: principal.publicId,
    agent_id: principal.publicId,
    name: principal.name,
    type: row.type,
    agent_type: row.type,
    status: row.status,
    presence,
    capabilities: row.capabilities,
    description: row.description,
    managed: row.managed,
    concurrency: row.concurrency,
    load: current?.load ?? 0,
    inbox_depth: 0,
    created_at: iso(row.created_at),
    last_seen: isoOrNull(row.last_seen),
    metadata: row.metadata,
    ...policyOf(row),
  }
}

function policyOf(row: AgentRow): Pick<Agent, 'allow_delegation' | 'fallback'> {
  return { ...(!row.allow_delegation && { allow_delegation: false }), ...(row.fallback.length > 0 && { fallback: row.fallback }) }
}
