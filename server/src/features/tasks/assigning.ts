/** Finds agents for ready tasks, in rounds, and says when a task waits that nobody is able to do. */
import { canonical } from '@cadre/contract'
import type { Known } from '../agents/service.ts'
import type { Ailing } from './ailing.ts'
import type { Background } from '../../core/background.ts'
import { type WritingParts, assign, isGone } from './moves.ts'
import { ReadyQueue, type Waiting, type Wanted } from './ready-queue.ts'
import { type ReadyRow, getTask, wasAlerted } from './store.ts'
import { moved } from './view.ts'

interface Choice {
  waiting: Waiting
  agent: number
  candidates: number
}

const roundSize = 256
const maxAlerts = 256
const alertAfterMs = 30_000

export class Assigning {
  readonly #parts: WritingParts
  readonly #ailing: Ailing
  readonly #background: Background
  readonly #queue = new ReadyQueue()
  /** When an agent was last given work, for fair turns among equals. */
  readonly #lastGiven = new Map<number, number>()
  #given = 0
  #running = false
  #again = false
  #closed = false

  constructor(parts: WritingParts, ailing: Ailing, background: Background) {
    this.#parts = parts
    this.#ailing = ailing
    this.#background = background
  }

  /** Tasks that name nobody are left out: they wait to be claimed or assigned. */
  enqueue(row: ReadyRow): void {
    const wanted = wantedBy(row)
    if (wanted) this.#queue.add(wanted, row.priority, row.id, row.assignee, this.#parts.clock.now())
  }

  remove(id: string): void {
    this.#queue.remove(id)
  }

  /** Ids of ready tasks that ask for what the agent is, most urgent first. A hint: the store decides. */
  claimable(agent: Known, limit: number): string[] {
    const may = ({ tenant, type, capabilities }: Wanted) =>
      tenant === agent.tenant &&
      (type === null || type === agent.type_key) &&
      capabilities.every((capability) => agent.capabilityKeys.has(capability))
    return [...new Set(this.#queue.first(may, limit).map((entry) => entry.id))]
  }

  close(): void {
    this.#closed = true
  }

  /** Looks for agents for ready tasks, soon. */
  kick(): void {
    if (this.#closed || this.#queue.size === 0) return
    if (this.#running) {
      this.#again = true
      return
    }
    this.#running = true
    this.#background.run(
      this.#round().finally(() => {
        this.#running = false
        if (this.#again) {
          this.#again = false
          this.kick()
        }
      }),
    )
  }

  async #round(): Promise<void> {
    const chosen = this.#chooseAll()
    if (chosen.length === 0) return
    try {
      await this.#give(chosen)
    } catch (cause) {
      // One task that cannot be written must not keep the others from their agents.
      const ail = ({ waiting }: Choice, reason: unknown) => this.#ailing.add(waiting.group.wanted.tenant, waiting.id, reason)
      if (chosen.length === 1) ail(chosen[0] as Choice, cause)
      else await Promise.all(chosen.map((choice) => this.#give([choice]).catch((alone: unknown) => ail(choice, alone))))
    }
    if (this.#queue.size > 0) this.#again = true
  }

  /** Takes tasks off the queue, most urgent first, each with the agent it is to go to. */
  #chooseAll(): Choice[] {
    const chosen: Choice[] = []
    const planned = new Map<number, number>()
    const groups = this.#queue.groups()
    while (chosen.length < roundSize) {
      const group = groups.pop()
      if (!group) break
      const { tenant, type, capabilities } = group.wanted
      const candidates = this.#parts.agents.registry
        .candidates(tenant, type, capabilities)
        .filter((agent) => agent.load + (planned.get(agent.id) ?? 0) < agent.concurrency)
      const waiting = candidates.length === 0 ? undefined : this.#queue.take(group)
      if (!waiting) continue
      this.#queue.replace(groups, group)
      const agent = this.#choose(candidates, planned, waiting.lastHolder)
      planned.set(agent.id, (planned.get(agent.id) ?? 0) + 1)
      this.#given += 1
      this.#lastGiven.set(agent.id, this.#given)
      chosen.push({ waiting, agent: agent.id, candidates: candidates.length })
    }
    return chosen
  }

  // Connected before polling, another than the one that just lost it, least busy, longest without work.
  #choose(candidates: readonly Known[], planned: ReadonlyMap<number, number>, lastHolder: number | null): Known {
    const rank = (agent: Known): readonly number[] => [
      agent.id === lastHolder ? 1 : 0,
      agent.connected ? 0 : 1,
      (agent.load + (planned.get(agent.id) ?? 0)) / agent.concurrency,
      this.#lastGiven.get(agent.id) ?? 0,
    ]
    return candidates.reduce((best, agent) => (less(rank(agent), rank(best)) ? agent : best))
  }

  async #give(chosen: readonly Choice[]): Promise<void> {
    await this.#parts.engine().write(async (tx) => {
      for (const { waiting, agent, candidates } of chosen) {
        const row = await getTask(tx, waiting.group.wanted.tenant, waiting.id)
        if (row?.state !== 'ready') continue
        // Its agent began to stop meanwhile.
        if (isGone(this.#parts, agent)) tx.afterCommit(() => this.enqueue(row))
        else {
          const reason = `least busy of ${candidates} able ${candidates === 1 ? 'agent' : 'agents'}`
          await assign(this.#parts, tx, row, agent, reason)
        }
      }
      return {}
    })
  }

  /** Says once for each time a task waits that nobody who is there can do it. */
  async alert(now: number): Promise<void> {
    const { agents, directory } = this.#parts
    const alone = ({ tenant, type, capabilities }: Wanted) => agents.registry.able(tenant, type, capabilities).length === 0
    const unserved = this.#queue.unserved(now - alertAfterMs, alone, maxAlerts)
    if (unserved.length === 0) return
    await this.#parts.engine().write(async (tx) => {
      for (const { id, group } of unserved) {
        const row = await getTask(tx, group.wanted.tenant, id)
        if (row?.state !== 'ready' || (await wasAlerted(tx, row.tenant, id))) continue
        const data = moved(row, row, directory, 'no agent that is present is able to do it')
        tx.emit({ type: 'task.unassignable', subject: id, task: id, data })
      }
      return {}
    })
    for (const waiting of unserved) waiting.alerted = true
  }
}

/** Null for a task that names nobody. */
function wantedBy(row: ReadyRow): Wanted | null {
  const capabilities = (JSON.parse(row.capabilities) as string[]).map(canonical).toSorted()
  if (row.assign_to !== null || (row.agent_type === null && capabilities.length === 0)) return null
  return { tenant: row.tenant, type: row.agent_type === null ? null : canonical(row.agent_type), capabilities }
}

function less(a: readonly number[], b: readonly number[]): boolean {
  for (let index = 0; index < a.length; index++) {
    const difference = (a[index] as number) - (b[index] as number)
    if (difference !== 0) return difference < 0
  }
  return false
}
