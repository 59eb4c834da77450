import type { ErrorCode, FieldError, Problem } from '@cadre/contract'
import { toMilliseconds } from './clock.ts'

/** What can go wrong on this side of the wire, beside the codes of the contract. */
export type ClientErrorCode =
  | 'closed'
  | 'timeout'
  | 'connection_lost'
  | 'queue_full'
  | 'replaced'
  | 'bad_answer'
  | 'task_failed'
  | 'lease_lost'
  | 'input_required'
  | 'message_dead'
  | 'expired'
  | 'unroutable'
  | 'outbox_locked'
  | 'outbox_failed'
type AnyCode = ErrorCode | ClientErrorCode | (string & {})

interface Details {
  status?: number | undefined
  retryable?: boolean | undefined
  parameters?: Readonly<Record<string, unknown>> | undefined
  errors?: readonly FieldError[] | undefined
  traceId?: string | undefined
  cause?: unknown
}

/** Every error of a call: the fields of the server's problem object, or one made here (`status` 0). */
export class CadreClientError extends Error {
  readonly code: AnyCode
  /** HTTP status; 0 when no server answered. */
  readonly status: number
  /** True when the same call may succeed later; a retry with the same idempotency key is always safe. */
  readonly retryable: boolean
  readonly parameters: Readonly<Record<string, unknown>>
  /** The offending fields of an `invalid_request`, as JSON pointers. */
  readonly errors: readonly FieldError[]
  readonly traceId: string | undefined

  constructor(code: AnyCode, message: string, details: Details = {}) {
    const { status = 0, retryable = false, parameters = {}, errors = [], traceId } = details
    super(message, details)
    this.name = 'CadreClientError'
    this.code = code
    this.status = status
    this.retryable = retryable
    this.parameters = parameters
    this.errors = errors
    this.traceId = traceId
  }
}

/** The error for a problem object; anything else that came as a refusal becomes `bad_answer`. */
export function fromProblem(value: unknown, status = 0): CadreClientError {
  const problem = (typeof value === 'object' && value !== null ? value : {}) as Partial<Problem>
  if (typeof problem.code !== 'string') {
    return new CadreClientError('bad_answer', `The server refused without a reason${status ? ` (HTTP ${status})` : ''}.`, {
      status,
      retryable: status >= 500,
    })
  }
  const fields = problem.errors?.map((field) => `${field.pointer}: ${field.detail}`).join('; ')
  return new CadreClientError(problem.code, [problem.detail ?? problem.title ?? problem.code, fields].filter(Boolean).join(' '), {
    status: problem.status ?? status,
    retryable: problem.retryable,
    parameters: problem.parameters,
    errors: problem.errors,
    traceId: problem.trace_id,
  })
}

export const closedError = (reason = 'The connection was closed.'): CadreClientError => new CadreClientError('closed', reason)
export const hasCode = (error: unknown, code: AnyCode): boolean => error instanceof CadreClientError && error.code === code
export const messageOf = (error: unknown): string =>
  (error instanceof Error ? error.message || error.name : String(error)) || 'failed'

/** Thrown in a handler: try again, no sooner than `after` (milliseconds, or `'30s'`); the server's back-off when left out. */
export class Retry extends Error {
  readonly after: number | undefined

  constructor(options: { after?: number | string; reason?: string; cause?: unknown } = {}) {
    super(options.reason ?? 'to be tried again', options)
    this.name = 'Retry'
    this.after = options.after === undefined ? undefined : toMilliseconds(options.after)
  }
}

/** Thrown in a handler: never try again. A message goes to the dead letters, a task fails with the code `rejected`. */
export class Reject extends Error {
  constructor(reason: string, options?: { cause?: unknown }) {
    super(reason, options)
    this.name = 'Reject'
  }
}
