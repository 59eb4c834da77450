/**
 * Questions a task cannot go on without: it waits as `input_required` with no lease running, and goes on once somebody answered.
 * Approvals, and what came of a step nobody heard of again, are such questions too.
 */
import { createHash } from 'node:crypto'
import { CadreError, type InputRequest, type ParsedInputOf } from '@cadre/contract'
import { Background } from '../../core/background.ts'
import { canonicalJson } from '../../core/canonical.ts'
import type { Context, WriteTx } from '../../core/context.ts'
import type { Handlers } from '../../core/invoke.ts'
import { readSchema } from '../../core/json-schema.ts'
import { serialise } from '../../core/limits.ts'
import type { Engine } from './engine.ts'
import { requireHolder } from './fencing.ts'
import { type SettleCall, makeAnswers } from './input-answers.ts'
import { type InputRow, type TitledInput, inputUnder, markTold, saveInput, untoldInputs } from './input-store.ts'
import { inputFacts, viewInput } from './input-view.ts'
import type { StepRow } from './journal.ts'
import { findTask } from './listing.ts'
import { illegal, isGone, move } from './moves.ts'
import { type TaskRow, endAttempt } from './store.ts'
import { isHeld } from './view.ts'

export interface InputParts {
  newId: (prefix: string) => string
  /** Puts a question into the inboxes of those who may answer it. */
  tell: (tenant: number, to: string[], request: InputRequest) => Promise<unknown>
  settleCall: SettleCall
}

/** A call of a tool under a lease, whose end nobody saw. */
interface UnknownCall {
  task: string
  lease: string
  tool: string
  key: string
}

export interface Asking {
  /** The task waits for a person to say whether a step had its effect. */
  askOutcome(tx: WriteTx, context: Context, row: TaskRow, step: StepRow): Promise<{ id: string }>
}

type Question = Pick<InputRow, 'key' | 'kind' | 'prompt' | 'schema' | 'action' | 'args' | 'step'>

const maxSchemaBytes = 64 * 1024
const maxArgsBytes = 256 * 1024
const toldAtOnce = 64

export interface Inputs extends Asking {
  handlers: Pick<Handlers, 'tasks.request_input' | 'tasks.provide_input' | 'approvals.decide'>
  /** As `askOutcome`, of a call. Answers the question, or undefined when the lease is no longer current. */
  askCallOutcome(context: Context, call: UnknownCall): Promise<string | undefined>
  /** Tells of what was asked, and by whom nobody was told before the last process ended. */
  resume(): void
  close(): Promise<void>
}

export function makeInputs(engine: Engine, inputs: InputParts): Inputs {
  const { parts } = engine
  const { database, directory, clock } = parts
  const background = new Background(parts.logger, 'a question could not be put to the operator')
  let telling = false
  let more = false

  /** The task waits from now on; the attempt that asked does not count, and its lease is void. */
  async function ask(tx: WriteTx, context: Context, row: TaskRow, question: Question): Promise<TitledInput> {
    const now = clock.now()
    const known = await inputUnder(tx, row.tenant, row.id, question.key)
    const request: TitledInput = {
      ...question,
      tenant: row.tenant,
      id: known?.id ?? inputs.newId('ask'),
      task: row.id,
      state: 'open',
      asked_by: row.assignee ?? context.caller.id,
      asked_at: known?.asked_at ?? now,
      answer: 'null',
      approved: null,
      comment: null,
      answered_by: null,
      answered_at: null,
      told: 0,
      title: row.title,
      creator: row.creator,
    }
    await saveInput(tx, request)
    await endAttempt(tx, row, 'released', `waits for an answer: ${question.prompt}`.slice(0, 500), now)
    const changes = { token: row.token + 1, attempt: row.attempt - 1, lease_until: null, taken_at: null }
    await move(parts, tx, row, 'input_required', 'task.input_required', changes, question.prompt.slice(0, 500))
    tx.emit({ type: 'input.requested', subject: row.id, task: row.id, data: inputFacts(request, directory) })
    tx.afterCommit(tellAll)
    return request
  }

  function tellAll(): void {
    more = telling
    if (telling) return
    telling = true
    const done = () => {
      telling = false
      if (more) tellAll()
    }
    background.run(tellUntold().finally(done))
  }

  async function tellUntold(): Promise<void> {
    for (;;) {
      const untold = await untoldInputs(database, toldAtOnce)
      if (untold.length === 0) return
      for (const row of untold) {
        const creator = directory.byId(row.creator)
        const asked = creator.kind === 'agent' && creator.id !== row.asked_by && !isGone(parts, creator.id)
        if (row.state === 'open')
          await inputs.tell(row.tenant, asked ? ['operator', creator.name] : ['operator'], viewInput(row, directory))
        await parts.engine().write(async (tx) => {
          await markTold(tx, row.tenant, row.id)
          return {}
        })
      }
    }
  }

  return {
    async askOutcome(tx, context, row, step) {
      return ask(tx, context, row, {
        // One question for each time it began.
        key: `step/${step.position}/${step.token}`,
        kind: 'outcome',
        prompt: `Step "${step.name}" began and never reported back. Did it happen?`,
        schema: null,
        action: null,
        args: 'null',
        step: step.name,
      })
    },

    async askCallOutcome(context, { task, lease, tool, key }) {
      const digest = createHash('sha256')
        .update(JSON.stringify([tool, key]))
        .digest('hex')
      try {
        const { request } = await context.write(
          async (tx) => {
            const row = await findTask(tx, context, task)
            requireHolder(parts, row, lease, context)
            const request = await ask(tx, context, row, {
              key: `tool/${digest}/${row.token}`,
              kind: 'outcome',
              prompt: `The call of ${tool} began and its end was not seen. Did it happen?`,
              schema: null,
              action: tool,
              args: JSON.stringify({ key }),
              step: null,
            })
            return { request }
          },
          { keyed: false },
        )
        return request.id
      } catch (error) {
        // Another call of the same attempt asked first, or the task was not begun: the next attempt asks.
        if (error instanceof CadreError && (error.code === 'stale_lease' || error.code === 'illegal_transition')) return undefined
        throw error
      }
    },

    resume: tellAll,
    close: () => background.idle(),

    handlers: {
      'tasks.request_input': async (context, input) => {
        const question = questionOf(input)
        const { state, request, receipt } = await context.write(async (tx) => {
          const row = await findTask(tx, context, input.id)
          requireHolder(parts, row, input.lease, context)
          const known = await inputUnder(tx, row.tenant, row.id, question.key)
          if (known?.state === 'answered') return { id: known.id, state: 'answered' as const, request: known }
          if (!isHeld(row.state)) throw illegal(row, 'input_required')
          return { id: row.id, state: 'waiting' as const, request: await ask(tx, context, row, question) }
        })
        return { state, request: viewInput(request, directory), receipt }
      },
      ...makeAnswers(engine, inputs.settleCall),
    },
  }
}

/** Throws `invalid_request` for a question without words, or a schema that cannot be read. */
function questionOf({ key, prompt, schema, action, args }: ParsedInputOf<'tasks.request_input'>): Question {
  if (action !== undefined) {
    const text = serialise(args ?? null, 'args', maxArgsBytes)
    // An approval is for these arguments: with others it is another question.
    const named = `approval/${key}/${createHash('sha256')
      .update(canonicalJson([action, args ?? null]))
      .digest('hex')}`
    return {
      key: named,
      kind: 'approval',
      prompt: prompt ?? `May it do ${action}?`,
      schema: null,
      action,
      args: text,
      step: null,
    }
  }
  if (prompt === undefined)
    throw new CadreError(
      'invalid_request',
      {},
      { fields: [{ pointer: '/prompt', detail: 'Say what is asked, or name an action.' }] },
    )
  const text = schema === undefined ? null : serialise(schema, 'schema', maxSchemaBytes)
  if (schema !== undefined) readSchema(schema, 'schema')
  return { key: `input/${key}`, kind: 'input', prompt, schema: text, action: null, args: 'null', step: null }
}
