import type {
  FinishReason,
  JSONSchema7,
  LanguageModel,
  LanguageModelCallOptions,
  LanguageModelUsage,
  OutputInterface,
  TextStreamPart,
  ToolSet,
} from 'ai'
import { toModelError } from './failures.ts'
import {
  ModelError,
  type ModelEvent,
  type ModelFinishReason,
  type ModelMessage,
  type ModelPort,
  type ModelRequest,
  type ModelUsage,
} from './port.ts'
import { abortFailure, checkRequest, estimateTokens } from './request.ts'

/** No provider generates as much today (128,000 tokens are about 0.5 MiB); it bounds what a broken server can make us hold. */
const MAX_ANSWER_CHARACTERS = 4 * 1024 * 1024
/** OpenAI refuses its JSON mode unless the messages speak of JSON, and Anthropic has none without a schema. */
const JSON_INSTRUCTION = 'Answer with one JSON value and nothing else.'

export type RemoteOptions = {
  provider: string
  model: string
  /** Named in the error when they are not installed. */
  packages: string
  apiKey: () => string
  connect: (apiKey: string) => Promise<(model: string) => LanguageModel>
  now: () => number
}

type Parts = ReadableStreamDefaultReader<TextStreamPart<ToolSet>>
type Finish = { reason: FinishReason; usage: LanguageModelUsage }

/** A provider behind the AI SDK. Nothing of that library is loaded before the first call, and nothing of it leaves this file. */
export function createRemoteModel(options: RemoteOptions): ModelPort {
  const running = new Set<AbortController>()
  let closed = false

  async function* generate(request: ModelRequest, { signal }: { signal: AbortSignal }): AsyncGenerator<ModelEvent> {
    if (closed) throw new ModelError('unavailable', 'This model is closed.', { cause: undefined, retryable: false })
    if (signal.aborted) throw abortFailure(signal)
    checkRequest(request)
    const call = new AbortController()
    const follow = (): void => call.abort(signal.reason)
    signal.addEventListener('abort', follow, { once: true })
    running.add(call)
    const model = withoutPrefix(request.model ?? options.model, options.provider)
    let secret = ''
    try {
      secret = options.apiKey()
      yield* answer(options, model, request, secret, call.signal)
    } catch (error) {
      throw call.signal.aborted ? abortFailure(call.signal) : toModelError(error, options.provider, model, secret, options.now())
    } finally {
      signal.removeEventListener('abort', follow)
      running.delete(call)
      // Ends the connection when the caller left early; after a complete answer there is nothing left to end.
      call.abort()
    }
  }

  return {
    provider: options.provider,
    model: options.model,
    generate,
    close() {
      closed = true
      for (const call of running) call.abort(new Error('The model was closed.'))
      return Promise.resolve()
    },
  }
}

function withoutPrefix(model: string, provider: string): string {
  return model.startsWith(`${provider}/`) ? model.slice(provider.length + 1) : model
}

async function* answer(
  { provider, packages, connect }: RemoteOptions,
  model: string,
  request: ModelRequest,
  apiKey: string,
  signal: AbortSignal,
): AsyncGenerator<ModelEvent> {
  // The library notices an abort only between chunks of its own pipeline, so each wait is raced against the signal.
  const aborted = Promise.withResolvers<never>()
  aborted.promise.catch(() => {})
  signal.addEventListener('abort', () => aborted.reject(abortFailure(signal)), { once: true })
  const open = await Promise.race([openStream(packages, connect, model, request, apiKey, signal), aborted.promise])
  let text = ''
  let index = 0
  let finish: Finish | undefined
  while (true) {
    const { done, value } = await Promise.race([open.read(), aborted.promise])
    if (done) break
    if (value.type === 'error') throw value.error
    if (value.type === 'abort') throw abortFailure(signal)
    if (value.type === 'finish') finish = { reason: value.finishReason, usage: value.totalUsage }
    if (value.type !== 'text-delta' || value.text === '') continue
    text += value.text
    if (text.length > MAX_ANSWER_CHARACTERS) throw new Error(`The answer passed ${MAX_ANSWER_CHARACTERS} characters.`)
    yield { type: 'delta', index, text: value.text }
    index += 1
  }
  // A connection that closes cleanly in mid-answer looks like an end; only the provider's own closing event makes it one.
  if (!finish || finish.reason === 'interrupted' || finish.reason === 'error') throw new Error('The answer broke off.')
  yield {
    type: 'result',
    text,
    provider,
    model,
    finish_reason: finishReason(finish.reason),
    usage: usageOf(finish.usage, request.messages, text),
  }
}

async function openStream(
  packages: string,
  connect: RemoteOptions['connect'],
  model: string,
  request: ModelRequest,
  apiKey: string,
  signal: AbortSignal,
): Promise<Parts> {
  const [{ streamText }, makeModel] = await Promise.all([import('ai'), connect(apiKey)]).catch((error: unknown) => {
    throw new ModelError('unavailable', `This provider needs ${packages}, which could not be loaded; install them.`, {
      cause: error,
      retryable: false,
    })
  })
  // Hints such as `seed` are ignored by design where a provider lacks them; the library would print a warning each time.
  globalThis.AI_SDK_LOG_WARNINGS ??= false
  const { messages, format } = withFormat(request)
  return streamText({
    model: makeModel(model),
    messages: messages.map(({ role, content }) => ({ role, content })),
    allowSystemInMessages: true,
    ...settingsOf(request),
    output: format,
    // Strict mode refuses most schemas not written for it (every property required, none additional); the caller checks anyway.
    providerOptions: { openai: { strictJsonSchema: false }, compatible: { strictJsonSchema: false } },
    maxRetries: 0,
    abortSignal: signal,
    telemetry: { isEnabled: false },
    onError: () => {},
  }).stream.getReader()
}

function settingsOf({ max_output_tokens, temperature, stop, seed }: ModelRequest): LanguageModelCallOptions {
  return {
    ...(max_output_tokens === undefined ? {} : { maxOutputTokens: max_output_tokens }),
    ...(temperature === undefined ? {} : { temperature }),
    ...(stop === undefined ? {} : { stopSequences: [...stop] }),
    ...(seed === undefined ? {} : { seed }),
  }
}

type Format = OutputInterface<string, string, never>

/** Only the wire's format is wanted: the library's own JSON outputs parse the growing text again at each delta. */
function withFormat({ messages, response_format }: ModelRequest): { messages: readonly ModelMessage[]; format: Format } {
  const schema = response_format?.type === 'json' ? response_format.schema : undefined
  const json = { type: 'json' as const, ...(schema ? { schema: schema as JSONSchema7 } : {}) }
  const format: Format = {
    name: 'text',
    responseFormat: Promise.resolve(response_format?.type === 'json' ? json : { type: 'text' as const }),
    parseCompleteOutput: ({ text }) => Promise.resolve(text),
    // The library holds text back until this value changes, and it compares by serialising: a growing length is cheap.
    parsePartialOutput: ({ text }) => Promise.resolve({ partial: String(text.length) }),
    createElementStreamTransform: () => undefined,
  }
  if (response_format?.type !== 'json' || schema) return { messages, format }
  return { messages: [{ role: 'system', content: JSON_INSTRUCTION }, ...messages], format }
}

function finishReason(reason: FinishReason): ModelFinishReason {
  if (reason === 'content-filter') return 'content_filter'
  if (reason === 'tool-calls') return 'tool_calls'
  return reason === 'stop' || reason === 'length' ? reason : 'other'
}

function usageOf(usage: LanguageModelUsage, messages: readonly ModelMessage[], text: string): ModelUsage {
  const { inputTokens, outputTokens } = usage
  if (inputTokens !== undefined && outputTokens !== undefined) {
    return { input_tokens: inputTokens, output_tokens: outputTokens, total_tokens: inputTokens + outputTokens }
  }
  const input_tokens = inputTokens ?? messages.reduce((sum, { content }) => sum + estimateTokens(content), 0)
  const output_tokens = outputTokens ?? estimateTokens(text)
  return { input_tokens, output_tokens, total_tokens: input_tokens + output_tokens, estimated: true }
}
