/** Reading runs: pages of them, and one with its tasks, their results and what each agent did. */
import type { OutputOf, ParsedInputOf, Task } from '@cadre/contract'
import type { Context } from '../../core/context.ts'
import type { Handlers } from '../../core/invoke.ts'
import { boundedRows, decodeCursor, encodeCursor, toPage } from '../../core/paging.ts'
import { childrenShown, maxResultChars } from './children.ts'
import type { Engine } from './engine.ts'
import { type RunRow, countsOf, listRuns, nodesAfter, noticesByAgent, workByAgent } from './run-store.ts'
import { findRun, toRun } from './run-view.ts'
import type { TaskRow } from './store.ts'

type Names = 'runs.list' | 'runs.get' | 'runs.wait'
type Summary = OutputOf<'runs.get'>

export function makeRuns(engine: Engine): Pick<Handlers, Names> {
  const { database, directory } = engine.parts

  async function summary(run: RunRow, input: ParsedInputOf<'runs.get'>): Promise<Summary> {
    const { tenant, id } = run
    const after = decodeCursor(input.cursor)
    const { rows, more } = await boundedRows<TaskRow>(
      input.limit,
      (last, count) => nodesAfter(database, tenant, id, last?.id ?? (after === undefined ? undefined : String(after)), count),
      (row) => row.result.length + row.depends_on.length,
    )
    const nodes: Summary['nodes'] = []
    let room = maxResultChars
    for (const row of rows) {
      const { merged_result, used } = await childrenShown(engine, row, room)
      room -= used
      nodes.push(toNode(engine.view(row), merged_result))
    }
    const last = rows.at(-1)
    return {
      ...toRun(run, directory),
      states: Object.fromEntries((await countsOf(database, tenant, id)).map(({ state, count }) => [state, count])),
      agents: await agentsOf(run, rows),
      nodes,
      next: more && last ? encodeCursor(last.id) : null,
    }
  }

  async function agentsOf(run: RunRow, page: readonly TaskRow[]): Promise<Summary['agents']> {
    const notices = new Map((await noticesByAgent(database, run.tenant, run.id)).map((each) => [each.agent, each]))
    return (await workByAgent(database, run.tenant, run.id)).map(({ agent, tasks, completed, failed }) => {
      const principal = directory.byId(agent)
      const own = page.filter((row) => row.assignee === agent && row.state === 'completed')
      return {
        agent_id: principal.publicId,
        agent: principal.name,
        role: engine.parts.agents.registry.get(agent)?.type ?? principal.kind,
        tasks,
        completed,
        failed,
        message_count: notices.get(agent)?.messages ?? 0,
        memory_writes: notices.get(agent)?.memory_writes ?? 0,
        results: Object.fromEntries(own.map((row) => [row.key ?? row.id, JSON.parse(row.result) as unknown])),
      }
    })
  }

  return {
    'runs.list': async (context, input) => {
      const before = decodeCursor(input.cursor)
      const filter = {
        tenant: context.tenant,
        state: input.state,
        schedule: input.schedule_id,
        before: before === undefined ? undefined : String(before),
      }
      const rows = await listRuns(database, filter, input.limit + 1)
      return toPage(
        rows,
        input.limit,
        (row) => row.id,
        (row) => toRun(row, directory),
      )
    },

    'runs.get': async (context, input) => summary(await findRun(database, context, input.id), input),

    'runs.wait': async (context, input) => {
      const ended = await untilEnded(engine, context, input.id, input.timeout_ms)
      const run = await findRun(database, context, input.id)
      return { ...(await summary(run, input)), timed_out: !ended && run.ended_at === null }
    },
  }
}

/** Whether the run ended within the time, or before somebody hung up. Throws `not_found`. */
async function untilEnded(engine: Engine, context: Context, id: string, ms: number): Promise<boolean> {
  const { database, clock } = engine.parts
  let stop = () => {}
  const waited = new Promise<boolean>((resolve) => {
    const unsubscribe = engine.onRunEnded((run) => run === id && resolve(true))
    const cancelTimer = clock.after(ms, () => resolve(false))
    const hungUp = () => resolve(false)
    context.signal.addEventListener('abort', hungUp, { once: true })
    stop = () => {
      unsubscribe()
      cancelTimer()
      context.signal.removeEventListener('abort', hungUp)
    }
  })
  try {
    // Asked after the wait began: an end in between is not missed.
    if ((await findRun(database, context, id)).ended_at !== null) return true
    return await waited
  } finally {
    stop()
  }
}

function toNode(task: Task, merged_result: unknown): Summary['nodes'][number] {
  const { id, key, title, type, state, status, progress, assigned_to, attempt, depends_on, result, error, started_at } = task
  const { completed_at } = task
  return {
    id,
    key,
    title,
    type,
    state,
    status,
    progress,
    assigned_to,
    attempt,
    depends_on,
    result,
    error,
    started_at,
    completed_at,
    merged_result,
  }
}
