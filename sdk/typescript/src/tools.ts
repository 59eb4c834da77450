/** Tools: offer them to other agents, call theirs. */
import type { InputOf, OutputOf } from '@cadre/contract'
import { type Call, type CallOptions, splitOptions } from './calls.ts'
import { hasCode, messageOf } from './errors.ts'
import { forwards } from './forwarding.ts'

export interface ToolContext {
  /** The name of the effect: the same for every attempt at it. */
  readonly key: string
  readonly caller: string
  readonly task_id: string | null
  /** Aborted when the connection closes for good. */
  readonly signal: AbortSignal
}
/** The return value is the result; a throw is the error the caller sees. */
export type ToolHandler = (args: Record<string, unknown>, context: ToolContext) => unknown
export type ToolDescription = Omit<InputOf<'tools.register'>, 'name'>
type ToolCallFields = Omit<InputOf<'tools.call'>, 'name' | 'arguments'>

export interface Tools {
  /** Offers a tool that this process executes; the answer takes it back from here. */
  register(name: string, description: ToolDescription, handler: ToolHandler, options?: CallOptions): Promise<() => void>
  call(name: string, args?: Record<string, unknown>, fields?: ToolCallFields & CallOptions): Promise<OutputOf<'tools.call'>>
  list(query?: InputOf<'tools.list'> & CallOptions): Promise<OutputOf<'tools.list'>>
  calls(query?: InputOf<'tools.calls'> & CallOptions): Promise<OutputOf<'tools.calls'>>
  /** `*` is everyone. */
  grant(name: string, agent: string, options?: CallOptions): Promise<OutputOf<'tools.grant'>>
  revoke(name: string, agent: string, options?: CallOptions): Promise<OutputOf<'tools.revoke'>>
}

export interface Invocation {
  invocation: string
  tool: string
  arguments: Record<string, unknown>
  key: string
  caller: string
  task_id: string | null
}

interface Offered {
  description: ToolDescription
  handler: ToolHandler
}

/** The tools this process executes. */
export class ToolShelf {
  readonly #call: Call
  readonly #onError: (error: unknown) => void
  readonly #offered = new Map<string, Offered>()
  readonly #running = new Set<string>()
  readonly #closing = new AbortController()
  #draining = false

  constructor(call: Call, onError: (error: unknown) => void) {
    this.#call = call
    this.#onError = onError
  }

  async offer(name: string, offered: Offered, options?: CallOptions): Promise<() => void> {
    this.#offered.set(name, offered)
    try {
      await this.#call('tools.register', { name, ...offered.description }, options)
    } catch (error) {
      if (this.#offered.get(name) === offered) this.#offered.delete(name)
      throw error
    }
    return () => {
      if (this.#offered.get(name) === offered) this.#offered.delete(name)
    }
  }

  /** The server may have been restored from an older copy: offers everything again. Its grants are kept. */
  again(): void {
    for (const [name, { description }] of this.#offered) {
      this.#call('tools.register', { name, ...description }).catch(this.#onError)
    }
  }

  /** A `tool:invoke` frame. */
  async invoked({ invocation, tool, arguments: args, key, caller, task_id }: Invocation): Promise<void> {
    // Sent again after a reconnect while it still runs: one answer is on its way.
    if (this.#running.has(invocation)) return
    this.#running.add(invocation)
    try {
      await this.#call('tools.result', { invocation, ...(await this.#run(tool, args, { key, caller, task_id })) })
    } catch (error) {
      if (!hasCode(error, 'closed')) this.#onError(error)
    } finally {
      this.#running.delete(invocation)
    }
  }

  drain(): void {
    this.#draining = true
  }

  close(reason: unknown): void {
    this.#draining = true
    this.#closing.abort(reason)
  }

  async #run(
    tool: string,
    args: Record<string, unknown>,
    context: Omit<ToolContext, 'signal'>,
  ): Promise<{ result: unknown } | { error: string }> {
    const offered = this.#offered.get(tool)
    if (!offered) return { error: `${tool} is not executed here` }
    if (this.#draining) return { error: 'the agent that executes it stops' }
    try {
      return { result: (await offered.handler(args, { ...context, signal: this.#closing.signal })) ?? null }
    } catch (error) {
      return { error: messageOf(error).slice(0, 10_000) }
    }
  }
}

export function makeTools(call: Call, shelf: ToolShelf): Tools {
  return {
    register: (name, description, handler, options) => shelf.offer(name, { description, handler }, options),
    call(name, args = {}, given = {}) {
      const [options, fields] = splitOptions(given)
      // The server ends a call after `timeout_ms`; ours must not end before.
      const timeout = options.timeout ?? (fields.timeout_ms ?? 60_000) + 5_000
      return call('tools.call', { name, arguments: args, ...fields }, { ...options, timeout })
    },
    ...forwards<Pick<Tools, 'list' | 'calls' | 'grant' | 'revoke'>>(call, {
      list: 'tools.list',
      calls: 'tools.calls',
      grant: 'tools.grant name agent',
      revoke: 'tools.revoke name agent',
    }),
  }
}
