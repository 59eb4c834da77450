/** Requests whose sender waits for the reply. Exactly one of reply, deadline and cancellation reaches each call that waits. */
import { CadreError } from '@cadre/contract'
import type { Clock } from '../../core/clock.ts'
import { messageId } from './envelope.ts'
import type { MessageRow } from './store.ts'

interface Waiting {
  requester: number
  asked: number
  /** A reply is being committed: the deadline may no longer win. */
  claimed: boolean
  /** Several when the request was repeated under its key: each is a call that waits. */
  calls: Set<{ answer(row: MessageRow): void; resume(): void; fail(error: CadreError): void }>
}

export class Requests {
  readonly #clock: Clock
  readonly #waiting = new Map<number, Waiting>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Waits for the reply of the agent `asked` to the message at `seq`. */
  wait(
    { seq, requester, asked }: { seq: number; requester: number; asked: number },
    timeoutMs: number,
    conversation: string,
    signal: AbortSignal,
  ): Promise<MessageRow> {
    return new Promise((resolve, reject) => {
      const waiting: Waiting = this.#waiting.get(seq) ?? { requester, asked, claimed: false, calls: new Set() }
      this.#waiting.set(seq, waiting)
      const end = () => {
        cancel()
        signal.removeEventListener('abort', abandon)
        waiting.calls.delete(call)
        if (waiting.calls.size === 0) this.#waiting.delete(seq)
      }
      let due: CadreError | undefined
      const give = (error: CadreError) => {
        due ??= error
        if (waiting.claimed) return
        end()
        reject(due)
      }
      const call = {
        answer(row: MessageRow) {
          end()
          resolve(row)
        },
        resume() {
          if (due) give(due)
        },
        fail: give,
      }
      const abandon = () => give(new CadreError('cancelled', { entity: 'request', id: messageId(seq) }))
      const cancel = this.#clock.after(timeoutMs, () =>
        give(new CadreError('deadline_exceeded', { timeout_ms: timeoutMs, conversation_id: conversation })),
      )
      waiting.calls.add(call)
      if (signal.aborted) abandon()
      else signal.addEventListener('abort', abandon, { once: true })
    })
  }

  /** True when somebody waits for this reply, from who was asked: it goes to those who wait instead of the inbox. */
  claim(seq: number, sender: number, recipients: readonly number[]): boolean {
    const waiting = this.#waiting.get(seq)
    if (!waiting || waiting.claimed || sender !== waiting.asked) return false
    if (recipients.length !== 1 || recipients[0] !== waiting.requester) return false
    waiting.claimed = true
    return true
  }

  /** No reply can come any more: those who wait hear why. */
  fail(seq: number, error: CadreError): void {
    const waiting = this.#waiting.get(seq)
    if (waiting) for (const call of waiting.calls) call.fail(error)
  }

  /** The reply was not stored: those who wait go on waiting, or hear that their time is over. */
  unclaim(seq: number): void {
    const waiting = this.#waiting.get(seq)
    if (!waiting) return
    waiting.claimed = false
    for (const call of waiting.calls) call.resume()
  }

  /** True when the reply went to somebody who waited. */
  resolve(seq: number, row: MessageRow): boolean {
    const waiting = this.#waiting.get(seq)
    if (!waiting?.claimed) return false
    for (const call of waiting.calls) call.answer(row)
    return true
  }
}
