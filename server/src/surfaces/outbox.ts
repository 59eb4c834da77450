/** What leaves for one client. Frames of one turn leave in one write. */
import { maxFrame } from './frames.ts'
import type { ProtocolSocket } from './protocol-socket.ts'
import { encodeTexts } from './text-frames.ts'

interface Writer {
  /** Something was handed to the socket. */
  wrote(): void
}

export class Outbox {
  readonly #socket: ProtocolSocket
  readonly #writer: Writer
  /** May several frames travel as one array? Only with clients that said so; a hand-written one reads one frame a message. */
  #batched: boolean
  #queue: string[] = []
  #queued = 0
  #scheduled = false
  /** Frames for the agent wait while its registration is being answered. */
  #held: string[] | undefined

  constructor(socket: ProtocolSocket, batched: boolean, writer: Writer) {
    this.#socket = socket
    this.#batched = batched
    this.#writer = writer
  }

  /** Characters that wait here, and bytes that the socket has not sent. */
  get buffered(): number {
    return this.#socket.bufferedAmount + this.#queued
  }

  allowBatches(): void {
    this.#batched = true
  }

  hold(): void {
    this.#held ??= []
  }

  push(frame: string): void {
    if (this.#held) this.#held.push(frame)
    else this.enqueue(frame)
  }

  release(): void {
    const held = this.#held ?? []
    this.#held = undefined
    for (const frame of held) this.enqueue(frame)
  }

  /** Passes by what is held. */
  enqueue(frame: string): void {
    this.#queue.push(frame)
    this.#queued += frame.length
    if (this.#scheduled) return
    this.#scheduled = true
    // Once the promises of this commit have all answered: one write for them, without waiting for the next turn.
    process.nextTick(flush, this)
  }

  flush(): void {
    this.#scheduled = false
    if (this.#queue.length === 0) return
    const frames = this.#queue
    this.#queue = []
    this.#queued = 0
    if (this.#socket.readyState !== this.#socket.OPEN) return
    const texts = this.#batched ? batches(frames) : frames
    this.#socket.writeEncoded(encodeTexts(texts))
    this.#writer.wrote()
  }
}

const flush = (outbox: Outbox): void => outbox.flush()

function batches(frames: readonly string[]): string[] {
  if (frames.length === 1) return frames as string[]
  const texts: string[] = []
  let batch: string[] = []
  let size = 2
  const end = () => {
    if (batch.length > 0) texts.push(batch.length === 1 ? (batch[0] as string) : `[${batch.join(',')}]`)
    batch = []
    size = 2
  }
  for (const frame of frames) {
    if (size + frame.length > maxFrame) end()
    batch.push(frame)
    size += frame.length + 1
  }
  end()
  return texts
}
