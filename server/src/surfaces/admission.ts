/** How many connections there may be at once: of one agent, and of one tenant. */
import { CadreError } from '@cadre/contract'
import type { Caller } from '../core/context.ts'

export interface AdmissionLimits {
  agent: number
  tenant: number
}

/** Those that have not said yet who they are count together. */
const strangers = 0

export class Admission {
  readonly #limits: AdmissionLimits
  readonly #tenants = new Map<number, number>()
  readonly #agents = new Map<number, number>()

  constructor(limits: AdmissionLimits) {
    this.#limits = limits
  }

  /** Throws `too_many_connections`; then nothing was counted. */
  enter(caller: Caller | undefined): void {
    const { agent, tenant } = this.#limits
    const key = caller?.tenant ?? strangers
    if ((this.#tenants.get(key) ?? 0) >= tenant)
      throw new CadreError('too_many_connections', { scope: 'The tenant', limit: tenant })
    if (caller?.kind === 'agent') {
      if ((this.#agents.get(caller.id) ?? 0) >= agent)
        throw new CadreError('too_many_connections', { scope: `Agent ${caller.name}`, limit: agent })
      add(this.#agents, caller.id, 1)
    }
    add(this.#tenants, key, 1)
  }

  leave(caller: Caller | undefined): void {
    add(this.#tenants, caller?.tenant ?? strangers, -1)
    if (caller?.kind === 'agent') add(this.#agents, caller.id, -1)
  }

  /** The same connection speaks for another now. Throws `too_many_connections`; then it goes on as it was. */
  change(from: Caller | undefined, to: Caller): void {
    this.leave(from)
    try {
      this.enter(to)
    } catch (error) {
      this.enter(from)
      throw error
    }
  }
}

function add(counts: Map<number, number>, key: number, step: number): void {
  const count = (counts.get(key) ?? 0) + step
  if (count > 0) counts.set(key, count)
  else counts.delete(key)
}
