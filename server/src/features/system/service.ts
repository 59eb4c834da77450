/** Health, metrics, and keys. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { CadreError, type Receipt, type Role, roleGrants } from '@cadre/contract'
import type { Access } from '../../core/access.ts'
import { type Clock, iso, isoOrNull } from '../../core/clock.ts'
import type { Directory } from '../../core/directory.ts'
import type { EventLog } from '../../core/events.ts'
import type { Handlers } from '../../core/invoke.ts'
import { decodeCursor, toPage } from '../../core/paging.ts'
import type { Sessions } from '../../core/sessions.ts'
import type { Database } from '../../drivers/database/port.ts'
import type { Agents } from '../agents/service.ts'
import type { Messages } from '../messages/service.ts'
import type { Tasks } from '../tasks/service.ts'
import { countMessages, hasKeys, listKeys, purgeIdempotency, removeKey } from './store.ts'

export interface SystemParts {
  database: Database
  directory: Directory
  clock: Clock
  log: EventLog
  access: Access
  sessions: Sessions
  agents: Agents
  messages: Messages
  tasks: Tasks
  version: string
  newId: (prefix: string) => string
  knowledgeCounts: (tenant: number) => Promise<{ documents: number; chunks: number }>
  memoryCount: (tenant: number) => Promise<number>
  /** What each group that reads the log has not committed, by topic. */
  consumerLags: (tenant: number) => Promise<{ group: string; lag: Record<string, number> }[]>
  signInUrl: () => string
  /** What runs beside the store, each with its state. */
  components: () => { name: string; status: 'ok' | 'degraded' | 'down'; detail?: string }[]
}

type Names = 'system.health' | 'system.metrics' | 'system.whoami' | 'system.link' | 'keys.create' | 'keys.list' | 'keys.revoke'

export interface System {
  handlers: Pick<Handlers, Names>
  /** True when an admin key exists. */
  hasAdminKey(tenant: number): Promise<boolean>
  close(): Promise<void>
}

const purgeEvery = 3_600_000
const keepKeys = 24 * 3_600_000
const minute = 60

export function makeSystem(parts: SystemParts): System {
  const { database, directory, clock, log, access, sessions, agents, messages, tasks } = parts
  const startedAt = clock.now()
  const loopDelay = monitorEventLoopDelay({ resolution: 20 })
  loopDelay.enable()
  const totals = new Map<number, number>()
  // Messages stored in each of the last sixty seconds.
  const perSecond = Array.from({ length: minute }, () => 0)
  let second = Math.floor(startedAt / 1000)

  const roll = () => {
    const now = Math.floor(clock.now() / 1000)
    for (let step = Math.min(minute, now - second); step > 0; step--) perSecond[(now - step + 1) % minute] = 0
    second = now
    return now
  }
  const unsubscribe = log.subscribe((entries) => {
    for (const entry of entries) {
      if (entry.type !== 'message.sent') continue
      const total = totals.get(entry.tenant)
      if (total !== undefined) totals.set(entry.tenant, total + 1)
      const slot = roll() % minute
      perSecond[slot] = (perSecond[slot] ?? 0) + 1
    }
  })
  let cancelPurge = clock.after(purgeEvery, purge)
  async function purgeAll() {
    while ((await database.transaction((tx) => purgeIdempotency(tx, clock.now() - keepKeys))) > 0);
  }
  function purge() {
    void purgeAll().catch(() => undefined)
    cancelPurge = clock.after(purgeEvery, purge)
  }

  const handlers: System['handlers'] = {
    'system.health': async () => {
      const { driver, durability } = database.info()
      const components = [{ name: 'store', status: 'ok' as const, detail: `${driver}, ${durability}` }, ...parts.components()]
      const status = components.some((component) => component.status !== 'ok') ? ('degraded' as const) : ('ok' as const)
      return { status, version: parts.version, uptime_s: (clock.now() - startedAt) / 1000, time: iso(clock.now()), components }
    },

    'system.metrics': async (context) => {
      const tenant = context.tenant
      const list = agents.registry.list(tenant)
      const byStatus: Record<string, number> = {}
      for (const agent of list) byStatus[agent.status] = (byStatus[agent.status] ?? 0) + 1
      const byState = await tasks.counts(tenant)
      if (!totals.has(tenant)) totals.set(tenant, await countMessages(database, tenant))
      roll()
      const { waiting, leased } = messages.deliveries.totals()
      const { delivered, acknowledged, redelivered, dead } = messages.deliveries.counters
      return {
        agents: {
          total: list.length,
          online: list.filter((agent) => agents.registry.presence(agent) === 'online').length,
          by_status: byStatus,
        },
        tasks: { total: Object.values(byState).reduce((sum, count) => sum + count, 0), by_state: byState },
        messages: {
          total: totals.get(tenant) ?? 0,
          waiting,
          leased,
          dead,
          per_minute: perSecond.reduce((sum, count) => sum + count, 0),
          delivered,
          acknowledged,
          redelivered,
        },
        connections: sessions.count,
        knowledge: await parts.knowledgeCounts(tenant),
        memory_keys: await parts.memoryCount(tenant),
        log_seq: log.head,
        consumers: await parts.consumerLags(tenant),
        process: {
          rss_bytes: process.memoryUsage.rss(),
          uptime_s: (clock.now() - startedAt) / 1000,
          event_loop_p99_ms: loopDelay.percentile(99) / 1e6,
        },
      }
    },

    'system.whoami': async ({ caller }) => ({
      id: caller.publicId,
      name: caller.name,
      role: caller.role,
      tenant: 'default',
      permissions: [...roleGrants[caller.role]],
    }),

    'system.link': async () => ({ url: parts.signInUrl(), expires_at: iso(clock.now() + 600_000) }),

    'keys.create': async (context, input) => {
      const answer = await context.write(async (tx) => {
        const name = `key:${input.name}`
        if (directory.find(context.tenant, name)) throw new CadreError('name_taken', { name: input.name })
        const principal = await directory.create(tx, context.tenant, 'key', name, parts.newId('key'))
        const { id, token } = await access.issue(tx, principal, input.role, input.name)
        tx.emit({ type: 'key.created', subject: id, data: { key_id: id, name: input.name, role: input.role } })
        return { id, name: input.name, role: input.role as Role, key: token, created_at: iso(clock.now()) }
      })
      return answer as typeof answer & { receipt: Receipt }
    },

    'keys.list': async (context, input) => {
      const before = decodeCursor(input.cursor)
      const rows = await listKeys(database, context.tenant, before === undefined ? undefined : String(before), input.limit + 1)
      return toPage(
        rows,
        input.limit,
        (row) => row.id,
        (row) => ({
          id: row.id,
          name: row.name,
          role: row.role as Role,
          created_at: iso(row.created_at),
          last_used_at: isoOrNull(row.last_used_at),
        }),
      )
    },

    'keys.revoke': async (context, input) => {
      const answer = await context.write(async (tx) => {
        if (!(await removeKey(tx, context.tenant, input.id))) throw new CadreError('not_found', { entity: 'key', id: input.id })
        tx.emit({ type: 'key.revoked', subject: input.id, data: { key_id: input.id } })
        tx.afterCommit(() => access.forget(input.id))
        return { id: input.id, revoked: true as const }
      })
      return answer as typeof answer & { receipt: Receipt }
    },
  }

  return {
    handlers,
    hasAdminKey: (tenant) => hasKeys(database, tenant),
    async close() {
      unsubscribe()
      cancelPurge()
      loopDelay.disable()
    },
  }
}
