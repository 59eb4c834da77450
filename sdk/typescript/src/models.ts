/** Text from the model the server is configured with. */
import type { InputOf, OutputOf } from '@cadre/contract'
import { type Call, type CallOptions, type RequestOptions, splitOptions } from './calls.ts'

export type Generated = OutputOf<'models.generate'>
export type GenerateInput = InputOf<'models.generate'> & CallOptions

/** The whole answer when awaited; its text as it comes when iterated. */
export type Generation = Promise<Generated> & AsyncIterable<string>

export interface Models {
  generate(input: GenerateInput, options?: { onDelta?: (text: string) => void }): Generation
  info(options?: CallOptions): Promise<OutputOf<'models.info'>>
}

export function makeModels(
  call: Call,
  request: (type: string, data: unknown, options?: RequestOptions) => Promise<unknown>,
): Models {
  return {
    generate(input, { onDelta } = {}) {
      const [options, fields] = splitOptions(input)
      let text = ''
      let ended = false
      let wake = (): void => {}
      const timeout = options.timeout ?? (fields.timeout_ms ?? 120_000) + 5_000
      const answer = request('models.generate', fields, {
        ...options,
        timeout,
        onDelta(data) {
          const piece = textOf(data)
          text += piece
          wake()
          onDelta?.(piece)
        },
      }) as Promise<Generated>
      const end = () => {
        ended = true
        wake()
      }
      answer.then(end, end)
      // What came and was not read yet is one string, so a slow reader costs no list of pieces.
      async function* read(): AsyncGenerator<string, void> {
        for (;;) {
          const unread = text
          text = ''
          if (unread !== '') yield unread
          else if (ended) return void (await answer)
          else await new Promise<void>((resolve) => (wake = resolve))
        }
      }
      return Object.assign(answer, { [Symbol.asyncIterator]: read })
    },
    info: (options) => call('models.info', {}, options),
  }
}

function textOf(data: unknown): string {
  const text = typeof data === 'object' && data !== null ? (data as { text?: unknown }).text : data
  return typeof text === 'string' ? text : ''
}
