/** Agents: register, spawn, list, get, status, heartbeat, terminate. Lifecycle and presence are two fields. */
import { type Agent, type AgentStatus, CadreError, agentLifecycle, canMove, canonical } from '@cadre/contract'
import type { Access } from '../../core/access.ts'
import { type Clock, iso, isoOrNull } from '../../core/clock.ts'
import type { Context, Principal, WriteTx } from '../../core/context.ts'
import { serialise } from '../../core/limits.ts'
import { pageOf } from '../../core/paging.ts'
import type { Directory } from '../../core/directory.ts'
import type { Handlers } from '../../core/invoke.ts'
import type { Sessions } from '../../core/sessions.ts'
import type { Database } from '../../drivers/database/port.ts'
import { type Known, Registry } from './registry.ts'
import { type AgentRow, loadAgent, loadAgents, moveAgent, namedInStore, saveAgent, saveLastSeen, setDesired } from './store.ts'

/** Types that `agents.spawn` can start; any other kind of agent registers from where it runs. */
const builtInTypes = ['coordinator', 'decomposer', 'researcher', 'analyst', 'knowledge', 'oversight', 'writer'] as const

export interface AgentsParts {
  database: Database
  directory: Directory
  access: Access
  sessions: Sessions
  clock: Clock
  newId: (prefix: string) => string
  engine: () => Context
  /** Waiting deliveries of each agent. */
  inboxDepths: (tenant: number, agents: readonly number[]) => Promise<Map<number, number>>
  /** Leases named in a heartbeat: renews the current ones and answers the lost ones. */
  renewLeases: (agent: number, leases: readonly string[] | 'all') => Promise<{ lost: string[]; until: number | null }>
}

export interface Agents {
  handlers: Pick<
    Handlers,
    | 'agents.spawn'
    | 'agents.register'
    | 'agents.list'
    | 'agents.get'
    | 'agents.set_status'
    | 'agents.heartbeat'
    | 'agents.terminate'
  >
  registry: Registry
  view(agent: Known, inboxDepth: number): Agent
  /** The engine's count of assigned and running tasks; idle and busy follow it. */
  setLoad(agent: number, load: number): void
  /** Called when the desired state of a managed agent changes. */
  onDesired(listener: (agent: Known, desired: 'running' | 'stopped') => void): void
  /** An agent became able to take work. */
  onAvailable(listener: (agent: Known) => void): void
  /** An agent is stopping or was terminated, and takes no more work. */
  onEnding(listener: (agent: Known) => void): void
  close(): Promise<void>
}

interface Profile {
  name: string
  type?: string | undefined
  capabilities?: string[] | undefined
  description?: string | undefined
  metadata?: Record<string, unknown> | undefined
  concurrency?: number | undefined
}

const maxMetadataBytes = 64 * 1024
const lastSeenFlush = 10_000
const presenceSweep = 5_000

export async function makeAgents(parts: AgentsParts): Promise<Agents> {
  const { database, directory, access, sessions, clock } = parts
  const registry = new Registry(clock)
  for (const row of await loadAgents(database)) registry.keep(row)
  const desiredListeners: ((agent: Known, desired: 'running' | 'stopped') => void)[] = []
  const availableListeners: ((agent: Known) => void)[] = []
  const endingListeners: ((agent: Known) => void)[] = []
  /** Agents whose status is about to follow their load. */
  const following = new Set<number>()
  const seen = new Set<number>()
  const background = new Set<Promise<unknown>>()
  let closed = false

  const inBackground = (work: Promise<unknown>) => {
    const guarded = work.catch(() => undefined).finally(() => background.delete(guarded))
    background.add(guarded)
  }

  sessions.onBound((session) => {
    const agent = known(session.agent)
    agent.connected = true
    agent.seen = clock.now()
    seen.add(agent.id)
    inBackground(announceJoined(agent))
  })
  sessions.onReleased((session) => {
    const agent = registry.get(session.agent ?? -1)
    if (!agent) return
    agent.connected = false
    agent.seen = null
    agent.last_seen = clock.now()
    seen.add(agent.id)
    if (!closed) inBackground(announceLeft(agent, 'disconnected'))
  })

  // Agents that speak REST only have no connection to lose: silence tells.
  const cancelSweep = every(presenceSweep, () => {
    for (const agent of registry.all())
      if (agent.joined && registry.presence(agent) === 'offline') inBackground(announceLeft(agent, 'no heartbeat'))
  })
  const cancelFlush = every(lastSeenFlush, () => inBackground(flushLastSeen()))

  function every(ms: number, run: () => void): () => void {
    let cancel = clock.after(ms, tick)
    function tick() {
      run()
      cancel = clock.after(ms, tick)
    }
    return () => cancel()
  }

  async function flushLastSeen(): Promise<void> {
    const rows = [...seen].flatMap((id) => {
      const agent = registry.get(id)
      return agent?.last_seen ? [{ tenant: agent.tenant, id, last_seen: agent.last_seen }] : []
    })
    seen.clear()
    for (let start = 0; start < rows.length; start += 500)
      await database.transaction((tx) => saveLastSeen(tx, rows.slice(start, start + 500)))
  }

  function known(id: number | undefined): Known {
    const agent = id === undefined ? undefined : registry.get(id)
    if (!agent) throw new CadreError('not_found', { entity: 'agent', id: directory.publicIdOf(id ?? null) ?? 'yourself' })
    return agent
  }

  const find = (context: Context, reference: string): Known => {
    const principal = directory.find(context.tenant, reference)
    const agent = principal && registry.get(principal.id)
    if (!agent) throw new CadreError('not_found', { entity: 'agent', id: reference })
    return agent
  }

  /** Agents act only as themselves. */
  const own = (context: Context, reference: string | undefined): Known => {
    if (context.caller.role !== 'agent') {
      if (reference === undefined)
        throw new CadreError('invalid_request', {}, { fields: [{ pointer: '/id', detail: 'Name the agent.' }] })
      return find(context, reference)
    }
    const agent = known(context.caller.id)
    if (reference !== undefined && find(context, reference) !== agent) {
      throw new CadreError('forbidden', { reason: `You act as ${context.caller.name}; only that agent is yours to change.` })
    }
    return agent
  }

  function view(agent: Known, inboxDepth: number): Agent {
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
    }
  }

  const viewOne = async (agent: Known) => view(agent, (await parts.inboxDepths(agent.tenant, [agent.id])).get(agent.id) ?? 0)

  /** Writes the profile of a new or returning agent in `tx`; the registry follows after the commit. */
  async function enrol(
    tx: WriteTx,
    context: Context,
    profile: Profile,
    managed: boolean,
    admit: (existing: Principal, former: AgentRow | undefined) => { itself: boolean },
  ): Promise<{ agent: Known; principal: Principal; fresh: boolean }> {
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
      available(kept)
    })
    return { agent, principal, fresh: former === undefined }
  }

  async function move(
    tx: WriteTx,
    agent: Known,
    to: AgentStatus,
    reason: string | null,
    from: AgentStatus = agent.status,
  ): Promise<void> {
    const principal = directory.byId(agent.id)
    const illegal = () => new CadreError('illegal_transition', { entity: 'agent', from, to, legal: agentLifecycle.moves[from] })
    if (!canMove(agentLifecycle, from, to)) throw illegal()
    if (!(await moveAgent(tx, agent.tenant, agent.id, from, to))) throw illegal()
    if (agent.managed && to === 'stopping') await setDesired(tx, agent.tenant, agent.id, 'stopped')
    tx.emit({
      type: 'agent.status_changed',
      subject: principal.publicId,
      data: { agent_id: principal.publicId, name: principal.name, from, to, reason },
    })
    if (to === 'terminated') {
      // Before its keys are revoked, which closes the line with a reason that says less.
      tx.afterCommit(() => sessions.forAgent(agent.id)?.close(4403, 'The agent was terminated'))
      await access.revokeAll(tx, principal)
    }
    tx.afterCommit(() => {
      agent.status = to
      if (to === 'idle') available(agent)
      if (to === 'stopping' && agent.managed) agent.desired = 'stopped'
      if (to === 'stopping' || to === 'terminated') for (const listener of endingListeners) listener(agent)
      if (to === 'terminated') {
        // The worker of a draining agent lives until its last task has ended.
        if (agent.managed) for (const listener of desiredListeners) listener(agent, 'stopped')
        agent.seen = null
        inBackground(announceLeft(agent, reason ?? 'terminated'))
      }
    })
  }

  function available(agent: Known): void {
    for (const listener of availableListeners) listener(agent)
  }

  async function announceJoined(agent: Known): Promise<void> {
    const principal = directory.byId(agent.id)
    await parts.engine().write(async (tx) => {
      if (agent.status === 'starting' || agent.status === 'failed') await move(tx, agent, 'idle', 'connected')
      if (!agent.joined) {
        agent.joined = true
        tx.emit({
          type: 'agent.joined',
          subject: principal.publicId,
          data: { agent_id: principal.publicId, name: principal.name, type: agent.type, capabilities: agent.capabilities },
        })
      }
      return {}
    })
    available(agent)
  }

  async function announceLeft(agent: Known, reason: string): Promise<void> {
    if (!agent.joined || (agent.status !== 'terminated' && registry.presence(agent) === 'online')) return
    agent.joined = false
    const principal = directory.byId(agent.id)
    await parts.engine().write(async (tx) => {
      tx.emit({
        type: 'agent.left',
        subject: principal.publicId,
        data: { agent_id: principal.publicId, name: principal.name, reason },
      })
      return {}
    })
  }

  /** idle and busy follow the load, so that no client has to keep them right. */
  function setLoad(id: number, load: number): void {
    const agent = registry.get(id)
    if (!agent) return
    agent.load = load
    const wanted: AgentStatus = load > 0 ? 'busy' : 'idle'
    if ((agent.status === 'idle' || agent.status === 'busy') && agent.status !== wanted) {
      if (following.has(id)) return
      following.add(id)
      inBackground(
        parts.engine().write(async (tx) => {
          following.delete(id)
          // The load may have changed back while this waited for its turn.
          const target: AgentStatus = agent.load > 0 ? 'busy' : 'idle'
          if ((agent.status === 'idle' || agent.status === 'busy') && agent.status !== target) await move(tx, agent, target, null)
          return {}
        }),
      )
    } else if (load < agent.concurrency) available(agent)
    if (load === 0 && agent.status === 'stopping') inBackground(finishStopping(agent, 'drained'))
  }

  async function finishStopping(agent: Known, reason: string): Promise<void> {
    await parts.engine().write(async (tx) => {
      if (agent.status === 'stopping') await move(tx, agent, 'terminated', reason)
      return {}
    })
  }

  const handlers: Agents['handlers'] = {
    'agents.spawn': async (context, input) => {
      const type = canonical(input.type)
      if (!builtInTypes.some((name) => name === type)) {
        throw new CadreError(
          'invalid_request',
          {},
          {
            fields: [
              {
                pointer: '/type',
                detail: `Cadre can start ${builtInTypes.join(', ')}; other agents register from where they run.`,
              },
            ],
          },
        )
      }
      const answer = await context.write(async (tx) => {
        const { agent, principal } = await enrol(tx, context, input, true, (_existing, former) => {
          if (former?.status !== 'terminated') throw new CadreError('name_taken', { name: input.name })
          return { itself: false }
        })
        tx.afterCommit(() => {
          const kept = registry.get(principal.id)
          if (kept) for (const listener of desiredListeners) listener(kept, 'running')
        })
        const stored: Agent = { ...bare(principal, agent, 'offline') }
        return stored
      })
      return answer as typeof answer & { receipt: NonNullable<typeof answer.receipt> }
    },

    'agents.register': async (context, input) => {
      const { token, ...profile } = input
      if (context.caller.role === 'agent' && profile.name !== context.caller.name) {
        throw new CadreError('forbidden', {
          reason: `You act as ${context.caller.name}; register others with an operator's key.`,
        })
      }
      const proven = token === undefined ? undefined : await access.fromToken(token)
      const mayTakeOver = context.caller.role === 'admin' || context.caller.role === 'operator'
      // Judged in the transaction, so that the same call with the same key is answered as before.
      const answer = await context.write(async (tx) => {
        const { agent, principal } = await enrol(tx, context, profile, false, (existing, former) => {
          const itself = proven?.id === existing.id || context.caller.id === existing.id
          if (former?.status !== 'terminated' && !itself && !mayTakeOver)
            throw new CadreError('name_taken', { name: profile.name })
          return { itself }
        })
        const needsToken = proven?.id !== principal.id && context.caller.id !== principal.id
        const issued = needsToken ? await access.issue(tx, principal, 'agent', principal.name) : undefined
        return { ...bare(principal, agent, 'online'), ...(issued && { token: issued.token }) }
      })
      return answer as typeof answer & { receipt: NonNullable<typeof answer.receipt> }
    },

    'agents.list': async (context, input) => {
      const wantedType = input.type === undefined ? undefined : canonical(input.type)
      const wantedCapability = input.capability === undefined ? undefined : canonical(input.capability)
      const matching = registry
        .list(context.tenant)
        .filter(
          (agent) =>
            (input.status === undefined ? agent.status !== 'terminated' : agent.status === input.status) &&
            (wantedType === undefined || agent.type_key === wantedType) &&
            (input.presence === undefined || registry.presence(agent) === input.presence) &&
            (wantedCapability === undefined || agent.capabilityKeys.has(wantedCapability)),
        )
      const page = pageOf(matching, input.limit, input.cursor, (agent) => agent.id)
      const depths = await parts.inboxDepths(
        context.tenant,
        page.items.map((agent) => agent.id),
      )
      return { items: page.items.map((agent) => view(agent, depths.get(agent.id) ?? 0)), next: page.next }
    },

    'agents.get': (context, input) => viewOne(find(context, input.id)),

    'agents.set_status': async (context, input) => {
      const agent = own(context, input.id)
      if (agent.status === input.status) return { ...(await viewOne(agent)), receipt: null }
      const { receipt } = await context.write(async (tx) => {
        await move(tx, agent, input.status, input.reason ?? null)
        return { id: directory.byId(agent.id).publicId }
      })
      return { ...(await viewOne(agent)), receipt }
    },

    'agents.heartbeat': async (context, input) => {
      const agent = own(context, input.id)
      const now = clock.now()
      const wasAway = registry.presence(agent) !== 'online'
      agent.seen = now
      agent.last_seen = now
      seen.add(agent.id)
      if (!agent.joined) await announceJoined(agent)
      else if (wasAway) available(agent)
      const plain = context.session === undefined || context.session.mode === 'plain'
      const { lost, until } = await parts.renewLeases(agent.id, plain && input.leases.length === 0 ? 'all' : input.leases)
      const { publicId } = directory.byId(agent.id)
      return {
        id: publicId,
        agent_id: publicId,
        presence: registry.presence(agent),
        server_time: iso(now),
        lost,
        lease_until: isoOrNull(until),
      }
    },

    'agents.terminate': async (context, input) => {
      const agent = own(context, input.id)
      if (agent.status === 'terminated') return { ...(await viewOne(agent)), receipt: null }
      const reason = input.reason ?? (input.force ? 'forced' : 'terminated')
      const { receipt } = await context.write(async (tx) => {
        const failing = agent.status === 'busy' && input.force
        if (failing) await move(tx, agent, 'failed', reason)
        if (agent.status !== 'stopping') await move(tx, agent, 'stopping', reason, failing ? 'failed' : agent.status)
        return { id: directory.byId(agent.id).publicId }
      })
      // A busy agent drains: it takes nothing new and ends when its last task does.
      if (agent.load === 0 || input.force) await finishStopping(agent, reason)
      return { ...(await viewOne(agent)), receipt }
    },
  }

  // Inside its own transaction an agent has neither inbox nor load that the answer could show yet.
  function bare(principal: Principal, row: Known, presence: Agent['presence']): Agent {
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
    }
  }

  return {
    handlers,
    registry,
    view,
    setLoad,
    onDesired: (listener) => void desiredListeners.push(listener),
    onAvailable: (listener) => void availableListeners.push(listener),
    onEnding: (listener) => void endingListeners.push(listener),
    async close() {
      closed = true
      cancelSweep()
      cancelFlush()
      await Promise.all(background)
      await flushLastSeen()
    },
  }
}

export type { Known }
