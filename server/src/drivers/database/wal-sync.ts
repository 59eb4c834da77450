/**
 * Waits for stable storage beside the event loop. SQLite commits into its log without syncing it; what follows a commit (its callbacks, the
 * answers) waits here for an fdatasync of that log, so the promise is that of `synchronous = full`. But while the disk works (100 to 400 us
 * here, a third of the time of a busy server) the next frames are read and the next group is committed, and one sync covers every commit
 * before it. A commit of few rows is synced at once instead: the way through the thread pool would cost it more than it saves anybody.
 */
import { closeSync, fdatasync, fdatasyncSync, fstatSync, fsyncSync, openSync, writeSync } from 'node:fs'

const fewRows = 40
/** Written ahead, because a sync of a file that grows also writes its new length: 300 us where one that does not takes 130. */
const logBytes = 4 * 1024 * 1024

/** Told once: no error means that the commit is on stable storage. */
type Told = (error: unknown) => void

export class WalSync {
  readonly #file: number
  #waiting: Told[] = []
  /** Who hears of the sync that runs. */
  #covered: Told[] | undefined
  /** After a failed sync nobody knows what of the log is on the disk, so nothing may be built on it. */
  #failure: unknown

  /** `path`: the write-ahead log, which exists once the connection has written. */
  constructor(path: string) {
    this.#file = openSync(path, 'r+')
    // Nobody writes yet. What SQLite finds behind its last frame it takes for no frame, zeros above all.
    const size = fstatSync(this.#file).size
    if (size < logBytes) {
      writeSync(this.#file, Buffer.alloc(logBytes - size), 0, logBytes - size, size)
      fsyncSync(this.#file)
    }
  }

  get failure(): unknown {
    return this.#failure
  }

  /** Call it right after a commit that wrote so many rows. */
  add(rows: number, told: Told): void {
    if (rows < fewRows && this.#covered === undefined && this.#failure === undefined) {
      try {
        fdatasyncSync(this.#file)
      } catch (error) {
        this.#failure = error
      }
      told(this.#failure)
      return
    }
    this.#waiting.push(told)
    if (this.#covered === undefined) this.#sync()
  }

  /** Resolves once every commit so far is on stable storage, or failed to get there. Undefined when that is so already. */
  settled(): Promise<void> | undefined {
    const last = this.#waiting.length > 0 ? this.#waiting : this.#covered
    return last && new Promise((resolve) => last.push(() => resolve()))
  }

  close(): void {
    closeSync(this.#file)
  }

  #sync(): void {
    const covered = this.#waiting
    this.#covered = covered
    this.#waiting = []
    fdatasync(this.#file, (error) => {
      if (error) this.#failure ??= error
      this.#covered = undefined
      // The next one begins before anybody hears: they may go on at once, and the disk too.
      if (this.#waiting.length > 0) this.#sync()
      for (const told of covered) told(this.#failure)
    })
  }
}
