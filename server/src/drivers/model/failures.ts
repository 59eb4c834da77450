import { ModelError, type ModelErrorKind } from './port.ts'

type Fields = Record<string, unknown>

const timeoutCodes = new Set(['ETIMEDOUT', 'UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT', 'UND_ERR_CONNECT_TIMEOUT'])
/** Errors that the library throws before sending anything: our request cannot be put into this provider's words. */
const requestErrors = new Set(['AI_UnsupportedFunctionalityError', 'AI_InvalidPromptError', 'AI_InvalidArgumentError'])
const MAX_DEPTH = 5
const MAX_MESSAGE = 500
/** A stack begins with its message, which can quote a whole stream. */
const MAX_STACK = 4000

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '')
const fieldsOf = (value: unknown): Fields => (typeof value === 'object' && value !== null ? (value as Fields) : {})

/**
 * Translates whatever the model library threw or streamed as an error. `secret` is the key in use: it is struck out
 * wherever a server echoed it. The cause is a copy with name, message, stack, code and status only, because the library's
 * own error also carries the whole prompt. `now` in ms since the epoch, for `Retry-After` dates.
 */
export function toModelError(error: unknown, provider: string, model: string, secret: string, now: number): ModelError {
  if (error instanceof ModelError) return error
  const redact = (text: string): string => (secret === '' ? text : text.replaceAll(secret, '[key]'))
  const fields = fieldsOf(error)
  const status = typeof fields['statusCode'] === 'number' ? fields['statusCode'] : undefined
  const detail = redact(typeof error === 'string' ? error : textOf(fields['message']) || 'no reason given').slice(0, MAX_MESSAGE)
  const { kind, retryable } = classify(error, fields, status)
  return new ModelError(kind, `${provider} (${model}): ${explain(kind, status)} ${detail}`, {
    cause: copyWithoutSecrets(error, redact, 0),
    retryable,
    retry_after_ms: retryAfter(fields, now),
  })
}

function classify(error: unknown, fields: Fields, status: number | undefined): { kind: ModelErrorKind; retryable?: boolean } {
  const chain = causesOf(error)
  const body = typeof fields['responseBody'] === 'string' ? fields['responseBody'] : JSON.stringify(fields['data'] ?? '')
  if (status !== undefined && status >= 400) return { ...byStatus(status, body) }
  if (chain.some(({ code }) => typeof code === 'string' && timeoutCodes.has(code))) return { kind: 'timeout' }
  if (chain.some(({ name }) => typeof name === 'string' && requestErrors.has(name))) return { kind: 'invalid_request' }
  if (chain.some(({ name }) => name === 'AI_LoadAPIKeyError')) return { kind: 'unauthorised' }
  if (chain.some(isConnectionFailure)) return { kind: 'network' }
  return { kind: 'unavailable' }
}

function byStatus(status: number, body: string): { kind: ModelErrorKind; retryable?: boolean } {
  if (status === 401 || status === 403) return { kind: 'unauthorised' }
  if (status === 402) return { kind: 'rate_limited', retryable: false }
  // OpenAI answers a spent budget with 429 too, and waiting does not refill it.
  if (status === 429)
    return body.includes('insufficient_quota') ? { kind: 'rate_limited', retryable: false } : { kind: 'rate_limited' }
  if (status === 408 || status === 504) return { kind: 'timeout' }
  if (status === 503 || status === 529) return { kind: 'overloaded' }
  if (status >= 500) return { kind: 'unavailable' }
  if (/content_filter|content_policy_violation/.test(body)) return { kind: 'content_filter' }
  return { kind: 'invalid_request' }
}

function isConnectionFailure({ name, code, message }: Fields): boolean {
  if (
    typeof code === 'string' &&
    /^(ECONN|ENOTFOUND|EAI_|EHOST|ENET|EPIPE|UND_ERR_SOCKET|ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO|UNABLE_TO)/.test(code)
  )
    return true
  return name === 'TypeError' && (message === 'terminated' || message === 'fetch failed')
}

function causesOf(error: unknown): Fields[] {
  const chain: Fields[] = []
  for (
    let current = error;
    chain.length < MAX_DEPTH && current !== undefined && current !== null;
    current = fieldsOf(current)['cause']
  ) {
    chain.push(fieldsOf(current))
  }
  return chain
}

const hints: Record<ModelErrorKind, string> = {
  unauthorised: 'the key was not accepted; check it and what it may use.',
  rate_limited: 'too many requests or tokens, or the quota is used up.',
  overloaded: 'the provider is overloaded.',
  invalid_request: 'the request was refused; if the model id is unknown, set CADRE_MODEL.',
  timeout: 'no answer in time.',
  network: 'no connection.',
  content_filter: 'the prompt was refused by the content filter.',
  unavailable: 'no usable answer.',
}

const explain = (kind: ModelErrorKind, status: number | undefined): string =>
  `${status === undefined ? '' : `HTTP ${status}, `}${hints[kind]}`

function copyWithoutSecrets(error: unknown, redact: (text: string) => string, depth: number): unknown {
  if (depth === MAX_DEPTH || error === undefined || error === null) return undefined
  const fields = fieldsOf(error)
  const message = redact(typeof error === 'string' ? error : textOf(fields['message'])).slice(0, MAX_MESSAGE)
  const copy = new Error(message, { cause: copyWithoutSecrets(fields['cause'], redact, depth + 1) })
  copy.name = typeof fields['name'] === 'string' ? fields['name'] : 'Error'
  if (typeof fields['stack'] === 'string') copy.stack = redact(fields['stack']).slice(0, MAX_STACK)
  for (const key of ['code', 'statusCode']) {
    const value = fields[key]
    if (typeof value === 'number' || typeof value === 'string')
      Object.assign(copy, { [key]: typeof value === 'string' ? redact(value) : value })
  }
  return copy
}

/** `retry-after-ms`, `Retry-After` in seconds or as a date, or Google's `RetryInfo` in the body; milliseconds from now. */
function retryAfter(fields: Fields, now: number): number | undefined {
  const headers = fieldsOf(fields['responseHeaders'])
  const milliseconds = Number.parseFloat(textOf(headers['retry-after-ms']))
  if (milliseconds >= 0) return Math.ceil(milliseconds)
  const after = textOf(headers['retry-after']).trim()
  if (/^\d+(\.\d+)?$/.test(after)) return Math.ceil(Number(after) * 1000)
  const date = Date.parse(after)
  if (!Number.isNaN(date)) return Math.max(0, date - now)
  const delay = /"retryDelay"\s*:\s*"(\d+(?:\.\d+)?)s"/.exec(
    typeof fields['responseBody'] === 'string' ? fields['responseBody'] : '',
  )
  return delay ? Math.ceil(Number(delay[1]) * 1000) : undefined
}
