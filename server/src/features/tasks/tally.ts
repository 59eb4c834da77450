/** Counts kept beside the store: the tasks in each state, and how many each agent holds. */
import type { TaskState } from '@cadre/contract'
import type { Database } from '../../drivers/database/port.ts'
import type { Agents } from '../agents/service.ts'
import { type TaskRow, countByState, loadsByAgent } from './store.ts'
import { isHeld } from './view.ts'

export class Tally {
  readonly #agents: Pick<Agents, 'setLoad'>
  readonly #loads = new Map<number, number>()
  readonly #counts = new Map<number, Map<string, number>>()

  constructor(agents: Pick<Agents, 'setLoad'>) {
    this.#agents = agents
  }

  async load(database: Database): Promise<void> {
    for (const { assignee, count } of await loadsByAgent(database)) this.#setLoad(assignee, count)
    for (const { tenant, state, count } of await countByState(database)) this.#count(tenant, state, count)
  }

  /** How many tasks the agent holds. */
  loadOf(agent: number): number {
    return this.#loads.get(agent) ?? 0
  }

  /** Tasks of the tenant in each state. */
  of(tenant: number): Record<string, number> {
    return Object.fromEntries([...(this.#counts.get(tenant) ?? [])].filter(([, count]) => count > 0))
  }

  created(row: TaskRow): void {
    this.#count(row.tenant, row.state, 1)
  }

  changed(before: TaskRow, after: TaskRow): void {
    const from = isHeld(before.state) ? before.assignee : null
    const to = isHeld(after.state) ? after.assignee : null
    if (from !== to) {
      if (from !== null) this.#setLoad(from, Math.max(0, this.loadOf(from) - 1))
      if (to !== null) this.#setLoad(to, this.loadOf(to) + 1)
    }
    if (before.state === after.state) return
    this.#count(before.tenant, before.state, -1)
    this.#count(after.tenant, after.state, 1)
  }

  #setLoad(agent: number, load: number): void {
    this.#loads.set(agent, load)
    this.#agents.setLoad(agent, load)
  }

  #count(tenant: number, state: TaskState, change: number): void {
    let counts = this.#counts.get(tenant)
    if (!counts) this.#counts.set(tenant, (counts = new Map()))
    counts.set(state, (counts.get(state) ?? 0) + change)
  }
}
