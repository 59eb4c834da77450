/**
 * The agents of this process's store, kept in memory: the engine asks for candidates on every assignment. Rows change only after a
 * commit; presence is judged by the server's clock and is not durable.
 */
import { canonical } from '@cadre/contract'
import type { Clock } from '../../core/clock.ts'
import type { AgentRow } from './store.ts'

export type Presence = 'online' | 'suspect' | 'offline'

const suspectAfter = 25_000
const offlineAfter = 35_000

export interface Known extends AgentRow {
  capabilityKeys: Set<string>
  /** Server time of the last sign of life. */
  seen: number | null
  connected: boolean
  /** Tasks assigned or running. */
  load: number
  joined: boolean
}

export class Registry {
  readonly #agents = new Map<number, Known>()
  readonly #byType = new Map<string, Set<Known>>()
  readonly #clock: Clock

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get(id: number): Known | undefined {
    return this.#agents.get(id)
  }

  /** Newest first. */
  list(tenant: number): Known[] {
    return [...this.#agents.values()].filter((agent) => agent.tenant === tenant).reverse()
  }

  all(): Iterable<Known> {
    return this.#agents.values()
  }

  keep(row: AgentRow): Known {
    const known = this.#agents.get(row.id)
    if (known) this.#byType.get(known.type_key)?.delete(known)
    const next: Known = Object.assign(
      known ?? { seen: null, connected: false, load: 0, joined: false, capabilityKeys: new Set<string>() },
      row,
    )
    next.capabilityKeys = new Set(row.capabilities.map(canonical))
    this.#agents.set(row.id, next)
    let ofType = this.#byType.get(row.type_key)
    if (!ofType) this.#byType.set(row.type_key, (ofType = new Set()))
    ofType.add(next)
    return next
  }

  presence(agent: Known): Presence {
    if (agent.status === 'terminated') return 'offline'
    if (agent.connected) return 'online'
    if (agent.seen === null) return 'offline'
    const silent = this.#clock.now() - agent.seen
    return silent > offlineAfter ? 'offline' : silent > suspectAfter ? 'suspect' : 'online'
  }

  /** Agents that may take a task now: able to do it, and below their concurrency. */
  candidates(tenant: number, typeKey: string | null, capabilityKeys: readonly string[]): Known[] {
    return this.able(tenant, typeKey, capabilityKeys).filter((agent) => agent.load < agent.concurrency)
  }

  /** Agents that are there for such a task, busy or not: right type, all capabilities, online and in a working status. */
  able(tenant: number, typeKey: string | null, capabilityKeys: readonly string[]): Known[] {
    const pool = typeKey === null ? this.#agents.values() : (this.#byType.get(typeKey) ?? [])
    const found: Known[] = []
    for (const agent of pool) if (this.isAble(agent, tenant, typeKey, capabilityKeys)) found.push(agent)
    return found
  }

  isAble(agent: Known, tenant: number, typeKey: string | null, capabilityKeys: readonly string[]): boolean {
    if (agent.tenant !== tenant || (typeKey !== null && agent.type_key !== typeKey)) return false
    if (agent.status !== 'idle' && agent.status !== 'busy') return false
    return this.presence(agent) === 'online' && capabilityKeys.every((key) => agent.capabilityKeys.has(key))
  }
}
