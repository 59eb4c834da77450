/** Environment -> one validated, frozen object. No setting at all starts a working system. Secrets stand apart and redact themselves. */
import { mkdirSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { z } from 'zod'
import type { Rate } from './core/rate.ts'
import { Secret } from './core/secrets.ts'

/** A setting that cannot be used; its message is one sentence that names the variable. */
export class ConfigError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'ConfigError'
  }
}

export interface Config {
  readonly host: string
  readonly port: number
  /** Folder of the store, or `:memory:`. */
  readonly data: string
  readonly auth: 'local' | 'required'
  readonly allowedHosts: readonly string[]
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error' | 'silent'
  /** Milliseconds of one task lease. */
  readonly leaseMs: number
  readonly workerRestartMs: number
  /** For crash tests: where this process ends as by `kill -9`. */
  readonly failPoint: string | undefined
  readonly model: ModelConfig
  /** Connections at once. */
  readonly connections: { readonly agent: number; readonly tenant: number }
  /** Operations a second and at once; undefined: no limit. */
  readonly rate: { readonly agent: Rate | undefined; readonly tenant: Rate | undefined }
}

export interface ModelConfig {
  readonly openai: { apiKey: Secret; baseUrl: string | undefined } | undefined
  readonly anthropic: { apiKey: Secret } | undefined
  readonly google: { apiKey: Secret } | undefined
  readonly compatible: { url: string; apiKey: Secret | undefined } | undefined
  readonly preferred: string | undefined
}

const loopback = ['localhost', '127.0.0.1', '[::1]', '::1']
const whole = (min: number, max: number) =>
  z
    .string()
    .regex(/^\d+$/, 'give a whole number')
    .transform(Number)
    .pipe(z.number().min(min, `at least ${min}`).max(max, `at most ${max}`))

/** `500` or, with what may come at once, `500:2000`; `off` for none. Without the second number it is two seconds' worth. */
const rate = z
  .string()
  .regex(/^(off|[1-9]\d{0,8}(:[1-9]\d{0,8})?)$/, 'give operations a second, like 500 or 500:2000, or off')
  .transform((text): Rate | undefined => {
    if (text === 'off') return undefined
    const [perSecond = 0, burst = perSecond * 2] = text.split(':').map(Number)
    return { perSecond, burst }
  })
/** Far above what a healthy client does, and below what would keep the others out. */
const usualRates = { agent: { perSecond: 50_000, burst: 100_000 }, tenant: { perSecond: 100_000, burst: 200_000 } }

const schema = z.object({
  CADRE_HOST: z
    .string()
    .transform((host) => host.replace(/^\[(.*)\]$/, '$1'))
    .default('127.0.0.1'),
  CADRE_PORT: whole(0, 65_535).default(8000),
  CADRE_DATA: z.string().min(1).default('.cadre'),
  CADRE_AUTH: z.enum(['local', 'required']).optional(),
  CADRE_ALLOWED_HOSTS: z.string().optional(),
  CADRE_LEASE_MS: whole(200, 86_400_000).default(30_000),
  CADRE_WORKER_RESTART_MS: whole(10, 600_000).default(500),
  CADRE_FAIL_POINT: z.string().optional(),
  CADRE_CONNECTIONS_AGENT: whole(1, 1_000_000).default(100),
  CADRE_CONNECTIONS_TENANT: whole(1, 1_000_000).default(20_000),
  CADRE_RATE_AGENT: rate.optional(),
  CADRE_RATE_TENANT: rate.optional(),
  CADRE_MODEL: z.string().optional(),
  CADRE_MODEL_URL: z.url({ protocol: /^https?$/, error: 'give an http or https URL' }).optional(),
  CADRE_MODEL_KEY: z.string().optional(),
  OPENAI_API_KEY: z.string().optional(),
  OPENAI_BASE_URL: z.url({ protocol: /^https?$/, error: 'give an http or https URL' }).optional(),
  ANTHROPIC_API_KEY: z.string().optional(),
  GOOGLE_API_KEY: z.string().optional(),
  LOG_LEVEL: z
    .string()
    .transform((text) => text.toLowerCase().replace('warning', 'warn').replace('critical', 'error'))
    .pipe(z.enum(['debug', 'info', 'warn', 'error', 'silent']))
    .default('info'),
})

type Environment = Readonly<Record<string, string | undefined>>

/** Reads the settings. `PORT` stands in for CADRE_PORT, OLLAMA_BASE_URL for CADRE_MODEL_URL, and each has a `*_FILE` form that names a file. */
export function readConfig(environment: Environment): Config {
  const given: Record<string, string> = {}
  for (const name of Object.keys(schema.shape)) {
    const value = fromFile(environment, name) ?? environment[name]
    if (value !== undefined && value !== '') given[name] = value
  }
  if (given['CADRE_PORT'] === undefined && environment['PORT']) given['CADRE_PORT'] = environment['PORT']
  if (given['CADRE_MODEL_URL'] === undefined && environment['OLLAMA_BASE_URL'])
    given['CADRE_MODEL_URL'] = environment['OLLAMA_BASE_URL']
  const parsed = schema.safeParse(given)
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    throw new ConfigError(`${issue?.path.join('.')} cannot be used: ${issue?.message}.`, { cause: parsed.error })
  }
  const settings = parsed.data
  const local = loopback.includes(settings.CADRE_HOST)
  if (!local && settings.CADRE_AUTH === 'local') {
    throw new ConfigError(
      `CADRE_AUTH=local works on this machine only; with CADRE_HOST=${settings.CADRE_HOST} leave it out or set it to required.`,
    )
  }
  const auth = settings.CADRE_AUTH ?? (local ? 'local' : 'required')
  const named =
    settings.CADRE_ALLOWED_HOSTS?.split(',')
      .map((host) => host.trim().toLowerCase())
      .filter((host) => host !== '') ?? []
  const secret = (text: string | undefined) => (text === undefined ? undefined : new Secret(text))
  const openai = secret(settings.OPENAI_API_KEY)
  const anthropic = secret(settings.ANTHROPIC_API_KEY)
  const google = secret(settings.GOOGLE_API_KEY)
  return Object.freeze({
    host: settings.CADRE_HOST,
    port: settings.CADRE_PORT,
    data: settings.CADRE_DATA === ':memory:' ? ':memory:' : resolve(environment['INIT_CWD'] ?? '.', settings.CADRE_DATA),
    auth,
    allowedHosts: local || named.length > 0 ? [...loopback, ...named] : [],
    logLevel: settings.LOG_LEVEL,
    leaseMs: settings.CADRE_LEASE_MS,
    workerRestartMs: settings.CADRE_WORKER_RESTART_MS,
    failPoint: settings.CADRE_FAIL_POINT,
    connections: { agent: settings.CADRE_CONNECTIONS_AGENT, tenant: settings.CADRE_CONNECTIONS_TENANT },
    // On one's own machine nobody is in anybody's way.
    rate: {
      agent: 'CADRE_RATE_AGENT' in given ? settings.CADRE_RATE_AGENT : auth === 'required' ? usualRates.agent : undefined,
      tenant: 'CADRE_RATE_TENANT' in given ? settings.CADRE_RATE_TENANT : auth === 'required' ? usualRates.tenant : undefined,
    },
    model: {
      openai: openai && { apiKey: openai, baseUrl: settings.OPENAI_BASE_URL },
      anthropic: anthropic && { apiKey: anthropic },
      google: google && { apiKey: google },
      compatible:
        settings.CADRE_MODEL_URL === undefined
          ? undefined
          : { url: settings.CADRE_MODEL_URL, apiKey: secret(settings.CADRE_MODEL_KEY) },
      preferred: settings.CADRE_MODEL,
    },
  })
}

function fromFile(environment: Environment, name: string): string | undefined {
  const path = environment[`${name}_FILE`]
  if (!path) return undefined
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (cause) {
    throw new ConfigError(`${name}_FILE names ${path}, which cannot be read.`, { cause })
  }
}

/** Makes the data folder, readable by its owner only. */
export function prepareFolder(folder: string): void {
  if (folder === ':memory:') return
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
  } catch (cause) {
    throw new ConfigError(`The data folder ${folder} cannot be made; set CADRE_DATA to a folder you may write.`, { cause })
  }
}
