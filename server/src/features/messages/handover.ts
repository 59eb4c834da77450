/** What is the same however a delivery reaches its agent: what is handed with it, how it is counted, what live views hear of it. */
import { type Clock, iso } from '../../core/clock.ts'
import type { Directory } from '../../core/directory.ts'
import type { Entry, EventLog } from '../../core/events.ts'
import { replayPriority } from './replay-priority.ts'
import { type Handed, type Place, encodeReceipt, messageId } from './envelope.ts'

export interface Counters {
  delivered: number
  acknowledged: number
  redelivered: number
  dead: number
  /** Copies that were not taken in the time their sender gave them. */
  expired: number
}

export interface Handover {
  readonly counters: Counters
  readonly handed: (place: Place, until: number) => Handed
  readonly countDelivery: (place: Place) => void
  /** For live views only: position 0 says that it is not in the log. */
  readonly announce: (agents: ReadonlyMap<number, readonly Place[]>, state: 'leased' | 'acknowledged') => void
}

export function makeHandover(parts: { directory: Directory; clock: Clock; log: EventLog; epoch: string }): Handover {
  const { directory, clock, log, epoch } = parts
  const counters: Counters = { delivered: 0, acknowledged: 0, redelivered: 0, dead: 0, expired: 0 }
  return {
    counters,
    handed: (place, until) => ({
      receipt: encodeReceipt(place, epoch),
      attempt: place.attempt,
      lease_until: iso(until),
      replay: isReplay(place),
    }),
    countDelivery(place) {
      counters.delivered += 1
      if (place.attempt > 1) counters.redelivered += 1
    },
    announce(agents, state) {
      const at = clock.now()
      const entries: Entry[] = []
      for (const [agent, places] of agents) {
        const principal = directory.byId(agent)
        // What happens to a replayed copy is no news of its message.
        const first = places.some(isReplay) ? places.filter((place) => !isReplay(place)) : places
        if (first.length === 0) continue
        entries.push({
          seq: 0,
          tenant: principal.tenant,
          at,
          actor: agent,
          trace: null,
          type: 'message.settled',
          subject: principal.publicId,
          data: { message_ids: first.map((place) => messageId(place.seq)), agent_id: principal.publicId, state },
        })
      }
      if (entries.length > 0) log.announce(entries)
    },
  }
}

const isReplay = (place: Place): boolean => place.priority === replayPriority
