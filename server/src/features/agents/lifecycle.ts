/** The moves of agents between their statuses: asked for, or following the load; and who hears of them. */
import { type AgentStatus, CadreError, agentLifecycle, canMove } from '@cadre/contract'
import type { Access } from '../../core/access.ts'
import type { Context, WriteTx } from '../../core/context.ts'
import type { Directory } from '../../core/directory.ts'
import type { Sessions } from '../../core/sessions.ts'
import type { Known, Registry } from './registry.ts'
import { moveAgent, setDesired } from './store.ts'

export interface LifecycleParts {
  directory: Directory
  access: Access
  sessions: Sessions
  registry: Registry
  engine: () => Context
  /** Runs on behind; its failure is nobody's. */
  inBackground: (work: Promise<unknown>) => void
}

export interface Lifecycle {
  /** One legal move with its event. Throws `illegal_transition`, also when the store has another status than `from`. */
  readonly move: (tx: WriteTx, agent: Known, to: AgentStatus, reason: string | null, from?: AgentStatus) => Promise<void>
  /** The engine's count of assigned and running tasks; idle and busy follow it. */
  readonly setLoad: (agent: number, load: number) => void
  /** Terminates one that was stopping. */
  readonly finishStopping: (agent: Known, reason: string) => Promise<void>
  /** Says that the agent left, once, when it is away or terminated. */
  readonly leave: (agent: Known, reason: string) => Promise<void>
  readonly available: (agent: Known) => void
  readonly desired: (agent: Known, state: 'running' | 'stopped') => void
  readonly onDesired: (listener: (agent: Known, desired: 'running' | 'stopped') => void) => void
  readonly onAvailable: (listener: (agent: Known) => void) => void
  readonly onEnding: (listener: (agent: Known) => void) => void
}

export function makeLifecycle(parts: LifecycleParts): Lifecycle {
  const { directory, access, sessions, registry, engine, inBackground } = parts
  const desiredListeners: ((agent: Known, desired: 'running' | 'stopped') => void)[] = []
  const availableListeners: ((agent: Known) => void)[] = []
  const endingListeners: ((agent: Known) => void)[] = []
  /** Agents whose status is about to follow their load. */
  const following = new Set<number>()

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
        if (agent.managed) desired(agent, 'stopped')
        agent.seen = null
        inBackground(leave(agent, reason ?? 'terminated'))
      }
    })
  }

  function available(agent: Known): void {
    for (const listener of availableListeners) listener(agent)
  }

  function desired(agent: Known, state: 'running' | 'stopped'): void {
    for (const listener of desiredListeners) listener(agent, state)
  }

  async function leave(agent: Known, reason: string): Promise<void> {
    if (!agent.joined || (agent.status !== 'terminated' && registry.presence(agent) === 'online')) return
    agent.joined = false
    const principal = directory.byId(agent.id)
    await engine().write(async (tx) => {
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
        engine().write(async (tx) => {
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
    await engine().write(async (tx) => {
      if (agent.status === 'stopping') await move(tx, agent, 'terminated', reason)
      return {}
    })
  }

  return {
    move,
    setLoad,
    finishStopping,
    leave,
    available,
    desired,
    onDesired: (listener) => void desiredListeners.push(listener),
    onAvailable: (listener) => void availableListeners.push(listener),
    onEnding: (listener) => void endingListeners.push(listener),
  }
}
