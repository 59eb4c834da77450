/**
 * Bounces: the agent that sent a message hears in its own inbox that a copy of it died or expired, in the commit that makes it so.
 * A message that reaches nobody bounces not: the answer to its sender says so already. Nor does a bounce, whose sender is the system, and
 * people read the dead letters.
 */
import { CadreError, type Bounce } from '@cadre/contract'
import type { Clock } from '../../core/clock.ts'
import type { Principal } from '../../core/context.ts'
import type { Directory } from '../../core/directory.ts'
import type { EventLog } from '../../core/events.ts'
import type { Tx } from '../../drivers/database/port.ts'
import { messageId } from './envelope.ts'
import { maxInbox } from './sending.ts'
import type { NewDelivery } from './delivery.ts'
import { type InboxRow, type MessageRow, appendMessages, insertDeliveries } from './store.ts'

/** Bounces to one sender in a minute: who broadcasts to thousands that are away is not buried under what became of it. */
const maxPerMinute = 600

/** A copy that left its inbox without having been acknowledged. */
export interface Lost {
  row: Pick<InboxRow, 'tenant' | 'agent' | 'seq' | 'priority' | 'sender'>
  status: Bounce['status']
  reason: string
  attempts: number
}

export type Bounces = (tx: Tx, lost: readonly Lost[]) => Promise<void>

export interface BounceParts {
  directory: Directory
  clock: Clock
  log: EventLog
  system: (tenant: number) => Principal
  depth: (agent: number) => number
  /** Counts and hands over what was put into inboxes, after the commit. */
  stored: (rows: readonly NewDelivery[], messages: ReadonlyMap<number, MessageRow>) => void
  /** Whoever waits for the reply to this message waits in vain. */
  unanswerable: (seq: number, error: CadreError) => void
}

export function makeBounces(parts: BounceParts): Bounces {
  const { directory, clock, log } = parts
  const limits = new Limits(clock)

  function toRow({ row, status, reason, attempts }: Lost, suppressed: number): MessageRow {
    const recipient = directory.byId(row.agent)
    const content: Bounce = {
      message_id: messageId(row.seq),
      recipient: recipient.name,
      recipient_id: recipient.publicId,
      reason,
      attempts,
      status,
      ...(suppressed > 0 && { suppressed }),
    }
    return {
      seq: log.nextSeq(),
      tenant: row.tenant,
      at: clock.now(),
      actor: parts.system(row.tenant).id,
      trace: null,
      body: JSON.stringify(content),
      key: null,
      recipient: row.sender,
      recipients: null,
      topic: null,
      kind: 'system',
      message_type: 'message.bounced',
      priority: Math.min(row.priority, 9),
      // Of its own: the line of the conversation may be just what is stuck.
      conversation: null,
      sender_seq: 1,
      reply_to: row.seq,
      task: null,
      meta: null,
      expires_at: null,
      late: null,
      lane: null,
    }
  }

  const toInbox = ({ tenant, priority, seq, at, actor }: MessageRow, agent: number): NewDelivery => ({
    tenant,
    agent,
    priority,
    seq,
    state: 0,
    attempt: 0,
    lease_until: null,
    available_at: at,
    conversation: null,
    sender: actor,
    expires_at: null,
    errors: null,
    lane: false,
  })

  return async (tx, lost) => {
    const rows: MessageRow[] = []
    const inbox: NewDelivery[] = []
    for (const each of lost) {
      const { sender } = each.row
      if (directory.byId(sender).kind !== 'agent') continue
      // A sender with a full inbox hears of no more.
      const suppressed = parts.depth(sender) < maxInbox ? limits.take(sender) : undefined
      if (suppressed === undefined) continue
      const row = toRow(each, suppressed)
      rows.push(row)
      inbox.push(toInbox(row, sender))
    }
    await appendMessages(tx, rows)
    await insertDeliveries(tx, inbox)
    tx.afterCommit(() => {
      log.announce(
        rows.map((row) => ({
          seq: row.seq,
          tenant: row.tenant,
          at: row.at,
          actor: row.actor,
          trace: null,
          type: 'message.sent',
          subject: messageId(row.seq),
          data: row,
          task: null,
        })),
      )
      parts.stored(inbox, new Map(rows.map((row) => [row.seq, row])))
      for (const { row, reason } of lost)
        parts.unanswerable(row.seq, new CadreError('undeliverable', { id: messageId(row.seq), reason }))
    })
  }
}

/** How many bounces each sender was given in this minute, and how many it was not. */
class Limits {
  readonly #clock: Clock
  readonly #senders = new Map<number, { given: number; left: number }>()
  #minute = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Undefined when the sender was given enough; else how many were left out before. */
  take(sender: number): number | undefined {
    const minute = Math.floor(this.#clock.now() / 60_000)
    if (minute !== this.#minute) {
      this.#minute = minute
      // What was left out is told with the next one, whenever that is.
      for (const [id, limit] of this.#senders) {
        if (limit.left === 0) this.#senders.delete(id)
        else limit.given = 0
      }
    }
    const limit = this.#senders.get(sender) ?? { given: 0, left: 0 }
    this.#senders.set(sender, limit)
    if (limit.given >= maxPerMinute) {
      limit.left += 1
      return undefined
    }
    limit.given += 1
    const { left } = limit
    limit.left = 0
    return left
  }
}
