/**
 * Every error Cadre can answer with: code -> HTTP status, JSON-RPC code, retryable, title. An error on the wire is a code plus
 * parameters; the sentence is made here from both, so that every surface says the same.
 */
interface ErrorSpec {
  status: number
  rpc: number
  retryable: boolean
  title: string
  /** One sentence that says what to do next; `{name}` is replaced by the parameter. */
  detail: string
}

const spec = (status: number, rpc: number, retryable: boolean, title: string, detail: string): ErrorSpec => ({
  status,
  rpc,
  retryable,
  title,
  detail,
})

export const errors = {
  invalid_request: spec(422, -32602, false, 'The request is not valid', 'Correct the fields listed in errors and send it again.'),
  malformed: spec(400, -32700, false, 'The request cannot be read', '{reason}'),
  unknown_operation: spec(404, -32601, false, 'No such operation', 'There is no operation {name}; see /docs for the list.'),
  route_not_found: spec(404, -32601, false, 'No such address', 'Nothing answers at {method} {path}; see /docs for the list.'),
  unauthenticated: spec(401, -32001, false, 'A credential is needed', '{reason}'),
  forbidden: spec(403, -32003, false, 'Not permitted', '{reason}'),
  sender_mismatch: spec(
    403,
    -32003,
    false,
    'The sender is stamped by the server',
    'You act as {actual}; leave out the sender or use the token of {claimed}.',
  ),
  not_found: spec(404, -32004, false, 'Not found', 'There is no {entity} {id}; list them to see what exists.'),
  name_taken: spec(
    409,
    -32009,
    false,
    'The name is taken',
    'An agent named {name} exists; pass its token to take it over, or choose another name.',
  ),
  illegal_transition: spec(
    409,
    -32009,
    false,
    'Not a legal move',
    'A {entity} that is {from} cannot become {to}; legal: {legal}.',
  ),
  stale_lease: spec(
    409,
    -32009,
    false,
    'The lease is no longer current',
    'Task {id} is no longer yours; drop the work, another agent holds it or it has ended.',
  ),
  lease_required: spec(409, -32009, false, 'A lease is needed', 'Send the lease that came with task {id}, or claim it first.'),
  stale_receipt: spec(
    409,
    -32009,
    false,
    'The receipt is no longer current',
    'The delivery was acknowledged, expired or sent again; act on the newest delivery.',
  ),
  idempotency_conflict: spec(
    422,
    -32010,
    false,
    'The idempotency key was used for another request',
    'Use a new key for a new request.',
  ),
  version_mismatch: spec(
    412,
    -32012,
    false,
    'The version has moved on',
    'The current version of {key} is {version}; read it, merge and write again.',
  ),
  cycle: spec(422, -32602, false, 'The dependencies form a cycle', 'Break the cycle {path}.'),
  deadline_exceeded: spec(
    504,
    -32008,
    true,
    'No answer in time',
    'No reply within {timeout_ms} ms; a late one will be kept under conversation {conversation_id}.',
  ),
  undeliverable: spec(
    502,
    -32020,
    false,
    'The message could not be delivered',
    'Message {id} was given up: {reason}. See its receipt, or the dead letters.',
  ),
  cancelled: spec(499, -32011, false, 'Cancelled', 'The {entity} {id} was cancelled.'),
  outcome_unknown: spec(
    409,
    -32013,
    false,
    'The outcome is unknown',
    'Call {key} of {tool} began and never reported back; check its effect and settle it by hand.',
  ),
  loop_stopped: spec(
    409,
    -32021,
    false,
    'Stopped by a loop brake',
    '{reason} Do something else: rule {rule} holds this until {held_until}, or until an operator resets brake {brake_id} (brakes.reset).',
  ),
  tool_failed: spec(502, -32014, false, 'The tool failed', '{reason}'),
  model_failed: spec(502, -32015, true, 'The model call failed', '{reason}'),
  too_large: spec(
    413,
    -32016,
    false,
    'Too large',
    '{what} is over the limit of {limit}; store it as an artifact and send the reference.',
  ),
  inbox_full: spec(429, -32029, true, 'The inbox is full', 'Agent {agent} has {limit} messages waiting; send again later.'),
  rate_limited: spec(429, -32029, true, 'Too many requests', 'Wait {retry_after_s} s.'),
  too_many_connections: spec(
    429,
    -32029,
    true,
    'Too many connections',
    '{scope} has {limit} connections; close one, or use one for several calls.',
  ),
  overloaded: spec(
    503,
    -32018,
    true,
    'Too busy for this priority',
    'Send it again in {retry_after_s} s; what has a higher priority is still taken.',
  ),
  stale_cursor: spec(409, -32009, false, 'The cursor is no longer current', '{reason}'),
  conflict: spec(409, -32009, false, 'Conflict', '{reason}'),
  unsupported: spec(501, -32017, false, 'Not available here', '{reason}'),
  draining: spec(503, -32018, true, 'The server is stopping', 'Connect again in a moment.'),
  unavailable: spec(503, -32018, true, 'Temporarily unavailable', '{reason}'),
  storage_full: spec(507, -32019, true, 'The disk is full', 'Free space on the data folder; reads still work.'),
  internal: spec(500, -32603, true, 'Something went wrong on our side', 'The trace id is in the server log; please report it.'),
} as const satisfies Record<string, ErrorSpec>

export type ErrorCode = keyof typeof errors
export type ErrorParameters = Readonly<Record<string, unknown>>

export interface FieldError {
  /** JSON pointer to the offending value. */
  pointer: string
  detail: string
}

/** RFC 9457 problem object, the one shape of every error answer. */
export interface Problem {
  type: string
  title: string
  status: number
  detail: string
  code: ErrorCode
  retryable: boolean
  parameters?: ErrorParameters
  errors?: FieldError[]
  trace_id?: string
}

/** The only error class that crosses a surface. Anything else becomes `internal` and is logged. */
export class CadreError extends Error {
  readonly code: ErrorCode
  readonly parameters: ErrorParameters
  readonly fields: FieldError[] | undefined

  constructor(code: ErrorCode, parameters: ErrorParameters = {}, options: { cause?: unknown; fields?: FieldError[] } = {}) {
    super(sentence(code, parameters), options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'CadreError'
    this.code = code
    this.parameters = parameters
    this.fields = options.fields
  }

  toProblem(traceId?: string): Problem {
    const { status, title, retryable } = errors[this.code]
    return {
      type: `urn:cadre:error:${this.code}`,
      title,
      status,
      detail: this.message,
      code: this.code,
      retryable,
      ...(Object.keys(this.parameters).length > 0 && { parameters: this.parameters }),
      ...(this.fields && { errors: this.fields }),
      ...(traceId !== undefined && { trace_id: traceId }),
    }
  }
}

function sentence(code: ErrorCode, parameters: ErrorParameters): string {
  return errors[code].detail.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = parameters[name]
    if (value === undefined) return 'unknown'
    if (Array.isArray(value)) return value.join(', ')
    return typeof value === 'object' ? JSON.stringify(value) : String(value)
  })
}
