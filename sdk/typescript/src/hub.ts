/** What `connect()` answers: one connection, and everything else as a namespace on it. */
import type { Assignment, InputOf, LogEntry, OperationName, OutputOf, Task } from '@cadre/contract'
import { type Agents, type Presence, makeAgents } from './agents.ts'
import { type Artifacts, makeArtifacts } from './artifacts.ts'
import { unpack } from './binary.ts'
import { type CallOptions, Calls, type RequestOptions } from './calls.ts'
import { type Clock, systemClock } from './clock.ts'
import { Connection, type Loss } from './connection.ts'
import { Emitter } from './emitter.ts'
import { CadreClientError, closedError, fromProblem } from './errors.ts'
import { EventFeed, type Events } from './events.ts'
import { type Graph, type GraphSource, submitGraph } from './graph.ts'
import type { MessageFilter, MessageHandler } from './handlers.ts'
import { Heartbeat } from './heartbeat.ts'
import { Inbox, type ShortDelivery } from './inbox.ts'
import { type Taken, takeMessages } from './iteration.ts'
import { makeKeys } from './keys.ts'
import { type Knowledge, makeKnowledge } from './knowledge.ts'
import { type Memory, makeMemory } from './memory.ts'
import { type Messages, makeMessages } from './messages.ts'
import { type Models, makeModels } from './models.ts'
import { type Frame, type SocketClass, environment, resolveEndpoints } from './socket.ts'
import type { ConnectOptions, HubEvents } from './options.ts'
import type { Outbox, OutboxStatus } from './outbox-port.ts'
import { type SubscribeOptions, Subscriptions } from './subscriptions.ts'
import { TaskFeed, type Tasks, makeHandle, makeTasks } from './tasks.ts'
import { type Invocation, ToolShelf, type Tools, makeTools } from './tools.ts'
import { type TaskHandler, type TaskHandlerOptions, Work } from './work.ts'

const usualWindow = 128
const usualQueue = 1000
const usualTimeout = 30_000
const drainLimit = 25_000
const giveBackLimit = 2_000

export class Hub implements Messages {
  declare readonly send: Messages['send']
  declare readonly ask: Messages['ask']
  declare readonly reply: Messages['reply']
  declare readonly broadcast: Messages['broadcast']
  declare readonly publish: Messages['publish']
  readonly agents: Agents
  readonly task: Tasks
  readonly memory: Memory
  readonly knowledge: Knowledge
  readonly tools: Tools
  readonly artifacts: Artifacts
  readonly models: Models
  readonly events: Events
  /** What the server has not answered yet: the durable outbox of the options, or the calls in memory. */
  readonly outbox: OutboxStatus
  /** Resolves once the hub is closed, by itself or by the server. */
  readonly closed: Promise<void>

  readonly #options: ConnectOptions
  readonly #clock: Clock
  readonly #emitter = new Emitter<HubEvents & { presence: Presence }>()
  readonly #connection: Connection
  readonly #calls: Calls
  readonly #request: (type: string, data: unknown, options?: RequestOptions) => Promise<unknown>
  /** Once it was opened for this hub. */
  #outbox: Outbox | undefined
  readonly #inbox: Inbox
  readonly #work: Work
  readonly #heartbeat: Heartbeat
  readonly #taskFeed: TaskFeed
  readonly #eventFeed: EventFeed
  readonly #shelf: ToolShelf
  readonly #subscriptions: Subscriptions
  readonly #newKey = makeKeys(() => this.#clock.now())
  #token: string | undefined
  #welcomed = false
  #closing: Promise<void> | undefined
  #resolveClosed = (): void => {}
  #settleReady: { resolve: () => void; reject: (error: unknown) => void } | undefined

  constructor(url: string | URL | undefined, options: ConnectOptions) {
    const endpoints = resolveEndpoints(url)
    const socketClass = options.WebSocket ?? (globalThis as { WebSocket?: SocketClass }).WebSocket
    if (!socketClass) throw new TypeError('This runtime has no WebSocket; pass one as options.WebSocket.')
    const clock = options.clock ?? systemClock
    const onError = (error: unknown) => this.#emitter.emit('error', error)
    this.#options = options
    this.#clock = clock
    this.#token = options.token ?? environment('CADRE_TOKEN')
    this.closed = new Promise((resolve) => (this.#resolveClosed = resolve))
    this.#connection = new Connection({
      url: endpoints.socket,
      socketClass,
      clock,
      random: options.random ?? Math.random,
      greeting: () => this.#greeting(),
      onOnline: (welcome) => this.#online(welcome),
      onOffline: (loss) => this.#offline(loss),
      onFrame: (frame) => this.#dispatch(frame),
      onRefused: (error) => this.#refused(error),
      onNoise: onError,
    })
    const { turn } = this.#connection
    const isOnline = () => this.#connection.online
    const push = (frame: string) => turn.push(frame)
    this.#calls = new Calls({
      clock,
      newKey: this.#newKey,
      isOnline,
      send: push,
      queue: options.queue ?? usualQueue,
      timeout: options.timeout ?? usualTimeout,
      onDrain: () => this.#outbox ?? this.#emitter.emit('drain', {}),
    })
    this.outbox = options.outbox ?? this.#calls
    const direct = this.#calls.request.bind(this.#calls)
    this.#request = options.outbox?.request.bind(options.outbox) ?? direct
    const request = this.#request
    const call = this.call.bind(this)
    const serverNow = () => this.#heartbeat.serverNow()
    this.#inbox = new Inbox({
      clock,
      serverNow,
      request,
      push,
      touch: () => turn.touch(),
      isOnline,
      window: options.window ?? usualWindow,
    })
    turn.onFlush(() => this.#inbox.collect())
    this.#eventFeed = new EventFeed(call, onError, this.closed)
    this.#taskFeed = new TaskFeed({
      call,
      clock,
      isAgent: options.agent !== undefined,
      watchLog: (types, handler) => this.#eventFeed.watch(handler, { types }),
    })
    this.#work = new Work({
      clock,
      serverNow,
      call,
      create: (task) => this.task.create(task),
      onLease: () => this.#heartbeat.hurry(),
      onError,
      concurrency: options.concurrency ?? 1,
    })
    this.#heartbeat = new Heartbeat({
      clock,
      isAgent: options.agent !== undefined,
      isOnline,
      lastHeard: () => this.#connection.lastHeard,
      drop: (reason) => this.#connection.drop(reason),
      request,
      push,
      work: this.#work,
      onError,
    })
    this.#shelf = new ToolShelf(call, onError)
    this.#subscriptions = new Subscriptions(call, (handler, filter) => this.#inbox.handle(handler, filter))
    Object.assign(
      this,
      makeMessages(call, () => clock.now()),
    )
    this.task = makeTasks(call, this.#taskFeed, clock, this.#work.ending())
    this.agents = makeAgents(call, (handler) => {
      // Once connected somebody has to say so; the greeting says it for later connections.
      if (!this.#emitter.has('presence')) call('agents.watch', {}).catch(onError)
      return this.#emitter.on('presence', handler)
    })
    this.memory = makeMemory(call)
    this.knowledge = makeKnowledge(call)
    this.tools = makeTools(call, this.#shelf)
    this.models = makeModels(call, request)
    this.events = this.#eventFeed
    this.artifacts = makeArtifacts({
      base: endpoints.http,
      fetch: options.fetch ?? ((target, init) => globalThis.fetch(target, init)),
      token: () => this.#token,
      clock,
      call,
    })
    const { signal } = options
    const stop = () => void this.close()
    signal?.addEventListener('abort', stop, { once: true })
    void this.closed.then(() => signal?.removeEventListener('abort', stop))
  }

  /** The token this connection speaks with: keep one that was issued at the first registration to come back as the same agent. */
  get token(): string | undefined {
    return this.#token
  }

  get online(): boolean {
    return this.#connection.online
  }

  /** Connects; resolves once the server has accepted. A server that is not there yet is waited for. */
  async start(): Promise<void> {
    const { signal, outbox, timeout = usualTimeout } = this.#options
    if (outbox && !signal?.aborted) {
      try {
        await outbox.open({
          request: this.#calls.request.bind(this.#calls),
          isOnline: () => this.online,
          newKey: this.#newKey,
          clock: this.#clock,
          timeout,
          onError: (error) => this.#emitter.emit('error', error),
          onDrain: () => this.#emitter.emit('drain', {}),
        })
      } catch (error) {
        this.#end(closedError())
        throw error
      }
      if (this.#closing) await outbox.close()
      else this.#outbox = outbox
    }
    signal?.throwIfAborted()
    const cancel = this.#clock.after(timeout, () => {
      const { code, reason } = this.#connection.lastLoss
      const why = [code || '', reason].filter(Boolean).join(' ')
      const message = `No Cadre server accepted the connection within ${timeout} ms (${why}).`
      this.#end(new CadreClientError('timeout', message, { retryable: true }))
    })
    try {
      await new Promise<void>((resolve, reject) => {
        this.#settleReady = { resolve, reject }
        this.#connection.open()
      })
    } finally {
      cancel()
    }
  }

  /** Any operation of the contract by its name. */
  call<N extends OperationName>(name: N, input: InputOf<N>, options?: CallOptions): Promise<OutputOf<N>> {
    return this.#request(name, input, options) as Promise<OutputOf<N>>
  }

  /** Adds a listener; the answer removes it. */
  on<K extends keyof HubEvents>(name: K, listener: (value: HubEvents[K]) => void): () => void {
    return this.#emitter.on(name, listener as (value: (HubEvents & { presence: Presence })[K]) => void)
  }

  /** Handles messages; each is acknowledged after its handlers finished. The answer removes the handler. */
  onMessage(handler: MessageHandler, filter: MessageFilter = {}): () => void {
    return this.#inbox.handle(handler, filter)
  }

  /**
   * Messages as a loop: each is acknowledged when the next is asked for, or by its `acknowledge()`. The message that a `break` or throw
   * ends the loop at is given back, as one attempt; those it had not seen wait for the next loop or handler. As many as `window` are
   * fetched ahead of a slow loop, and none before its first pull. Ends with `close()`; throws the reason of `signal`.
   */
  messages({ signal, ...filter }: MessageFilter & { signal?: AbortSignal } = {}): AsyncIterableIterator<Taken> {
    return takeMessages((handler) => this.#inbox.handle(handler, filter), { signal, closed: this.closed })
  }

  /** Handles tasks assigned to this agent; the return value is the result. The answer removes the handler. */
  onTask(handler: TaskHandler, options: TaskHandlerOptions = {}): () => void {
    return this.#work.handle(handler, options)
  }

  /** Subscribes this agent; `*` stands for one word, `#` for the rest. The answer takes the handler away, and with the last one the subscription. */
  subscribe(topic: string, handler: MessageHandler, options?: SubscribeOptions): Promise<() => Promise<void>>
  /** The same as a loop like `messages()`, subscribed from its first pull to its end. */
  subscribe(topic: string, options?: SubscribeOptions): AsyncIterableIterator<Taken>
  subscribe(topic: string, first?: MessageHandler | SubscribeOptions, second?: SubscribeOptions): never {
    if (typeof first === 'function') return this.#subscriptions.add(topic, first, second) as never
    return takeMessages((handler) => this.#subscriptions.add(topic, handler, first), {
      signal: first?.signal,
      closed: this.closed,
    }) as never
  }

  unsubscribe(topic: string, options?: CallOptions): Promise<void> {
    return this.#subscriptions.remove(topic, options)
  }

  /** Submits a graph of tasks: a builder function, a builder, or the list of its tasks. */
  dag(name: string, source: GraphSource, options?: CallOptions & { parent_id?: string }): Promise<Graph> {
    const handle = (id: string) => makeHandle(id, true, this.call.bind(this), this.#taskFeed, this.#clock)
    return submitGraph(this.call.bind(this), handle, name, source, options)
  }

  /** Closes. With `drain` it takes nothing new, lets running handlers finish for `deadline` ms (25 s unless given) and acknowledges them. */
  close({ drain = false, deadline = drainLimit }: { drain?: boolean; deadline?: number } = {}): Promise<void> {
    this.#closing ??= this.#close(drain, deadline)
    return this.#closing
  }

  async #close(drain: boolean, deadline: number): Promise<void> {
    if (drain && this.#connection.online) {
      this.#inbox.drain()
      this.#work.drain()
      this.#shelf.drain()
      await this.#within(deadline, Promise.all([this.#inbox.idle(), this.#work.idle()]))
      this.#connection.turn.flush()
      await this.#within(giveBackLimit, Promise.all([this.#calls.settled(), this.#outbox?.settled()]))
    }
    const error = closedError()
    await this.#within(giveBackLimit, this.#work.stop(error, this.#connection.online))
    this.#end(error)
    await this.closed
  }

  async #within(ms: number, work: Promise<unknown>): Promise<void> {
    let cancel = (): void => {}
    const late = new Promise<void>((resolve) => (cancel = this.#clock.after(ms, resolve)))
    await Promise.race([work, late])
    cancel()
  }

  #end(error: CadreClientError): void {
    this.#heartbeat.stop()
    this.#shelf.close(error)
    void this.#work.stop(error, false)
    this.#connection.close(error.message)
    this.#inbox.close(error)
    this.#calls.end(error)
    this.#taskFeed.end(error)
    this.#settleReady?.reject(error)
    if (this.#outbox) void this.#outbox.close().finally(this.#resolveClosed)
    else this.#resolveClosed()
  }

  #refused(error: CadreClientError): void {
    this.#end(error)
    this.#emitter.emit('error', error)
  }

  #greeting(): Omit<Frame, 'id'> | undefined {
    const { agent, type, capabilities, description, metadata, concurrency, tenant } = this.#options
    const token = this.#token
    if (agent === undefined) return token === undefined ? undefined : { type: 'auth', data: { token, tenant } }
    const profile = { name: agent, type, capabilities, description, metadata, concurrency, tenant }
    return {
      type: 'agent:register',
      data: {
        ...profile,
        token,
        last_seq: this.#inbox.lastSeq,
        credits: this.#inbox.openingCredits(),
        short: true,
        presence: this.#emitter.has('presence'),
      },
    }
  }

  #online(welcome: Record<string, unknown>): void {
    const { token, resumed, gap, heartbeat_ms, max_frame, leases } = welcome
    const first = !this.#welcomed
    this.#welcomed = true
    if (typeof token === 'string') this.#token = token
    if (typeof max_frame === 'number') {
      this.#calls.maxFrame = max_frame
      this.#connection.turn.maxCharacters = Math.floor(max_frame / 6)
    }
    if (typeof heartbeat_ms === 'number') this.#heartbeat.interval = heartbeat_ms
    this.#inbox.online(resumed === true)
    if (Array.isArray(leases)) this.#work.resume(leases as Assignment[])
    this.#calls.online()
    this.#outbox?.online()
    this.#heartbeat.start()
    if (!first) {
      this.#shelf.again()
      this.#eventFeed.online()
      this.#taskFeed.recheck()
    }
    this.#emitter.emit('online', { resumed: resumed === true })
    if (gap === true) this.#emitter.emit('resync', { reason: 'deliveries are numbered anew' })
    this.#settleReady?.resolve()
  }

  #offline(loss: Loss): void {
    this.#calls.offline()
    this.#emitter.emit('offline', loss)
  }

  #dispatch(frame: Frame): void {
    const { data } = frame
    switch (frame.type) {
      case 'ack':
        if (!this.#calls.answer(frame) && frame.ok === false && (frame.ref ?? null) === null) {
          this.#emitter.emit('error', fromProblem(data))
        }
        return
      case 'stream:delta':
        return this.#calls.delta(frame)
      case 'message:received':
        return this.#inbox.receive(frame.seq ?? 0, unpack(data as ShortDelivery))
      case 'task:assigned':
        return this.#work.assigned(data as Assignment)
      case 'task:updated':
        return this.#taskFeed.updated(data as Task)
      case 'task:cancelled': {
        const { task_id, id, reason } = data as { id?: string; task_id?: string; reason?: string | null }
        return this.#work.cancelled(task_id ?? id ?? '', reason ?? 'no reason was given')
      }
      case 'tool:invoke':
        return void this.#shelf.invoked(data as Invocation)
      case 'event':
        return this.#eventFeed.received(data as LogEntry)
      case 'agent:joined':
      case 'agent:left':
        return this.#emitter.emit('presence', { ...(data as Presence), joined: frame.type === 'agent:joined' })
      case 'resync':
        this.#taskFeed.recheck()
        return this.#emitter.emit('resync', { reason: (data as { reason?: string } | undefined)?.reason ?? '' })
      case 'system:draining':
        return this.#emitter.emit('draining', {})
      case 'ping':
        return this.#connection.turn.push('{"type":"pong"}')
      default:
      // A newer server may say more than this version knows.
    }
  }
}
