/** The children of a task, and their results joined. */
import { type OutputOf, statusOf } from '@cadre/contract'
import { sql } from '../../drivers/database/sql.ts'
import type { Engine } from './engine.ts'
import type { TaskRow } from './store.ts'

type Shown = Pick<OutputOf<'tasks.get'>, 'children' | 'merged_result'>
type ChildRow = Pick<TaskRow, 'id' | 'key' | 'title' | 'state' | 'assignee'> & { size: number }

const maxChildren = 200
export const maxResultChars = 1024 * 1024

/**
 * What a task shows of its children: the first of them, and the results of those that completed, as far as `room` reaches. `used`: how
 * much of it was taken.
 */
export async function childrenShown(
  { parts: { database, directory } }: Engine,
  parent: Pick<TaskRow, 'tenant' | 'id'>,
  room = maxResultChars,
): Promise<Shown & { used: number }> {
  const rows = await database.all<ChildRow>(sql`select id, key, title, state, assignee, length(result) as size from tasks
    where tenant = ${parent.tenant} and parent = ${parent.id} order by id limit ${maxChildren}`)
  if (rows.length === 0) return { children: [], merged_result: null, used: 0 }
  let used = 0
  const wanted = rows.filter((row) => {
    if (row.state !== 'completed' || used + row.size > room) return false
    used += row.size
    return true
  })
  const ids = database.dialect.values(JSON.stringify(wanted.map((row) => row.id)))
  const read = await database.all<{ id: string; result: string }>(
    sql`select id, result from tasks where tenant = ${parent.tenant} and id in ${ids}`,
  )
  const results = new Map(read.map(({ id, result }) => [id, JSON.parse(result) as unknown]))
  const children = rows.map(({ id, key, title, state, assignee }) => {
    const assigned_to = directory.nameOf(assignee)
    return { id, key, title, state, status: statusOf[state], assigned_to, result: results.get(id) ?? null }
  })
  const merged = children
    .filter((child) => child.state === 'completed')
    .map((child): [string, unknown] => [child.key ?? child.id, child.result])
  return { children, merged_result: Object.fromEntries(merged), used }
}
