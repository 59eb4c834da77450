/** The way of a message past the brakes. One that answers nothing and goes one way costs some 0.1 us here, measured over 200,000. */
import type { BrakeSettings } from '@cadre/contract'
import type { Caller } from '../../core/context.ts'
import type { Directory } from '../../core/directory.ts'
import type { Excess, Exchanges } from './exchanges.ts'
import type { Holds } from './holds.ts'
import type { Hops, Sent } from './hops.ts'
import type { Stop, Tripping } from './tripping.ts'

/** What the brakes look at in a message that is about to be stored. */
export interface Outbound {
  caller: Caller
  operation: string
  content: unknown
  recipients: readonly number[]
  topic: string | null
  conversation: string | null
  replyTo: number | null
  task: string | null
  meta: { artifacts?: string[] }
}

/**
 * Sends the message unless it is part of a loop. `known` says whether its idempotency key is stored already: a retry is answered even
 * while its exchange is held. Rejects with `loop_stopped`.
 */
export type Guard = <M extends Outbound, S extends { row: { seq: number } }>(
  message: M,
  send: (message: M) => Promise<S>,
  known: (message: M) => Promise<boolean>,
) => Promise<S>

export interface GuardParts {
  directory: Directory
  now: () => number
  settingsOf: (tenant: number) => BrakeSettings
  isExempt: (tenant: number, conversation: string) => boolean
  holds: Holds
  hops: Hops
  exchanges: Exchanges
  tripping: Tripping
}

export function makeGuard(parts: GuardParts): Guard {
  const { directory, holds, hops, exchanges, tripping } = parts

  const guard: Guard = (message, send, known) => {
    const { caller, recipients, conversation, replyTo } = message
    const { tenant } = caller
    if (caller.kind !== 'agent') {
      if (conversation !== null) exchanges.interrupted(tenant, conversation)
      return send(message)
    }
    if (recipients.length === 0) return send(message)
    const to = recipients.length === 1 ? (recipients[0] as number) : 0
    if (holds.some) {
      const hold = holds.onMessage(tenant, caller.id, to, scopeOf(message, to), parts.now())
      if (hold) return refuse(hold)
    }
    const limits = parts.settingsOf(tenant)
    if (!limits.enabled || (conversation !== null && parts.isExempt(tenant, conversation))) return send(message)
    if (replyTo === null && message.operation !== 'ask') {
      const stop = weigh(message, to, undefined, limits)
      return stop === undefined ? send(message) : refuse(tripping.trip(stop))
    }
    if (replyTo === null) return answering(undefined)
    const parent = hops.of(tenant, replyTo, holds.upTo(tenant, caller.id, to, scopeOf(message, to)), limits.hop_limit)
    return parent instanceof Promise ? parent.then(answering) : answering(parent)

    function refuse(hold: ReturnType<Tripping['trip']>) {
      return tripping.refuse(
        hold,
        () => known(message),
        () => send(message),
      )
    }

    async function answering(answered: Sent | undefined) {
      const stop = weigh(message, to, answered, limits)
      if (stop !== undefined) return refuse(tripping.trip(stop))
      const stored = await send(message)
      hops.sent(stored.row.seq, { hops: answered === undefined ? 0 : answered.hops + 1, asked: message.operation === 'ask' })
      return stored
    }
  }

  /** Counts the message; answers why it has to be stopped. */
  function weigh(message: Outbound, to: number, answered: Sent | undefined, limits: BrakeSettings): Stop | undefined {
    const { caller, conversation } = message
    const { tenant } = caller
    const away = answered === undefined ? 0 : answered.hops + 1
    if (limits.hop_limit > 0 && away > limits.hop_limit) {
      const reason = `This message would be ${away} replies away from the one that began the exchange; the limit is ${limits.hop_limit}.`
      const excess = { rule: 'hops', count: away, limit: limits.hop_limit, windowMs: null, reason } as const
      return stopOf(message, to, scopeOf(message, to), limits, excess)
    }
    if (to === 0) {
      if (conversation !== null) exchanges.interrupted(tenant, conversation)
      return undefined
    }
    const excess = exchanges.said(
      {
        tenant,
        from: caller.id,
        to,
        conversation,
        content: message.content,
        asked: message.operation === 'ask' || answered?.asked === true,
        productive: message.meta.artifacts !== undefined && message.meta.artifacts.length > 0,
      },
      limits,
    )
    if (excess === undefined) return undefined
    const { rule, count, limit, windowMs } = excess
    const reason = reasonOf(excess, caller.name, directory.nameOf(to) ?? 'unknown')
    return stopOf(message, to, excess.oneConversation ? conversation : null, limits, { rule, count, limit, windowMs, reason })
  }

  return guard
}

const scopeOf = ({ conversation, topic }: Outbound, to: number): string | null =>
  conversation ?? (to === 0 && topic !== null ? `topic ${topic}` : null)

const stopOf = (
  { caller, task, replyTo }: Outbound,
  to: number,
  conversation: string | null,
  limits: BrakeSettings,
  excess: Pick<Stop, 'rule' | 'count' | 'limit' | 'windowMs' | 'reason'>,
): Stop => ({
  ...excess,
  tenant: caller.tenant,
  from: caller.id,
  to,
  conversation,
  task,
  replyTo,
  cooldownMs: limits.cooldown_ms,
})

function reasonOf({ rule, count, limit, windowMs, repeats }: Excess, from: string, to: string): string {
  if (rule === 'burst')
    return `${from} sent ${to} ${count} messages with few different contents within ${windowMs} ms; the limit is ${limit}.`
  const how = repeats ? 'with contents they had said before' : 'in strict alternation, with nobody else'
  return `${from} and ${to} answered each other ${count} times within ${windowMs / 1000} s ${how}; the limit is ${limit}.`
}
