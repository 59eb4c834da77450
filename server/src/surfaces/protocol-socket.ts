/** A socket that ends with the codes of `cadre.v1`, and knows whom to tell, so that ten thousand of them share their listeners. */
import type { Duplex } from 'node:stream'
import { closeCodes } from '@cadre/contract'
import { WebSocket } from 'ws'

/** What a connection hears of its socket. */
export interface Hearing {
  heard(bytes: Buffer, binary: boolean): void
  /** The client answered a ping. */
  alive(): void
  /** The line is gone; said once. */
  ended(): void
}

/** What the transport itself refuses: unreadable framing, text that is no UTF-8, a message over every limit. */
const own = new Map<number, number>([
  [1002, closeCodes.bad_frame],
  [1003, closeCodes.bad_frame],
  [1007, closeCodes.bad_frame],
  [1009, closeCodes.too_large],
])

export class ProtocolSocket extends WebSocket {
  hearing: Hearing | undefined = undefined

  attend(hearing: Hearing): void {
    this.hearing = hearing
    this.on('message', onMessage)
    this.on('pong', onPong)
    this.on('error', onError)
    this.on('close', onClose)
  }

  /** Frames that are encoded already. Without compression nothing of the library stands between it and the line. */
  writeEncoded(bytes: Buffer): void {
    ;(this as unknown as { _socket: Duplex | null })._socket?.write(bytes)
  }

  override close(code?: number, reason?: string | Buffer): void {
    if (code === undefined) super.close()
    else super.close(own.get(code) ?? code, reason)
  }
}

function onMessage(this: WebSocket, bytes: Buffer, binary: boolean): void {
  ;(this as ProtocolSocket).hearing?.heard(bytes, binary)
}

function onPong(this: WebSocket): void {
  ;(this as ProtocolSocket).hearing?.alive()
}

function onError(this: WebSocket): void {
  this.terminate()
}

function onClose(this: WebSocket): void {
  const { hearing } = this as ProtocolSocket
  ;(this as ProtocolSocket).hearing = undefined
  hearing?.ended()
}
