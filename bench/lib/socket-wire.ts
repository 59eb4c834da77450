/**
 * A WebSocket client that costs as little as can be: it reads the heads of frames and hands their bodies on as they lie in the buffer.
 * One frame a message, as servers send small ones; what it sends is masked with zeros.
 */
import { type Socket, connect } from 'node:net'

const text = 0x1
const closing = 0x8
const ping = 0x9
const pong = 0xa

export interface WireEvents {
  /** The body is valid during the call only. */
  onFrame: (body: Buffer) => void
  /** After the frames of one read. */
  onRead?: () => void
  onEnd?: (reason: string) => void
}

/** Splits what comes off a line into frames; parts of a frame wait for the rest. */
export class FrameReader {
  readonly #take: (opcode: number, body: Buffer) => void
  #rest: Buffer | undefined

  constructor(take: (opcode: number, body: Buffer) => void) {
    this.#take = take
  }

  read(chunk: Buffer): void {
    const bytes = this.#rest ? Buffer.concat([this.#rest, chunk]) : chunk
    this.#rest = undefined
    let at = 0
    while (bytes.length - at >= 2) {
      const short = (bytes[at + 1] as number) & 0x7f
      const head = short < 126 ? 2 : short === 126 ? 4 : 10
      if (bytes.length - at < head) break
      const length = short < 126 ? short : short === 126 ? bytes.readUInt16BE(at + 2) : Number(bytes.readBigUInt64BE(at + 2))
      const from = at + head
      if (bytes.length - from < length) break
      this.#take((bytes[at] as number) & 0x0f, bytes.subarray(from, from + length))
      at = from + length
    }
    if (at < bytes.length) this.#rest = bytes.subarray(at)
  }
}

export function frameOf(opcode: number, body: Buffer): Buffer {
  const { length } = body
  const head = Buffer.alloc((length < 126 ? 2 : length < 65_536 ? 4 : 10) + 4)
  head[0] = 0x80 | opcode
  if (length < 126) head[1] = 0x80 | length
  else if (length < 65_536) {
    head[1] = 0x80 | 126
    head.writeUInt16BE(length, 2)
  } else {
    head[1] = 0x80 | 127
    head.writeBigUInt64BE(BigInt(length), 2)
  }
  return Buffer.concat([head, body])
}

export class SocketWire {
  readonly #socket: Socket

  private constructor(socket: Socket) {
    this.#socket = socket
  }

  /** Resolves when the server has switched to WebSocket. */
  static open(url: string, path: string, { onFrame, onRead, onEnd }: WireEvents): Promise<SocketWire> {
    const { hostname, port } = new URL(url)
    return new Promise((resolve, reject) => {
      const socket = connect(Number(port), hostname)
      socket.setNoDelay(true)
      const wire = new SocketWire(socket)
      const reader = new FrameReader((opcode, body) => {
        if (opcode === text) onFrame(body)
        else if (opcode === ping) socket.write(frameOf(pong, body))
        else if (opcode === closing) onEnd?.(`closed with ${body.length >= 2 ? body.readUInt16BE(0) : 'no code'}`)
      })
      const onData = (chunk: Buffer) => {
        reader.read(chunk)
        onRead?.()
      }
      let head = ''
      const onHead = (chunk: Buffer) => {
        head += chunk.toString('latin1')
        const end = head.indexOf('\r\n\r\n')
        if (end < 0) return
        socket.off('data', onHead)
        if (!head.startsWith('HTTP/1.1 101')) {
          reject(new Error(`refused: ${head.slice(0, head.indexOf('\r\n'))}`))
          socket.destroy()
          return
        }
        socket.on('data', onData)
        resolve(wire)
        if (head.length > end + 4) onData(Buffer.from(head.slice(end + 4), 'latin1'))
      }
      socket.on('data', onHead)
      socket.on('error', (error) => {
        reject(error)
        onEnd?.(error.message)
      })
      socket.on('close', () => onEnd?.('the line was cut'))
      socket.write(
        `GET ${path} HTTP/1.1\r\nHost: ${hostname}:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
          'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n',
      )
    })
  }

  send(message: string): void {
    this.#socket.write(frameOf(text, Buffer.from(message)))
  }

  destroy(): void {
    this.#socket.destroy()
  }
}
