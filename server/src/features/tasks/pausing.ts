/** Runs held back, let go and ended as a whole. */
import { CadreError, type OutputOf, type ParsedInputOf } from '@cadre/contract'
import { sql } from '../../drivers/database/sql.ts'
import type { Context, WriteTx } from '../../core/context.ts'
import type { Handlers } from '../../core/invoke.ts'
import { cancel } from './attempts.ts'
import type { Engine } from './engine.ts'
import { type MoveParts, move, settleReady } from './moves.ts'
import { type RunRow, getRun, holdBack, inTree, openTasksOf, setRunState } from './run-store.ts'
import { findRun, toRun } from './run-view.ts'
import { tellStop } from './stopping.ts'
import { type TaskRow, endAttempt, getTask } from './store.ts'
import { isFinal } from './view.ts'

type Names = 'runs.pause' | 'runs.resume' | 'runs.cancel'
type Move = (tx: WriteTx, run: RunRow, reason: string) => Promise<void>

export function makePausing(engine: Engine): Pick<Handlers, Names> {
  const { parts } = engine

  /** Reads the run, checks the right to it, and runs the move unless the run is there already. */
  async function change(
    context: Context,
    input: ParsedInputOf<'runs.pause'>,
    verb: string,
    isThere: (run: RunRow) => boolean,
    work: Move,
  ): Promise<OutputOf<'runs.pause'>> {
    const { run, receipt, already } = await context.write(async (tx) => {
      const before = await findRun(tx, context, input.id)
      if (context.caller.role === 'agent' && before.creator !== context.caller.id)
        throw new CadreError('forbidden', { reason: `Only its creator or an operator ${verb} a run.` })
      if (isThere(before)) return { id: before.id, run: before, already: true }
      if (before.ended_at !== null) throw new CadreError('conflict', { reason: `Run ${before.id} has ended as ${before.state}.` })
      await work(tx, before, input.reason ?? `${verb.replace(/s$/, 'd')} by ${context.caller.name}`)
      const run = (await getRun(tx, before.tenant, before.id)) as RunRow
      return { id: run.id, run, already: false }
    })
    return { ...toRun(run, parts.directory), receipt, ...(already && { already }) }
  }

  const follow = (to: 'running' | 'paused' | 'cancelled', event: string | null, each: Move): Move => {
    return async (tx, run, reason) => {
      if (!(await setRunState(tx, run, to, parts.clock.now())))
        throw new CadreError('conflict', { reason: `Run ${run.id} changed meanwhile; read it and try again.` })
      const data = { run_id: run.id, name: run.name, from: run.state, to, reason }
      if (event !== null) tx.emit({ type: event, subject: run.id, data })
      await each(tx, run, reason)
    }
  }

  const pause = follow('paused', 'run.paused', async (tx, run, reason) => {
    await holdBack(tx, run.tenant, run.id, true)
    for (const { id } of await inTree(tx, run.tenant, run.id, sql`'ready', 'assigned'`)) {
      const row = await getTask(tx, run.tenant, id)
      if (row && (row.state === 'ready' || row.state === 'assigned')) await setAside(parts, tx, row, reason)
    }
  })

  const resume = follow('running', 'run.resumed', async (tx, run) => {
    await holdBack(tx, run.tenant, run.id, false)
    for (const { id } of await inTree(tx, run.tenant, run.id, sql`'paused'`)) {
      const row = await getTask(tx, run.tenant, id)
      if (row?.state === 'paused' && row.run_paused === 0) await settleReady(parts, tx, row, 'its run goes on')
    }
  })

  // The last ones first: a dependent that has ended is not released by what it waited for.
  const cancelAll = follow('cancelled', null, async (tx, run, reason) => {
    for (const { id } of await openTasksOf(tx, run.tenant, run.id)) {
      const row = await getTask(tx, run.tenant, id)
      if (row && !isFinal(row.state)) await cancel(parts, tx, row, reason)
    }
  })

  return {
    'runs.pause': (context, input) => change(context, input, 'pauses', (run) => run.state === 'paused', pause),
    'runs.resume': (context, input) => change(context, input, 'resumes', (run) => run.state === 'running', resume),
    'runs.cancel': (context, input) => change(context, input, 'cancels', (run) => run.state === 'cancelled', cancelAll),
  }
}

/** A task that has not begun waits for its run; who was to do it is told, and its lease is void. */
async function setAside(parts: MoveParts, tx: WriteTx, row: TaskRow, reason: string): Promise<void> {
  const { assignee } = row
  const taken = row.state === 'assigned'
  if (taken) {
    await endAttempt(tx, row, 'released', reason, parts.clock.now())
    if (assignee !== null) tellStop(parts, tx, row, assignee, `its run is paused: ${reason}`)
  }
  const changes = { lease_until: null, available_at: null, token: row.token + 1 }
  await move(parts, tx, taken ? { ...row, attempt: row.attempt - 1 } : row, 'paused', 'task.paused', changes, reason)
}
