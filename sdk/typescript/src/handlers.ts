/** Which handlers a message goes to. */
import type { Delivery } from '@cadre/contract'
import { matchesTopic } from './topics.ts'

export interface MessageContext {
  readonly message: Delivery
  /** Aborted when the connection is closed for good or taken over. */
  readonly signal: AbortSignal
  /** 1 at the first delivery. */
  readonly attempt: number
  /** Answers the sender and acknowledges in the same commit; the handler's return value is then not sent. */
  readonly reply: (content: unknown) => Promise<void>
  /** Keeps the delivery for `ms` longer. Handlers that run long are extended without it. */
  readonly extend: (ms?: number) => Promise<void>
}

/** The return value is the reply when the sender asked. A throw gives the message back: `Retry` says when, `Reject` never. */
export type MessageHandler = (message: Delivery, context: MessageContext) => unknown

export interface MessageFilter {
  type?: string | undefined
  /** A topic or a pattern: `findings.*`, `audit.#`. */
  topic?: string | undefined
}

interface Entry {
  handler: MessageHandler
  filter: MessageFilter
}

export class Handlers {
  readonly #entries = new Set<Entry>()

  get size(): number {
    return this.#entries.size
  }

  add(handler: MessageHandler, filter: MessageFilter): () => void {
    const entry = { handler, filter }
    this.#entries.add(entry)
    return () => void this.#entries.delete(entry)
  }

  /** Every handler whose filter fits; where none does, those without a filter. */
  for(message: Delivery): MessageHandler[] {
    const chosen: MessageHandler[] = []
    const general: MessageHandler[] = []
    for (const { handler, filter } of this.#entries) {
      if (filter.type === undefined && filter.topic === undefined) general.push(handler)
      else if (fits(filter, message)) chosen.push(handler)
    }
    return chosen.length > 0 ? chosen : general
  }
}

function fits({ type, topic }: MessageFilter, message: Delivery): boolean {
  if (type !== undefined && type !== message.type) return false
  return topic === undefined || (message.topic !== null && matchesTopic(topic, message.topic))
}
