/** Requests whose sender waits for the reply. Exactly one of reply, deadline and cancellation reaches each. */
import { CadreError } from '@cadre/contract'
import type { Clock } from '../../core/clock.ts'
import { messageId } from './envelope.ts'
import type { MessageRow } from './store.ts'

interface Waiting {
  requester: number
  /** A reply is being committed: the deadline may no longer win. */
  claimed: boolean
  resolve: (row: MessageRow) => void
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
      const end = () => {
        cancel()
        signal.removeEventListener('abort', abandon)
        this.#waiting.delete(seq)
      }
      const waiting: Waiting = {
        requester,
        claimed: false,
        resolve: (row) => {
          end()
          resolve(row)
        },
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
      this.#waiting.set(seq, waiting)
      if (signal.aborted) abandon()
      else signal.addEventListener('abort', abandon, { once: true })
    })
  }

  /** True when somebody waits for this reply: it goes to the waiter instead of the inbox. */
  claim(seq: number, recipients: readonly number[]): boolean {
    const waiting = this.#waiting.get(seq)
    if (!waiting || waiting.claimed || recipients.length !== 1 || recipients[0] !== waiting.requester) return false
    waiting.claimed = true
    return true
  }

  /** Hands the reply over; false when nobody waited for it. */
  resolve(seq: number, row: MessageRow): boolean {
    const waiting = this.#waiting.get(seq)
    if (!waiting?.claimed) return false
    waiting.resolve(row)
    return true
  }
}
