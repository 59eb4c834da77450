/** What happened to a task, from the log. */
import type { OutputOf } from '@cadre/contract'
import { iso } from '../../core/clock.ts'
import type { Handlers } from '../../core/invoke.ts'
import { numberCursor, toPage } from '../../core/paging.ts'
import { sql } from '../../drivers/database/sql.ts'
import type { Engine } from './engine.ts'
import { findTask } from './listing.ts'

type Entry = OutputOf<'tasks.history'>['items'][number]
interface LogRow {
  seq: number
  at: number
  type: string
  actor: number
  body: string
}

export function makeHistory(engine: Engine): Pick<Handlers, 'tasks.history'> {
  const { database, directory } = engine.parts
  return {
    'tasks.history': async (context, input) => {
      await findTask(database, context, input.id)
      const after = numberCursor(input.cursor) ?? 0
      const rows = await database.all<LogRow>(sql`select seq, at, type, actor, body from log
        where tenant = ${context.tenant} and task = ${input.id} and seq > ${after} and kind is null and type like 'task.%'
        order by seq limit ${input.limit + 1}`)
      const times = new Map(rows.map((row, index) => [row.seq, index === 0 ? null : row.at - (rows[index - 1] as LogRow).at]))
      const view = (row: LogRow): Entry => {
        const { from, to, agent, attempt, reason } = JSON.parse(row.body) as Entry
        const by = directory.byId(row.actor).name
        return {
          seq: row.seq,
          at: iso(row.at),
          type: row.type,
          by,
          from,
          to,
          agent,
          attempt,
          reason,
          after_ms: times.get(row.seq) ?? null,
        }
      }
      return toPage(rows, input.limit, (row) => row.seq, view)
    },
  }
}
