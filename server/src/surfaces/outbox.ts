/** What leaves for one client. Frames of one turn leave in one write. */
import type { WebSocket } from 'ws'
import { maxFrame } from './frames.ts'

interface Writer {
  /** Something was handed to the socket. */
  wrote(): void
}

export class Outbox {
  readonly #socket: WebSocket
  readonly #writer: Writer
  /** May several frames travel as one array? Only with clients that said so; a hand-written one reads one frame a message. */
  #batched: boolean
  #queue: string[] = []
  #queued = 0
  #scheduled = false
  /** Frames for the agent wait while its registration is being answered. */
  #held: string[] | undefined

  constructor(socket: WebSocket, batched: boolean, writer: Writer) {
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
    process.nextTick(() => this.flush())
  }

  flush(): void {
    this.#scheduled = false
    if (this.#queue.length === 0) return
    const frames = this.#queue
    this.#queue = []
    this.#queued = 0
    if (this.#socket.readyState !== this.#socket.OPEN) return
    const texts = this.#batched ? batches(frames) : frames
    ;(this.#socket as unknown as { _socket: { write(b: Buffer): void } })._socket.write(encode(texts))
    this.#writer.wrote()
  }
}

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

function encode(texts: readonly string[]): Buffer {
  let total = 0
  const lengths: number[] = []
  for (const text of texts) {
    const length = Buffer.byteLength(text)
    lengths.push(length)
    total += length + (length < 126 ? 2 : length < 65536 ? 4 : 10)
  }
  const bytes = Buffer.allocUnsafe(total)
  let at = 0
  for (let i = 0; i < texts.length; i++) {
    const length = lengths[i] as number
    bytes[at++] = 0x81
    if (length < 126) bytes[at++] = length
    else if (length < 65536) {
      bytes[at++] = 126
      bytes[at++] = length >> 8
      bytes[at++] = length & 255
    } else {
      bytes[at++] = 127
      bytes.writeBigUInt64BE(BigInt(length), at)
      at += 8
    }
    at += bytes.write(texts[i] as string, at, 'utf8')
  }
  return bytes
}
