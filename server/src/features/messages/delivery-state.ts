/** What became of one recipient's copy of a message: from its inbox row, its dead letter, or the lane. Gone from all three is acknowledged. */
import type { Reader } from '../../drivers/database/port.ts'
import { isInLane, settledOf } from './lane-store.ts'
import { type MessageRow, getDead, getDelivery } from './store.ts'

export interface DeliveryState {
  state: 'ready' | 'leased' | 'acknowledged' | 'dead' | 'expired'
  /** 0 before the first; undefined once it is settled, when nobody counts any more. */
  attempt: number | undefined
  /** Why it is dead. */
  reason: string | undefined
  /** When it died, milliseconds. */
  at: number | undefined
}

const states = ['ready', 'leased', 'ready'] as const

export async function deliveryOf(reader: Reader, row: MessageRow, agent: number): Promise<DeliveryState> {
  const { tenant, priority, seq } = row
  const delivery = await getDelivery(reader, { tenant, agent, priority, seq })
  if (delivery) return { state: states[delivery.state], attempt: delivery.attempt, reason: undefined, at: undefined }
  if (isInLane(row, agent) && seq > (await settledOf(reader, tenant, agent)))
    return { state: 'leased', attempt: 1, reason: undefined, at: undefined }
  const dead = await getDead(reader, tenant, agent, seq)
  if (!dead) return { state: 'acknowledged', attempt: undefined, reason: undefined, at: undefined }
  const { attempts: attempt, reason, at } = dead
  return { state: reason === 'expired' ? 'expired' : 'dead', attempt, reason, at }
}
