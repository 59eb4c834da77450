/** Schedules whose time has come. The one update of `next_at` decides who fires, in the transaction that makes what is fired. */
import { CadreError, type ParsedInputOf } from '@cadre/contract'
import { iso } from '../../core/clock.ts'
import type { WriteTx } from '../../core/context.ts'
import type { ReadCron } from '../../drivers/cron/port.ts'
import { createGraph, createTask } from './creating.ts'
import type { Engine } from './engine.ts'
import { type ScheduleRow, dueSchedules, getSchedule, saveSchedule } from './schedules-store.ts'
import { dueTimes } from './schedules-times.ts'

/** What schedules need beside their rows. */
export interface Scheduling {
  engine: Engine
  newId: (prefix: string) => string
  readCron: ReadCron
}

interface Made {
  task_id: string | null
  run_id: string | null
}

const batchSize = 64

/** Makes the task or graph of a schedule, with its event. `time` is the one it fires for, null by hand. */
export async function fire(
  { engine, newId }: Scheduling,
  tx: WriteTx,
  row: ScheduleRow,
  time: number | null,
  leftOut = 0,
): Promise<Made> {
  const author = { tenant: row.tenant, caller: engine.parts.directory.byId(row.created_by) }
  const origin = { schedule: row.id }
  const made: Made = { task_id: null, run_id: null }
  if (row.kind === 'task') {
    const body = JSON.parse(row.body) as ParsedInputOf<'tasks.create'>
    made.task_id = (await createTask(engine, tx, author, newId('tsk'), body, origin)).id
  } else {
    const body = JSON.parse(row.body) as ParsedInputOf<'tasks.dag'>
    made.run_id = (await createGraph(engine, tx, author, newId, body, origin)).runId
  }
  tell(tx, row, time, made, leftOut)
  return made
}

const tell = (tx: WriteTx, row: ScheduleRow, time: number | null, made: Made, leftOut: number) =>
  tx.emit({
    type: 'schedule.fired',
    subject: row.id,
    data: { schedule_id: row.id, name: row.name, for: time === null ? null : iso(time), ...made, left_out: leftOut },
  })

/** Fires everything that is due, each schedule in a transaction of its own. */
export async function fireDue(scheduling: Scheduling, now: number): Promise<void> {
  const due = await dueSchedules(scheduling.engine.parts.database, now, batchSize)
  await Promise.all(due.map((stale) => fireOne(scheduling, stale, now)))
}

async function fireOne(scheduling: Scheduling, stale: ScheduleRow, now: number): Promise<void> {
  const { parts } = scheduling.engine
  try {
    await parts.engine().write(async (tx) => {
      const row = await getSchedule(tx, stale.tenant, stale.id)
      if (row?.next_at !== stale.next_at || row.enabled === 0 || row.next_at === null) return {}
      const { times, leftOut, next } = dueTimes(scheduling.readCron(row.cron, row.zone), row.catch_up, row.next_at, now)
      const after = { ...row, next_at: next, updated_at: now, last_error: null }
      for (const [index, time] of times.entries()) {
        const made = await fire(scheduling, tx, row, time, index === 0 ? leftOut : 0)
        Object.assign(after, { last_at: time, fired: after.fired + 1, last_made: made.task_id ?? made.run_id })
      }
      if (times.length === 0) tell(tx, row, null, { task_id: null, run_id: null }, leftOut)
      if (!(await saveSchedule(tx, row, after)))
        throw new CadreError('conflict', { reason: `Schedule ${row.id} was fired elsewhere.` })
      return {}
    })
  } catch (cause) {
    // What is wrong with the store passes by itself; anything else would fail again in each sweep.
    const { code, message } = cause as { code?: string; message?: string }
    if (code === 'draining' || code === 'unavailable' || code === 'storage_full') throw cause
    await passOver(scheduling, stale, now, message ?? 'It failed.')
  }
}

/** What it makes is refused, because the agent it names has ended for one: the time passes, and everybody can see why. */
async function passOver(scheduling: Scheduling, stale: ScheduleRow, now: number, reason: string): Promise<void> {
  await scheduling.engine.parts.engine().write(async (tx) => {
    const row = await getSchedule(tx, stale.tenant, stale.id)
    if (row?.next_at !== stale.next_at || row.enabled === 0 || row.next_at === null) return {}
    const { next } = dueTimes(scheduling.readCron(row.cron, row.zone), 'none', row.next_at, now)
    if (!(await saveSchedule(tx, row, { ...row, next_at: next, last_error: reason, updated_at: now }))) return {}
    const data = { schedule_id: row.id, name: row.name, for: iso(row.next_at), reason }
    tx.emit({ type: 'schedule.failed', subject: row.id, data })
    return {}
  })
}
