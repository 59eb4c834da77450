/** What time alone brings about: leases that run out, waits that end, another try for what failed, and a look at the store. */
import type { WriteTx } from '../../core/context.ts'
import type { Database } from '../../drivers/database/port.ts'
import type { Ailing } from './ailing.ts'
import type { Assigning } from './assigning.ts'
import { expire } from './attempts.ts'
import type { Background } from '../../core/background.ts'
import { endLongAttempt, endOverdue, pastAttempt, pastDeadline } from './deadlines.ts'
import { type WritingParts, settleReady } from './moves.ts'
import {
  type ReadyPlace,
  type ReadyRow,
  type TaskRow,
  beforeAllReady,
  dueToWake,
  getTask,
  overdueLeases,
  readyAfter,
} from './store.ts'
import { isFinal, isHeld } from './view.ts'

interface SweepingParts extends WritingParts {
  database: Database
}

const sweepMs = 250
const batchSize = 256
const rescanMs = 15_000
const rescanPage = 1_000
const alertEveryMs = 5_000

/** Puts every ready task of the store into the queue. */
export async function enqueueAll(database: Database, assigning: Assigning): Promise<void> {
  for (let last = beforeAllReady; ; ) {
    const rows = await readyAfter(database, last, rescanPage)
    for (const row of rows) assigning.enqueue(row)
    const end = rows.at(-1)
    if (!end) break
    last = end
  }
}

export class Sweeping {
  readonly #parts: SweepingParts
  readonly #assigning: Assigning
  readonly #ailing: Ailing
  readonly #background: Background
  #rescanning = false
  #rescanAt: number
  #rescanFrom: ReadyPlace = beforeAllReady
  #alertAt: number
  #closed = false
  #also: ((now: number) => Promise<void>) | undefined
  #cancelNext: () => void

  constructor(parts: SweepingParts, assigning: Assigning, ailing: Ailing, background: Background) {
    this.#parts = parts
    this.#assigning = assigning
    this.#ailing = ailing
    this.#background = background
    this.#rescanAt = parts.clock.now() + rescanMs
    this.#alertAt = parts.clock.now() + alertEveryMs
    this.#cancelNext = parts.clock.after(sweepMs, () => this.#next())
  }

  /** What else is looked for in each sweep. */
  also(work: (now: number) => Promise<void>): void {
    this.#also = work
  }

  close(): void {
    this.#closed = true
    this.#cancelNext()
  }

  #next(): void {
    if (this.#closed) return
    this.#background.run(this.#sweep())
    this.#cancelNext = this.#parts.clock.after(sweepMs, () => this.#next())
  }

  async #sweep(): Promise<void> {
    const parts = this.#parts
    const now = parts.clock.now()
    const limit = batchSize + this.#ailing.size
    const overdue = await overdueLeases(parts.database, now, limit)
    const due = await dueToWake(parts.database, now, limit)
    const late = await pastDeadline(parts.database, now, limit)
    const long = await pastAttempt(parts.database, now, limit)
    await Promise.all([
      ...late.map((stale) => this.#moveAlone(stale, (tx, row) => endOverdue(parts, tx, row, now))),
      ...long.map((stale) => this.#moveAlone(stale, (tx, row) => endLongAttempt(parts, tx, row, now))),
      ...overdue.map((stale) =>
        this.#moveAlone(stale, async (tx, row) => {
          if (isHeld(row.state) && row.lease_until !== null && row.lease_until <= now) await expire(parts, tx, row)
        }),
      ),
      ...due.map((stale) =>
        this.#moveAlone(stale, async (tx, row) => {
          if (row.state === 'scheduled' && (row.available_at ?? 0) <= now) await settleReady(parts, tx, row, 'its wait is over')
        }),
      ),
    ])
    await this.#retryAiling(now)
    await this.#rescan(now)
    if (now >= this.#alertAt) {
      this.#alertAt = now + alertEveryMs
      await this.#assigning.alert(now)
    }
    await this.#also?.(now)
  }

  /** In a transaction of its own, so that a task that cannot be moved stops no other; these transactions share their commit. */
  async #moveAlone(stale: TaskRow, work: (tx: WriteTx, row: TaskRow) => Promise<void>): Promise<void> {
    if (this.#ailing.rests(stale.id, this.#parts.clock.now())) return
    try {
      await this.#parts.engine().write(async (tx) => {
        const row = await getTask(tx, stale.tenant, stale.id)
        if (row) await work(tx, row)
        return {}
      })
    } catch (cause) {
      this.#ailing.add(stale.tenant, stale.id, cause)
    }
  }

  /** Ready tasks whose assignment failed are offered again. */
  async #retryAiling(now: number): Promise<void> {
    const over = this.#ailing.over(now)
    for (const [id, ailment] of over) {
      ailment.queued = true
      const row = await getTask(this.#parts.database, ailment.tenant, id)
      if (row?.state === 'ready') this.#assigning.enqueue(row)
      else if (!row || isFinal(row.state)) this.#ailing.delete(id)
    }
    if (over.length > 0) this.#assigning.kick()
  }

  /** The queue is a hint: now and then it is compared with the store, a page at a time. */
  async #rescan(now: number): Promise<void> {
    if (this.#rescanning || now < this.#rescanAt) return
    this.#rescanning = true
    try {
      const rows = await readyAfter(this.#parts.database, this.#rescanFrom, rescanPage)
      for (const row of rows) if (!this.#ailing.rests(row.id, now)) this.#assigning.enqueue(row)
      this.#rescanFrom = rows.length < rescanPage ? beforeAllReady : (rows.at(-1) as ReadyRow)
      if (rows.length < rescanPage) this.#rescanAt = now + rescanMs
    } finally {
      this.#rescanning = false
    }
    this.#assigning.kick()
  }
}
