/** Which agent an affinity key is bound to. Kept in the store too, so that a restart sends nobody elsewhere. */
import type { Database, Tx } from '../../drivers/database/port.ts'
import { sql } from '../../drivers/database/sql.ts'

interface Binding {
  tenant: number
  key: string
  agent: number
}

/** Beyond that the key that was bound longest ago is forgotten, and its next task finds an agent anew. */
const maxBindings = 10_000

export class Affinities {
  readonly #bindings = new Map<string, Binding>()

  async load(database: Database): Promise<void> {
    const rows = await database.all<Binding>(
      sql`select tenant, key, agent from task_affinities order by bound_at desc limit ${maxBindings}`,
    )
    for (const row of rows.toReversed()) this.#bindings.set(nameOf(row.tenant, row.key), row)
  }

  of(tenant: number, key: string | null): number | undefined {
    return key === null ? undefined : this.#bindings.get(nameOf(tenant, key))?.agent
  }

  /** Takes effect at once: the next task of the same round goes there too. A round that fails leaves a binding, which does no harm. */
  bind(tenant: number, key: string, agent: number): void {
    const name = nameOf(tenant, key)
    this.#bindings.delete(name)
    this.#bindings.set(name, { tenant, key, agent })
  }

  /** Writes a binding with the assignment that made it, and forgets what there is no room for. */
  async save(tx: Tx, tenant: number, key: string, agent: number, now: number): Promise<void> {
    await tx.run(sql`insert into task_affinities (tenant, key, agent, bound_at) values (${tenant}, ${key}, ${agent}, ${now})
      on conflict (tenant, key) do update set agent = excluded.agent, bound_at = excluded.bound_at`)
    while (this.#bindings.size > maxBindings) {
      const [name, oldest] = this.#bindings.entries().next().value as [string, Binding]
      this.#bindings.delete(name)
      await tx.run(sql`delete from task_affinities where tenant = ${oldest.tenant} and key = ${oldest.key}`)
    }
  }
}

const nameOf = (tenant: number, key: string): string => `${tenant} ${key}`
