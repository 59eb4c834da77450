/**
 * Copies the write-ahead log into the database in a thread of its own. On the event loop a checkpoint stopped everything for 10 to 100 ms
 * every few hundred commits and took 2 of the 7 us that storing a message costs. The thread starts with the first checkpoint that is due.
 */
import { statSync } from 'node:fs'
import { Worker } from 'node:worker_threads'

/** What makes a checkpoint due; 4,000 pages or less in most cases. */
const maxCommits = 1_000
const maxRows = 8_000
/** Above this the log is emptied on the event loop: while commits go on the thread never catches the last of them. */
const maxLogBytes = 64 * 1024 * 1024
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
    database.prepare('pragma wal_checkpoint(passive)').get()
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
  #commits = 0
  #rows = 0

  /** `finish` checkpoints on the writer's connection; it is called between commits. */
  constructor(path: string, finish: () => void, report: (error: unknown) => void) {
    this.#path = path
    this.#finish = finish
    this.#report = report
  }

  /** Call it after each commit. */
  committed(rows: number): void {
    this.#commits += 1
    this.#rows += rows
    if (this.#running || (this.#commits < maxCommits && this.#rows < maxRows)) return
    this.#commits = 0
    this.#rows = 0
    this.#running = true
    this.#thread().postMessage('checkpoint')
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
      if (failure === undefined && this.#logBytes() > maxLogBytes) this.#finish()
    })
    worker.on('error', (error) => {
      this.#report(error)
      this.#worker = undefined
      this.#running = false
    })
    return worker
  }

  #logBytes(): number {
    return statSync(`${this.#path}-wal`, { throwIfNoEntry: false })?.size ?? 0
  }
}
