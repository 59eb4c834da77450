/** Reading tasks: one, its status, pages of them. */
import { CadreError, statusOf, taskLifecycle, toPriority } from '@cadre/contract'
import { iso, isoOrNull } from '../../core/clock.ts'
import type { Directory } from '../../core/directory.ts'
import type { Handlers } from '../../core/invoke.ts'
import { boundedRows, decodeCursor, pageFrom } from '../../core/paging.ts'
import { childrenShown } from './children.ts'
import { decodeCard, viewCard } from './cards.ts'
import type { Engine } from './engine.ts'
import { type AttemptRow, type TaskRow, attemptsOf, getTask, listTasks } from './store.ts'

/** Throws `not_found`. */
export async function findTask(tx: Parameters<typeof getTask>[0], context: { tenant: number }, id: string): Promise<TaskRow> {
  const row = await getTask(tx, context.tenant, id)
  if (!row) throw new CadreError('not_found', { entity: 'task', id })
  return row
}

export function makeListing(engine: Engine): Pick<Handlers, 'tasks.list' | 'tasks.get' | 'tasks.status'> {
  const { database, directory } = engine.parts
  return {
    'tasks.list': async (context, input) => {
      const states =
        input.state !== undefined
          ? [input.state]
          : input.status === undefined
            ? undefined
            : taskLifecycle.states.filter((state) => statusOf[state] === input.status)
      const before = decodeCursor(input.cursor)
      const agentId = (reference: string | undefined) =>
        reference === undefined ? undefined : directory.agent(context.tenant, reference).id
      const filter = {
        tenant: context.tenant,
        states,
        assignee: agentId(input.agent),
        creator: agentId(input.creator),
        priority: input.priority === undefined ? undefined : toPriority(input.priority),
        type: input.type,
        run: input.run_id,
        parent: input.parent_id,
        before: before === undefined ? undefined : String(before),
      }
      const read = await boundedRows<TaskRow>(
        input.limit,
        (last, count) => listTasks(database, { ...filter, before: last?.id ?? filter.before }, count),
        (row) => row.input.length + row.result.length + row.description.length,
      )
      return pageFrom(
        read,
        (row) => row.id,
        (row) => engine.view(row),
      )
    },

    'tasks.get': async (context, input) => {
      const row = await findTask(database, context, input.id)
      const attempts = await attemptsOf(database, context.tenant, input.id)
      const { children, merged_result } = await childrenShown(engine, row)
      return { ...engine.view(row), attempts: attempts.map((attempt) => toAttempt(attempt, directory)), children, merged_result }
    },

    'tasks.status': async (context, input) => {
      const task = engine.view(await findTask(database, context, input.id))
      const { id, task_id, state, status, progress, result, error, assigned_to, attempt, updated_at, completed_at } = task
      return { id, task_id, state, status, progress, result, error, assigned_to, attempt, updated_at, completed_at }
    },
  }
}

function toAttempt(attempt: AttemptRow, directory: Directory) {
  const agent = directory.byId(attempt.agent)
  return {
    attempt: attempt.number,
    agent_id: agent.publicId,
    agent: agent.name,
    assigned_at: iso(attempt.assigned_at),
    started_at: isoOrNull(attempt.started_at),
    ended_at: isoOrNull(attempt.ended_at),
    outcome: attempt.outcome as 'open',
    error: attempt.error,
    code: attempt.code,
    wait_ms: attempt.retry_at === null || attempt.ended_at === null ? null : attempt.retry_at - attempt.ended_at,
    reason: attempt.reason,
    decision: attempt.card === null ? null : viewCard(decodeCard(attempt.card), directory),
    ...(attempt.partial !== null && { partial: JSON.parse(attempt.partial) as unknown }),
  }
}
