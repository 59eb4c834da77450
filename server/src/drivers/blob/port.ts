/**
 * The blob port: bytes under the SHA-256 of themselves. What a driver promises:
 * - When `put` resolves, the bytes survive a power loss. The same bytes are stored once, however often they are put.
 * - `put` reads as fast as it can write and holds no more than a few buffers. Past `limit` bytes it stops reading and rejects with
 *   `too_large`; whatever ends it early, nothing is left behind.
 * - `open` and `size` answer undefined for what is not there, and for anything that is no id.
 */
import type { Readable } from 'node:stream'

export interface Blob {
  /** SHA-256 in hex. */
  id: string
  /** Bytes. */
  size: number
}

/** Bytes `start` to `end`, the end not included, as in `slice`. */
export interface ByteRange {
  start?: number
  end?: number
}

export interface Blobs {
  put(source: AsyncIterable<Uint8Array> | Uint8Array, limit?: number): Promise<Blob>
  open(id: string, range?: ByteRange): Promise<Readable | undefined>
  size(id: string): Promise<number | undefined>
}

export const isBlobId = (id: string): boolean => /^[0-9a-f]{64}$/.test(id)
