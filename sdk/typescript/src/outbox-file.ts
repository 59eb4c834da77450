/** `@cadre/sdk/outbox-file`: a durable outbox in a file, for Node and what has its `fs` and `zlib.crc32`. */
import type { FileHandle } from 'node:fs/promises'
import { DurableOutbox, type OutboxOptions, type OutboxStore, type StoredCall } from './durable-outbox.ts'
import { CadreClientError } from './errors.ts'
import type { Outbox } from './outbox-port.ts'
import { type FileLock, lockFile } from './outbox-lock.ts'
import { type Checksum, encodeCall, encodeDone, readLog } from './outbox-log.ts'

/** Below that a file is not worth rewriting. */
const smallest = 256 * 1024

/**
 * Keeps what is sent in `path` until the server has answered: `connect(url, { outbox: fileOutbox('./agent.outbox') })`. Each call is
 * synced to the disk before it goes out, all calls of a turn by one `fdatasync`; after a crash the same file sends the rest, in order
 * and under the same idempotency keys. The file is readable by its owner alone, for one process at a time (a small `<path>.lock-<n>`
 * beside it says whose; `outbox_locked` otherwise), and for one agent: what one left is sent by who opens it next.
 */
export function fileOutbox(path: string, options: OutboxOptions = {}): Outbox {
  return new DurableOutbox(new FileStore(path), options)
}

class FileStore implements OutboxStore {
  readonly #path: string
  #checksum: Checksum = () => 0
  #lock: FileLock | undefined
  #file: FileHandle | undefined
  /** What is still to be answered, as lines: a file that is uncertain or mostly answered is written anew from them. */
  readonly #live = new Map<number, string>()
  #liveBytes = 0
  #fileBytes = 0
  /** A write failed: what the file holds after its last good record is not known. */
  #uncertain = false

  constructor(path: string) {
    this.#path = path
  }

  async open(): Promise<{ calls: StoredCall[]; damaged: number }> {
    const { copyFile, readFile } = await import('node:fs/promises')
    const { crc32 } = await import('node:zlib')
    this.#checksum = (text) => crc32(text)
    this.#lock = await lockFile(`${this.#path}.lock`)
    try {
      const text = await readFile(this.#path, 'utf8').catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return ''
        throw error
      })
      const { live, damaged } = readLog(text, this.#checksum)
      const calls = [...live.values()]
      for (const call of calls) this.#keep(call)
      if (damaged > 0) await copyFile(this.#path, `${this.#path}.damaged`)
      // A file of its own mode and without torn or foreign bytes, whatever was there.
      await this.#rewrite()
      return { calls, damaged }
    } catch (error) {
      await this.close()
      throw error
    }
  }

  async write(added: readonly StoredCall[], removed: readonly StoredCall[]): Promise<void> {
    for (const { seq } of removed) this.#drop(seq)
    if (this.#uncertain || this.#isWasteful()) await this.#rewrite()
    if (!this.#file) throw new CadreClientError('outbox_failed', 'The outbox is not open.')
    const done =
      removed.length > 0
        ? encodeDone(
            removed.map(({ seq }) => seq),
            this.#checksum,
          )
        : ''
    const text = done + added.map((call) => encodeCall(call, this.#checksum)).join('')
    try {
      if (added.length > 0) await this.#lock?.check()
      const bytes = Buffer.from(text)
      await this.#file.appendFile(bytes)
      if (added.length > 0) await this.#file.datasync()
      this.#fileBytes += bytes.length
    } catch (error) {
      this.#uncertain = true
      // Nobody is to find after a restart what its caller was told has failed.
      await this.#rewrite().catch(() => {})
      throw error
    }
    for (const call of added) this.#keep(call)
  }

  async close(): Promise<void> {
    await this.#file?.close()
    this.#file = undefined
    await this.#lock?.release()
    this.#lock = undefined
    this.#live.clear()
    this.#liveBytes = 0
  }

  #keep(call: StoredCall): void {
    const line = encodeCall(call, this.#checksum)
    this.#live.set(call.seq, line)
    this.#liveBytes += line.length
  }

  #drop(seq: number): void {
    this.#liveBytes -= this.#live.get(seq)?.length ?? 0
    this.#live.delete(seq)
  }

  #isWasteful(): boolean {
    return this.#fileBytes > smallest && this.#fileBytes > 4 * this.#liveBytes
  }

  /** What is still to be answered, in a new file that takes the place of the old one in one step. */
  async #rewrite(): Promise<void> {
    const { open, rename } = await import('node:fs/promises')
    const names = await import('node:path')
    await this.#lock?.check()
    const fresh = `${this.#path}.new`
    const file = await open(fresh, 'w', 0o600)
    try {
      await file.chmod(0o600)
      const bytes = Buffer.from([...this.#live.values()].join(''))
      await file.writeFile(bytes)
      await file.sync()
      await rename(fresh, this.#path)
      this.#fileBytes = bytes.length
    } catch (error) {
      await file.close()
      throw error
    }
    await this.#file?.close()
    this.#file = file
    this.#uncertain = false
    // The new name has to be as durable as its content; some systems cannot open folders.
    const folder = await open(names.dirname(this.#path), 'r').catch(() => undefined)
    await folder?.sync().catch(() => {})
    await folder?.close()
  }
}
