/** Finds agents for ready tasks, in rounds, and says when a task waits that nobody is able to do. */
import { canonical } from '@cadre/contract'
import type { Database } from '../../drivers/database/port.ts'
import type { Known } from '../agents/service.ts'
import { Affinities } from './affinities.ts'
import type { Ailing } from './ailing.ts'
import type { Background } from '../../core/background.ts'
import { type Chosen, choose } from './choosing.ts'
import type { Measuring } from './measuring.ts'
import { type WritingParts, assign, isGone } from './moves.ts'
import { placementOf } from './placement.ts'
import { type Group, ReadyQueue, type Waiting, type Wanted } from './ready-queue.ts'
import type { Able, Ask, Standing, Strategy } from './strategies.ts'
import type { StrategySettings } from './strategy-settings.ts'
import { type ReadyRow, type TaskRow, getTask, untaken, wasAlerted } from './store.ts'
import { moved } from './view.ts'

interface Choice extends Chosen<Known> {
  waiting: Waiting
  /** The key that this choice bound to the agent. */
  binds: string | null
}

interface AssigningParts extends WritingParts {
  database: Database
  settings: StrategySettings
  measuring: Measuring
}

const roundSize = 256
/** So many in the queue, and decisions are recorded in brief. */
const manyWaiting = 64
const maxAlerts = 256
const alertAfterMs = 30_000

export class Assigning {
  readonly #parts: AssigningParts
  readonly #ailing: Ailing
  readonly #background: Background
  readonly #queue = new ReadyQueue()
  readonly #affinities = new Affinities()
  /** When an agent was last given work, for fair turns among equals. */
  readonly #lastGiven = new Map<number, number>()
  /** How far tasks that nobody took were looked through. */
  #alertedTo: Pick<TaskRow, 'updated_at' | 'id'> = { updated_at: 0, id: '' }
  readonly #awaiting = new Set<Promise<void>>()
  #given = 0
  #running = false
  #again = false
  #closed = false

  constructor(parts: AssigningParts, ailing: Ailing, background: Background) {
    this.#parts = parts
    this.#ailing = ailing
    this.#background = background
  }

  load(): Promise<void> {
    return this.#affinities.load(this.#parts.database)
  }

  /** Tasks that name nobody are left out: they wait to be claimed or assigned. */
  enqueue(row: ReadyRow): void {
    const wanted = wantedBy(row)
    if (wanted) this.#queue.add(wanted, row.priority, row.id, row.assignee, this.#parts.clock.now(), row.type)
  }

  remove(id: string): void {
    this.#queue.remove(id)
  }

  /** Ids of ready tasks that ask for what the agent is, most urgent first. A hint: the store decides. */
  claimable(agent: Known, limit: number): string[] {
    const may = (wanted: Wanted) =>
      wanted.tenant === agent.tenant &&
      (wanted.type === null || wanted.type === agent.type_key) &&
      wanted.capabilities.every((capability) => agent.capabilityKeys.has(capability)) &&
      !this.#isKept(wanted, agent)
    return [...new Set(this.#queue.first(may, limit).map((entry) => entry.id))]
  }

  /** It waits for another, who is there. */
  #isKept({ tenant, type, capabilities, affinity }: Wanted, { id }: Known): boolean {
    const { registry } = this.#parts.agents
    const bound = registry.get(this.#affinities.of(tenant, affinity) ?? -1)
    return bound !== undefined && bound.id !== id && registry.isAble(bound, tenant, type, capabilities)
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
    const standing = this.#standing(planned)
    const brief = this.#queue.size >= manyWaiting
    const groups = this.#queue.groups()
    while (chosen.length < roundSize) {
      const group = groups.pop()
      if (!group) break
      const choice = this.#choose(group, planned, standing, brief)
      if (!choice) continue
      this.#queue.replace(groups, group)
      const { id } = choice.agent
      planned.set(id, (planned.get(id) ?? 0) + 1)
      this.#given += 1
      this.#lastGiven.set(id, this.#given)
      chosen.push(choice)
    }
    return chosen
  }

  /** The agent for the head of a group, which leaves the queue; undefined when it has to wait. */
  #choose(group: Group, planned: ReadonlyMap<number, number>, standing: Standing, brief: boolean): Choice | undefined {
    const { tenant, type, capabilities, affinity, strategy: name } = group.wanted
    const { agents, settings, random } = this.#parts
    const { registry } = agents
    const strategy = settings.strategy(tenant, name)
    const head = this.#queue.peek(group)
    if (!head || !this.#isMeasured(strategy, tenant)) return undefined
    const ask: Ask = { tenant, type: head.type, capabilities, affinity }
    const hasRoom = (agent: Known) => agent.load + (planned.get(agent.id) ?? 0) < agent.concurrency
    const only = strategy.only?.(ask, standing)
    const awaited = only === undefined ? undefined : registry.get(only)
    const isThere = awaited !== undefined && registry.isAble(awaited, tenant, type, capabilities)
    const candidates = isThere ? [awaited].filter(hasRoom) : registry.candidates(tenant, type, capabilities).filter(hasRoom)
    const waiting = candidates.length === 0 ? undefined : this.#queue.take(group)
    if (!waiting) return undefined
    const choice = choose(strategy, candidates, ask, standing, waiting.lastHolder, random, brief)
    const binds = affinity !== null && this.#affinities.of(tenant, affinity) !== choice.agent.id ? affinity : null
    if (binds !== null) this.#affinities.bind(tenant, binds, choice.agent.id)
    return { ...choice, waiting, binds }
  }

  #standing(planned: ReadonlyMap<number, number>): Standing {
    const { clock, measuring } = this.#parts
    return {
      load: ({ id, load, concurrency }: Able) => (load + (planned.get(id) ?? 0)) / concurrency,
      turns: ({ id }) => this.#given - (this.#lastGiven.get(id) ?? 0),
      measured: ({ id }, ask) => measuring.of(ask.tenant, id, ask.type, clock.now()),
      bound: ({ tenant, affinity }) => this.#affinities.of(tenant, affinity),
    }
  }

  /** False while what the strategy asks for is being read; the tasks are looked at again when it is there. */
  #isMeasured({ measures = false }: Strategy, tenant: number): boolean {
    const reading = measures ? this.#parts.measuring.load(tenant) : undefined
    if (reading && !this.#awaiting.has(reading)) {
      this.#awaiting.add(reading)
      this.#background.run(reading.finally(() => this.#awaiting.delete(reading)).then(() => this.kick()))
    }
    return reading === undefined
  }

  async #give(chosen: readonly Choice[]): Promise<void> {
    await this.#parts.engine().write(async (tx) => {
      for (const { waiting, agent, reason, card, binds } of chosen) {
        const { tenant } = waiting.group.wanted
        const row = await getTask(tx, tenant, waiting.id)
        if (row?.state !== 'ready') continue
        // Its agent began to stop meanwhile.
        if (isGone(this.#parts, agent.id)) tx.afterCommit(() => this.enqueue(row))
        else {
          if (binds !== null) await this.#affinities.save(tx, tenant, binds, agent.id, this.#parts.clock.now())
          await assign(this.#parts, tx, row, agent.id, reason, card)
        }
      }
      return {}
    })
  }

  /** Says once for each time a task waits that nobody who is there can do it, or that the agent named for it does not take it. */
  async alert(now: number): Promise<void> {
    await this.#alertUntaken(now)
    const { agents } = this.#parts
    const alone = ({ tenant, type, capabilities }: Wanted) => agents.registry.able(tenant, type, capabilities).length === 0
    const unserved = this.#queue.unserved(now - alertAfterMs, alone, maxAlerts)
    if (unserved.length === 0) return
    const places = unserved.map(({ id, group }) => ({ id, tenant: group.wanted.tenant }))
    await this.#say(places, (row) => (row.state === 'ready' ? 'no agent that is present is able to do it' : undefined))
    for (const waiting of unserved) waiting.alerted = true
  }

  async #alertUntaken(now: number): Promise<void> {
    const { database, directory } = this.#parts
    const found = await untaken(database, this.#alertedTo, now - alertAfterMs, maxAlerts)
    const last = found.at(-1)
    if (!last) return
    await this.#say(found, (row) =>
      row.state === 'assigned' && row.lease_until === null ? `${directory.nameOf(row.assignee)} has not taken it` : undefined,
    )
    this.#alertedTo = last
  }

  async #say(places: readonly Pick<TaskRow, 'tenant' | 'id'>[], why: (row: TaskRow) => string | undefined): Promise<void> {
    await this.#parts.engine().write(async (tx) => {
      for (const { tenant, id } of places) {
        const row = await getTask(tx, tenant, id)
        const reason = row && why(row)
        if (row === undefined || reason === undefined || (await wasAlerted(tx, tenant, id))) continue
        tx.emit({ type: 'task.unassignable', subject: id, task: id, data: moved(row, row, this.#parts.directory, reason) })
      }
      return {}
    })
  }
}

/** Null for a task that names nobody. */
function wantedBy(row: ReadyRow): Wanted | null {
  const capabilities = (JSON.parse(row.capabilities) as string[]).map(canonical).toSorted()
  if (row.assign_to !== null || (row.agent_type === null && capabilities.length === 0)) return null
  // A stand-in is not bound to what the first agent was.
  const { strategy = null, affinity = null } = row.fallback_at > 0 ? {} : placementOf(row)
  return {
    tenant: row.tenant,
    type: row.agent_type === null ? null : canonical(row.agent_type),
    capabilities,
    strategy,
    affinity,
  }
}
