/** The client of the channel plan, as a thin layer over `connect`. */
import type { Assignment, Delivery, InputOf, OutputOf } from '@cadre/contract'
import { connect } from './connect.ts'
import type { Hub } from './hub.ts'
import type { ConnectOptions } from './options.ts'
import type { Sent } from './receipts.ts'
import type { TaskContext } from './work.ts'

export class AgentClient {
  readonly name: string
  readonly type: string
  readonly #serverUrl: string | undefined
  readonly #options: Omit<ConnectOptions, 'agent' | 'type'>
  readonly #attach: ((hub: Hub) => void)[] = []
  readonly #open = new Map<string, () => void>()
  #hub: Hub | undefined

  constructor(name: string, type: string, serverUrl?: string, options: Omit<ConnectOptions, 'agent' | 'type'> = {}) {
    this.name = name
    this.type = type
    this.#serverUrl = serverUrl
    this.#options = options
  }

  /** Everything else, once connected. */
  get hub(): Hub {
    if (!this.#hub) throw new Error(`${this.name} is not connected; await connect() first.`)
    return this.#hub
  }

  async connect(): Promise<this> {
    this.#hub = await connect(this.#serverUrl, { ...this.#options, agent: this.name, type: this.type })
    for (const attach of this.#attach) attach(this.#hub)
    return this
  }

  /** To one agent or a list of them; to everyone without recipients. */
  sendMessage(content: unknown, recipients?: string | readonly string[]): Promise<Sent> {
    return recipients === undefined ? this.hub.broadcast(content) : this.hub.send(recipients, content)
  }

  createTask(
    title: string,
    description?: string,
    priority?: InputOf<'tasks.create'>['priority'],
    assignTo?: string,
  ): Promise<OutputOf<'tasks.create'>> {
    return this.hub.call('tasks.create', { title, description, priority, assign_to: assignTo })
  }

  setMemory(key: string, value: unknown): Promise<OutputOf<'memory.set'>> {
    return this.hub.memory.set(key, value)
  }

  /** The value, or undefined when there is none. */
  async getMemory<V = unknown>(key: string): Promise<V | undefined> {
    return (await this.hub.memory.get<V>(key))?.value
  }

  /** May be called before connect(). */
  onMessage(handler: (message: Delivery) => unknown): void {
    this.#with((hub) => void hub.onMessage((message) => handler(message)))
  }

  /** A value other than undefined completes the task with it; otherwise the task stays open, and leased, until completeTask(). */
  onTaskAssigned(handler: (task: Assignment) => unknown): void {
    this.#with((hub) => void hub.onTask((task, context) => this.#work(handler, task, context)))
  }

  async completeTask(taskId: string, result?: unknown): Promise<void> {
    await this.hub.task.complete(taskId, result)
    this.#open.get(taskId)?.()
  }

  async close(): Promise<void> {
    await this.#hub?.close({ drain: true })
  }

  #with(attach: (hub: Hub) => void): void {
    this.#attach.push(attach)
    if (this.#hub) attach(this.#hub)
  }

  async #work(handler: (task: Assignment) => unknown, task: Assignment, { signal }: TaskContext): Promise<unknown> {
    const completed = new Promise<void>((resolve) => {
      this.#open.set(task.id, resolve)
      signal.addEventListener('abort', () => resolve(), { once: true })
    })
    try {
      const result = await handler(task)
      if (result === undefined) await completed
      return result
    } finally {
      this.#open.delete(task.id)
    }
  }
}
