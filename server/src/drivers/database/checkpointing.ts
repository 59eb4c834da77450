/**
 * Copies the write-ahead log into the database in a thread of its own. On the event loop a checkpoint stopped everything for 10 to 100 ms
 * every few hundred commits and took 2 of the 7 us that storing a message costs. The thread starts with the first checkpoint that is due.
 * Once everything is copied SQLite begins the log anew: it does not grow, and syncing a file that does not grow takes half the time.
 */
import { Worker } from 'node:worker_threads'

/**
 * Pages of the log that make a checkpoint due. With a quarter of it syncs of the checkpoints and of the commits waited for each other: a
 * third fewer messages a second at one in flight.
 */
const duePages = 4_000
/** A commit writes a leaf of the table and of each index, and its rows; measured on messages of 256 bytes. */
const pagesOfCommit = 5
const pagesOfRow = 1 / 8
/** Each pass leaves what was committed while it ran; the third leaves a few pages. */
const passes = 3
const endMs = 2_000

const program = `
const { parentPort, workerData } = require('node:worker_threads')
const { DatabaseSync } = require('node:sqlite')
const database = new DatabaseSync(workerData)
parentPort.on('message', (task) => {
  if (task === 'end') {
    database.close()
    parentPort.close()
    return
  }
  let failure
  try {
    const copy = database.prepare('pragma wal_checkpoint(passive)')
    for (let pass = 0; pass < ${passes}; pass++) copy.get()
  } catch (error) {
    failure = String(error)
  }
  parentPort.postMessage(failure)
})`

export class Checkpointing {
  readonly #path: string
  readonly #finish: () => void
  readonly #report: (error: unknown) => void
  #worker: Worker | undefined
  #running = false
  #pages = 0

  /**
   * `finish` copies the few pages that are left on the writer's connection, between two commits: the log begins anew only when a commit finds
   * all of it copied, and while commits never pause no pass in the thread is the last. (What the thread's checkpoint reports as left is as of
   * its own beginning, and always nothing.)
   */
  constructor(path: string, finish: () => void, report: (error: unknown) => void) {
    this.#path = path
    this.#finish = finish
    this.#report = report
  }

  /** Call it after each commit. */
  committed(rows: number): void {
    this.#pages += pagesOfCommit + rows * pagesOfRow
    if (this.#running || this.#pages < duePages) return
    this.#pages = 0
    try {
      this.#thread().postMessage('checkpoint')
      this.#running = true
    } catch (error) {
      // No thread to be had: the next one that is due tries again.
      this.#report(error)
    }
  }

  async close(): Promise<void> {
    const worker = this.#worker
    if (!worker) return
    const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()))
    worker.ref()
    worker.postMessage('end')
    const late = setTimeout(() => void worker.terminate(), endMs)
    await ended
    clearTimeout(late)
  }

  #thread(): Worker {
    if (this.#worker) return this.#worker
    const worker = new Worker(program, { eval: true, workerData: this.#path })
    this.#worker = worker
    worker.unref()
    worker.on('message', (failure: string | undefined) => {
      this.#running = false
      // Busy or out of space: the next one tries again, and writers hear of a full disk themselves.
      if (failure === undefined) this.#finish()
    })
    worker.on('error', this.#report)
    worker.on('exit', () => {
      this.#worker = undefined
      this.#running = false
    })
    return worker
  }
}
