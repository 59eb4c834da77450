/** How well and how fast each agent did tasks of each type, from its attempts; half of the weight is gone after an hour. */
import type { Database } from '../../drivers/database/port.ts'
import { sql } from '../../drivers/database/sql.ts'
import type { Measured } from './strategies.ts'

interface Sums {
  successes: number
  failures: number
  /** Milliseconds of the successes. */
  time: number
  at: number
}

interface Ended {
  agent: number
  type: string
  outcome: string
  started_at: number | null
  ended_at: number
}

const halfLifeMs = 3_600_000
const maxSums = 20_000
/** The newest tasks with their attempts are enough: older ones have little weight. */
const readBack = 5_000

export class Measuring {
  readonly #database: Database
  readonly #sums = new Map<string, Sums>()
  readonly #loaded = new Map<number, Promise<void> | 'done'>()

  constructor(database: Database) {
    this.#database = database
  }

  /** Undefined when the attempts of the tenant are known; otherwise they are being read. Most tenants never ask. */
  load(tenant: number): Promise<void> | undefined {
    const known = this.#loaded.get(tenant)
    if (known !== undefined) return known === 'done' ? undefined : known
    const reading = this.#read(tenant).then(
      () => void this.#loaded.set(tenant, 'done'),
      (cause: unknown) => {
        this.#loaded.delete(tenant)
        throw cause
      },
    )
    this.#loaded.set(tenant, reading)
    return reading
  }

  /** An attempt that had begun ended: in success, or in the agent's failure. */
  ended(tenant: number, entry: Ended): void {
    if (this.#loaded.has(tenant)) this.#add(tenant, entry)
  }

  of(tenant: number, agent: number, type: string, now: number): Measured | undefined {
    const own = this.#sums.get(keyOf(tenant, agent, type))
    if (!own) return undefined
    const weight = decay(now - own.at)
    const everybody = this.#sums.get(keyOf(tenant, 0, type))
    const mean = ({ time, successes }: Sums) => time / successes
    const known = own.successes > 0 && everybody !== undefined && everybody.time > 0
    return {
      successes: own.successes * weight,
      failures: own.failures * weight,
      slowness: known ? mean(own) / mean(everybody) : 1,
    }
  }

  async #read(tenant: number): Promise<void> {
    const newest = await this.#database.all<Ended>(sql`select a.agent, t.type, a.outcome, a.started_at, a.ended_at
      from task_attempts a join tasks t on t.tenant = a.tenant and t.id = a.task
      where a.tenant = ${tenant} and a.ended_at is not null order by a.task desc, a.token desc limit ${readBack}`)
    for (const entry of newest.toSorted((a, b) => a.ended_at - b.ended_at)) this.#add(tenant, entry)
  }

  #add(tenant: number, { agent, type, outcome, started_at, ended_at }: Ended): void {
    if (started_at === null || !['completed', 'failed', 'lease_expired'].includes(outcome)) return
    // Agent 0 stands for everybody.
    for (const who of [agent, 0]) {
      const key = keyOf(tenant, who, type)
      const sums = this.#sums.get(key) ?? { successes: 0, failures: 0, time: 0, at: ended_at }
      const weight = decay(ended_at - sums.at)
      const success = outcome === 'completed' ? 1 : 0
      const oldest = this.#sums.keys().next().value
      if (this.#sums.size >= maxSums && oldest !== undefined && !this.#sums.has(key)) this.#sums.delete(oldest)
      this.#sums.set(key, {
        successes: sums.successes * weight + success,
        failures: sums.failures * weight + 1 - success,
        time: sums.time * weight + (success === 1 ? ended_at - started_at : 0),
        at: Math.max(sums.at, ended_at),
      })
    }
  }
}

const decay = (ms: number): number => 0.5 ** (Math.max(0, ms) / halfLifeMs)
const keyOf = (tenant: number, agent: number, type: string): string => `${tenant} ${agent} ${type}`
