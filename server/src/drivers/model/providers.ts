import type { LanguageModel } from 'ai'
import { createOfflineModel } from './offline.ts'
import { ModelError, type ModelPort } from './port.ts'
import { createRemoteModel } from './remote.ts'

/** A secret is asked for at each call and kept nowhere, so a rotated key takes effect at once. */
export type RevealSecret = () => string

export type ModelSettings = {
  openai?: { apiKey: RevealSecret; baseUrl?: string | undefined; model?: string | undefined } | undefined
  anthropic?: { apiKey: RevealSecret; baseUrl?: string | undefined; model?: string | undefined } | undefined
  google?: { apiKey: RevealSecret; baseUrl?: string | undefined; model?: string | undefined } | undefined
  /** Any server that speaks OpenAI's chat completions: Ollama, vLLM, llama.cpp, LiteLLM. A URL without a path gets `/v1`. */
  compatible?: { url: string; model?: string | undefined; apiKey?: RevealSecret | undefined } | undefined
  /** `CADRE_MODEL`: `provider/model`, a provider, or a model id. */
  preferred?: string | undefined
}

export type ProviderName = 'compatible' | 'anthropic' | 'openai' | 'google'

/** What a provider's own package makes of address, key and model id. */
export type Connect = (access: { baseUrl: string; apiKey: string }) => Promise<(model: string) => LanguageModel>

type Provider = { model: string; baseUrl: string; setting: string; packages: string; family: RegExp; connect: Connect }

/**
 * In order of choice. The default models are each vendor's fast general one, since a team of agents calls often; the base
 * URLs are stated because the packages would otherwise read environment variables behind the configuration's back.
 *
 * OpenAI is called by chat completions: the Responses interface has neither `stop` nor `seed`, and stores every answer for
 * 30 days unless told not to; proxies behind OPENAI_BASE_URL know the former best.
 */
const providers: Record<ProviderName, Provider> = {
  compatible: {
    model: 'llama3.2',
    baseUrl: '',
    setting: 'CADRE_MODEL_URL',
    packages: 'ai and @ai-sdk/openai-compatible',
    family: /^$/,
    async connect({ baseUrl, apiKey }) {
      const { createOpenAICompatible } = await import('@ai-sdk/openai-compatible')
      const key = apiKey === '' ? {} : { apiKey }
      return createOpenAICompatible({
        name: 'compatible',
        baseURL: baseUrl,
        includeUsage: true,
        supportsStructuredOutputs: true,
        ...key,
      })
    },
  },
  anthropic: {
    model: 'claude-haiku-5-5',
    baseUrl: 'https://api.anthropic.com/v1',
    setting: 'ANTHROPIC_API_KEY',
    packages: 'ai and @ai-sdk/anthropic',
    family: /^claude/,
    async connect({ baseUrl, apiKey }) {
      const { createAnthropic } = await import('@ai-sdk/anthropic')
      return createAnthropic({ baseURL: baseUrl, apiKey })
    },
  },
  openai: {
    model: 'gpt-6-luna',
    baseUrl: 'https://api.openai.com/v1',
    setting: 'OPENAI_API_KEY',
    packages: 'ai and @ai-sdk/openai',
    family: /^(gpt|chatgpt|o\d)/,
    async connect({ baseUrl, apiKey }) {
      const { createOpenAI } = await import('@ai-sdk/openai')
      const openai = createOpenAI({ baseURL: baseUrl, apiKey })
      return (model) => openai.chat(model)
    },
  },
  google: {
    model: 'gemini-3.8-flash',
    baseUrl: 'https://generativelanguage.googleapis.com/v1beta',
    setting: 'GOOGLE_API_KEY',
    packages: 'ai and @ai-sdk/google',
    family: /^(gemini|gemma)/,
    async connect({ baseUrl, apiKey }) {
      const { createGoogle } = await import('@ai-sdk/google')
      return createGoogle({ baseURL: baseUrl, apiKey })
    },
  },
}

const order = Object.keys(providers) as ProviderName[]

/**
 * Picks the one provider that this server uses: a compatible server, else Anthropic, else OpenAI, else Google, whichever is
 * configured first, or the offline one. `preferred` overrides: `openai/gpt-6-luna` and `openai` name the provider;
 * `gpt-6-luna` alone goes to the compatible server if there is one, else to the vendor of that family, else to the first
 * configured; `offline` turns models off. Loads no provider package: that waits for the first call.
 *
 * Throws `ModelError` kind `invalid_request` with a sentence for the operator when the settings contradict each other.
 */
export function selectModel(settings: ModelSettings, now: () => number = Date.now): ModelPort {
  const configured = order.filter((name) => settings[name] !== undefined)
  const { name, model } = choose(configured, settings.preferred?.trim() ?? '')
  if (name === 'offline') return createOfflineModel()
  const provider = providers[name]
  const access = accessOf(settings, name)
  return createRemoteModel({
    provider: name,
    model: model ?? access.model ?? provider.model,
    packages: provider.packages,
    apiKey: access.apiKey,
    connect: (apiKey) => provider.connect({ baseUrl: access.baseUrl, apiKey }),
    now,
  })
}

const refuse = (sentence: string, cause?: unknown): ModelError => new ModelError('invalid_request', sentence, { cause })

function choose(configured: readonly ProviderName[], preferred: string): { name: ProviderName | 'offline'; model?: string } {
  const [first] = configured
  if (preferred === '') return { name: first ?? 'offline' }
  if (preferred === 'offline' || preferred.startsWith('offline/')) return { name: 'offline' }
  const slash = preferred.indexOf('/')
  const prefix = slash < 0 ? preferred : preferred.slice(0, slash)
  const named = order.find((name) => name === prefix)
  if (named && configured.includes(named)) return slash < 0 ? { name: named } : { name: named, model: preferred.slice(slash + 1) }
  // Aggregating servers have ids such as `openai/gpt-6-luna` themselves, so a compatible server gets the name as it stands.
  if (configured.includes('compatible')) return { name: 'compatible', model: preferred }
  if (named) throw refuse(`CADRE_MODEL names ${named}, but ${providers[named].setting} is not set.`)
  if (!first) throw refuse(`CADRE_MODEL is ${preferred}, but no provider is configured: set a provider's key or CADRE_MODEL_URL.`)
  return { name: configured.find((name) => providers[name].family.test(preferred)) ?? first, model: preferred }
}

function accessOf(
  settings: ModelSettings,
  name: ProviderName,
): { baseUrl: string; apiKey: RevealSecret; model?: string | undefined } {
  if (name === 'compatible') {
    const { url = '', apiKey = () => '', model } = settings.compatible ?? {}
    return { baseUrl: checkUrl(url, providers.compatible.setting, '/v1'), apiKey, model }
  }
  const { baseUrl = providers[name].baseUrl, apiKey = () => '', model } = settings[name] ?? {}
  return { baseUrl: checkUrl(baseUrl, `the base URL of ${name}`, ''), apiKey, model }
}

function checkUrl(text: string, setting: string, defaultPath: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (!url || !['http:', 'https:'].includes(url.protocol)) throw refuse(`${setting} must be an http or https URL.`)
  // The message of a failed request would quote them, and fetch refuses such URLs anyway.
  if (url.username !== '' || url.password !== '') throw refuse(`${setting} must not contain a user name or password.`)
  const path = url.pathname.replace(/\/+$/, '')
  return `${url.origin}${path === '' ? defaultPath : path}${url.search}`
}
