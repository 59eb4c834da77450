/** Receiving without a socket: a look into the inbox, and waiting for the next delivery that becomes ready. */
import type { Delivery } from '@cadre/contract'
import type { Clock } from '../../core/clock.ts'
import type { Directory } from '../../core/directory.ts'
import { toDelivery } from './envelope.ts'
import type { Handover } from './handover.ts'
import type { Leasing } from './leasing.ts'

/** A delivery in back-off becomes ready without anything being stored, so look again this often. */
const lookMs = 1_000

/** Who waits for a delivery, by agent. */
export class Arrivals {
  readonly #clock: Clock
  readonly #waiters = new Map<number, Set<() => void>>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  wake(agent: number): void {
    for (const wake of this.#waiters.get(agent) ?? []) wake()
  }

  wakeAll(): void {
    for (const wakes of this.#waiters.values()) for (const wake of wakes) wake()
  }

  /** Hears of the next delivery that becomes ready for the agent, from now on. */
  listen(agent: number, signal: AbortSignal): { within(ms: number): Promise<void>; end(): void } {
    const { promise, resolve } = Promise.withResolvers<void>()
    const wakes = this.#waiters.get(agent) ?? new Set()
    this.#waiters.set(agent, wakes)
    let cancel = () => {}
    const end = () => {
      cancel()
      signal.removeEventListener('abort', end)
      wakes.delete(end)
      if (wakes.size === 0 && this.#waiters.get(agent) === wakes) this.#waiters.delete(agent)
      resolve()
    }
    wakes.add(end)
    signal.addEventListener('abort', end, { once: true })
    return {
      within: (ms) => {
        cancel = this.#clock.after(Math.min(ms, lookMs), end)
        return promise
      },
      end,
    }
  }
}

export interface ReceivingParts {
  directory: Directory
  clock: Clock
  arrivals: Arrivals
  leasing: Leasing
  handover: Handover
  isClosed: () => boolean
}

/** Waits until something is ready, at most `waitMs`, and leases up to `limit` of it for `duration` ms. */
export type Receive = (
  tenant: number,
  agent: number,
  limit: number,
  duration: number,
  waitMs: number,
  signal: AbortSignal,
) => Promise<Delivery[]>

export function makeReceive({ directory, clock, arrivals, leasing, handover, isClosed }: ReceivingParts): Receive {
  return async (tenant, agent, limit, duration, waitMs, signal) => {
    const deadline = clock.now() + waitMs
    for (;;) {
      // Listening begins before the look: a message stored in the very commit of the look must still wake this.
      const arrival = arrivals.listen(agent, signal)
      const rows = await leasing.lease(tenant, agent, limit, duration).catch((error: unknown) => {
        arrival.end()
        throw error
      })
      const left = deadline - clock.now()
      if (rows.length > 0 || left <= 0 || signal.aborted || isClosed()) {
        arrival.end()
        for (const { place } of rows) handover.countDelivery(place)
        handover.announce(new Map([[agent, rows.map((row) => row.place)]]), 'leased')
        return rows.map(({ place, message, until }) => toDelivery(message, handover.handed(place, until), directory))
      }
      await arrival.within(left)
    }
  }
}
