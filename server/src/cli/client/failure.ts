/** How a command ends badly: one class, one table of exit codes, one way to print. Never a stack. */
import { CadreError, type FieldError, type Problem } from '@cadre/contract'
import type { Terminal } from './terminal.ts'
import { printable } from './text.ts'

export const exitCodes = {
  ok: 0,
  failed: 1,
  usage: 2,
  notFound: 3,
  denied: 4,
  conflict: 5,
  timeout: 6,
  unavailable: 7,
  interrupted: 130,
} as const
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes]

interface Details {
  title?: string | undefined
  hint?: string | undefined
  fields?: readonly FieldError[] | undefined
  traceId?: string | undefined
  /** The server's own problem object, as it came. */
  problem?: string | undefined
  cause?: unknown
}

/** `message` says what happened, `hint` what to do next. */
export class Failure extends Error {
  readonly exitCode: ExitCode
  readonly title: string | undefined
  readonly hint: string | undefined
  readonly fields: readonly FieldError[]
  readonly traceId: string | undefined
  readonly problem: string | undefined

  constructor(exitCode: ExitCode, message: string, details: Details = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.name = 'Failure'
    this.exitCode = exitCode
    this.title = details.title
    this.hint = details.hint
    this.fields = details.fields ?? []
    this.traceId = details.traceId
    this.problem = details.problem
  }

  /** The same failure with advice. */
  hinting(hint: string): Failure {
    const { exitCode, title, fields, traceId, problem, cause } = this
    return new Failure(exitCode, this.message, { title, hint, fields, traceId, problem, cause })
  }
}

const byStatus: Readonly<Record<number, ExitCode>> = {
  400: exitCodes.usage,
  422: exitCodes.usage,
  404: exitCodes.notFound,
  401: exitCodes.denied,
  403: exitCodes.denied,
  409: exitCodes.conflict,
  412: exitCodes.conflict,
  408: exitCodes.timeout,
  504: exitCodes.timeout,
  503: exitCodes.unavailable,
}

const exitCodeOf = ({ code, status }: Pick<Problem, 'code' | 'status'>): ExitCode =>
  // Sent as 422, but nothing about the request itself is wrong.
  code === 'idempotency_conflict' ? exitCodes.conflict : (byStatus[status] ?? exitCodes.failed)

export function fromProblem(problem: Problem, raw: string): Failure {
  return new Failure(exitCodeOf(problem), problem.detail, {
    title: problem.title,
    fields: problem.errors,
    traceId: problem.trace_id,
    problem: raw,
    hint: problem.code === 'unauthenticated' ? 'Give an API key with --token or CADRE_TOKEN.' : undefined,
  })
}

export const usage = (message: string, fields?: readonly FieldError[]): Failure =>
  new Failure(exitCodes.usage, message, { fields })

/** Anything thrown, as a failure; what nobody foresaw keeps its message only. */
export function toFailure(error: unknown): Failure {
  if (error instanceof Failure) return error
  if (error instanceof CadreError) {
    const problem = error.toProblem()
    return fromProblem(problem, JSON.stringify(problem))
  }
  return new Failure(exitCodes.failed, error instanceof Error ? error.message : String(error), { cause: error })
}

/** On standard error; with `--json` the problem object alone, as the server sent it. */
export function printFailure(terminal: Terminal, failure: Failure, json: boolean): void {
  if (json && failure.problem !== undefined) {
    terminal.stderr.write(`${failure.problem}\n`)
    return
  }
  const { red, dim, bold } = terminal.errorColours
  const lines = [
    `${red('✗')} ${failure.title === undefined ? '' : `${bold(printable(failure.title))}: `}${printable(failure.message)}`,
    ...failure.fields.map(({ pointer, detail }) => `  ${pointer === '/' ? 'input' : printable(pointer)}: ${printable(detail)}`),
    ...(failure.hint === undefined ? [] : [`  ${failure.hint}`]),
    ...(failure.traceId === undefined ? [] : [dim(`  trace ${printable(failure.traceId)}`)]),
  ]
  terminal.stderr.write(`${lines.join('\n')}\n`)
}
