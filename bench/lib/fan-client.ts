/** What the client process of the `fanout` scenario does when called: hold many connections, have messages sent to all, count what comes. */
import type { FanDriver, FanVoice } from './drivers.ts'
import { within } from './now.ts'
import { makePayload } from './payload.ts'
import { SocketWire } from './socket-wire.ts'
import { percentile } from './statistics.ts'

export interface FanSettings {
  url: string
  mode: string
  connections: number
}

export interface FanLoad {
  /** Messages of one order. */
  burst: number
  ms: number
}

export interface FanOutcome {
  deliveries: number
  /** From the orders to their last deliveries. */
  wallMs: number
  p50: number
  p99: number
  fault: string | undefined
}

/** Connections that are being opened at the same time. */
const together = 100
const openMs = 20_000
const orderMs = 20_000
const leastOrders = 3

interface Member {
  wire: SocketWire | undefined
  /** Deliveries of the order that runs. */
  got: number
}

class Fan {
  readonly #voice: FanVoice
  readonly #url: string
  readonly #members: Member[] = []
  #control: SocketWire | undefined
  #controlAnswered: (() => void) | undefined
  #fault: string | undefined
  #closing = false
  #startedAt = 0
  #expected = 0
  #burst = 0
  #arrived = 0
  #latencies: number[] = []
  #complete: (() => void) | undefined
  #number = 0

  constructor(voice: FanVoice, url: string) {
    this.#voice = voice
    this.#url = url
  }

  async open(connections: number): Promise<void> {
    await this.#openControl()
    for (let from = 0; from < connections; from += together) {
      const size = Math.min(together, connections - from)
      await within(
        openMs,
        `opening connections ${from} to ${from + size}`,
        Promise.all(Array.from({ length: size }, (_, index) => this.#openMember(from + index))),
      )
    }
  }

  /** Orders one after the other, each when the one before it has arrived everywhere. */
  async run({ burst, ms }: FanLoad): Promise<FanOutcome> {
    const orderEach = async () => {
      const contents = Array.from({ length: burst }, () => makePayload(0, ++this.#number, 0))
      for (const member of this.#members) member.got = 0
      this.#burst = burst
      this.#arrived = 0
      this.#expected = burst * this.#members.length
      const finished = new Promise<void>((resolve) => (this.#complete = resolve))
      const answered = new Promise<void>((resolve) => (this.#controlAnswered = resolve))
      this.#startedAt = performance.now()
      this.#control?.send(this.#voice.order(contents))
      await Promise.race([finished, new Promise((done) => setTimeout(done, orderMs).unref())])
      const took = performance.now() - this.#startedAt
      if (this.#arrived < this.#expected) this.#blame(`${this.#arrived} of ${this.#expected} deliveries came`)
      const uneven = this.#members.find((member) => member.got !== burst)
      if (uneven) this.#blame(`a connection got ${uneven.got} of ${burst} messages`)
      if (this.#voice.control.greeting !== undefined) await within(orderMs, 'the answer to the order', answered)
      return took
    }
    this.#latencies = []
    let wallMs = 0
    let orders = 0
    for (const until = performance.now() + ms; (performance.now() < until || orders < leastOrders) && !this.#fault; orders++) {
      wallMs += await orderEach()
      // Acknowledgements that the last deliveries brought about leave before the next order.
      await new Promise((done) => setImmediate(done))
    }
    this.#expected = 0
    const sorted = Float64Array.from(this.#latencies).sort()
    const fault = this.#fault
    this.#fault = undefined
    return {
      deliveries: sorted.length,
      wallMs,
      p50: percentile(sorted, 0.5),
      p99: percentile(sorted, 0.99),
      fault,
    }
  }

  close(): void {
    this.#closing = true
    this.#control?.destroy()
    for (const { wire } of this.#members) wire?.destroy()
    this.#members.length = 0
  }

  async #openControl(): Promise<void> {
    const { path, greeting } = this.#voice.control
    const answered = new Promise<void>((resolve) => (this.#controlAnswered = resolve))
    this.#control = await SocketWire.open(this.#url, path, {
      onFrame: (body) => {
        if (body.includes('"type":"ack"')) {
          if (body.includes('"ok":false')) this.#blame(`the order was refused: ${body.toString('utf8').slice(0, 300)}`)
          this.#controlAnswered?.()
        }
      },
      onEnd: (reason) => this.#ended(reason),
    })
    if (greeting === undefined) return
    this.#control.send(greeting)
    await within(openMs, 'the greeting', answered)
    if (this.#fault) throw new Error(this.#fault)
  }

  async #openMember(index: number): Promise<void> {
    const voice = this.#voice
    const member: Member = { wire: undefined, got: 0 }
    let isGreeted = voice.greeting === undefined
    let greeted = () => {}
    let refused = (_error: unknown) => {}
    let deliveries = 0
    let last: Buffer | undefined
    member.wire = await SocketWire.open(this.#url, voice.path, {
      onFrame: (body) => {
        if (!isGreeted) {
          try {
            if (!voice.isGreeted?.(body)) return
            isGreeted = true
            greeted()
          } catch (error) {
            refused(error)
          }
          return
        }
        const count = voice.count(body)
        if (count === 0) return
        deliveries += count
        last = body
      },
      onRead: () => {
        if (deliveries === 0 || !last) return
        this.#take(member, deliveries)
        if (voice.answer) member.wire?.send(voice.answer(last, deliveries))
        deliveries = 0
        last = undefined
      },
      onEnd: (reason) => this.#ended(reason),
    })
    this.#members.push(member)
    if (voice.greeting === undefined) return
    await new Promise<void>((resolve, reject) => {
      greeted = resolve
      refused = reject
      member.wire?.send(voice.greeting?.(index) ?? '')
    })
  }

  #take(member: Member, count: number): void {
    member.got += count
    if (member.got > this.#burst) this.#blame(`a connection got ${member.got} of ${this.#burst} messages`)
    const latency = performance.now() - this.#startedAt
    for (let index = 0; index < count; index++) this.#latencies.push(latency)
    this.#arrived += count
    if (this.#arrived >= this.#expected) this.#complete?.()
  }

  /** The first fault is the one that tells; nothing more is waited for. */
  #blame(reason: string): void {
    this.#fault ??= reason
    this.#complete?.()
    this.#controlAnswered?.()
  }

  #ended(reason: string): void {
    if (!this.#closing) this.#blame(`a connection ended: ${reason}`)
  }
}

export function serveFanout(driver: FanDriver): (name: string, input: unknown) => Promise<unknown> {
  const fans = new Map<string, Fan>()
  return async (name, input) => {
    switch (name) {
      case 'open': {
        const { url, mode, connections } = input as FanSettings
        const fan = new Fan(driver.voice(mode), url)
        fans.get(mode)?.close()
        fans.set(mode, fan)
        return fan.open(connections)
      }
      case 'run': {
        const { mode, ...load } = input as FanLoad & { mode: string }
        return (fans.get(mode) as Fan).run(load)
      }
      case 'close':
        for (const fan of fans.values()) fan.close()
        fans.clear()
        return undefined
      case 'durability':
        return driver.durability(input as string)
      default:
        throw new Error(`no such call: ${name}`)
    }
  }
}
