/** Why a message went where it did: kept with it where a rule or a choice decided, read off the row where the sender did. */
import { isDeepStrictEqual } from 'node:util'
import type { MessageRoute } from '@cadre/contract'
import type { Meta } from './envelope.ts'
import type { Outgoing } from './sending.ts'
import type { MessageRow } from './store.ts'

export type StoredRoute = MessageRoute

const direct: MessageRoute = Object.freeze({ by: 'direct', reason: 'named by the sender' })
const list: MessageRoute = Object.freeze({ by: 'list', reason: 'listed by the sender' })
const broadcast: MessageRoute = Object.freeze({ by: 'broadcast', reason: 'sent to everyone' })
const reply: MessageRoute = Object.freeze({ by: 'reply', reason: 'answers the sender of a message' })

type Way = Pick<MessageRow, 'kind' | 'topic' | 'reply_to' | 'recipient' | 'recipients'>

/** The route of a stored message. A plain direct one costs no allocation. */
export function routeOf(row: Way, meta: Meta): MessageRoute {
  const route = meta.route ?? derived(row)
  return meta.unroutable === undefined || route.reason.includes(meta.unroutable)
    ? route
    : { ...route, reason: `${route.reason}; ${meta.unroutable}` }
}

function derived(row: Way): MessageRoute {
  if (row.topic !== null) return { by: 'topic', reason: `subscribed to ${row.topic}` }
  if (row.kind === 'broadcast') return broadcast
  if (row.kind === 'response' && row.reply_to !== null && row.recipient !== null) return reply
  return row.recipient !== null || hasNobody(row) ? direct : list
}

const hasNobody = (row: Way): boolean => row.recipient === null && (row.recipients === null || row.recipients === '[]')

/** What has to be kept with a message whose kind, chosen by its sender, would tell of another way than the one it took. */
export function toldApart(by: 'direct' | 'list' | 'broadcast' | 'reply', kind: string): MessageRoute | undefined {
  if (by === 'broadcast') return kind === 'broadcast' ? undefined : broadcast
  if (by === 'reply') return kind === 'response' ? undefined : reply
  return kind === 'broadcast' || kind === 'response' ? (by === 'direct' ? direct : list) : undefined
}

/**
 * Was a message with the same key addressed in the same way? By what its sender asked for: who is in a broadcast, a topic or a group, who
 * was chosen and which rules there are is decided at the commit, and a retry may find others.
 */
export function sameAddress(row: MessageRow, meta: Meta, message: Outgoing): boolean {
  const [was, is] = [addressOf(row.kind, row.topic, meta), addressOf(message.kind, message.topic, message.meta)]
  if (was !== is) return false
  if (was === 'open') return row.kind === message.kind || (defaults.has(row.kind) && defaults.has(message.kind))
  if (row.kind !== message.kind || row.topic !== message.topic) return false
  if (was === 'topic') return true
  const wanted = ({ route }: Meta) => [route?.agent_type, route?.capabilities, route?.strategy]
  if (was === 'chosen') return isDeepStrictEqual(wanted(meta), wanted(message.meta))
  const recipients = row.recipient !== null ? [row.recipient] : (JSON.parse(row.recipients ?? '[]') as number[])
  return isDeepStrictEqual(recipients, message.recipients)
}

/** The kinds that a message for nobody in particular gets: with a rule and without. */
const defaults = new Set(['event', 'broadcast'])

function addressOf(kind: string, topic: string | null, { route }: Meta): 'open' | 'topic' | 'chosen' | 'named' {
  if (route?.by === 'rule') return 'open'
  if (topic !== null) return 'topic'
  const byKind = route === undefined || route.by === 'escalation'
  if (route?.by === 'broadcast' || (kind === 'broadcast' && byKind)) return 'open'
  return route?.strategy === undefined && route?.agent_type === undefined && route?.capabilities === undefined
    ? 'named'
    : 'chosen'
}
