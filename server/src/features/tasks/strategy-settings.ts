/** The strategy of a tenant for tasks that name none. */
import { iso } from '../../core/clock.ts'
import type { Handlers } from '../../core/invoke.ts'
import type { Database, Tx } from '../../drivers/database/port.ts'
import { sql } from '../../drivers/database/sql.ts'
import type { Engine } from './engine.ts'
import { type Strategies, type Strategy, defaultStrategy, requireStrategy } from './strategies.ts'

interface SettingsRow {
  tenant: number
  strategy: string
  updated_by: number
  updated_at: number
}

/** A strategy that is composed in no more gives way to the default. */
export class StrategySettings {
  readonly strategies: Strategies
  readonly #rows = new Map<number, SettingsRow>()

  constructor(strategies: Strategies) {
    this.strategies = strategies
  }

  async load(database: Database): Promise<void> {
    for (const row of await database.all<SettingsRow>(sql`select * from assignment_settings`)) this.#rows.set(row.tenant, row)
  }

  of(tenant: number): SettingsRow | undefined {
    return this.#rows.get(tenant)
  }

  /** The strategy for a task that names `name`, or nothing. */
  strategy(tenant: number, name: string | null): Strategy {
    const wanted = name ?? this.#rows.get(tenant)?.strategy ?? defaultStrategy
    return this.strategies.get(wanted) ?? (this.strategies.get(defaultStrategy) as Strategy)
  }

  async save(tx: Tx, row: SettingsRow): Promise<void> {
    await tx.run(sql`insert into assignment_settings (tenant, strategy, updated_by, updated_at)
      values (${row.tenant}, ${row.strategy}, ${row.updated_by}, ${row.updated_at})
      on conflict (tenant) do update set strategy = excluded.strategy, updated_by = excluded.updated_by, updated_at = excluded.updated_at`)
    tx.afterCommit(() => this.#rows.set(row.tenant, row))
  }
}

export function makeConfiguring({ parts, settings }: Engine): Pick<Handlers, 'assignment.get' | 'assignment.configure'> {
  const view = (tenant: number, row = settings.of(tenant)) => ({
    strategy: row?.strategy ?? defaultStrategy,
    strategies: [...settings.strategies.keys()],
    updated_by: row ? parts.directory.nameOf(row.updated_by) : null,
    updated_at: row ? iso(row.updated_at) : null,
  })
  return {
    'assignment.get': async ({ tenant }) => view(tenant),
    'assignment.configure': async (context, { strategy }) => {
      requireStrategy(settings.strategies, strategy)
      const { tenant, caller } = context
      const { row, receipt } = await context.write(async (tx) => {
        const before = settings.of(tenant)
        const from = before?.strategy ?? defaultStrategy
        if (from === strategy) return { id: 'assignment', row: before }
        const row = { tenant, strategy, updated_by: caller.id, updated_at: parts.clock.now() }
        await settings.save(tx, row)
        tx.emit({ type: 'assignment.configured', subject: null, data: { from, to: strategy } })
        return { id: 'assignment', row }
      })
      return { ...view(tenant, row), receipt }
    },
  }
}
