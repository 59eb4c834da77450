/** What counts as an answer to each kind of question, and the lists of those that wait. */
import { CadreError, type OutputOf, outcome } from '@cadre/contract'
import { z } from 'zod'
import type { Context } from '../../core/context.ts'
import type { Handlers } from '../../core/invoke.ts'
import { requireFit } from '../../core/json-schema.ts'
import { boundedRows, decodeCursor, pageFrom } from '../../core/paging.ts'
import type { Engine } from './engine.ts'
import { type InputFilter, type TitledInput, listInputs } from './input-store.ts'
import { viewInput } from './input-view.ts'

const decision = z.strictObject({ approved: z.boolean(), comment: z.string().max(10_000).optional() })

interface Given {
  /** As it is kept. */
  input: unknown
  approved?: boolean
  comment?: string | undefined
  /** Of a step. */
  happened?: boolean
  result?: unknown
}

/** Throws `invalid_request` for an answer that does not fit its question. */
export function answerOf(request: TitledInput, given: unknown): Given {
  if (request.kind === 'approval') {
    const input = parsed(decision, given)
    return { ...input, input }
  }
  if (request.kind === 'outcome') {
    const input = parsed(outcome.strict(), given)
    return { input, happened: input.outcome === 'happened', result: input.result }
  }
  if (request.schema !== null) requireFit(JSON.parse(request.schema) as Record<string, unknown>, 'input', given)
  return { input: given }
}

function parsed<T extends z.ZodType>(schema: T, given: unknown): z.output<T> {
  const read = schema.safeParse(given)
  if (read.success) return read.data
  const fields = read.error.issues.map((issue) => ({ pointer: ['', 'input', ...issue.path].join('/'), detail: issue.message }))
  throw new CadreError('invalid_request', {}, { fields })
}

export function makeApprovals(engine: Engine): Pick<Handlers, 'inputs.list' | 'approvals.list'> {
  const { database, directory } = engine.parts

  async function pageOf(
    filter: Omit<InputFilter, 'before'>,
    limit: number,
    cursor: string | undefined,
  ): Promise<OutputOf<'inputs.list'>> {
    const before = decodeCursor(cursor)
    const read = await boundedRows<TitledInput>(
      limit,
      (last, count) =>
        listInputs(database, { ...filter, before: last?.id ?? (before === undefined ? undefined : String(before)) }, count),
      (row) => row.answer.length + row.args.length + row.prompt.length,
    )
    return pageFrom(
      read,
      (row) => row.id,
      (row) => viewInput(row, directory),
    )
  }

  return {
    'inputs.list': ({ tenant }: Context, { kind, state, task_id, limit, cursor }) =>
      pageOf({ tenant, kind, state, task: task_id }, limit, cursor),
    'approvals.list': ({ tenant }: Context, { state, task_id, limit, cursor }) =>
      pageOf({ tenant, kind: 'approval', state, task: task_id }, limit, cursor),
  }
}
