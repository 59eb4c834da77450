import type { Call, CallOptions } from './calls.ts'
import type { MessageFilter, MessageHandler } from './handlers.ts'

type Handle = (handler: MessageHandler, filter: MessageFilter) => () => void

/** Topic subscriptions: kept by the server for the agent, shared here by every handler of the same pattern. */
export class Subscriptions {
  readonly #call: Call
  readonly #handle: Handle
  readonly #handlers = new Map<string, Set<() => void>>()

  constructor(call: Call, handle: Handle) {
    this.#call = call
    this.#handle = handle
  }

  async add(topic: string, handler: MessageHandler, options?: CallOptions): Promise<() => Promise<void>> {
    const handlers = this.#handlers.get(topic) ?? new Set()
    this.#handlers.set(topic, handlers)
    const remove = this.#handle(handler, { topic })
    handlers.add(remove)
    const withdraw = () => {
      remove()
      return handlers.delete(remove) && handlers.size === 0 && this.#handlers.get(topic) === handlers
    }
    try {
      await this.#call('messages.subscribe', { topic }, options)
    } catch (error) {
      if (withdraw()) this.#handlers.delete(topic)
      throw error
    }
    return async () => {
      if (withdraw()) await this.remove(topic)
    }
  }

  /** Ends the agent's subscription with all its handlers. */
  async remove(topic: string, options?: CallOptions): Promise<void> {
    for (const remove of this.#handlers.get(topic) ?? []) remove()
    this.#handlers.delete(topic)
    await this.#call('messages.unsubscribe', { topic }, options)
  }
}
