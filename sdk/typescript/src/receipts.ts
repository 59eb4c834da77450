/** What became of a message, asked of the server by the answer that its sending got. */
import type { OutputOf, SentMinimal } from '@cadre/contract'
import type { Call, CallOptions } from './calls.ts'
import { CadreClientError } from './errors.ts'

export type Receipt = OutputOf<'messages.wait'>

/** A stored message. The two methods do not show in its JSON, its keys or comparisons. */
export type Sent = SentMinimal & {
  /**
   * Resolves once every recipient took it, whatever they did with it then. Rejects with `message_dead`, `expired` or `unroutable` when
   * that can no longer happen, with `timeout` after `timeout` milliseconds (30 s unless given); `parameters` then hold the receipt.
   */
  delivered(options?: CallOptions): Promise<Receipt>
  /** Resolves once every recipient acknowledged it; rejects as `delivered` does. */
  acknowledged(options?: CallOptions): Promise<Receipt>
}

/** The server holds a question for 30 s at most. */
const longestWait = 25_000
const answerMargin = 5_000

/** Answers what gives stored messages their two methods: functions shared by all, because sending is what is done most. */
export function makeReceipts(call: Call, now: () => number): (sent: unknown) => void {
  const method = (state: 'delivered' | 'acknowledged') => ({
    async value(this: Sent, { signal, timeout = 30_000 }: CallOptions = {}): Promise<Receipt> {
      const { id } = this
      for (const until = now() + timeout; ; ) {
        const timeout_ms = Math.max(0, Math.min(until - now(), longestWait))
        const receipt = await call('messages.wait', { id, state, timeout_ms }, { signal, timeout: timeout_ms + answerMargin })
        if (receipt.reached) return receipt
        const { counts, status } = receipt
        const code =
          status === 'unroutable'
            ? status
            : counts.dead > 0
              ? 'message_dead'
              : counts.expired > 0
                ? 'expired'
                : now() >= until && 'timeout'
        if (code) {
          const retryable = code === 'timeout'
          throw new CadreClientError(code, `Message ${id} was not ${state}: ${code}.`, { retryable, parameters: { ...receipt } })
        }
      }
    },
  })
  const delivered = method('delivered')
  const acknowledged = method('acknowledged')
  return (sent) => {
    Object.defineProperty(sent, 'delivered', delivered)
    Object.defineProperty(sent, 'acknowledged', acknowledged)
  }
}
