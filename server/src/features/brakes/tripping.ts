/** What happens when a brake trips: it holds at once, commits why, tells the operator, and refuses what comes meanwhile. */
import { type Brake, CadreError } from '@cadre/contract'
import { type Clock, iso, isoOrNull } from '../../core/clock.ts'
import type { Context } from '../../core/context.ts'
import type { Directory } from '../../core/directory.ts'
import type { Logger } from '../../core/logger.ts'
import type { Database } from '../../drivers/database/port.ts'
import type { Hold, Holds } from './holds.ts'
import { type BrakeRow, chainOf, insertBrake, lastBetween } from './store.ts'

export interface TrippingParts {
  database: Database
  directory: Directory
  clock: Clock
  logger: Logger
  newId: (prefix: string) => string
  engine: () => Context
  /** Position of the newest entry of the log. */
  head: () => number
  /** Encodes a position as the id of the message that stands there. */
  messageId: (seq: number) => string
  /** Tells the operator, beside the event. */
  tell: (tenant: number, brake: Brake) => Promise<unknown>
}

export interface Stop {
  tenant: number
  rule: BrakeRow['rule']
  /** Who sends or calls, and whom: 0 for several, and for a call. */
  from: number
  to: number
  conversation: string | null
  tool?: string
  digest?: string
  task: string | null
  /** The message that was answered. */
  replyTo: number | null
  reason: string
  count: number
  limit: number
  windowMs: number | null
  cooldownMs: number
}

export interface Tripping {
  trip(stop: Stop): Hold
  /** Rejects with `loop_stopped` once the reason is durable; goes on with a retry of what was done before. */
  refuse<T>(hold: Hold, known: () => Promise<boolean>, goOn: () => Promise<T>): Promise<T>
  readonly view: (row: BrakeRow) => Brake
}

const listedMessages = 10

export function makeTripping(parts: TrippingParts & { holds: Holds; countAnew: (row: BrakeRow) => void }): Tripping {
  const { database, directory, clock, holds } = parts

  function trip(stop: Stop): Hold {
    const now = clock.now()
    const row: BrakeRow = {
      tenant: stop.tenant,
      id: parts.newId('brk'),
      rule: stop.rule,
      low: Math.min(stop.from, stop.to),
      high: Math.max(stop.from, stop.to),
      conversation: stop.conversation,
      tool: stop.tool ?? null,
      digest: stop.digest ?? null,
      task: stop.task,
      reason: stop.reason,
      counted: stop.count,
      limited_to: stop.limit,
      window_ms: stop.windowMs,
      messages: '[]',
      up_to: parts.head(),
      tripped_at: now,
      held_until: now + stop.cooldownMs,
      reset_at: null,
      reset_by: null,
    }
    const hold: Hold = { row, written: write(row, stop.replyTo) }
    // Whoever is refused waits for it; this is for a failure that nobody is left to see.
    hold.written.catch(() => holds.remove(row))
    holds.add(hold)
    parts.countAnew(row)
    return hold
  }

  async function write(row: BrakeRow, replyTo: number | null): Promise<void> {
    row.messages = JSON.stringify(await lastMessages(row, replyTo))
    await parts.engine().write(async (tx) => {
      await insertBrake(tx, row)
      const { id, state: _, tripped_at: __, reset_at: ___, reset_by: ____, ...facts } = view(row)
      tx.emit({ type: 'brake.tripped', subject: id, task: row.task, data: { brake_id: id, ...facts } })
      return {}
    })
    parts
      .tell(row.tenant, view(row))
      .catch((cause: unknown) => parts.logger.warn('the operator was not told of a brake', { brake: row.id, cause }))
  }

  async function lastMessages(row: BrakeRow, replyTo: number | null): Promise<number[]> {
    if (row.tool !== null) return []
    if (replyTo !== null) return (await chainOf(database, row.tenant, replyTo, listedMessages)).map(({ seq }) => seq)
    const there = await lastBetween(database, row, row.low, row.high, listedMessages)
    const back = await lastBetween(database, row, row.high, row.low, listedMessages)
    return [...new Set([...there, ...back].map(({ seq }) => seq))].toSorted((a, b) => b - a).slice(0, listedMessages)
  }

  async function refuse<T>(hold: Hold, known: () => Promise<boolean>, goOn: () => Promise<T>): Promise<T> {
    await hold.written
    if (await known()) return goOn()
    const { id, rule, reason, parties, conversation_id, tool, count, held_until } = view(hold.row)
    throw new CadreError('loop_stopped', { rule, brake_id: id, reason, parties, conversation_id, tool, count, held_until })
  }

  const view = (row: BrakeRow): Brake => ({
    id: row.id,
    state: row.reset_at !== null ? 'reset' : row.held_until > clock.now() ? 'held' : 'cooled',
    rule: row.rule,
    parties: [row.low, row.high].filter((id) => id !== 0).map((id) => directory.nameOf(id) ?? 'unknown'),
    conversation_id: row.conversation,
    tool: row.tool,
    task_id: row.task,
    count: row.counted,
    limit: row.limited_to,
    window_ms: row.window_ms,
    message_ids: (JSON.parse(row.messages) as number[]).map(parts.messageId),
    reason: row.reason,
    held_until: iso(row.held_until),
    tripped_at: iso(row.tripped_at),
    reset_at: isoOrNull(row.reset_at),
    reset_by: directory.nameOf(row.reset_by),
  })

  return { trip, refuse, view }
}
