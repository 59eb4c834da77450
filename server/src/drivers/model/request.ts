import { ModelError, type ModelRequest } from './port.ts'

const MAX_MESSAGES = 1000
const MAX_CHARACTERS = 4 * 1024 * 1024
const MAX_STOPS = 4

const refuse = (sentence: string): ModelError => new ModelError('invalid_request', sentence, { cause: undefined })

/** Applies the port's rules, equal for every driver, before anything is sent. Throws `ModelError` kind `invalid_request`. */
export function checkRequest(request: ModelRequest): void {
  const { messages, stop = [], max_output_tokens } = request
  if (messages.length > MAX_MESSAGES)
    throw refuse(`A request takes at most ${MAX_MESSAGES} messages; this one has ${messages.length}.`)
  const characters = messages.reduce((sum, message) => sum + message.content.length, 0)
  if (characters > MAX_CHARACTERS) throw refuse(`The messages hold ${characters} characters; the limit is ${MAX_CHARACTERS}.`)
  if (!messages.some(({ role, content }) => role === 'user' && content.trim() !== '')) {
    throw refuse('A request needs at least one user message that is not blank.')
  }
  const firstTurn = messages.findIndex(({ role }) => role !== 'system')
  if (messages.slice(firstTurn).some(({ role }) => role === 'system')) {
    throw refuse('System messages must stand before all other messages.')
  }
  if (stop.length > MAX_STOPS || stop.includes('')) throw refuse(`stop takes at most ${MAX_STOPS} strings, none of them empty.`)
  if (max_output_tokens !== undefined && !(Number.isInteger(max_output_tokens) && max_output_tokens > 0)) {
    throw refuse('max_output_tokens must be a whole number above 0.')
  }
}

/** What an iteration rejects with once `signal` has fired: `timeout` for a deadline, else an `AbortError`. */
export function abortFailure(signal: AbortSignal): Error {
  const reason: unknown = signal.reason
  if (reason instanceof DOMException && reason.name === 'TimeoutError') {
    return new ModelError('timeout', 'The model did not finish before the deadline.', { cause: reason })
  }
  const failure = new DOMException('The model call was aborted.', 'AbortError')
  Object.defineProperty(failure, 'cause', { value: reason, configurable: true })
  return failure
}

/** Roughly four bytes of UTF-8 a token, the usual rule of thumb for English; used only where a provider sends no usage. */
export function estimateTokens(text: string): number {
  return Math.ceil(Buffer.byteLength(text) / 4)
}
