import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { ModelError, type ModelErrorKind, type ModelEvent, type ModelPort, type ModelRequest } from './port.ts'

/** One driver under test. It must answer `QUESTION` with two deltas or more. */
export type ModelSubject = {
  port: ModelPort
  /** Equal requests give equal events. */
  deterministic: boolean
  /** Absent for a driver with no provider behind it: nothing there can fail or hang. */
  provider?: {
    /** The next call is answered with this HTTP status. */
    failNext(status: number): void
    /** The next call gets one delta and then silence. Resolves when the driver has dropped the connection. */
    stallNext(): Promise<void>
  }
  close(): Promise<void>
}

export const QUESTION: ModelRequest = {
  messages: [
    { role: 'system', content: 'Answer from the document only.' },
    {
      role: 'user',
      content: [
        'Why did the pump fail?',
        '<document id="1">The station opened in 1990. The pump failed on 3 May because a worn seal let water in.',
        'Staff had noticed a leak at the pump in April. Visitors may come on Sundays.</document>',
      ].join('\n'),
    },
  ],
}

const patient = (): AbortSignal => new AbortController().signal

export async function collect(port: ModelPort, request: ModelRequest, signal = patient()): Promise<ModelEvent[]> {
  const events: ModelEvent[] = []
  for await (const event of port.generate(request, { signal })) events.push(event)
  return events
}

const isAbort = (error: unknown): boolean => error instanceof DOMException && error.name === 'AbortError'

const isKind =
  (kind: ModelErrorKind) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof ModelError, `expected a ModelError, got ${String(error)}`)
    assert.equal(error.kind, kind)
    return true
  }

const statusKinds: [number, ModelErrorKind, boolean][] = [
  [400, 'invalid_request', false],
  [401, 'unauthorised', false],
  [403, 'unauthorised', false],
  [404, 'invalid_request', false],
  [408, 'timeout', true],
  [429, 'rate_limited', true],
  [500, 'unavailable', true],
  [503, 'overloaded', true],
]

/** What every model driver promises. `make` is called once per test and its subject closed after it. */
export function modelSuite(name: string, make: () => Promise<ModelSubject>): void {
  const holds = (title: string, body: (subject: ModelSubject, t: TestContext) => Promise<void>): void => {
    void test(title, { timeout: 10_000 }, async (t) => {
      const subject = await make()
      let closing: Promise<void> | undefined
      const close = (): Promise<void> => (closing ??= subject.port.close().then(() => subject.close()))
      // A test that is given up never reaches its end, and its open server would then hold the whole run.
      t.signal.addEventListener('abort', () => void close(), { once: true })
      try {
        await body(subject, t)
      } finally {
        await close()
      }
    })
  }
  const needsProvider = (
    title: string,
    body: (port: ModelPort, provider: NonNullable<ModelSubject['provider']>) => Promise<void>,
  ): void =>
    holds(title, async ({ port, provider }, t) => {
      if (provider) await body(port, provider)
      else t.skip('no provider behind this driver')
    })

  void describe(`model port: ${name}`, () => {
    holds('yields numbered deltas, then exactly one result with the same text', async ({ port }) => {
      const events = await collect(port, QUESTION)
      const result = events.at(-1)
      assert.ok(result?.type === 'result')
      const deltas = events.slice(0, -1).filter((event) => event.type === 'delta')
      assert.equal(deltas.length, events.length - 1)
      assert.ok(deltas.length >= 2, 'streams in several deltas')
      assert.deepEqual(
        deltas.map(({ index }) => index),
        deltas.map((_, position) => position),
      )
      assert.ok(deltas.every(({ text }) => text !== ''))
      assert.equal(deltas.map(({ text }) => text).join(''), result.text)
      assert.equal(result.finish_reason, 'stop')
      assert.equal(result.provider, port.provider)
      assert.equal(result.model, port.model)
    })

    holds('reports usage', async ({ port }) => {
      const result = (await collect(port, QUESTION)).at(-1)
      assert.ok(result?.type === 'result')
      const { input_tokens, output_tokens, total_tokens } = result.usage
      assert.ok(Number.isInteger(input_tokens) && input_tokens > 0)
      assert.ok(Number.isInteger(output_tokens) && output_tokens > 0)
      assert.equal(total_tokens, input_tokens + output_tokens)
    })

    holds('gives equal answers to equal requests where it says so', async ({ port, deterministic }) => {
      const [first, second] = [await collect(port, QUESTION), await collect(port, structuredClone(QUESTION))]
      if (deterministic) assert.deepEqual(first, second)
      else assert.equal(first.at(-1)?.type, second.at(-1)?.type)
    })

    holds('keeps concurrent calls apart', async ({ port }) => {
      const all = await Promise.all(Array.from({ length: 8 }, () => collect(port, QUESTION)))
      for (const events of all) {
        const text = events.map((event) => (event.type === 'delta' ? event.text : '')).join('')
        assert.equal(events.at(-1)?.text, text)
      }
    })

    holds('refuses an aborted call before doing anything', async ({ port }) => {
      await assert.rejects(collect(port, QUESTION, AbortSignal.abort('over')), isAbort)
    })

    holds('stops between deltas when aborted, with the reason as the cause', async ({ port }) => {
      const caller = new AbortController()
      const events = port.generate(QUESTION, { signal: caller.signal })[Symbol.asyncIterator]()
      assert.equal((await events.next()).value?.type, 'delta')
      const reason = new Error('operator stopped the team')
      caller.abort(reason)
      await assert.rejects(events.next(), (error) => isAbort(error) && (error as Error).cause === reason)
      assert.equal((await events.next()).done, true)
    })

    holds('calls a passed deadline a timeout', async ({ port }) => {
      const caller = new AbortController()
      const events = port.generate(QUESTION, { signal: caller.signal })[Symbol.asyncIterator]()
      await events.next()
      caller.abort(new DOMException('too late', 'TimeoutError'))
      await assert.rejects(events.next(), isKind('timeout'))
    })

    holds('ends when the caller leaves early, and serves the next call', async ({ port }) => {
      for await (const event of port.generate(QUESTION, { signal: patient() })) {
        assert.equal(event.type, 'delta')
        break
      }
      assert.equal((await collect(port, QUESTION)).at(-1)?.type, 'result')
    })

    holds('refuses what no provider accepts alike', async ({ port }) => {
      const user = { role: 'user' as const, content: 'Hello' }
      const refused: ModelRequest[] = [
        { messages: [] },
        { messages: [{ role: 'user', content: ' \n' }] },
        { messages: [{ role: 'assistant', content: 'Hello' }] },
        { messages: [user, { role: 'system', content: 'late' }] },
        { messages: [user], max_output_tokens: 0 },
        { messages: [user], max_output_tokens: 1.5 },
        { messages: [user], stop: [''] },
        { messages: [user], stop: ['1', '2', '3', '4', '5'] },
        { messages: Array.from({ length: 1001 }, () => user) },
        { messages: [{ role: 'user', content: 'x'.repeat(4 * 1024 * 1024 + 1) }] },
      ]
      for (const request of refused) await assert.rejects(collect(port, request), isKind('invalid_request'))
    })

    holds('aborts running calls on close and refuses later ones', async ({ port }) => {
      const events = port.generate(QUESTION, { signal: patient() })[Symbol.asyncIterator]()
      await events.next()
      await port.close()
      await port.close()
      await assert.rejects(events.next(), isAbort)
      await assert.rejects(collect(port, QUESTION), isKind('unavailable'))
    })

    needsProvider('drops the connection when aborted while the provider is silent', async (port, provider) => {
      const dropped = provider.stallNext()
      const caller = new AbortController()
      const events = port.generate(QUESTION, { signal: caller.signal })[Symbol.asyncIterator]()
      await events.next()
      const waiting = events.next()
      caller.abort()
      await assert.rejects(waiting, isAbort)
      await dropped
    })

    needsProvider('drops the connection when the caller leaves early', async (port, provider) => {
      const dropped = provider.stallNext()
      for await (const event of port.generate(QUESTION, { signal: patient() })) {
        assert.equal(event.type, 'delta')
        break
      }
      await dropped
    })

    for (const [status, kind, retryable] of statusKinds) {
      needsProvider(`calls HTTP ${status} ${kind}`, async (port, provider) => {
        provider.failNext(status)
        await assert.rejects(collect(port, QUESTION), (error) => {
          isKind(kind)(error)
          assert.equal((error as ModelError).retryable, retryable)
          assert.ok((error as ModelError).cause instanceof Error)
          return true
        })
        assert.equal((await collect(port, QUESTION)).at(-1)?.type, 'result')
      })
    }
  })
}
