/** Runs the tasks of the server: what follows from each change once it is committed, and what happens without a call. */
import type { Task } from '@cadre/contract'
import type { Logger } from '../../core/logger.ts'
import type { Database, Tx } from '../../drivers/database/port.ts'
import { Ailing } from './ailing.ts'
import { Assigning } from './assigning.ts'
import { Background } from '../../core/background.ts'
import { type TaskWrite, checkLease } from './fencing.ts'
import { followEnd } from './joins.ts'
import { deliverWaiting, renew, takeBack, toAssignment } from './leases.ts'
import type { MoveParts, WritingParts } from './moves.ts'
import type { TaskRow } from './store.ts'
import { Measuring } from './measuring.ts'
import { type Strategy, makeStrategies } from './strategies.ts'
import { StrategySettings } from './strategy-settings.ts'
import { Sweeping, enqueueAll } from './sweeping.ts'
import { Tally } from './tally.ts'
import { toTask } from './view.ts'

export type { TaskWrite } from './fencing.ts'

export interface EngineParts extends Omit<WritingParts, 'committed' | 'ended' | 'runEnded' | 'strategies' | 'attempted'> {
  database: Database
  /** Beside those that every server has. */
  moreStrategies?: readonly Strategy[] | undefined
  logger: Logger
}

export class Engine {
  /** What the moves take. */
  readonly parts: EngineParts & MoveParts
  readonly assigning: Assigning
  readonly settings: StrategySettings
  readonly #background: Background
  readonly #ailing: Ailing
  readonly #tally: Tally
  readonly #sweeping: Sweeping
  readonly #waiters = new Set<(run: string) => void>()

  constructor(parts: EngineParts) {
    const strategies = makeStrategies(parts.moreStrategies)
    const measuring = new Measuring(parts.database)
    this.settings = new StrategySettings(strategies)
    this.parts = {
      ...parts,
      strategies,
      attempted: ({ tenant, assignee, type, started_at }, outcome) => {
        if (assignee === null) return
        measuring.ended(tenant, { agent: assignee, type, outcome, started_at, ended_at: parts.clock.now() })
      },
      ended: (tx, row) => followEnd(this.parts, tx, row),
      runEnded: (run) => this.#runEnded(run),
      committed: (before, after) => this.#committed(before, after),
    }
    this.#tally = new Tally(parts.agents)
    this.#background = new Background(parts.logger, 'the task engine failed')
    this.#ailing = new Ailing(parts.clock, this.#background)
    this.assigning = new Assigning({ ...this.parts, settings: this.settings, measuring }, this.#ailing, this.#background)
    this.#sweeping = new Sweeping(this.parts, this.assigning, this.#ailing, this.#background)
    parts.agents.onAvailable(() => this.assigning.kick())
    parts.agents.onEnding((agent) => this.#background.run(takeBack(this.parts, agent)))
    parts.sessions.onBound((session) => {
      if (session.agent !== undefined) this.#background.run(deliverWaiting(this.parts, session.agent))
    })
  }

  /** Takes up where the last process ended: counts, and what is ready. */
  async load(): Promise<void> {
    const { agents, database } = this.parts
    await this.#tally.load(database)
    await this.settings.load(database)
    await this.assigning.load()
    await enqueueAll(database, this.assigning)
    // Terminations that the last process did not finish.
    for (const agent of agents.registry.all()) {
      if (agent.status !== 'stopping' && agent.status !== 'terminated') continue
      if (this.#tally.loadOf(agent.id) > 0) this.#background.run(takeBack(this.parts, agent))
      else if (agent.status === 'stopping') agents.setLoad(agent.id, 0)
    }
    this.assigning.kick()
  }

  /** Tasks of the tenant in each state, without asking the store. */
  counts(tenant: number): Record<string, number> {
    return this.#tally.of(tenant)
  }

  view(row: TaskRow): Task {
    return toTask(row, this.parts.directory)
  }

  /** See `checkLease` in fencing.ts. */
  checkLease(tx: Tx, write: TaskWrite): Promise<void> {
    return checkLease(this.parts, tx, write)
  }

  /** See `renew` in leases.ts. */
  renew(tenant: number, agent: number, leases: readonly string[] | 'all'): ReturnType<typeof renew> {
    return renew(this.parts, tenant, agent, leases)
  }

  /** New tasks, as they were stored; their moves in the same commit are told by themselves. */
  created(rows: readonly TaskRow[]): void {
    for (const row of rows) {
      this.#tally.created(row)
      if (row.state === 'ready') this.assigning.enqueue(row)
    }
    this.assigning.kick()
  }

  /** Does that in each sweep too. */
  onSweep(work: (now: number) => Promise<void>): void {
    this.#sweeping.also(work)
  }

  /** Calls back with the id of every run that ends; the answer stops that. */
  onRunEnded(listener: (run: string) => void): () => void {
    this.#waiters.add(listener)
    return () => this.#waiters.delete(listener)
  }

  #runEnded(run: string): void {
    for (const listener of this.#waiters) listener(run)
  }

  #committed(before: TaskRow, after: TaskRow): void {
    this.#tally.changed(before, after)
    this.#ailing.delete(after.id)
    if (after.state === 'ready') {
      this.assigning.enqueue(after)
      this.assigning.kick()
    } else if (before.state === 'ready') this.assigning.remove(after.id)
    this.#tell(before, after)
  }

  #tell(before: TaskRow, after: TaskRow): void {
    const { sessions } = this.parts
    if (
      after.state === 'assigned' &&
      (before.state !== 'assigned' || before.assignee !== after.assignee) &&
      after.assignee !== null
    ) {
      sessions.forAgent(after.assignee)?.send(JSON.stringify({ type: 'task:assigned', data: toAssignment(this.parts, after) }))
    }
    const interested = new Set([after.creator, after.assignee, before.assignee])
    let frame: string | undefined
    for (const agent of interested) {
      const session = agent === null ? undefined : sessions.forAgent(agent)
      if (session) session.send((frame ??= JSON.stringify({ type: 'task:updated', data: this.view(after) })))
    }
  }

  async close(): Promise<void> {
    this.assigning.close()
    this.#sweeping.close()
    await this.#background.idle()
  }
}
