/** The same call of a tool by the same agent, with no other call between. */
import { hash } from 'node:crypto'
import type { BrakeSettings } from '@cadre/contract'
import { canonicalJson } from '../../core/canonical.ts'
import { RecentMap } from './recent-map.ts'

interface Run {
  digest: string
  key: string
  count: number
  since: number
}

const remembered = 10_000

export const callDigest = (tool: string, given: unknown): string => hash('sha256', `${tool} ${canonicalJson(given)}`, 'base64url')

export class Repeats {
  readonly #runs = new RecentMap<number, Run>(remembered)

  /** How often it was called now, once that is too often. The same key again is a retry of one call. */
  called(agent: number, digest: string, key: string, now: number, settings: BrakeSettings): number | undefined {
    const { call_repeats: limit, call_window_ms: windowMs } = settings
    if (limit === 0) return undefined
    const run = this.#runs.get(agent)
    if (!run || run.digest !== digest || now - run.since > windowMs) {
      this.#runs.set(agent, { digest, key, count: 1, since: now })
      return undefined
    }
    if (run.key === key) return undefined
    run.key = key
    run.count += 1
    return run.count > limit ? run.count : undefined
  }

  forget(agent: number): void {
    this.#runs.delete(agent)
  }
}
