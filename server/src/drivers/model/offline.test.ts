import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { assert as assertProperty, asyncProperty, string } from 'fast-check'
import { verifies } from '../../../../test/verifies.ts'
import { splitMaterial } from './extract.ts'
import { collect, modelSuite, QUESTION } from './model.suite.ts'
import { createOfflineModel } from './offline.ts'
import { ModelError, type ModelRequest, type ModelResult } from './port.ts'

modelSuite('offline', async () => ({ port: createOfflineModel(), deterministic: true, close: async () => {} }))

async function answerTo(content: string, more: Partial<ModelRequest> = {}): Promise<ModelResult> {
  const result = (await collect(createOfflineModel(), { messages: [{ role: 'user', content }], ...more })).at(-1)
  assert.ok(result?.type === 'result')
  return result
}

verifies(
  'AGT-27',
  'answers from the material alone, in its own words and order, equally each time and in each process',
  async () => {
    const first = await collect(createOfflineModel(), QUESTION)
    assert.equal(
      first.at(-1)?.text,
      'The pump failed on 3 May because a worn seal let water in. Staff had noticed a leak at the pump in April.',
    )
    assert.deepEqual(await collect(createOfflineModel(), { ...QUESTION, seed: 7, temperature: 1, model: 'another' }), first)
    // Another process, in which reaching for the model library or the network is an error.
    const script = `
    import { registerHooks } from 'node:module'
    registerHooks({ resolve(specifier, context, next) {
      if (/^(ai$|@ai-sdk\\/|node:(net|http|https|dns|tls)$)/.test(specifier)) throw new Error('loaded ' + specifier)
      return next(specifier, context)
    } })
    const { selectModel } = await import(${JSON.stringify(new URL('./providers.ts', import.meta.url).href)})
    const events = []
    for await (const event of selectModel({}).generate(${JSON.stringify(QUESTION)}, { signal: new AbortController().signal })) events.push(event)
    console.log(JSON.stringify(events))`
    const flags = ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', script]
    const { stdout, stderr } = await promisify(execFile)(process.execPath, flags, { timeout: 20_000, env: {} })
    assert.equal(stderr, '')
    assert.deepEqual(JSON.parse(stdout), first)
  },
)

void test('every sentence of an answer stands in the material', async () => {
  await assertProperty(
    asyncProperty(string({ maxLength: 400 }), async (text) => {
      const { material } = splitMaterial(`Summarise.\n"""\n${text}\n"""`)
      const content = `Summarise.\n"""\n${text}\n"""`
      const answer = JSON.parse((await answerTo(content, { response_format: { type: 'json' } })).text) as { sentences: string[] }
      const flat = material.map((part) => part.replace(/\s+/g, ' ')).join('\n')
      for (const sentence of answer.sentences)
        assert.ok(flat.includes(sentence), `${JSON.stringify(sentence)} is not in ${JSON.stringify(flat)}`)
    }),
    { numRuns: 300, seed: 2026 },
  )
})

void test('says so when there is nothing to extract', async () => {
  assert.match((await answerTo('What is the capital of France?')).text, /^No model is configured/)
  assert.match((await answerTo('Summarise.\n"""\n\n"""')).text, /^No model is configured/)
})

void test('takes a long undelimited message as the material', async () => {
  const text = 'Rain fell. The river rose by two metres. The bridge was closed on Monday. Nobody was hurt by the river.'
  assert.ok(text.includes((await answerTo(text)).text.split('. ')[0] ?? 'nothing'))
})

void test('finds tags, fences and triple quotes, outermost first, and leaves lone delimiters alone', () => {
  const { material, surroundings } = splitMaterial(
    'Do <a x="1">one <b>two</b></a> and\n```txt\nthree\n``` and """four""" but <lost> and ```',
  )
  assert.deepEqual(material, ['one <b>two</b>', '\nthree\n', 'four'])
  assert.match(surroundings, /^Do \s*and\s+and\s+but <lost> and ```$/)
})

void test('a megabyte of hostile delimiters stays linear', () => {
  for (const text of ['<a>'.repeat(350_000), '"'.repeat(1_000_000), '```\n'.repeat(250_000), `<a${' '.repeat(1_000_000)}`]) {
    const began = process.cpuUsage()
    splitMaterial(text)
    // 20 to 60 ms where this was written; a quadratic scan takes minutes.
    assert.ok(process.cpuUsage(began).user < 3_000_000)
  }
})

void test('max_output_tokens drops sentences first and cuts only the last one left', async () => {
  const { content = '' } = QUESTION.messages[1] ?? {}
  const one = await answerTo(content, { max_output_tokens: 16 })
  assert.equal(one.text, 'The pump failed on 3 May because a worn seal let water in.')
  assert.equal(one.finish_reason, 'stop')
  const part = await answerTo(content, { max_output_tokens: 3 })
  assert.equal(part.text, 'The pump fai')
  assert.equal(part.finish_reason, 'length')
  assert.equal(part.usage.output_tokens, 3)
})

void test('stop ends the answer before the string', async () => {
  const { content = '' } = QUESTION.messages[1] ?? {}
  assert.equal((await answerTo(content, { stop: ['because', ' on 3 May'] })).text, 'The pump failed')
})

void test('refuses a schema instead of inventing values', async () => {
  await assert.rejects(answerTo('x', { response_format: { type: 'json', schema: { type: 'object' } } }), (error) => {
    assert.ok(error instanceof ModelError && error.kind === 'unavailable' && !error.retryable)
    return true
  })
})
