/**
 * A store with a past: tasks that have ended, each with its attempt and its four log entries, as the engine leaves them behind. Copied
 * from one real task by the database itself, because creating and working off a million one by one would take minutes.
 */
import { DatabaseSync } from 'node:sqlite'
import { base32 } from '../../server/src/core/clock.ts'

const perStatement = 50_000

/** `path` is the store of a server that is not running and has one completed task. */
export function addFinished(path: string, count: number): void {
  const database = new DatabaseSync(path)
  try {
    database.exec('pragma synchronous = off; pragma cache_size = -200000')
    database.function(
      'history_id',
      { deterministic: true },
      (index) => `tsk_${base32(1_600_000_000_000, 10)}${base32(Number(index), 12)}`,
    )
    const columnsOf = (table: string) =>
      (database.prepare(`select name from pragma_table_info('${table}')`).all() as { name: string }[]).map(({ name }) => name)
    const model = database.prepare(`select id from tasks where state = 'completed' limit 1`).get() as { id: string } | undefined
    if (!model) throw new Error('there is no completed task to copy')
    const numbers = `with recursive numbers(n) as (select ? union all select n + 1 from numbers where n + 1 < ?) `
    const prepare = (table: string, replaced: Record<string, string>, where: string) => {
      const columns = columnsOf(table)
      const values = columns.map((column) => replaced[column] ?? `model.${column}`)
      return database.prepare(
        `${numbers} insert into ${table} (${columns.join(', ')})
         select ${values.join(', ')} from numbers cross join ${table} model where ${where}`,
      )
    }
    const { top } = database.prepare('select max(seq) as top from log').get() as { top: number }
    const entries = database.prepare('select seq from log where task = ? order by seq').all(model.id) as { seq: number }[]
    const tasks = prepare('tasks', { id: 'history_id(n)' }, 'model.id = ?')
    const attempts = prepare('task_attempts', { task: 'history_id(n)' }, 'model.task = ?')
    const logged = prepare(
      'log',
      {
        seq: `? + n * ${entries.length} + ?`,
        task: 'history_id(n)',
        subject: 'history_id(n)',
        body: 'replace(model.body, ?, history_id(n))',
      },
      'model.seq = ?',
    )
    for (let from = 0; from < count; from += perStatement) {
      const to = Math.min(count, from + perStatement)
      database.exec('begin')
      tasks.run(from, to, model.id)
      attempts.run(from, to, model.id)
      for (const [offset, { seq }] of entries.entries()) logged.run(from, to, top + 1, offset, model.id, seq)
      database.exec('commit')
    }
    database.exec('pragma wal_checkpoint(truncate)')
  } finally {
    database.close()
  }
}
