import { setImmediate as nextTurn } from 'node:timers/promises'
import { extractSentences, sentencesOf, splitMaterial } from './extract.ts'
import { ModelError, type ModelEvent, type ModelPort, type ModelRequest } from './port.ts'
import { abortFailure, checkRequest, estimateTokens } from './request.ts'

const MAX_SENTENCES = 5
/** Long enough that a summary is a handful of deltas, short enough that a page shows it growing. */
const DELTA_CHARACTERS = 48
const NOTHING_TO_EXTRACT = 'No model is configured, and the request delimits no material to extract from.'

type Answer = { text: string; cut: boolean }

/**
 * The provider that is always there: no key, no network, no randomness, no model. It answers with sentences of the
 * delimited material of the last user message that has any (see `splitMaterial`), chosen by the rest of that message; with
 * no delimiters it uses a message of four sentences or more, and otherwise says that there is nothing to extract. Equal
 * messages give equal events; `model`, `temperature` and `seed` change nothing.
 *
 * `response_format: json` answers `{"sentences": [...]}`; a schema is refused with kind `unavailable`, since filling it
 * takes a model. `finish_reason` is `length` only where `max_output_tokens` cut a sentence. Usage is estimated.
 */
export function createOfflineModel(): ModelPort {
  const closing = new AbortController()

  async function* generate(request: ModelRequest, { signal }: { signal: AbortSignal }): AsyncGenerator<ModelEvent> {
    const stopIfAborted = (): void => {
      if (signal.aborted) throw abortFailure(signal)
      if (closing.signal.aborted) throw abortFailure(closing.signal)
    }
    if (closing.signal.aborted)
      throw new ModelError('unavailable', 'This model is closed.', { cause: undefined, retryable: false })
    stopIfAborted()
    checkRequest(request)
    const { text, cut } = answer(request)
    let index = 0
    for (const piece of piecesOf(text)) {
      await nextTurn()
      stopIfAborted()
      yield { type: 'delta', index, text: piece }
      index += 1
    }
    stopIfAborted()
    const input_tokens = request.messages.reduce((sum, { content }) => sum + estimateTokens(content), 0)
    const output_tokens = estimateTokens(text)
    const usage = { input_tokens, output_tokens, total_tokens: input_tokens + output_tokens, estimated: true as const }
    yield { type: 'result', text, provider: 'offline', model: 'extract', finish_reason: cut ? 'length' : 'stop', usage }
  }

  return {
    provider: 'offline',
    model: 'extract',
    generate,
    close() {
      closing.abort(new Error('The model was closed.'))
      return Promise.resolve()
    },
  }
}

function answer(request: ModelRequest): Answer {
  const format = request.response_format
  if (format?.type === 'json' && format.schema) {
    throw new ModelError(
      'unavailable',
      'Filling a JSON schema takes a model, and none is configured: set a provider key or CADRE_MODEL_URL.',
      {
        cause: undefined,
        retryable: false,
      },
    )
  }
  const { material, task } = findMaterial(request)
  const write =
    format?.type === 'json'
      ? (sentences: readonly string[]): string => JSON.stringify({ sentences })
      : (sentences: readonly string[]): string => sentences.join(' ') || NOTHING_TO_EXTRACT
  const budget = request.max_output_tokens ?? Number.POSITIVE_INFINITY
  const fits = (sentences: readonly string[]): boolean => estimateTokens(write(sentences)) <= budget
  const text = cutAtStop(write(extractSentences(material, task, MAX_SENTENCES, fits)), request.stop ?? [])
  return cutToBudget(text, budget)
}

function findMaterial({ messages }: ModelRequest): { material: string[]; task: string } {
  const asked = messages.filter(({ role }) => role === 'user').map(({ content }) => content)
  const split = asked.map(splitMaterial)
  const delimited = split.findLast(({ material }) => material.some((text) => text.trim() !== ''))
  if (delimited) return { material: delimited.material, task: delimited.surroundings }
  const last = asked.findLast((content) => content.trim() !== '') ?? ''
  return { material: sentencesOf(last).length >= 4 ? [last] : [], task: '' }
}

function cutAtStop(text: string, stops: readonly string[]): string {
  const ends = stops.map((stop) => text.indexOf(stop)).filter((position) => position >= 0)
  return text.slice(0, Math.min(text.length, ...ends))
}

function cutToBudget(text: string, budget: number): Answer {
  if (estimateTokens(text) <= budget) return { text, cut: false }
  let kept = ''
  let bytes = 0
  for (const character of text) {
    bytes += Buffer.byteLength(character)
    if (bytes > budget * 4) break
    kept += character
  }
  return { text: kept, cut: true }
}

/** Pieces of whole words; joined they are the text again. */
function piecesOf(text: string): string[] {
  const pieces: string[] = []
  let piece = ''
  for (const word of text.match(/\s*\S+\s*$|\s*\S+/g) ?? []) {
    piece += word
    if (piece.length < DELTA_CHARACTERS) continue
    pieces.push(piece)
    piece = ''
  }
  if (piece !== '') pieces.push(piece)
  return pieces
}
