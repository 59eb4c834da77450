/** Routing rules: stored, and tried in memory in the order of their priority. The memory changes after the commit. */
import { CadreError, type Rule } from '@cadre/contract'
import { type Clock, iso } from '../../core/clock.ts'
import type { Context, WriteTx } from '../../core/context.ts'
import type { Directory } from '../../core/directory.ts'
import type { Handlers } from '../../core/invoke.ts'
import { encodeCursor, numberCursor } from '../../core/paging.ts'
import type { Database } from '../../drivers/database/port.ts'
import { type Facts, type Predicate, holds, readPredicate } from './predicate.ts'
import { type RuleRow, type RuleTarget, countRules, deleteRule, getRule, saveRule } from './rule-store.ts'

export type RuleHandlers = Pick<Handlers, 'rules.create' | 'rules.list' | 'rules.get' | 'rules.update' | 'rules.delete'>

/** Each is tried for every message that names nobody: 200 of them cost some tens of microseconds. */
const maxRules = 200

export interface KnownRule {
  row: RuleRow
  when: Predicate
  to: RuleTarget
}

export class Rules {
  readonly #byTenant = new Map<number, KnownRule[]>()

  /** In the order in which they are tried. */
  of(tenant: number): readonly KnownRule[] {
    return this.#byTenant.get(tenant) ?? []
  }

  /** Adds a rule, or puts it in the place of the one with its id. */
  keep(row: RuleRow): void {
    const rule: KnownRule = { row, when: readPredicate(JSON.parse(row.condition)), to: JSON.parse(row.target) as RuleTarget }
    const others = this.of(row.tenant).filter((each) => each.row.id !== row.id)
    this.#byTenant.set(row.tenant, [...others, rule].sort(inOrder))
  }

  remove(tenant: number, id: string): void {
    this.#byTenant.set(
      tenant,
      this.of(tenant).filter((rule) => rule.row.id !== id),
    )
  }

  /** The first enabled rule that the message fits. */
  match(tenant: number, facts: Facts): KnownRule | undefined {
    return this.of(tenant).find((rule) => rule.row.enabled === 1 && holds(rule.when, facts))
  }
}

// Ids are given in the order of time.
const inOrder = ({ row: a }: KnownRule, { row: b }: KnownRule): number =>
  a.priority - b.priority || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0)

export interface RulesParts {
  database: Database
  directory: Directory
  clock: Clock
  newId: (prefix: string) => string
  rules: Rules
}

export function makeRules(parts: RulesParts): RuleHandlers {
  const { database, directory, clock, rules } = parts

  const told = (row: RuleRow) => ({
    id: row.id,
    rule_id: row.id,
    name: row.name,
    priority: row.priority,
    enabled: row.enabled === 1,
    when: JSON.parse(row.condition) as Rule['when'],
    to: JSON.parse(row.target) as RuleTarget,
    created_at: iso(row.created_at),
    updated_at: iso(row.updated_at),
  })
  const view = (row: RuleRow): Rule => ({ ...told(row), created_by: directory.nameOf(row.created_by) ?? 'unknown' })

  async function existing(tx: WriteTx, context: Context, id: string): Promise<RuleRow> {
    const row = await getRule(tx, context.tenant, id)
    if (!row) throw new CadreError('not_found', { entity: 'rule', id })
    return row
  }

  return {
    'rules.create': async (context, input) => {
      readPredicate(input.when)
      const { row, receipt } = await context.write(async (tx) => {
        if ((await countRules(tx, context.tenant)) >= maxRules)
          throw new CadreError('conflict', {
            reason: `There are ${maxRules} rules already; delete one that is no longer needed.`,
          })
        const now = clock.now()
        const row: RuleRow = {
          tenant: context.tenant,
          id: parts.newId('rul'),
          name: input.name,
          priority: input.priority,
          enabled: input.enabled ? 1 : 0,
          condition: JSON.stringify(input.when),
          target: JSON.stringify(input.to),
          created_by: context.caller.id,
          created_at: now,
          updated_at: now,
        }
        await saveRule(tx, row)
        tx.emit({ type: 'rule.created', subject: row.id, data: told(row) })
        tx.afterCommit(() => rules.keep(row))
        return { id: row.id, row }
      })
      return { ...view(row), receipt: receipt as NonNullable<typeof receipt> }
    },

    'rules.list': async (context, input) => {
      const all = rules.of(context.tenant)
      const start = numberCursor(input.cursor) ?? 0
      const items = all.slice(start, start + input.limit).map(({ row }) => view(row))
      return { items, next: start + input.limit < all.length ? encodeCursor(start + input.limit) : null }
    },

    'rules.get': async (context, input) => {
      const row = await getRule(database, context.tenant, input.id)
      if (!row) throw new CadreError('not_found', { entity: 'rule', id: input.id })
      return view(row)
    },

    'rules.update': async (context, input) => {
      if (input.when !== undefined) readPredicate(input.when)
      const { row, receipt } = await context.write(async (tx) => {
        const before = await existing(tx, context, input.id)
        const row: RuleRow = {
          ...before,
          name: input.name ?? before.name,
          priority: input.priority ?? before.priority,
          enabled: input.enabled === undefined ? before.enabled : input.enabled ? 1 : 0,
          condition: input.when === undefined ? before.condition : JSON.stringify(input.when),
          target: input.to === undefined ? before.target : JSON.stringify(input.to),
        }
        if (JSON.stringify(row) === JSON.stringify(before)) return { id: row.id, row }
        row.updated_at = clock.now()
        await saveRule(tx, row)
        tx.emit({ type: 'rule.updated', subject: row.id, data: told(row) })
        tx.afterCommit(() => rules.keep(row))
        return { id: row.id, row }
      })
      return { ...view(row), receipt }
    },

    'rules.delete': async (context, input) => {
      const { row, receipt } = await context.write(async (tx) => {
        const row = await existing(tx, context, input.id)
        await deleteRule(tx, context.tenant, row.id)
        tx.emit({ type: 'rule.deleted', subject: row.id, data: told(row) })
        tx.afterCommit(() => rules.remove(row.tenant, row.id))
        return { id: row.id, row }
      })
      return { ...view(row), receipt }
    },
  }
}
