/** Requests whose sender waits for the reply. Exactly one of reply, deadline and cancellation reaches each call that waits. */
import { CadreError } from '@cadre/contract'
import type { Clock } from '../../core/clock.ts'
import { messageId } from './envelope.ts'
import type { MessageRow } from './store.ts'

interface Waiting {
  requester: number
  /** A reply is being committed: the deadline may no longer win. */
  claimed: boolean
  /** Several when the request was repeated under its key: each is a call that waits. */
  calls: Set<(row: MessageRow) => void>
}

export class Requests {
  readonly #clock: Clock
  readonly #waiting = new Map<number, Waiting>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Waits for the reply to the message at `seq`. */
  wait(seq: number, requester: number, timeoutMs: number, conversation: string, signal: AbortSignal): Promise<MessageRow> {
    return new Promise((resolve, reject) => {
      const waiting: Waiting = this.#waiting.get(seq) ?? { requester, claimed: false, calls: new Set() }
      this.#waiting.set(seq, waiting)
      const end = () => {
        cancel()
        signal.removeEventListener('abort', abandon)
        waiting.calls.delete(answer)
        if (waiting.calls.size === 0) this.#waiting.delete(seq)
      }
      const answer = (row: MessageRow) => {
        end()
        resolve(row)
      }
      const abandon = () => {
        if (waiting.claimed) return
        end()
        reject(new CadreError('cancelled', { entity: 'request', id: messageId(seq) }))
      }
      const cancel = this.#clock.after(timeoutMs, () => {
        if (waiting.claimed) return
        end()
        reject(new CadreError('deadline_exceeded', { timeout_ms: timeoutMs, conversation_id: conversation }))
      })
      waiting.calls.add(answer)
      if (signal.aborted) abandon()
      else signal.addEventListener('abort', abandon, { once: true })
    })
  }

  /** True when somebody waits for this reply: it goes to those who wait instead of the inbox. */
  claim(seq: number, recipients: readonly number[]): boolean {
    const waiting = this.#waiting.get(seq)
    if (!waiting || waiting.claimed || recipients.length !== 1 || recipients[0] !== waiting.requester) return false
    waiting.claimed = true
    return true
  }

  /** True when the reply went to somebody who waited. */
  resolve(seq: number, row: MessageRow): boolean {
    const waiting = this.#waiting.get(seq)
    if (!waiting?.claimed) return false
    for (const answer of waiting.calls) answer(row)
    return true
  }
}
