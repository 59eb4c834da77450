/**
 * Retention: settled messages older than a tenant wants to keep are removed from the log, a few at a time. What is unsettled stays, and so
 * do dead letters that are still listed. Positions are never given again, and `trimmed_to` says up to where something may be missing.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Clock } from '../../core/clock.ts'
import type { Principal } from '../../core/context.ts'
import { Background } from '../../core/background.ts'
import type { EventLog } from '../../core/events.ts'
import type { Handlers } from '../../core/invoke.ts'
import type { Logger } from '../../core/logger.ts'
import type { Database } from '../../drivers/database/port.ts'
import { type DeliveryState, makeDeliveryStates } from './delivery-states.ts'
import {
  type RetentionRow,
  countMessages,
  loadRetention,
  messagesAfter,
  positionAt,
  removeMessages,
  replayedOf,
  saveRetention,
} from './history-store.ts'
import type { MessageRow } from './store.ts'

const sweepMs = 60_000
/** After a sweep that left something over: two thousand a second go, more than is likely to come. */
const nextMs = 1_000
const dayMs = 86_400_000
const perCommit = 50
/** Commits of one sweep, so that it holds nobody up. */
const commitsPerSweep = 40
/** Positions looked through in one statement. */
const window = 20_000

export interface RetentionParts {
  logger: Logger
  database: Database
  clock: Clock
  log: EventLog
  system: (tenant: number) => Principal
}

export interface Retention {
  handlers: Pick<Handlers, 'retention.get' | 'retention.set'>
  /** Position in the log up to which messages may have been removed. Whoever read up to an earlier one may have missed some. */
  trimmedTo(tenant: number): number
  close(): Promise<void>
}

interface Removable {
  row: MessageRow
  /** Recipients whose copies expired; they can be sent on their way again. */
  expired: number[]
}

const everything = {
  party: undefined,
  sender: undefined,
  topic: undefined,
  conversation: undefined,
  since: undefined,
  until: undefined,
}

const isSettled = ({ state, listed }: DeliveryState): boolean =>
  state === 'acknowledged' || state === 'expired' || (state === 'dead' && !listed)

export async function makeRetention(parts: RetentionParts): Promise<Retention> {
  const { database, clock, log } = parts
  const { values } = database.dialect
  const background = new Background(parts.logger, 'old messages could not be removed')
  const states = makeDeliveryStates({ reader: database, values, pause: () => nextTurn() })
  const settings = new Map((await loadRetention(database)).map((row) => [row.tenant, row]))
  /** Messages of tenants that limit their number, counted once and kept up since. */
  const counts = new Map<number, number>()
  /** Where the last sweep stopped: what it left standing is not looked at again each time. */
  const positions = new Map<number, number>()
  let closed = false
  let sweeping = false
  let cancelSweep = clock.after(sweepMs, sweepRegularly)

  const unsubscribe = log.subscribe((entries) => {
    if (counts.size === 0) return
    for (const { type, tenant } of entries) {
      const count = type === 'message.sent' ? counts.get(tenant) : undefined
      if (count !== undefined) counts.set(tenant, count + 1)
    }
  })

  const settingOf = (tenant: number): RetentionRow =>
    settings.get(tenant) ?? { tenant, messages_days: null, messages_max: null, trimmed_to: 0, removed: 0 }

  function sweepRegularly(): void {
    background.run(sweep())
  }

  async function sweep(): Promise<void> {
    if (sweeping || closed) return
    sweeping = true
    let more = false
    try {
      for (const setting of settings.values())
        if (setting.messages_days !== null || setting.messages_max !== null) more = (await sweepTenant(setting.tenant)) || more
    } finally {
      sweeping = false
      cancelSweep()
      if (!closed) cancelSweep = clock.after(more ? nextMs : sweepMs, sweepRegularly)
    }
  }

  /** True when it stopped before its end. */
  async function sweepTenant(tenant: number): Promise<boolean> {
    const { messages_days, messages_max } = settingOf(tenant)
    if (messages_max !== null && !counts.has(tenant)) counts.set(tenant, await countMessages(database, tenant))
    const now = clock.now()
    // Keys of idempotency hold for a day, and a request may wait for its reply: nothing younger goes.
    const youngest = await positionAt(database, now - dayMs, log.head)
    const old = messages_days === null ? 0 : await positionAt(database, now - messages_days * dayMs, log.head)
    for (let commit = 0; commit < commitsPerSweep && !closed; commit++) {
      const excess = messages_max === null ? 0 : Math.max(0, (counts.get(tenant) ?? 0) - messages_max)
      const upTo = Math.min(youngest, excess > 0 ? youngest : old)
      const from = positions.get(tenant) ?? 0
      if (from >= upTo) {
        positions.delete(tenant)
        return false
      }
      const last = Math.min(from + window, upTo)
      const rows = await messagesAfter(database, { ...everything, tenant }, from, last, perCommit)
      const removed = await remove(tenant, await removable(rows, old, excess))
      if (removed > 0) counts.set(tenant, (counts.get(tenant) ?? removed) - removed)
      positions.set(tenant, rows.length < perCommit ? last : (rows.at(-1)?.seq ?? last))
    }
    return true
  }

  /** The settled ones that are too old, and as many more as are too many. */
  async function removable(rows: readonly MessageRow[], old: number, excess: number): Promise<Removable[]> {
    const chosen: Removable[] = []
    for (const row of rows) {
      if (row.seq > old && chosen.length >= excess) continue
      const deliveries = await states.of(row)
      if (!deliveries.every(isSettled)) continue
      chosen.push({ row, expired: deliveries.filter(({ state }) => state === 'expired').map(({ agent }) => agent) })
    }
    return chosen
  }

  async function remove(tenant: number, chosen: readonly Removable[]): Promise<number> {
    if (chosen.length === 0) return 0
    return database.transaction(async (tx) => {
      // Looked at before the transaction, they may have been sent on their way again since: by replay, or, if expired, by hand.
      const seqs = JSON.stringify(chosen.map(({ row }) => row.seq))
      const wanted = await replayedOf(tx, database.dialect, seqs, tenant)
      const now = makeDeliveryStates({ reader: tx, values })
      const rows: MessageRow[] = []
      for (const { row, expired } of chosen)
        if (!wanted.has(row.seq) && (await now.of(row, expired)).every(isSettled)) rows.push(row)
      if (rows.length === 0) return 0
      await removeMessages(tx, rows)
      const setting = settingOf(tenant)
      const trimmed_to = Math.max(setting.trimmed_to, rows.at(-1)?.seq ?? 0)
      const removed = setting.removed + rows.length
      await saveRetention(tx, { ...setting, trimmed_to, removed })
      // The newest entry of the log is never a message that was removed: positions go on rising after a restart.
      await log.append(tx, parts.system(tenant), null, [
        { type: 'retention.compacted', subject: null, data: { removed: rows.length, trimmed_to } },
      ])
      tx.afterCommit(() => settings.set(tenant, { ...settingOf(tenant), trimmed_to, removed }))
      return rows.length
    })
  }

  return {
    handlers: {
      'retention.get': async (context) => {
        const { messages_days, messages_max, trimmed_to, removed } = settingOf(context.tenant)
        return { messages_days, messages_max, trimmed_to, removed }
      },

      'retention.set': async (context, input) => {
        const answer = await context.write(async (tx) => {
          const before = settingOf(context.tenant)
          const messages_days = input.messages_days === undefined ? before.messages_days : input.messages_days
          const messages_max = input.messages_max === undefined ? before.messages_max : input.messages_max
          const row = { ...before, messages_days, messages_max }
          if (messages_days !== before.messages_days || messages_max !== before.messages_max) {
            await saveRetention(tx, row)
            tx.emit({ type: 'retention.changed', subject: null, data: { messages_days, messages_max } })
            tx.afterCommit(() => {
              settings.set(context.tenant, { ...settingOf(context.tenant), messages_days, messages_max })
              background.run(sweep())
            })
          }
          return { messages_days, messages_max }
        })
        return answer
      },
    },
    trimmedTo: (tenant) => settings.get(tenant)?.trimmed_to ?? 0,
    async close() {
      closed = true
      cancelSweep()
      unsubscribe()
      await background.idle()
    },
  }
}
