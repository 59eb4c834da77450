import assert from 'node:assert/strict'
import { test } from 'node:test'
import { verifies } from '../../../../test/verifies.ts'
import { ModelError } from './port.ts'
import { type ModelSettings, selectModel } from './providers.ts'

const key = { apiKey: () => 'k' }
const all: ModelSettings = { openai: key, anthropic: key, google: key }
const compatible = { url: 'http://localhost:11434' }
const chosen = (settings: ModelSettings): string => {
  const { provider, model } = selectModel(settings)
  return `${provider} ${model}`
}

verifies(['AGT-26', 'AGT-27'], 'one setting switches the provider, and none is needed', () => {
  assert.equal(chosen({}), 'offline extract')
  assert.equal(chosen(all), 'anthropic claude-haiku-5-5')
  assert.equal(chosen({ ...all, preferred: 'openai' }), 'openai gpt-6-luna')
  assert.equal(chosen({ ...all, preferred: 'google/gemini-4-argon' }), 'google gemini-4-argon')
  assert.equal(chosen({ ...all, compatible, preferred: 'anthropic' }), 'anthropic claude-haiku-5-5')
  assert.equal(chosen({ ...all, preferred: 'offline' }), 'offline extract')
})

void test('takes the first configured provider', () => {
  assert.equal(chosen({ ...all, compatible }), 'compatible llama3.2')
  assert.equal(chosen({ openai: key, google: key }), 'openai gpt-6-luna')
  assert.equal(chosen({ google: key }), 'google gemini-3.8-flash')
  assert.equal(chosen({ google: { ...key, model: 'gemini-4-carbon' } }), 'google gemini-4-carbon')
  assert.equal(chosen({ compatible: { ...compatible, model: 'qwen3:8b' } }), 'compatible qwen3:8b')
})

void test('gives a bare model id to whoever has it', () => {
  assert.equal(chosen({ ...all, preferred: 'gpt-6-sol' }), 'openai gpt-6-sol')
  assert.equal(chosen({ ...all, preferred: 'gemini-4-argon' }), 'google gemini-4-argon')
  assert.equal(chosen({ ...all, preferred: 'claude-opus-5-5' }), 'anthropic claude-opus-5-5')
  assert.equal(chosen({ ...all, preferred: 'unheard-of' }), 'anthropic unheard-of')
  assert.equal(chosen({ ...all, compatible, preferred: 'gpt-oss:20b' }), 'compatible gpt-oss:20b')
  assert.equal(chosen({ ...all, compatible, preferred: 'hf.co/some/model' }), 'compatible hf.co/some/model')
  assert.equal(chosen({ compatible, preferred: 'openai/gpt-6-luna' }), 'compatible openai/gpt-6-luna')
})

void test('refuses contradictions with a sentence and no secret', () => {
  const refused: [ModelSettings, RegExp][] = [
    [{ anthropic: key, preferred: 'openai/gpt-6-luna' }, /CADRE_MODEL names openai, but OPENAI_API_KEY is not set/],
    [{ preferred: 'gpt-6-luna' }, /no provider is configured/],
    [{ compatible: { url: 'localhost:11434' } }, /CADRE_MODEL_URL must be an http or https URL/],
    [{ compatible: { url: 'http://me:hunter2@localhost/v1' } }, /must not contain a user name or password/],
    [{ openai: { ...key, baseUrl: 'nowhere' } }, /base URL of openai/],
  ]
  for (const [settings, sentence] of refused) {
    assert.throws(
      () => selectModel(settings),
      (error) => {
        assert.ok(error instanceof ModelError && error.kind === 'invalid_request')
        assert.match(error.message, sentence)
        assert.doesNotMatch(error.message, /hunter2/)
        return true
      },
    )
  }
})
