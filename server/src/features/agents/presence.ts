/** Who is there: connections come and go, heartbeats of the others fall silent, and the log hears of both. */
import type { Clock } from '../../core/clock.ts'
import type { Context } from '../../core/context.ts'
import type { Directory } from '../../core/directory.ts'
import type { Sessions } from '../../core/sessions.ts'
import type { Database } from '../../drivers/database/port.ts'
import type { Lifecycle } from './lifecycle.ts'
import type { Known, Registry } from './registry.ts'
import { saveLastSeen } from './store.ts'

const lastSeenFlush = 10_000
const presenceSweep = 5_000

export interface PresenceParts {
  database: Database
  directory: Directory
  sessions: Sessions
  clock: Clock
  registry: Registry
  lifecycle: Lifecycle
  engine: () => Context
  /** Runs on behind; its failure is nobody's. */
  inBackground: (work: Promise<unknown>) => void
  /** Throws `not_found`. */
  known: (id: number | undefined) => Known
}

export interface PresenceWatch {
  /** A heartbeat of the agent: it is there, and takes work again if it was away. */
  beat(agent: Known, now: number): Promise<void>
  /** No more is announced, and nothing looks after it any more. */
  stop(): void
  /** Writes when agents were last seen. */
  flush(): Promise<void>
}

export function watchPresence(parts: PresenceParts): PresenceWatch {
  const { database, directory, sessions, clock, registry, lifecycle, engine, inBackground, known } = parts
  const seen = new Set<number>()
  let closed = false

  sessions.onBound((session) => {
    const agent = known(session.agent)
    agent.connected = true
    agent.seen = clock.now()
    seen.add(agent.id)
    inBackground(join(agent))
  })
  sessions.onReleased((session) => {
    const agent = registry.get(session.agent ?? -1)
    if (!agent) return
    agent.connected = false
    agent.seen = null
    agent.last_seen = clock.now()
    seen.add(agent.id)
    if (!closed) inBackground(lifecycle.leave(agent, 'disconnected'))
  })

  // Agents that speak REST only have no connection to lose: silence tells.
  const cancelSweep = every(presenceSweep, () => {
    for (const agent of registry.all())
      if (agent.joined && registry.presence(agent) === 'offline') inBackground(lifecycle.leave(agent, 'no heartbeat'))
  })
  const cancelFlush = every(lastSeenFlush, () => inBackground(flush()))

  function every(ms: number, run: () => void): () => void {
    let cancel = clock.after(ms, tick)
    function tick() {
      run()
      cancel = clock.after(ms, tick)
    }
    return () => cancel()
  }

  async function flush(): Promise<void> {
    const rows = [...seen].flatMap((id) => {
      const agent = registry.get(id)
      return agent?.last_seen ? [{ tenant: agent.tenant, id, last_seen: agent.last_seen }] : []
    })
    seen.clear()
    for (let start = 0; start < rows.length; start += 500)
      await database.transaction((tx) => saveLastSeen(tx, rows.slice(start, start + 500)))
  }

  async function join(agent: Known): Promise<void> {
    const principal = directory.byId(agent.id)
    await engine().write(async (tx) => {
      if (agent.status === 'starting' || agent.status === 'failed') await lifecycle.move(tx, agent, 'idle', 'connected')
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
    lifecycle.available(agent)
  }

  return {
    async beat(agent, now) {
      const wasAway = registry.presence(agent) !== 'online'
      agent.seen = now
      agent.last_seen = now
      seen.add(agent.id)
      if (!agent.joined) await join(agent)
      else if (wasAway) lifecycle.available(agent)
    },
    stop() {
      closed = true
      cancelSweep()
      cancelFlush()
    },
    flush,
  }
}
