/** Does to a server and to the model of the inbox the same things, through public doors only, and compares what each agent gets. */
import assert from 'node:assert/strict'
import type { Agent, Bounce, Delivery, Message, OutputOf } from '@cadre/contract'
import { ManualClock, Refused, type Socket, type TestServer, startTestServer, temporaryFolder } from '../../testing.ts'
import { type Entry, type Expected, InboxModel, type ModelAgent, type ModelMessage, lateMs, noticeLabel } from './model.suite.ts'

/** Quiet rounds after which nothing is on its way any more. */
const quietRounds = 3
const leaseMs = 30_000

export interface PendingAsk {
  asker: string
  asked: string
  message: ModelMessage
  deadline: number
  answer: Promise<OutputOf<'messages.ask'> | Error>
}

export class Bus {
  readonly clock = new ManualClock()
  readonly model: InboxModel
  readonly #folder = temporaryFolder()
  readonly #tokens = new Map<string, string>()
  readonly #sockets = new Map<string, Socket>()
  #asks: PendingAsk[] = []
  #server: TestServer | undefined
  #control: Socket | undefined
  #connections = 0
  #numbers = new Map<string, number>()

  constructor(names: readonly string[]) {
    this.model = new InboxModel(names)
    this.model.comparedAt = this.clock.now()
  }

  get server(): TestServer {
    if (!this.#server) throw new Error('no server runs')
    return this.#server
  }

  now(): number {
    return this.clock.now()
  }

  asks(): readonly PendingAsk[] {
    return this.#asks
  }

  async start(): Promise<void> {
    this.#server = await startTestServer({ clock: this.clock, config: { data: this.#folder.path } })
    this.#control = await this.#server.socket()
    for (const { name } of this.model.agents) {
      if (this.#tokens.has(name)) continue
      const { token } = await this.#server.call<{ token: string }>('POST', '/agents/register', { name })
      this.#tokens.set(name, token)
    }
  }

  async close(): Promise<void> {
    await this.#server?.close()
    this.#folder.remove()
  }

  as(name: string, key?: string): { token: string | undefined; key: string | undefined } {
    return { token: this.#tokens.get(name), key }
  }

  call<T = Record<string, unknown>>(from: string, path: string, body: unknown, key?: string): Promise<T> {
    return this.server.call<T>('POST', path, body, this.as(from, key))
  }

  /** Resolves with the problem of a call that is refused. */
  async refusal(call: Promise<unknown>): Promise<string | undefined> {
    try {
      await call
      return undefined
    } catch (error) {
      if (error instanceof Refused) return error.code
      throw error
    }
  }

  /** The model's message for what the server says it stored. */
  stored(sent: Message, recipients: readonly string[], taken = false): ModelMessage {
    const message: ModelMessage = {
      id: sent.id,
      label: sent.id,
      order: this.model.nextOrder(),
      sender: sent.sender,
      conversation: sent.conversation_id,
      priority: sent.priority,
      kind: sent.kind,
      expiresAt: sent.expires_at === null ? undefined : Date.parse(sent.expires_at),
      recipients,
      endings: new Map(taken ? recipients.map((name) => [name, 'acknowledged']) : []),
      taken,
    }
    this.model.store(message, this.now())
    return message
  }

  ask(pending: PendingAsk): void {
    this.#asks.push(pending)
  }

  async answered(pending: PendingAsk): Promise<OutputOf<'messages.ask'> | Error> {
    this.#asks = this.#asks.filter((each) => each !== pending)
    return pending.answer
  }

  /** The message with that content, once it is stored. */
  async find(content: string): Promise<Message> {
    for (let round = 0; round < 500; round++) {
      const { items } = await this.#ask<{ items: Message[] }>('messages.list', { limit: 5 })
      const found = items.find((message) => message.content === content)
      if (found) return found
    }
    throw new Error(`${content} was not stored`)
  }

  async redrive(name: string, id: string): Promise<void> {
    const { items } = await this.#ask<OutputOf<'messages.dead_letters'>>('messages.dead_letters', { agent: name, limit: 100 })
    const letter = items.find(({ message }) => message.id === id)
    assert.ok(letter, `${id} is among the dead letters of ${name}`)
    assert.notEqual(letter.reason, '')
    await this.#ask('messages.redrive', { id: letter.id })
  }

  async connect(name: string, mode: 'leased' | 'plain', credits: number, lastSeq: number | undefined): Promise<void> {
    const agent = this.model.agent(name)
    this.#connections += 1
    const hello = {
      name,
      token: this.#tokens.get(name),
      ...(mode === 'leased' && { credits }),
      ...(lastSeq !== undefined && { last_seq: lastSeq }),
    }
    const socket = await this.server.socket()
    const answer = await socket.call<{ resumed: boolean }>('agent:register', hello)
    const resume = lastSeq !== undefined && agent.seen.fresh && lastSeq === agent.seen.number
    assert.equal(answer.resumed, resume, 'resumed')
    this.#sockets.set(name, socket)
    this.model.connect(agent, { connection: this.#connections, mode, credits }, resume, this.now())
  }

  async disconnect(name: string): Promise<void> {
    const agent = this.model.agent(name)
    agent.line = undefined
    await this.#sockets.get(name)?.close()
    this.#sockets.delete(name)
    // The server hears of the end a moment after the client.
    await this.#until(
      async () => (await this.#ask<{ connections: number }>('system.metrics')).connections === this.#sockets.size + 1,
    )
  }

  flow(name: string, ack: number | undefined, credits: number): void {
    const agent = this.model.agent(name)
    this.#socket(name).send({ type: 'flow', ...(ack !== undefined && { ack }), ...(credits > 0 && { credits }) })
    const line = agent.line
    if (!line) return
    line.credits += credits
    const covered = agent.inbox.filter(({ sent }) => sent?.connection === line.connection && sent.number <= (ack ?? 0))
    for (const entry of covered) this.model.end(entry, 'acknowledged', this.now())
  }

  async restart(): Promise<void> {
    await this.server.close()
    this.#sockets.clear()
    this.model.restart(this.now())
    await this.start()
  }

  /** Moves time, in stretches no longer than a lease, and compares after each. */
  async advance(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 10_000) {
      await this.clock.advance(Math.min(left, 10_000))
      await this.compare()
    }
  }

  /** What an agent fetches, against what the model lets it have. */
  async fetch(name: string, limit: number, lease: number): Promise<void> {
    const agent = this.model.agent(name)
    // What ran out meanwhile is settled first.
    await this.compare()
    const body = { limit, lease_ms: lease }
    const { items } = await this.call<OutputOf<'messages.receive'>>(name, `/agents/${name}/inbox/receive`, body)
    const expected = this.model.fetch(agent, this.now(), limit, new Set(items.map(labelOf)))
    this.#match(name, expected, items, undefined, false)
    for (const { entry } of expected) {
      assert.equal(entry.until - this.now(), lease, 'the lease is as long as asked for')
    }
  }

  /** What each agent was sent since the last time, the depths and the statuses. */
  async compare(): Promise<void> {
    const timed = await this.#reachCertainty()
    this.model.passTime(this.now(), (name, label) => this.#labels(name).has(label))
    for (const agent of this.model.agents) await this.#compareDeliveries(agent, timed)
    for (const pending of this.#asks) await this.#compareAsk(pending)
    await this.#compareViews()
    this.model.comparedAt = this.now()
  }

  /** Everything that waits is taken and acknowledged; afterwards nothing is left and every sender knows. */
  async drain(): Promise<void> {
    for (const { name } of this.model.agents) {
      await this.connect(name, 'leased', 1_000, undefined)
      await this.compare()
    }
    for (let round = 0; round < 200; round++) {
      await this.advance(1_100)
      const full = this.model.agents.filter(({ inbox }) => inbox.length > 0)
      if (full.length === 0) break
      for (const { name, inbox } of full) {
        const highest = Math.max(0, ...inbox.flatMap(({ sent }) => sent?.number ?? []))
        if (highest > 0) this.flow(name, highest, 100)
        // What was delayed for long comes when its time is there.
        else await this.advance(10_000)
      }
    }
    await this.compare()
    for (const { name, inbox } of this.model.agents) assert.deepEqual(inbox, [], `the inbox of ${name} is drained`)
    const views = await Promise.all(this.model.messages.map(({ id }) => this.#ask<Message>('messages.get', { id })))
    for (const view of views)
      assert.ok(['acknowledged', 'dead', 'expired', 'unroutable'].includes(view.status), `${view.id} has ended`)
  }

  #socket(name: string): Socket {
    const socket = this.#sockets.get(name)
    if (!socket) throw new Error(`${name} has no connection`)
    return socket
  }

  #ask<T>(operation: string, data: object = {}): Promise<T> {
    if (!this.#control) throw new Error('no server runs')
    return this.#control.call<T>(operation, data)
  }

  /**
   * A lease that ran out is given back within a second. The model has no opinion about that second: time goes on until all have been.
   * Answers whether there were any, so that it is open in which order they came.
   */
  async #reachCertainty(): Promise<boolean> {
    for (;;) {
      await this.#quiet(quietRounds)
      const due = this.model.dueTimes(this.now())
      const open = due.filter((time) => time > this.now() - lateMs)
      if (open.length === 0) return due.length > 0
      await this.clock.advance(Math.max(...open) + lateMs - this.now())
    }
  }

  /** Rounds of ping and pong on every connection, while the clock ticks enough for acknowledgements that wait for company. */
  async #quiet(rounds: number): Promise<void> {
    for (let round = 0; round < rounds; round++) {
      await Promise.all([...this.#sockets.values(), ...(this.#control ? [this.#control] : [])].map((socket) => socket.settled()))
      await this.clock.advance(10)
    }
  }

  #arrived(name: string): { number: number; delivery: Delivery }[] {
    const frames = this.#sockets.get(name)?.frames.filter((frame) => frame.type === 'message:received') ?? []
    return frames.map(({ seq, data }) => ({ number: seq ?? 0, delivery: data as unknown as Delivery }))
  }

  #labels(name: string): Set<string> {
    return new Set(this.#arrived(name).map(({ delivery }) => labelOf(delivery)))
  }

  async #compareDeliveries(agent: ModelAgent, timed: boolean): Promise<void> {
    const socket = this.#sockets.get(agent.name)
    if (!socket) return
    const expected = this.model.deliver(agent, this.now(), this.#labels(agent.name), timed)
    for (let patience = 0; patience < 5 && this.#arrived(agent.name).length < expected.length; patience++)
      await this.#quiet(quietRounds)
    const arrived = this.#arrived(agent.name)
    socket.frames = socket.frames.filter((frame) => frame.type !== 'message:received')
    this.#match(
      agent.name,
      expected,
      arrived.map(({ delivery }) => delivery),
      arrived.map(({ number }) => number),
      timed || agent.line?.mode === 'plain',
    )
  }

  /** An asker hears when its time is over, or at once when nobody will answer any more. */
  async #compareAsk(pending: PendingAsk): Promise<void> {
    const ends = [...pending.message.endings.values()]
    const isLost = ends.includes('dead') || ends.includes('expired')
    if (!isLost && pending.deadline > this.now()) return
    const outcome = await this.answered(pending)
    assert.ok(outcome instanceof Refused, 'the asker hears of it')
    assert.ok(['deadline_exceeded', ...(isLost ? ['undeliverable'] : [])].includes(outcome.code), outcome.message)
  }

  /** `loosely`: what becomes ready while others are sent may come before them or after them. */
  #match(
    name: string,
    expected: readonly Expected[],
    deliveries: readonly Delivery[],
    numbers: readonly number[] | undefined,
    loosely: boolean,
  ): void {
    const words = (id: string, attempt: number) => `${id} attempt ${attempt}`
    const given = deliveries.map((delivery) => words(labelOf(delivery), delivery.attempt))
    const wanted = expected.map(({ entry, attempt }) => words(entry.message.label, attempt))
    const anyOrder = loosely || expected.filter(({ entry }) => entry.message.kind === 'system').length > 1
    assert.deepEqual(anyOrder ? given.toSorted() : given, anyOrder ? wanted.toSorted() : wanted, `what ${name} is given`)
    const lines = Map.groupBy(deliveries, ({ sender, conversation_id }) => `${sender} in ${conversation_id}`)
    for (const [line, members] of lines) {
      const order = members.map(({ sender_seq }) => sender_seq)
      assert.deepEqual(
        order,
        order.toSorted((a, b) => a - b),
        `what ${name} is given of ${line} is in order`,
      )
    }
    const agent = this.model.agent(name)
    for (const { entry } of expected) {
      const at = deliveries.findIndex((delivery) => labelOf(delivery) === entry.message.label)
      this.#remember(agent, entry, deliveries[at] as Delivery, numbers?.[at])
    }
    const [first] = numbers ?? []
    if (!numbers || first === undefined) return
    assert.ok(first > (this.#numbers.get(name) ?? 0), 'delivery numbers rise, also after a restart')
    assert.deepEqual(
      numbers,
      numbers.map((_, at) => first + at),
      'delivery numbers rise by one',
    )
    this.#numbers.set(name, first + numbers.length - 1)
    agent.seen = { number: first + numbers.length - 1, fresh: true }
  }

  #remember(agent: ModelAgent, entry: Entry, delivery: Delivery, number: number | undefined): void {
    entry.receipt = delivery.receipt
    entry.message.id = delivery.id
    entry.until = Date.parse(delivery.lease_until)
    assert.equal(delivery.replay, false)
    assert.equal(delivery.sender, entry.message.sender)
    assert.ok(!agent.former.some(({ receipt }) => receipt === delivery.receipt), 'each attempt has a receipt of its own')
    if (number === undefined || !agent.line) return
    assert.ok(entry.until <= this.now() + leaseMs && entry.until > this.model.comparedAt, 'the lease began when it was delivered')
    entry.sent = { connection: agent.line.connection, number }
  }

  async #compareViews(): Promise<void> {
    const depths = async () => (await this.#ask<{ items: Agent[] }>('agents.list', { limit: 100 })).items
    let items = await depths()
    const differs = (agent: ModelAgent) => items.find(({ name }) => name === agent.name)?.inbox_depth !== agent.inbox.length
    // What an asker was handed counts as acknowledged when the answer has left, a turn or two later.
    for (let patience = 0; patience < 10 && this.model.agents.some(differs); patience++) {
      await this.#quiet(1)
      items = await depths()
    }
    for (const agent of this.model.agents) {
      const depth = items.find(({ name }) => name === agent.name)?.inbox_depth
      assert.equal(depth, agent.inbox.length, `what ${agent.name} has in its inbox`)
    }
    const open = this.model.messages.slice(-30).filter(({ id }) => id !== '')
    const views = await Promise.all(open.map(({ id }) => this.#ask<Message>('messages.get', { id })))
    views.forEach((view, at) => {
      const allowed = this.model.statuses(open[at] as ModelMessage)
      assert.ok(allowed.includes(view.status), `${view.id} is ${view.status}, the model says ${allowed.join(' or ')}`)
    })
  }

  async #until(done: () => Promise<boolean>): Promise<void> {
    for (let round = 0; round < 500; round++) if (await done()) return
    throw new Error('the server did not notice the end of a connection')
  }
}

/** A notice is recognised by what it tells of. */
function labelOf({ id, kind, type, content }: Delivery): string {
  if (kind !== 'system' || type !== 'message.bounced') return id
  const { message_id, recipient, status } = content as Bounce
  return noticeLabel(message_id, recipient, status)
}
