/**
 * Token buckets per caller and per tenant, kept as one number each: the time at which the bucket would be full again. A call costs
 * one token; while the time lies further ahead than the burst allows, it is refused.
 */
import { CadreError, type OperationName } from '@cadre/contract'
import type { Clock } from './clock.ts'
import type { Caller } from './context.ts'

export interface Rate {
  /** Operations a second, in the long run. */
  perSecond: number
  /** Operations at once after a pause. */
  burst: number
}

export interface RateSettings {
  agent: Rate | undefined
  tenant: Rate | undefined
}

interface Bucket {
  /** When it is full again, milliseconds of the clock with fractions. */
  fullAt: number
  refused: number
  refusedAt: number
}

/** What gives room back, or keeps a lease, must get through, or a limited agent could never catch up. */
const exempt: ReadonlySet<OperationName> = new Set([
  'system.health',
  'agents.heartbeat',
  'messages.acknowledge',
  'messages.reject',
  'messages.extend',
  'events.unwatch',
  'consumers.commit',
  'tools.result',
])
/** Buckets that are full again say nothing; they are dropped when there are this many. */
const maxBuckets = 10_000
/** A client that is refused as much as it would be allowed in this time, without a pause of a second, does not listen. */
const patienceSeconds = 10
const pauseMs = 1_000

export class RateLimits {
  readonly #settings: RateSettings
  readonly #clock: Clock
  readonly #agents = new Map<number, Bucket>()
  readonly #tenants = new Map<number, Bucket>()

  constructor(settings: RateSettings, clock: Clock) {
    this.#settings = settings
    this.#clock = clock
  }

  /** Takes a token of the caller's and one of its tenant's. Throws `rate_limited`; then none was taken. */
  take(operation: OperationName, caller: Caller): void {
    if (exempt.has(operation) || caller.kind === 'system') return
    const { agent, tenant } = this.#settings
    const now = this.#clock.now()
    const own = agent ? bucketOf(this.#agents, caller.id, now) : undefined
    const shared = tenant ? bucketOf(this.#tenants, caller.tenant, now) : undefined
    const ownWait = own && agent ? missing(own, agent, now) : 0
    const sharedWait = shared && tenant ? missing(shared, tenant, now) : 0
    if (ownWait > 0 || sharedWait > 0) {
      noteRefusal(own ?? bucketOf(this.#agents, caller.id, now), now)
      const isOwn = ownWait >= sharedWait
      const wait = Math.max(ownWait, sharedWait)
      throw new CadreError('rate_limited', {
        scope: isOwn ? 'agent' : 'tenant',
        limit_per_s: (isOwn ? agent : tenant)?.perSecond,
        retry_after_ms: Math.ceil(wait),
        retry_after_s: Math.ceil(wait / 1000),
      })
    }
    if (own && agent) own.fullAt = Math.max(own.fullAt, now) + 1000 / agent.perSecond
    if (shared && tenant) shared.fullAt = Math.max(shared.fullAt, now) + 1000 / tenant.perSecond
  }

  /** Does the caller go on in spite of being refused? */
  insists(caller: Caller): boolean {
    const perSecond = (this.#settings.agent ?? this.#settings.tenant)?.perSecond ?? Number.POSITIVE_INFINITY
    return (this.#agents.get(caller.id)?.refused ?? 0) > perSecond * patienceSeconds
  }

  /** The fields `RateLimit-Policy` and `RateLimit` for this caller; undefined where the operation has no limit. */
  fields(operation: OperationName, caller: Caller): { policy: string; state: string } | undefined {
    if (exempt.has(operation)) return undefined
    const now = this.#clock.now()
    const limits = [
      ['agent', this.#settings.agent, this.#agents.get(caller.id)],
      ['tenant', this.#settings.tenant, this.#tenants.get(caller.tenant)],
    ] as const
    const policy: string[] = []
    const state: string[] = []
    for (const [name, rate, bucket] of limits) {
      if (!rate) continue
      const ahead = bucket ? Math.max(0, bucket.fullAt - now) : 0
      const left = Math.max(0, Math.floor(rate.burst - (ahead * rate.perSecond) / 1000))
      policy.push(`"${name}";q=${rate.burst};w=${Math.max(1, Math.ceil(rate.burst / rate.perSecond))}`)
      state.push(`"${name}";r=${left};t=${Math.ceil(ahead / 1000)}`)
    }
    return { policy: policy.join(', '), state: state.join(', ') }
  }
}

/** Milliseconds until the bucket has a token; 0 when it has. */
function missing(bucket: Bucket, rate: Rate, now: number): number {
  return Math.max(0, bucket.fullAt - now - ((rate.burst - 1) * 1000) / rate.perSecond)
}

function noteRefusal(bucket: Bucket, now: number): void {
  if (now - bucket.refusedAt > pauseMs) bucket.refused = 0
  bucket.refused += 1
  bucket.refusedAt = now
}

function bucketOf(buckets: Map<number, Bucket>, key: number, now: number): Bucket {
  let bucket = buckets.get(key)
  if (!bucket) {
    if (buckets.size >= maxBuckets)
      for (const [other, { fullAt, refusedAt }] of buckets) if (fullAt < now && refusedAt + pauseMs < now) buckets.delete(other)
    bucket = { fullAt: now, refused: 0, refusedAt: 0 }
    buckets.set(key, bucket)
  }
  return bucket
}
