/**
 * As little client as the protocol allows, over the platform's WebSocket: frames of one turn in one write, cumulative acknowledgements,
 * no reconnecting, no time-outs. Beside the SDK's row it tells what the SDK costs.
 */
interface Frame {
  type: string
  ref?: string | null
  seq?: number
  ok?: boolean
  data?: unknown
}

export class WireClient {
  readonly #socket: WebSocket
  readonly #waiting = new Map<string, { resolve: (data: unknown) => void; reject: (error: Error) => void }>()
  #frames: string[] = []
  #next = 1
  #scheduled = false
  #acknowledge = 0
  #credits = 0
  /** Called with each delivery; it is acknowledged when this returns. */
  onDelivery: ((content: unknown) => void) | undefined

  private constructor(socket: WebSocket) {
    this.#socket = socket
    socket.addEventListener('message', ({ data }) => {
      const value = JSON.parse(String(data)) as Frame | Frame[]
      for (const frame of Array.isArray(value) ? value : [value]) this.#receive(frame)
    })
    socket.addEventListener('close', () => {
      for (const { reject } of this.#waiting.values()) reject(new Error('the connection was closed'))
      this.#waiting.clear()
    })
  }

  /** Connects and registers the agent with a first window of credits. */
  static async open(url: string, name: string, credits: number): Promise<WireClient> {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/ws`)
    await new Promise<void>((resolve, reject) => {
      socket.addEventListener('open', () => resolve())
      socket.addEventListener('error', () => reject(new Error('the server did not accept the connection')))
    })
    const client = new WireClient(socket)
    await client.call('agent:register', { name, credits }, undefined)
    return client
  }

  call(type: string, data: unknown, key: string | undefined): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const id = String(this.#next++)
      this.#waiting.set(id, { resolve, reject })
      this.#frames.push(JSON.stringify({ type, id, key, data }))
      this.#schedule()
    })
  }

  close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#socket.addEventListener('close', () => resolve()))
    this.#socket.close(1000)
    return closed
  }

  #receive(frame: Frame): void {
    if (frame.type === 'message:received') {
      this.onDelivery?.((frame.data as { content: unknown }).content)
      this.#acknowledge = frame.seq ?? 0
      this.#credits += 1
      this.#schedule()
      return
    }
    const waiting = frame.type === 'ack' ? this.#waiting.get(frame.ref ?? '') : undefined
    if (!waiting) return
    this.#waiting.delete(frame.ref ?? '')
    if (frame.ok) waiting.resolve(frame.data)
    else waiting.reject(new Error((frame.data as { detail?: string }).detail ?? 'refused'))
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    // After the callers that this turn's answers woke.
    setImmediate(() => {
      this.#scheduled = false
      if (this.#credits > 0) this.#frames.push(`{"type":"flow","ack":${this.#acknowledge},"credits":${this.#credits}}`)
      this.#credits = 0
      const frames = this.#frames
      this.#frames = []
      this.#socket.send(frames.length === 1 ? (frames[0] as string) : `[${frames.join(',')}]`)
    })
  }
}
