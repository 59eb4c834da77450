/** Answers to what tasks ask: who may give them, what they settle, and how the task goes on. */
import { CadreError } from '@cadre/contract'
import { canonicalJson } from '../../core/canonical.ts'
import type { Context, WriteTx } from '../../core/context.ts'
import type { Handlers } from '../../core/invoke.ts'
import { serialise } from '../../core/limits.ts'
import { answerOf } from './approvals.ts'
import type { Engine } from './engine.ts'
import { type TitledInput, getInput, openInput, saveInput } from './input-store.ts'
import { inputFacts, viewInput } from './input-view.ts'
import { type StepRow, getStep, saveStep } from './journal.ts'
import { findTask } from './listing.ts'
import { assign, illegal, isGone, settleReady } from './moves.ts'
import type { TaskRow } from './store.ts'

/** Enters into the ledger of tool calls what came of one. */
export type SettleCall = (
  tx: WriteTx,
  tenant: number,
  outcome: { tool: string; key: string; happened: boolean; result: unknown },
) => Promise<void>

type Answered = Awaited<ReturnType<Handlers['tasks.provide_input']>>

const maxInputBytes = 256 * 1024

export function makeAnswers(engine: Engine, settleCall: SettleCall): Pick<Handlers, 'tasks.provide_input' | 'approvals.decide'> {
  const { parts } = engine
  const { directory, clock } = parts

  function requireAnswerer({ caller }: Context, task: TaskRow, request: TitledInput): void {
    if (caller.role !== 'agent') return
    if (task.creator !== caller.id || request.asked_by === caller.id)
      throw new CadreError('forbidden', { reason: 'Whoever created the task answers, or an operator, and never who asks.' })
  }

  /** What a person said of a step takes the place of what the step would have reported itself. */
  async function settleStep(tx: WriteTx, row: TaskRow, name: string, happened: boolean, result: string): Promise<void> {
    const step = await getStep(tx, row.tenant, row.id, name)
    if (step?.state !== 'begun') return
    const size = Buffer.byteLength(result)
    const after: StepRow = happened
      ? { ...step, state: 'finished', result, size, finished_at: clock.now() }
      : { ...step, state: 'void' }
    await saveStep(tx, after)
    const agent = directory.nameOf(step.agent) ?? 'unknown'
    const told = { task_id: row.id, step: name, attempt: step.attempt, agent }
    const data = happened ? { ...told, size, artifact_id: null } : told
    tx.emit({ type: happened ? 'step.finished' : 'step.voided', subject: row.id, task: row.id, data })
  }

  /** To the agent that asked, while it is here and has room; to whom the engine finds otherwise. */
  async function goOn(tx: WriteTx, row: TaskRow, reason: string): Promise<TaskRow> {
    const ready = await settleReady(parts, tx, row, reason)
    if (ready.state !== 'ready' || ready.assignee === null) return ready
    const agent = parts.agents.registry.get(ready.assignee)
    const free = agent !== undefined && agent.load < agent.concurrency && !isGone(parts, ready.assignee)
    if (!free || parts.sessions.forAgent(ready.assignee) === undefined) return ready
    return assign(parts, tx, ready, ready.assignee, 'it asked for this answer')
  }

  async function answer(
    context: Context,
    find: (tx: WriteTx) => Promise<{ task: TaskRow; request: TitledInput }>,
    given: unknown,
  ): Promise<Answered> {
    const { request, task, already, receipt } = await context.write(async (tx) => {
      const { task, request } = await find(tx)
      requireAnswerer(context, task, request)
      const { input, approved, comment, happened, result } = answerOf(request, given)
      const text = serialise(input, 'input', maxInputBytes)
      if (request.state === 'answered') {
        const same = canonicalJson(JSON.parse(request.answer)) === canonicalJson(input)
        if (same) return { id: request.id, request, task, already: true }
      }
      if (request.state !== 'open')
        throw new CadreError('conflict', { reason: `Request ${request.id} was ${request.state} already.` })
      if (task.state !== 'input_required') throw illegal(task, 'ready')
      const answered: TitledInput = {
        ...request,
        state: 'answered',
        answer: text,
        approved: approved === undefined ? null : Number(approved),
        comment: comment ?? null,
        answered_by: context.caller.id,
        answered_at: clock.now(),
      }
      await saveInput(tx, answered)
      if (request.step !== null) await settleStep(tx, task, request.step, happened === true, JSON.stringify(result ?? null))
      else if (request.kind === 'outcome') {
        const { key } = JSON.parse(request.args) as { key: string }
        await settleCall(tx, request.tenant, { tool: request.action ?? '', key, happened: happened === true, result })
      }
      const by = context.caller.name
      const data = { ...inputFacts(answered, directory), by, approved: approved ?? null, comment: comment ?? null }
      tx.emit({ type: 'input.provided', subject: task.id, task: task.id, data })
      return { id: request.id, request: answered, task: await goOn(tx, task, `answered by ${by}`), already: false }
    })
    return { request: viewInput(request, directory), task_state: task.state, receipt, ...(already && { already }) }
  }

  return {
    'tasks.provide_input': (context, input) =>
      answer(
        context,
        async (tx) => {
          const task = await findTask(tx, context, input.id)
          const request =
            input.request_id === undefined
              ? await openInput(tx, context.tenant, task.id)
              : await getInput(tx, context.tenant, input.request_id)
          if (request?.task === task.id) return { task, request }
          if (input.request_id !== undefined) throw new CadreError('not_found', { entity: 'request', id: input.request_id })
          throw new CadreError('conflict', { reason: `Task ${task.id} waits for no answer; it is ${task.state}.` })
        },
        input.input ?? null,
      ),

    'approvals.decide': (context, { id, approved, comment }) =>
      answer(
        context,
        async (tx) => {
          const request = await getInput(tx, context.tenant, id)
          if (request?.kind !== 'approval') throw new CadreError('not_found', { entity: 'approval', id })
          return { request, task: await findTask(tx, context, request.task) }
        },
        { approved, ...(comment !== undefined && { comment }) },
      ),
  }
}
