/**
 * Journaled steps: what a task did stays done. Vocabulary: begun: somebody does it now, or died doing it. unknown: begun under a lease
 * that is no longer current; whether its effect happened cannot be told from here.
 */
import { CadreError, type ParsedInputOf } from '@cadre/contract'
import { iso, isoOrNull } from '../../core/clock.ts'
import type { Context, WriteTx } from '../../core/context.ts'
import type { Handlers } from '../../core/invoke.ts'
import { serialise } from '../../core/limits.ts'
import { boundedRows, numberCursor, pageFrom } from '../../core/paging.ts'
import type { Reader } from '../../drivers/database/port.ts'
import type { Engine } from './engine.ts'
import { requireHolder } from './fencing.ts'
import type { Asking } from './input.ts'
import { type StepRow, getStep, lastPosition, listSteps, saveStep } from './journal.ts'
import { findTask } from './listing.ts'
import { illegal } from './moves.ts'
import type { TaskRow } from './store.ts'
import { isHeld } from './view.ts'

/** Where results are kept that are too large for the journal. */
export interface ResultStore {
  /** Answers the id of the artifact, once its bytes are durable. */
  keep: (context: Context, task: string, name: string, json: string) => Promise<string>
  read: (tenant: number, artifact: string) => Promise<string>
}

const maxStepResultBytes = 1024 * 1024
/** Larger results are artifacts: the same bytes are stored once, and the journal holds a reference. */
const maxInlineBytes = 64 * 1024
const maxSteps = 10_000

type Named = Pick<ParsedInputOf<'steps.finish'>, 'task_id' | 'lease'>

export function makeSteps(
  engine: Engine,
  results: ResultStore,
  asking: Asking,
): Pick<Handlers, 'steps.begin' | 'steps.finish' | 'steps.list'> {
  const { parts } = engine
  const { database, directory, clock } = parts

  /** The task, of which the caller proved that it does it now. */
  async function held(reader: Reader, context: Context, { task_id, lease }: Named): Promise<TaskRow> {
    const row = await findTask(reader, context, task_id)
    requireHolder(parts, row, lease, context)
    if (!isHeld(row.state)) throw illegal(row, 'running')
    return row
  }

  const told = (row: TaskRow, step: StepRow) => ({
    task_id: row.id,
    step: step.name,
    attempt: row.attempt,
    agent: directory.nameOf(step.agent) ?? 'unknown',
  })

  async function begin(tx: WriteTx, context: Context, row: TaskRow, input: ParsedInputOf<'steps.begin'>, prior?: StepRow) {
    const again = prior?.state === 'begun'
    const position = prior?.position ?? (await lastPosition(tx, row.tenant, row.id)) + 1
    if (position > maxSteps)
      throw new CadreError('too_large', { what: `The journal of task ${row.id}`, limit: `${maxSteps} steps` })
    const step: StepRow = {
      tenant: row.tenant,
      task: row.id,
      name: input.name,
      position,
      state: 'begun',
      effect: input.effect,
      token: row.token,
      attempt: row.attempt,
      agent: row.assignee ?? context.caller.id,
      input_hash: input.input_hash ?? prior?.input_hash ?? null,
      result: 'null',
      size: 0,
      artifact: null,
      begun_at: clock.now(),
      finished_at: null,
    }
    await saveStep(tx, step)
    tx.emit({ type: 'step.begun', subject: row.id, task: row.id, data: { ...told(row, step), again } })
    return again ? ('unknown' as const) : ('new' as const)
  }

  return {
    'steps.begin': async (context, input) => {
      const { state, step, request_id, receipt } = await context.write(async (tx) => {
        const row = await held(tx, context, input)
        const step = await getStep(tx, row.tenant, row.id, input.name)
        if (step?.input_hash && input.input_hash !== undefined && input.input_hash !== step.input_hash)
          throw new CadreError('conflict', { reason: `Step ${input.name} worked on another input; give this one another name.` })
        if (step?.state === 'finished') return { id: row.id, state: 'done' as const, step }
        // The same call again, under the same lease.
        if (step?.state === 'begun' && step.token === row.token) return { id: row.id, state: 'new' as const }
        if (step?.state === 'begun' && (step.effect === 'once' || input.effect === 'once')) {
          const request = await asking.askOutcome(tx, context, row, step)
          return { id: row.id, state: 'unknown' as const, request_id: request.id }
        }
        return { id: row.id, state: await begin(tx, context, row, input, step) }
      })
      if (!step) return { state, ...(request_id !== undefined && { request_id }), receipt }
      const text = step.artifact === null ? step.result : await results.read(context.tenant, step.artifact)
      return { state, result: JSON.parse(text) as unknown, receipt }
    },

    'steps.finish': async (context, input) => {
      const text = serialise(input.result ?? null, 'result', maxStepResultBytes)
      const size = Buffer.byteLength(text)
      let artifact: string | null = null
      if (size > maxInlineBytes) {
        // Who may not write here leaves no bytes behind either.
        await held(database, context, input)
        artifact = await results.keep(context, input.task_id, input.name, text)
      }
      const { already, receipt } = await context.write(async (tx) => {
        const row = await held(tx, context, input)
        const step = await getStep(tx, row.tenant, row.id, input.name)
        if (!step) throw new CadreError('not_found', { entity: 'step', id: input.name })
        if (step.state === (input.void ? 'void' : 'finished')) return { id: row.id, already: true }
        if (step.state !== 'begun' || step.token !== row.token)
          throw new CadreError('conflict', { reason: `Step ${input.name} was not begun under this lease; begin it first.` })
        if (input.void) {
          await saveStep(tx, { ...step, state: 'void' })
          tx.emit({ type: 'step.voided', subject: row.id, task: row.id, data: told(row, step) })
          return { id: row.id, already: false }
        }
        const result = artifact === null ? text : 'null'
        const done: StepRow = { ...step, state: 'finished', result, size, artifact, finished_at: clock.now() }
        await saveStep(tx, done)
        const data = { ...told(row, done), size, artifact_id: artifact }
        tx.emit({ type: 'step.finished', subject: row.id, task: row.id, data })
        return { id: row.id, already: false }
      })
      return { state: input.void ? 'void' : 'done', receipt, ...(already && { already }) }
    },

    'steps.list': async (context, input) => {
      await findTask(database, context, input.task_id)
      const after = numberCursor(input.cursor) ?? 0
      const read = await boundedRows<StepRow>(
        input.limit,
        (last, count) => listSteps(database, context.tenant, input.task_id, last?.position ?? after, count),
        (row) => row.result.length,
      )
      return pageFrom(
        read,
        (row) => row.position,
        (row) => ({
          name: row.name,
          state: row.state,
          effect: row.effect,
          input_hash: row.input_hash,
          attempt: row.attempt,
          agent: directory.nameOf(row.agent) ?? 'unknown',
          size: row.size,
          artifact_id: row.artifact,
          result: JSON.parse(row.result) as unknown,
          begun_at: iso(row.begun_at),
          finished_at: isoOrNull(row.finished_at),
        }),
      )
    },
  }
}
