/** Schedules as clients make, read and change them. */
import { CadreError, type ParsedInputOf, type Receipt, type Schedule } from '@cadre/contract'
import { iso, isoOrNull } from '../../core/clock.ts'
import type { Context } from '../../core/context.ts'
import type { Handlers } from '../../core/invoke.ts'
import { serialise } from '../../core/limits.ts'
import { decodeCursor, toPage } from '../../core/paging.ts'
import type { Reader } from '../../drivers/database/port.ts'
import { requireText } from './creating.ts'
import type { Engine } from './engine.ts'
import { inOrder } from './graph.ts'
import { type Scheduling, fire } from './schedules-firing.ts'
import {
  type ScheduleRow,
  countSchedules,
  deleteSchedule,
  getSchedule,
  insertSchedule,
  listSchedules,
  saveSchedule,
} from './schedules-store.ts'

type Names = `schedules.${'create' | 'list' | 'get' | 'update' | 'delete' | 'run_now'}`
type Body = Pick<ParsedInputOf<'schedules.create'>, 'task' | 'graph'>

const maxSchedules = 10_000
const maxBodyBytes = 4 * 1024 * 1024

export function makeSchedules(scheduling: Scheduling): Pick<Handlers, Names> {
  const { engine, newId, readCron } = scheduling
  const { database, clock } = engine.parts
  const view = (row: ScheduleRow) => toSchedule(row, engine)
  return {
    'schedules.create': async (context, input) => {
      const { kind, body } = bodyOf(input) ?? neither()
      const cron = readCron(input.cron, input.zone)
      const now = clock.now()
      const { row, receipt } = await context.write(async (tx) => {
        if ((await countSchedules(tx, context.tenant)) >= maxSchedules)
          throw new CadreError('conflict', { reason: `There are ${maxSchedules} schedules; delete one that is not needed.` })
        const row: ScheduleRow = {
          tenant: context.tenant,
          id: newId('sch'),
          name: input.name,
          cron: input.cron,
          zone: input.zone,
          kind,
          body,
          catch_up: input.catch_up,
          enabled: input.enabled ? 1 : 0,
          next_at: input.enabled ? cron.next(now) : null,
          last_at: null,
          fired: 0,
          last_made: null,
          last_error: null,
          created_by: context.caller.id,
          created_at: now,
          updated_at: now,
        }
        await insertSchedule(tx, row)
        tx.emit({ type: 'schedule.created', subject: row.id, data: { schedule_id: row.id, name: row.name } })
        return { id: row.id, row }
      })
      return { ...view(row), receipt: receipt as Receipt }
    },

    'schedules.list': async (context, input) => {
      const before = decodeCursor(input.cursor)
      const place = before === undefined ? undefined : String(before)
      const rows = await listSchedules(database, context.tenant, input.enabled, place, input.limit + 1)
      return toPage(rows, input.limit, (row) => row.id, view)
    },

    'schedules.get': async (context, input) => view(await find(database, context, input.id)),

    'schedules.update': async (context, input) => {
      const { row, receipt } = await context.write(async (tx) => {
        const before = await find(tx, context, input.id)
        requireOwner(context, before, 'changes')
        const { name = before.name, cron = before.cron, zone = before.zone, catch_up = before.catch_up } = input
        const enabled = input.enabled ?? before.enabled === 1
        const times = readCron(cron, zone)
        const restarts = cron !== before.cron || zone !== before.zone || (enabled && before.enabled === 0)
        const row: ScheduleRow = {
          ...before,
          ...bodyOf(input),
          name,
          cron,
          zone,
          catch_up,
          enabled: enabled ? 1 : 0,
          next_at: !enabled ? null : restarts ? times.next(clock.now()) : before.next_at,
        }
        if (JSON.stringify(row) === JSON.stringify(before)) return { id: row.id, row }
        row.updated_at = clock.now()
        if (!(await saveSchedule(tx, before, row)))
          throw new CadreError('conflict', { reason: `Schedule ${row.id} changed meanwhile; read it and try again.` })
        tx.emit({ type: 'schedule.updated', subject: row.id, data: { schedule_id: row.id, name: row.name } })
        return { id: row.id, row }
      })
      return { ...view(row), receipt }
    },

    'schedules.delete': async (context, input) => {
      const { receipt } = await context.write(async (tx) => {
        const row = await find(tx, context, input.id)
        requireOwner(context, row, 'deletes')
        await deleteSchedule(tx, row.tenant, row.id)
        tx.emit({ type: 'schedule.deleted', subject: row.id, data: { schedule_id: row.id, name: row.name } })
        return { id: row.id }
      })
      return { id: input.id, deleted: true, receipt: receipt as Receipt }
    },

    'schedules.run_now': async (context, input) => {
      const { made, receipt } = await context.write(async (tx) => {
        const row = await find(tx, context, input.id)
        requireOwner(context, row, 'fires')
        const made = await fire(scheduling, tx, row, null)
        const fired = { ...row, fired: row.fired + 1, last_made: made.task_id ?? made.run_id, updated_at: clock.now() }
        if (!(await saveSchedule(tx, row, fired)))
          throw new CadreError('conflict', { reason: `Schedule ${row.id} changed meanwhile; try again.` })
        return { id: row.id, made }
      })
      return { id: input.id, ...made, receipt: receipt as Receipt }
    },
  }
}

/** What each firing makes, as it is stored; undefined when neither is given. Throws what could never be made. */
function bodyOf(given: { [F in keyof Body]?: Body[F] | undefined }): Pick<ScheduleRow, 'kind' | 'body'> | undefined {
  if (given.task !== undefined && given.graph !== undefined) return neither()
  if (given.task !== undefined) {
    requireText(given.task)
    return { kind: 'task', body: serialise(given.task, 'task', maxBodyBytes) }
  }
  if (given.graph === undefined) return undefined
  inOrder(given.graph.tasks)
  return { kind: 'graph', body: serialise(given.graph, 'graph', maxBodyBytes) }
}

function neither(): never {
  throw new CadreError('invalid_request', {}, { fields: [{ pointer: '/task', detail: 'Give either a task or a graph.' }] })
}

async function find(reader: Reader, context: Context, id: string): Promise<ScheduleRow> {
  const row = await getSchedule(reader, context.tenant, id)
  if (!row) throw new CadreError('not_found', { entity: 'schedule', id })
  return row
}

function requireOwner({ caller }: Context, row: ScheduleRow, verb: string): void {
  if (caller.role === 'agent' && caller.id !== row.created_by)
    throw new CadreError('forbidden', { reason: `Only who made it or an operator ${verb} a schedule.` })
}

function toSchedule(row: ScheduleRow, { parts }: Engine): Schedule {
  const made = JSON.parse(row.body) as unknown
  return {
    id: row.id,
    schedule_id: row.id,
    name: row.name,
    cron: row.cron,
    zone: row.zone,
    catch_up: row.catch_up,
    enabled: row.enabled === 1,
    task: row.kind === 'task' ? made : null,
    graph: row.kind === 'graph' ? made : null,
    next_at: isoOrNull(row.next_at),
    last_at: isoOrNull(row.last_at),
    fired: row.fired,
    last_made: row.last_made,
    last_error: row.last_error,
    created_by: parts.directory.byId(row.created_by).name,
    created_at: iso(row.created_at),
    updated_at: iso(row.updated_at),
  }
}
