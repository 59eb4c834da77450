/** New tasks: one, or a graph of them, with what they wait for. */
import { CadreError, type ParsedInputOf, type Receipt } from '@cadre/contract'
import type { Context, WriteTx } from '../../core/context.ts'
import type { Handlers } from '../../core/invoke.ts'
import type { Engine } from './engine.ts'
import { type Body, newRow } from './fields.ts'
import { inOrder } from './graph.ts'
import { findTask } from './listing.ts'
import { assign, skip } from './moves.ts'
import { type TaskRow, getTask, getTasks, insertTasks } from './store.ts'
import { isFinal, moved } from './view.ts'

interface Dependencies {
  open: Set<string>
  /** Ended, and not completed: what waits for them is skipped. */
  failed: Map<string, TaskRow>
}

/** A new task in the caller's transaction; it becomes known when that commits. Throws what `tasks.create` refuses. */
export async function createTask(
  engine: Engine,
  tx: WriteTx,
  context: Context,
  id: string,
  input: ParsedInputOf<'tasks.create'>,
): Promise<TaskRow> {
  if (input.parent_id !== undefined) await findTask(tx, context, input.parent_id)
  const ids = [...new Set(input.depends_on)]
  const { open, failed } = await dependencies(engine, tx, context, ids)
  const fresh = newRow(engine.parts, context, id, input, {
    depends_on: JSON.stringify(ids),
    parent: input.parent_id ?? null,
    run: null,
    run_name: null,
    key: null,
    waiting_for: open.size + failed.size,
  })
  const [row] = await store(engine, tx, [fresh], failed)
  return row as TaskRow
}

export function makeCreating(engine: Engine, newId: (prefix: string) => string): Pick<Handlers, 'tasks.create' | 'tasks.dag'> {
  return {
    'tasks.create': async (context, input) => {
      if (input.title === undefined && input.description === undefined) {
        throw new CadreError('invalid_request', {}, { fields: [{ pointer: '/title', detail: 'Give a title or a description.' }] })
      }
      const { row, receipt } = await context.write(async (tx) => {
        const row = await createTask(engine, tx, context, newId('tsk'), input)
        return { id: row.id, row }
      })
      return { ...engine.view(row), receipt: receipt as Receipt }
    },

    'tasks.dag': async (context, input) => {
      const order = inOrder(input.tasks)
      const { runId, rows, receipt } = await context.write(async (tx) => {
        if (input.parent_id !== undefined) await findTask(tx, context, input.parent_id)
        const byKey = new Map(input.tasks.map((task) => [task.key, task]))
        const outside = [...new Set(input.tasks.flatMap((task) => task.depends_on.filter((key) => !byKey.has(key))))]
        const { open, failed } = await dependencies(engine, tx, context, outside)
        const runId = newId('run')
        const ids = new Map<string, string>()
        const rows = order.map((key) => {
          const { key: _, depends_on, ...body } = byKey.get(key) as Body
          const waiting = [...new Set(depends_on)]
          const unmet = waiting.filter((name) => byKey.has(name) || open.has(name) || failed.has(name))
          const row = newRow(engine.parts, context, newId('tsk'), body, {
            depends_on: JSON.stringify(waiting.map((name) => ids.get(name) ?? name)),
            parent: input.parent_id ?? null,
            run: runId,
            run_name: input.name,
            key,
            waiting_for: unmet.length,
          })
          ids.set(key, row.id)
          return { ...row, title: body.title ?? key }
        })
        return { id: runId, runId, rows: await store(engine, tx, rows, failed) }
      })
      return { run_id: runId, name: input.name, tasks: rows.map((row) => engine.view(row)), receipt: receipt as Receipt }
    },
  }
}

async function dependencies(engine: Engine, tx: WriteTx, context: Context, ids: readonly string[]): Promise<Dependencies> {
  const rows = await getTasks(tx, engine.parts.database.dialect.values, context.tenant, ids)
  const found = new Map(rows.map((row) => [row.id, row]))
  const open = new Set<string>()
  const failed = new Map<string, TaskRow>()
  for (const id of ids) {
    const row = found.get(id)
    if (!row) throw new CadreError('not_found', { entity: 'task', id })
    if (row.state === 'completed') continue
    if (isFinal(row.state)) failed.set(id, row)
    else open.add(id)
  }
  return { open, failed }
}

/** Stores new tasks and moves those on that need not wait: named agents get theirs, impossible ones are skipped. */
async function store(
  engine: Engine,
  tx: WriteTx,
  rows: readonly TaskRow[],
  failed: ReadonlyMap<string, TaskRow>,
): Promise<TaskRow[]> {
  const { parts } = engine
  await insertTasks(tx, rows)
  for (const row of rows)
    tx.emit({ type: 'task.created', subject: row.id, task: row.id, data: moved(null, row, parts.directory, null) })
  tx.afterCommit(() => engine.created(rows))
  const assigned = new Map<string, TaskRow>()
  let skipped = false
  for (const row of rows) {
    const blocker = (JSON.parse(row.depends_on) as string[])
      .map((id) => failed.get(id))
      .find((dependency) => dependency !== undefined)
    if (blocker) {
      // One that was skipped before may have skipped this one with it.
      const now = skipped ? await getTask(tx, row.tenant, row.id) : row
      if (!now || isFinal(now.state)) continue
      skipped = true
      await skip(parts, tx, now, blocker)
    } else if (row.state === 'ready' && row.assign_to !== null)
      assigned.set(row.id, await assign(parts, tx, row, row.assign_to, 'named in the task'))
  }
  if (!skipped) return rows.map((row) => assigned.get(row.id) ?? row)
  const ids = rows.map((row) => row.id)
  const stored = await getTasks(tx, parts.database.dialect.values, (rows[0] as TaskRow).tenant, ids)
  const byId = new Map(stored.map((row) => [row.id, row]))
  return rows.map((row) => byId.get(row.id) as TaskRow)
}
