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
      const stream = new TextStream()
      const timeout = options.timeout ?? (fields.timeout_ms ?? 120_000) + 5_000
      const answer = request('models.generate', fields, {
        ...options,
        timeout,
        onDelta(data) {
          const text = textOf(data)
          stream.add(text)
          onDelta?.(text)
        },
      }) as Promise<Generated>
      answer.then(
        () => stream.end(undefined),
        (error: unknown) => stream.end({ error }),
      )
      return Object.assign(answer, { [Symbol.asyncIterator]: () => stream.read() })
    },
    info: (options) => call('models.info', {}, options),
  }
}

function textOf(data: unknown): string {
  const text = typeof data === 'object' && data !== null ? (data as { text?: unknown }).text : data
  return typeof text === 'string' ? text : ''
}

/** What came and was not read yet is one string, so a slow reader costs no list of pieces. */
class TextStream {
  #text = ''
  #ended: { error?: unknown } | undefined
  #wake = (): void => {}

  add(text: string): void {
    this.#text += text
    this.#wake()
  }

  end(failure: { error: unknown } | undefined): void {
    this.#ended = failure ?? {}
    this.#wake()
  }

  async *read(): AsyncGenerator<string, void> {
    for (;;) {
      const text = this.#text
      this.#text = ''
      if (text !== '') yield text
      else if (this.#ended) {
        if ('error' in this.#ended) throw this.#ended.error
        return
      } else await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }
}
