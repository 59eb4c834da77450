import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { LLMock } from '@copilotkit/aimock'
import { verifies } from '../../../../test/verifies.ts'
import { collect, modelSuite, QUESTION } from './model.suite.ts'
import { ModelError, type ModelErrorKind, type ModelPort, type ModelRequest } from './port.ts'
import { type ModelSettings, type ProviderName, selectModel } from './providers.ts'
import { openWireTap, type WireTap } from './wire-tap.ts'

const KEY = 'sk-planted-0123456789abcdef'
const ANSWER = 'A worn seal let water into the pump.'
const NOW = Date.parse('2026-11-20T12:00:00Z')
/** Each provider reads the field names that it knows. */
const usage = {
  prompt_tokens: 41,
  completion_tokens: 9,
  input_tokens: 41,
  output_tokens: 9,
  promptTokenCount: 41,
  candidatesTokenCount: 9,
}
const system = QUESTION.messages[0]?.content ?? ''
const user = QUESTION.messages[1]?.content ?? ''
const schema = { type: 'object', properties: { reason: { type: 'string' } }, required: ['reason'], additionalProperties: false }

type Wire = {
  settings: (url: string) => ModelSettings
  path: string
  headers: Record<string, string>
  body: unknown
  /** Where the JSON format stands in the body. */
  json: Record<string, unknown>
  /** The events up to and with the first piece of text, "Hello". */
  opening: string
}

const chunk =
  '{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":null}]}'
const wires: Record<ProviderName, Wire> = {
  openai: {
    settings: (url) => ({ openai: { apiKey: () => KEY, baseUrl: `${url}/v1`, model: 'gpt-4.1-mini' } }),
    path: '/v1/chat/completions',
    headers: { authorization: `Bearer ${KEY}` },
    body: {
      model: 'gpt-4.1-mini',
      messages: [
        { role: 'system', content: system },
        { role: 'user', content: user },
      ],
      max_tokens: 300,
      temperature: 0.2,
      stop: ['END'],
      seed: 4,
      stream: true,
      stream_options: { include_usage: true },
    },
    json: { response_format: { type: 'json_schema', json_schema: { schema, strict: false, name: 'response' } } },
    opening: `data: ${chunk}\n\n`,
  },
  compatible: {
    settings: (url) => ({ compatible: { url, apiKey: () => KEY } }),
    path: '/v1/chat/completions',
    headers: { authorization: `Bearer ${KEY}` },
    body: {
      model: 'llama3.2',
      messages: [
        { role: 'system', content: system },
        { role: 'user', content: user },
      ],
      max_tokens: 300,
      temperature: 0.2,
      stop: ['END'],
      seed: 4,
      stream: true,
      stream_options: { include_usage: true },
    },
    json: { response_format: { type: 'json_schema', json_schema: { schema, strict: false, name: 'response' } } },
    opening: `data: ${chunk}\n\n`,
  },
  anthropic: {
    settings: (url) => ({ anthropic: { apiKey: () => KEY, baseUrl: `${url}/v1`, model: 'claude-haiku-4-5' } }),
    path: '/v1/messages',
    headers: { 'x-api-key': KEY, 'anthropic-version': '2023-06-01' },
    body: {
      model: 'claude-haiku-4-5',
      system: [{ type: 'text', text: system }],
      messages: [{ role: 'user', content: [{ type: 'text', text: user }] }],
      max_tokens: 300,
      temperature: 0.2,
      stop_sequences: ['END'],
      stream: true,
    },
    json: { output_config: { format: { type: 'json_schema', schema } } },
    opening: [
      'event: message_start\ndata: {"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"usage":{"input_tokens":1,"output_tokens":1}}}',
      'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}',
      'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}\n\n',
    ].join('\n\n'),
  },
  google: {
    settings: (url) => ({ google: { apiKey: () => KEY, baseUrl: `${url}/v1beta` } }),
    path: '/v1beta/models/gemini-3.8-flash:streamGenerateContent?alt=sse',
    headers: { 'x-goog-api-key': KEY },
    body: {
      systemInstruction: { parts: [{ text: system }] },
      contents: [{ role: 'user', parts: [{ text: user }] }],
      generationConfig: { maxOutputTokens: 300, temperature: 0.2, stopSequences: ['END'], seed: 4 },
    },
    json: { generationConfig: { responseMimeType: 'application/json', responseJsonSchema: schema } },
    opening: 'data: {"candidates":[{"content":{"parts":[{"text":"Hello"}],"role":"model"},"index":0}]}\n\n',
  },
}

type Loopback = { mock: LLMock; tap: WireTap; port: ModelPort; close: () => Promise<void> }

async function openLoopback(wire: Wire): Promise<Loopback> {
  const mock = new LLMock({ port: 0, host: '127.0.0.1', chunkSize: 6, logLevel: 'silent' })
  mock.on({}, { content: ANSWER, usage })
  await mock.start()
  const tap = await openWireTap(mock.url)
  const port = selectModel(wire.settings(tap.url), () => NOW)
  return {
    mock,
    tap,
    port,
    async close() {
      await port.close()
      await tap.close()
      await mock.stop()
    },
  }
}

async function withLoopback(wire: Wire, body: (loopback: Loopback) => Promise<void>): Promise<void> {
  const loopback = await openLoopback(wire)
  try {
    await body(loopback)
  } finally {
    await loopback.close()
  }
}

async function failureOf(port: ModelPort, request: ModelRequest = QUESTION): Promise<ModelError> {
  const error: unknown = await collect(port, request).then(
    () => assert.fail('the call succeeded'),
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof ModelError, `expected a ModelError, got ${inspect(error)}`)
  const shown = inspect(error, { depth: Number.POSITIVE_INFINITY, showHidden: true }) + error.stack
  assert.ok(!shown.includes(KEY), 'the error shows the key')
  assert.ok(!shown.includes('Why did the pump fail'), 'the error shows the prompt')
  return error
}

const stream = { 'content-type': 'text/event-stream' }

const answerWith =
  (status: number, headers: Record<string, string>, body: string) =>
  (response: ServerResponse): void => {
    response.writeHead(status, headers)
    response.end(body)
  }

for (const [name, wire] of Object.entries(wires)) {
  modelSuite(name, async () => {
    const { mock, tap, port, close } = await openLoopback(wire)
    return {
      port,
      deterministic: false,
      provider: {
        failNext: (status) => void mock.nextRequestError(status, { message: 'as asked' }),
        stallNext: () => tap.answerNext((response) => void response.writeHead(200, stream).write(wire.opening)),
      },
      close,
    }
  })

  verifies('AGT-26', `${name}: the documented request goes over the wire, and text and usage come back`, async () => {
    await withLoopback(wire, async ({ tap, port }) => {
      const events = await collect(port, { ...QUESTION, max_output_tokens: 300, temperature: 0.2, stop: ['END'], seed: 4 })
      assert.deepEqual(events.at(-1), {
        type: 'result',
        text: ANSWER,
        provider: name,
        model: port.model,
        finish_reason: 'stop',
        usage: { input_tokens: 41, output_tokens: 9, total_tokens: 50 },
      })
      assert.equal(tap.requests.length, 1)
      const [request] = tap.requests
      assert.equal(request?.method, 'POST')
      assert.equal(request?.path, wire.path)
      assert.equal(request?.headers['content-type'], 'application/json')
      for (const [header, value] of Object.entries(wire.headers)) assert.equal(request?.headers[header], value)
      assert.deepEqual(request?.body, wire.body)
    })
  })

  verifies('AGT-26', `${name}: another model and a JSON schema reach the wire`, async () => {
    await withLoopback(wire, async ({ tap, port }) => {
      await collect(port, { ...QUESTION, model: `${name}/other-1` })
      await collect(port, { ...QUESTION, response_format: { type: 'json', schema } })
      await collect(port, { ...QUESTION, response_format: { type: 'json' } })
      const [other, asked, plain] = tap.requests
      const named = `${other?.path} ${JSON.stringify(other?.body)}`
      assert.match(named, /["/]other-1[":]/)
      assert.ok(!named.includes(`${name}/other-1`))
      const body = asked?.body as Record<string, unknown>
      assert.deepEqual(Object.fromEntries(Object.keys(wire.json).map((key) => [key, body[key]])), wire.json)
      assert.ok(JSON.stringify(plain?.body).includes('Answer with one JSON value'))
    })
  })

  verifies('AGT-26', `${name}: failures are told apart, and no failure shows the key`, async () => {
    await withLoopback(wire, async ({ mock, tap, port }) => {
      const expectNext = async (kind: ModelErrorKind, answer: (response: ServerResponse) => void): Promise<ModelError> => {
        void tap.answerNext(answer)
        const error = await failureOf(port)
        assert.equal(error.kind, kind, error.message)
        return error
      }
      const json = { 'content-type': 'application/json' }
      const echo = JSON.stringify({
        type: 'error',
        error: { type: 'authentication_error', code: 401, status: 'X', message: `Wrong key ${KEY}` },
      })
      const echoed = await expectNext('unauthorised', answerWith(401, json, echo))
      assert.match(echoed.message, /Wrong key \[key\]/)
      await expectNext('unauthorised', answerWith(401, { 'content-type': 'text/html' }, `<p>${KEY}</p>`))

      mock.nextRequestError(429, { message: 'slow down' })
      const limited = await failureOf(port)
      assert.deepEqual([limited.kind, limited.retryable, limited.retry_after_ms], ['rate_limited', true, 1000])
      const dated = await expectNext('rate_limited', answerWith(429, { 'retry-after': 'Fri, 20 Nov 2026 12:00:30 GMT' }, '{}'))
      assert.equal(dated.retry_after_ms, 30_000)
      const spent = await expectNext(
        'rate_limited',
        answerWith(429, json, '{"error":{"message":"no","code":"insufficient_quota"}}'),
      )
      assert.equal(spent.retryable, false)
      const google = '{"error":{"code":429,"message":"no","status":"RESOURCE_EXHAUSTED","details":[{"retryDelay":"12.5s"}]}}'
      assert.equal((await expectNext('rate_limited', answerWith(429, json, google))).retry_after_ms, 12_500)

      await expectNext('content_filter', answerWith(400, json, '{"error":{"message":"no","code":"content_filter"}}'))
      await expectNext(
        'overloaded',
        answerWith(529, json, '{"type":"error","error":{"type":"overloaded_error","message":"busy"}}'),
      )
      await expectNext('timeout', answerWith(504, {}, 'gateway'))
      await expectNext('unavailable', answerWith(500, {}, 'oops'))
      // A 200 that is no stream at all, one that turns to rubbish, one that ends in mid-answer, and one that is cut off.
      await expectNext('unavailable', answerWith(200, { 'content-type': 'text/html' }, '<h1>hello</h1>'))
      await expectNext('unavailable', answerWith(200, stream, `${wire.opening}data: {"rubbish\n\n`))
      await expectNext('unavailable', answerWith(200, stream, wire.opening))
      await expectNext('network', (response) => {
        response.writeHead(200, stream)
        response.write(wire.opening, () => response.destroy())
      })
      await expectNext('network', (response) => void response.destroy())
      // The library never tried again by itself: one request for each failure.
      assert.equal(tap.requests.length, 15)
      assert.equal((await collect(port, QUESTION)).at(-1)?.text, ANSWER)
    })
  })

  verifies('AGT-26', `${name}: a server that is not there is a network failure`, async () => {
    const gone = await openLoopback(wire)
    await gone.tap.close()
    await gone.mock.stop()
    const error = await failureOf(gone.port)
    assert.deepEqual([error.kind, error.retryable], ['network', true])
    await gone.port.close()
  })
}

void test('an error that arrives inside the stream keeps its kind', async () => {
  const inStream: [ProviderName, string, ModelErrorKind][] = [
    ['anthropic', 'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"busy"}}\n\n', 'overloaded'],
    ['openai', 'data: {"error":{"message":"slow","type":"rate_limit_error","code":"rate_limit_exceeded"}}\n\n', 'rate_limited'],
    ['google', 'data: {"error":{"code":503,"message":"busy","status":"UNAVAILABLE"}}\n\n', 'overloaded'],
  ]
  for (const [name, event, kind] of inStream) {
    await withLoopback(wires[name], async ({ tap, port }) => {
      void tap.answerNext(answerWith(200, stream, wires[name].opening + event))
      assert.equal((await failureOf(port)).kind, kind, name)
    })
  }
})

void test('estimates usage where the provider sends none, and says so', async () => {
  await withLoopback(wires.compatible, async ({ tap, port }) => {
    const last = chunk.replace('"finish_reason":null', '"finish_reason":"length"')
    void tap.answerNext(answerWith(200, stream, `data: ${last}\n\ndata: [DONE]\n\n`))
    const result = (await collect(port, QUESTION)).at(-1)
    assert.ok(result?.type === 'result')
    assert.equal(result.finish_reason, 'length')
    assert.equal(result.usage.estimated, true)
    assert.equal(result.usage.output_tokens, 2)
  })
})

void test('an Ollama server needs no key and gets none', async () => {
  await withLoopback({ ...wires.compatible, settings: (url) => ({ compatible: { url } }) }, async ({ tap, port }) => {
    await collect(port, QUESTION)
    assert.equal(tap.requests[0]?.headers.authorization, undefined)
  })
})

void test('asks for the key at each call, so a rotated one is used at once', async () => {
  const keys = ['first', 'second']
  const wire = {
    ...wires.openai,
    settings: (url: string) => ({ openai: { apiKey: () => keys.shift() ?? '', baseUrl: `${url}/v1` } }),
  }
  await withLoopback(wire, async ({ tap, port }) => {
    await collect(port, QUESTION)
    await collect(port, QUESTION)
    assert.deepEqual(
      tap.requests.map(({ headers }) => headers.authorization),
      ['Bearer first', 'Bearer second'],
    )
  })
})
