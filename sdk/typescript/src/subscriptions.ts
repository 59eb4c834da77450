import type { Call, CallOptions } from './calls.ts'
import type { MessageFilter, MessageHandler } from './handlers.ts'

type Handle = (handler: MessageHandler, filter: MessageFilter) => () => void

export interface SubscribeOptions extends CallOptions {
  /** Of the agents subscribed under one group name, one gets each message. */
  group?: string | undefined
  /**
   * Where to begin: `'ack'` (unless given) with what this agent has not acknowledged yet; a position of the log with what was
   * published to the topic after it, which comes into the inbox once more, marked `replay`.
   */
  from?: 'ack' | number | undefined
}

/** Topic subscriptions: kept by the server for the agent, shared here by every handler of the same pattern. */
export class Subscriptions {
  readonly #call: Call
  readonly #handle: Handle
  readonly #handlers = new Map<string, Set<() => void>>()

  constructor(call: Call, handle: Handle) {
    this.#call = call
    this.#handle = handle
  }

  async add(topic: string, handler: MessageHandler, given: SubscribeOptions = {}): Promise<() => Promise<void>> {
    const { group, from, ...options } = given
    const handlers = this.#handlers.get(topic) ?? new Set()
    this.#handlers.set(topic, handlers)
    const remove = this.#handle(handler, { topic })
    handlers.add(remove)
    const withdraw = () => {
      remove()
      return handlers.delete(remove) && handlers.size === 0 && this.#handlers.get(topic) === handlers
    }
    try {
      await this.#call('messages.subscribe', { topic, group }, options)
      for (let cursor: string | null | undefined; typeof from === 'number' && cursor !== null; ) {
        const page = { topic, after: from, deliver: true, cursor }
        cursor = (await this.#call('messages.replay', page, options)).next
      }
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
