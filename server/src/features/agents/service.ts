/** Agents: register, spawn, list, get, status, heartbeat, terminate. Lifecycle and presence are two fields. */
import { type Agent, CadreError, canonical } from '@cadre/contract'
import type { Access } from '../../core/access.ts'
import { Background } from '../../core/background.ts'
import { type Clock, iso, isoOrNull } from '../../core/clock.ts'
import type { Context, WriteTx } from '../../core/context.ts'
import type { Directory } from '../../core/directory.ts'
import type { Handlers } from '../../core/invoke.ts'
import type { Logger } from '../../core/logger.ts'
import { pageOf } from '../../core/paging.ts'
import type { Sessions } from '../../core/sessions.ts'
import type { Database } from '../../drivers/database/port.ts'
import { makeLifecycle } from './lifecycle.ts'
import { watchPresence } from './presence.ts'
import { enrol, viewAgent, viewEnrolled } from './profile.ts'
import { type Known, Registry } from './registry.ts'
import { loadAgents } from './store.ts'

/** Types that `agents.spawn` can start; any other kind of agent registers from where it runs. */
const builtInTypes = ['coordinator', 'decomposer', 'researcher', 'analyst', 'knowledge', 'oversight', 'writer'] as const

export interface AgentsParts {
  logger: Logger
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
    | 'agents.watch'
    | 'agents.unwatch'
    | 'agents.terminate'
  >
  registry: Registry
  view(agent: Known, inboxDepth: number): Agent
  /** The engine's count of assigned and running tasks; idle and busy follow it. */
  setLoad(agent: number, load: number): void
  /** Takes nothing new from the commit on. False for one that is ending already, or is no agent. */
  beginStop(tx: WriteTx, agent: number, reason: string): Promise<boolean>
  /** Ends an agent whose stop began, unless it still has tasks: then it ends with the last of them. */
  finishStop(agent: number, reason: string): Promise<void>
  /** Called when the desired state of a managed agent changes. */
  onDesired(listener: (agent: Known, desired: 'running' | 'stopped') => void): void
  /** An agent became able to take work. */
  onAvailable(listener: (agent: Known) => void): void
  /** An agent is stopping or was terminated, and takes no more work. */
  onEnding(listener: (agent: Known) => void): void
  close(): Promise<void>
}

export async function makeAgents(parts: AgentsParts): Promise<Agents> {
  const { database, directory, access, sessions, clock, newId, engine } = parts
  const registry = new Registry(clock)
  for (const row of await loadAgents(database)) registry.keep(row)
  const background = new Background(parts.logger, 'the state of an agent could not be followed')
  // Moves are compare-and-set: one that somebody else made first is no failure.
  const inBackground = (work: Promise<unknown>) =>
    background.run(
      work.catch((error: unknown) => {
        if (!(error instanceof CadreError && error.code === 'illegal_transition')) throw error
      }),
    )
  const lifecycle = makeLifecycle({ directory, access, sessions, registry, engine, inBackground })
  const presence = watchPresence({ database, directory, sessions, clock, registry, lifecycle, engine, inBackground, known })
  const profiles = { directory, clock, registry, newId, available: lifecycle.available }

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

  const view = (agent: Known, inboxDepth: number): Agent => viewAgent(profiles, agent, inboxDepth)

  const viewOne = async (agent: Known) => view(agent, (await parts.inboxDepths(agent.tenant, [agent.id])).get(agent.id) ?? 0)

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
        const { agent, principal } = await enrol(profiles, tx, context, input, true, (_existing, former) => {
          if (former?.status !== 'terminated') throw new CadreError('name_taken', { name: input.name })
          return { itself: false }
        })
        tx.afterCommit(() => {
          const kept = registry.get(principal.id)
          if (kept) lifecycle.desired(kept, 'running')
        })
        const stored: Agent = { ...viewEnrolled(registry, principal, agent, 'offline') }
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
        const { agent, principal } = await enrol(profiles, tx, context, profile, false, (existing, former) => {
          const itself = proven?.id === existing.id || context.caller.id === existing.id
          if (former?.status !== 'terminated' && !itself && !mayTakeOver)
            throw new CadreError('name_taken', { name: profile.name })
          return { itself }
        })
        const needsToken = proven?.id !== principal.id && context.caller.id !== principal.id
        const issued = needsToken ? await access.issue(tx, principal, 'agent', principal.name) : undefined
        return { ...viewEnrolled(registry, principal, agent, 'online'), ...(issued && { token: issued.token }) }
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
        await lifecycle.move(tx, agent, input.status, input.reason ?? null)
        return { id: directory.byId(agent.id).publicId }
      })
      return { ...(await viewOne(agent)), receipt }
    },

    'agents.watch': async ({ session }) => {
      if (!session)
        throw new CadreError('unsupported', { reason: 'Follow agents on a socket; over HTTP follow the topic agent.state.' })
      session.presence = true
      return { watching: true }
    },
    'agents.unwatch': async ({ session }) => {
      if (session) session.presence = false
      return { watching: false }
    },

    'agents.heartbeat': async (context, input) => {
      const agent = own(context, input.id)
      const now = clock.now()
      await presence.beat(agent, now)
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
        if (failing) await lifecycle.move(tx, agent, 'failed', reason)
        if (agent.status !== 'stopping') await lifecycle.move(tx, agent, 'stopping', reason, failing ? 'failed' : agent.status)
        return { id: directory.byId(agent.id).publicId }
      })
      // A busy agent drains: it takes nothing new and ends when its last task does.
      if (agent.load === 0 || input.force) await lifecycle.finishStopping(agent, reason)
      return { ...(await viewOne(agent)), receipt }
    },
  }

  return {
    handlers,
    registry,
    view,
    setLoad: lifecycle.setLoad,
    async beginStop(tx, id, reason) {
      const agent = registry.get(id)
      if (!agent || agent.status === 'stopping' || agent.status === 'terminated') return false
      await lifecycle.move(tx, agent, 'stopping', reason)
      return true
    },
    async finishStop(id, reason) {
      const agent = registry.get(id)
      if (agent && agent.load === 0) await lifecycle.finishStopping(agent, reason)
    },
    onDesired: lifecycle.onDesired,
    onAvailable: lifecycle.onAvailable,
    onEnding: lifecycle.onEnding,
    async close() {
      presence.stop()
      await background.idle()
      await presence.flush()
    },
  }
}

export type { Known }
