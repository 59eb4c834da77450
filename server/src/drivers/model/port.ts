/**
 * The model port. A *driver* turns one request into a stream of text from one provider; the server's `model.generate`
 * operation is its only caller, so journal, budgets and rate governing hang there and not here.
 *
 * JSON shapes are snake_case because a request is the operation's input and the events are what it streams.
 */

export type ModelRole = 'system' | 'user' | 'assistant'

export type ModelMessage = { role: ModelRole; content: string }

/** `json` asks the provider for one JSON value as the text; with a JSON Schema it is asked to match. The port never checks: the caller parses. */
export type ModelResponseFormat = { type: 'text' } | { type: 'json'; schema?: Record<string, unknown> | undefined }

/**
 * At most 1,000 messages and 4 MiB of UTF-16 units together. `system` messages stand before all others (two of three
 * providers refuse them elsewhere), and at least one `user` message is not blank.
 */
export type ModelRequest = {
  messages: readonly ModelMessage[]
  /** Another model of the same provider; `<this provider>/<id>` is accepted too. Default: the port's `model`. */
  model?: string | undefined
  /** Upper bound of generated tokens, 1 or more. Reasoning models count their hidden tokens too, so a small bound can leave no text. */
  max_output_tokens?: number | undefined
  /** A hint: providers and models without it ignore it silently. */
  temperature?: number | undefined
  /** At most four strings that end the answer; the answer does not contain them. A hint for models without it. */
  stop?: readonly string[] | undefined
  response_format?: ModelResponseFormat | undefined
  /** A hint: the same seed makes equal answers likelier where the provider supports it. */
  seed?: number | undefined
}

export type ModelFinishReason = 'stop' | 'length' | 'content_filter' | 'tool_calls' | 'other'

/** Tokens. `estimated` marks numbers counted by us (UTF-8 bytes / 4) because the provider sent none. */
export type ModelUsage = { input_tokens: number; output_tokens: number; total_tokens: number; estimated?: true }

/** A piece of the answer, never empty. `index` counts from 0 without gaps within one call. */
export type ModelDelta = { type: 'delta'; index: number; text: string }

/** The whole answer. `model` is the id that was asked for, not the dated alias that a provider may answer with. */
export type ModelResult = {
  type: 'result'
  text: string
  provider: string
  model: string
  finish_reason: ModelFinishReason
  usage: ModelUsage
}

export type ModelEvent = ModelDelta | ModelResult

/**
 * One provider and its default model. Calls are independent and may run side by side.
 *
 * `generate` does nothing until it is iterated. It yields deltas in the order of the text, then exactly one result whose
 * `text` is the deltas joined, then ends. Otherwise it throws once, possibly after deltas, which are then void; a driver
 * never retries, so the caller may do so with the same request.
 *
 * - Abort: the iteration rejects with an `AbortError` (a `DOMException`, `cause` is the signal's reason) without waiting for
 *   the provider, and the connection is dropped. Leaving the loop early drops it too.
 * - Deadline: pass `AbortSignal.timeout(ms)`; it rejects with `ModelError` kind `timeout`. There is no shorter deadline of
 *   the port's own: HTTP alone gives up after 300 s of silence.
 * - Everything else that fails is a `ModelError`.
 *
 * `close` aborts running calls and resolves at once; a call after it is refused with kind `unavailable`. Closing twice is allowed.
 */
export interface ModelPort {
  readonly provider: string
  readonly model: string
  generate(request: ModelRequest, options: { signal: AbortSignal }): AsyncIterable<ModelEvent>
  close(): Promise<void>
}

/**
 * - `unauthorised`: the key is missing, wrong or not allowed to use this model.
 * - `rate_limited`: too many requests or tokens, or the account's quota is used up (then not retryable).
 * - `overloaded`: the provider asks everybody to come later.
 * - `invalid_request`: this request will never be accepted, an unknown model id included.
 * - `timeout`: the caller's deadline, or silence on the connection.
 * - `network`: no connection, or it broke.
 * - `content_filter`: the provider refused the prompt.
 * - `unavailable`: the provider failed, or its answer broke off or is not in its own format; also: the driver cannot serve this at all.
 */
export type ModelErrorKind =
  | 'unauthorised'
  | 'rate_limited'
  | 'overloaded'
  | 'invalid_request'
  | 'timeout'
  | 'network'
  | 'content_filter'
  | 'unavailable'

const retryableByNature: ReadonlySet<ModelErrorKind> = new Set([
  'rate_limited',
  'overloaded',
  'timeout',
  'network',
  'unavailable',
])

/** Message and cause hold neither the key nor the prompt. `retry_after_ms` is the provider's own wish, when it stated one. */
export class ModelError extends Error {
  override readonly name = 'ModelError'
  readonly kind: ModelErrorKind
  readonly retryable: boolean
  readonly retry_after_ms?: number

  constructor(
    kind: ModelErrorKind,
    message: string,
    options: { cause: unknown; retryable?: boolean | undefined; retry_after_ms?: number | undefined },
  ) {
    super(message, { cause: options.cause })
    this.kind = kind
    this.retryable = options.retryable ?? retryableByNature.has(kind)
    if (options.retry_after_ms !== undefined) this.retry_after_ms = options.retry_after_ms
  }
}
