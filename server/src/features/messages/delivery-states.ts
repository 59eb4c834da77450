/**
 * What became of each copy of a message: from its inbox row, its dead letter, or the lane. Gone from all three is acknowledged. This is the
 * one place that answers it.
 */
import type { Message, OutputOf } from '@cadre/contract'
import type { Reader } from '../../drivers/database/port.ts'
import { type Sql, sql } from '../../drivers/database/sql.ts'
import { recipientsOf } from './envelope.ts'
import { isInLane } from './lane-store.ts'
import { type AttemptError, type DeadRow, type MessageRow, isListed } from './store.ts'

export interface DeliveryState {
  agent: number
  state: keyof OutputOf<'messages.receipt'>['counts']
  /** How often it was handed over; null once it is acknowledged, when that is kept no more. */
  attempt: number | null
  /** When it died or expired. */
  at: number | null
  /** Why it died, expired, or came back the last time. */
  reason: string | null
  /** It is a dead letter that can be sent on its way again. */
  listed: boolean
}

export interface DeliveryStates {
  /** Of these recipients of the message, in their order; of all of them unless given. */
  readonly of: (row: MessageRow, agents?: readonly number[]) => Promise<DeliveryState[]>
  readonly statusOf: (row: MessageRow) => Promise<Message['status']>
}

/** Recipients asked about in one statement, which takes 2 ms: a broadcast to thousands must not hold everybody up. */
const perRead = 250

/** `source`: 0 inbox row, 1 dead letter, 2 lane. `number` is its state, its attempts, or the position up to which it is settled. */
type Found = { agent: number; source: 0 | 1 | 2; number: number; attempt: number; at: number; text: string | null }

export interface DeliveryStateParts {
  reader: Reader
  values: (json: string) => Sql
  /** Lets others have their turn in between. Absent inside a transaction, which waits for nobody. */
  pause?: () => Promise<void>
}

export function makeDeliveryStates({ reader, values, pause }: DeliveryStateParts): DeliveryStates {
  async function deliveriesOf(row: MessageRow, agents: readonly number[]): Promise<DeliveryState[]> {
    const { tenant, seq, priority } = row
    // Most messages have one recipient, and asking for it takes half the time without a table of values.
    const wanted = agents.length === 1 ? sql`agent = ${agents[0]}` : sql`agent in ${values(JSON.stringify(agents))}`
    // One statement, so that a copy that moves from one to the other in between is seen once.
    const found =
      await reader.all<Found>(sql`select agent, 0 as source, state as number, attempt, 0 as at, errors as text from inbox
        where tenant = ${tenant} and ${wanted} and priority = ${priority} and seq = ${seq}
      union all select agent, 1, attempts, attempts, at, reason from dead_letters
        where tenant = ${tenant} and ${wanted} and seq = ${seq}
      union all select agent, 2, settled, 0, 0, null from lanes
        where tenant = ${tenant} and ${wanted}`)
    const rows = new Map<number, Found>()
    const settled = new Map<number, number>()
    for (const each of found) {
      if (each.source === 2) settled.set(each.agent, each.number)
      else rows.set(each.agent, each)
    }
    return agents.map((agent) => stateOf(row, agent, rows.get(agent), settled.get(agent) ?? 0))
  }

  async function* inParts(row: MessageRow, agents: readonly number[]) {
    for (let from = 0; from < agents.length; from += perRead) {
      if (from > 0) await pause?.()
      yield await deliveriesOf(row, agents.slice(from, from + perRead))
    }
  }

  return {
    async of(row, agents = recipientsOf(row)) {
      const all: DeliveryState[] = []
      for await (const part of inParts(row, agents)) all.push(...part)
      return all
    },

    async statusOf(row) {
      const recipients = recipientsOf(row)
      const seen = new Set<DeliveryState['state']>()
      for await (const part of inParts(row, recipients)) {
        for (const { state } of part) seen.add(state)
        if (seen.has('ready')) break
      }
      return statusFrom(seen)
    },
  }
}

/**
 * Of all copies of a message together, worst first: as long as one waits it is stored, then delivered, then acknowledged, unless copies
 * were lost. `unroutable` when there are none.
 */
export function statusFrom(states: ReadonlySet<DeliveryState['state']>): Message['status'] {
  if (states.size === 0) return 'unroutable'
  if (states.has('ready')) return 'stored'
  if (states.has('leased')) return 'delivered'
  if (states.has('dead')) return 'dead'
  return states.has('expired') ? 'expired' : 'acknowledged'
}

function stateOf(row: MessageRow, agent: number, found: Found | undefined, settled: number): DeliveryState {
  const base = { agent, at: null, reason: null, listed: false }
  if (!found) {
    if (isInLane(row, agent) && row.seq > settled) return { ...base, state: 'leased', attempt: 1 }
    return { ...base, state: 'acknowledged', attempt: null }
  }
  const { attempt, text } = found
  if (found.source === 1) {
    const reason = text as DeadRow['reason']
    const state = reason === 'expired' ? 'expired' : 'dead'
    return { agent, state, attempt, at: found.at, reason, listed: isListed({ reason }) }
  }
  const errors = text === null ? [] : (JSON.parse(text) as AttemptError[])
  return { ...base, state: found.number === 1 ? 'leased' : 'ready', attempt, reason: errors.at(-1)?.error ?? null }
}
