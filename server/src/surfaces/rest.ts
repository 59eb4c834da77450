/** The REST surface: every route is derived from its operation. It translates; the door decides. */
import type { Readable } from 'node:stream'
import { CadreError, type Operation, type OperationName, errors, operations } from '@cadre/contract'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { Access } from '../core/access.ts'
import type { Caller } from '../core/context.ts'
import type { Door } from '../core/invoke.ts'
import type { Logger } from '../core/logger.ts'
import type { RateLimits } from '../core/rate.ts'
import { credentialsOf } from './credentials.ts'

export interface RestParts {
  door: Door
  access: Access
  logger: Logger
  rate: RateLimits | undefined
  newTrace: () => string
  openArtifact: (id: string, range: { start: number; end: number } | undefined) => Promise<Readable>
}

declare module 'fastify' {
  interface FastifyRequest {
    caller: Caller | undefined
    trace: string
  }
}

const prefixes = ['/api/v1', '/api']
const jsonBody = 2 * 1024 * 1024
// Texts of 20 million characters are knowledge.add's limit; JSON may escape each.
const knowledgeBody = 64 * 1024 * 1024
// Ten thousand tasks with a paragraph each.
const graphBody = 16 * 1024 * 1024

export function serveRest(app: FastifyInstance, parts: RestParts): void {
  app.decorateRequest('caller', undefined)
  app.decorateRequest('trace', '')
  // Before the body is read: a stranger's bytes are not parsed.
  app.addHook('onRequest', async (request) => {
    const traceparent = request.headers.traceparent
    request.trace =
      typeof traceparent === 'string' && /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/.test(traceparent)
        ? traceparent
        : parts.newTrace()
    if (request.routeOptions.config.permission === undefined) return
    try {
      request.caller = await parts.access.authenticate(credentialsOf(request.raw))
    } catch (error) {
      if (request.routeOptions.config.permission !== 'public') throw error
      // Anyone may ask a public question, even one who names a wrong host.
      request.caller = parts.access.anonymous()
    }
  })

  for (const operation of Object.values(operations) as Operation[]) {
    for (const route of operation.routes ?? []) {
      for (const prefix of prefixes) {
        app.route({
          method: route.method,
          url: prefix + route.path.replaceAll(/\{(\w+)\}/g, ':$1'),
          config: { permission: operation.permission, upload: operation.body === 'upload' },
          bodyLimit: operation.name === 'knowledge.add' ? knowledgeBody : operation.name === 'tasks.dag' ? graphBody : jsonBody,
          handler: (request, reply) => handle(operation, parts, request, reply),
        })
      }
    }
  }

  app.setNotFoundHandler((request, reply) => {
    sendProblem(
      reply,
      new CadreError('route_not_found', { method: request.method, path: request.url.split('?', 1)[0] }),
      request.trace,
    )
  })
  app.setErrorHandler((error, request, reply) => sendProblem(reply, toCadreError(error, request, parts.logger), request.trace))
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Operations have one; pages and documents have none. */
    permission?: string
    /** Takes a raw body. */
    upload?: boolean
  }
}

async function handle(operation: Operation, parts: RestParts, request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
  const abort = new AbortController()
  // Of the answer, not of the request: a request closes as soon as its body was read.
  reply.raw.once('close', () => {
    if (!reply.raw.writableEnded) abort.abort()
  })
  const isUpload = operation.body === 'upload' && !isJson(request)
  if (
    !isUpload &&
    request.body !== undefined &&
    request.body !== null &&
    (typeof request.body !== 'object' || Array.isArray(request.body))
  ) {
    throw new CadreError('malformed', { reason: 'Send a JSON object.' })
  }
  // A stream that is no upload is an empty body under a foreign content type.
  const body = isUpload || isStream(request.body) ? null : (request.body as object | null)
  const input = {
    ...(isUpload || operation.body === 'upload' || request.method === 'GET' || request.method === 'DELETE'
      ? coerce(operation, request.query as Record<string, unknown>)
      : {}),
    ...(isUpload
      ? {
          ...(request.headers['content-type'] !== undefined && { media_type: request.headers['content-type'] }),
          ...coerce(operation, request.query as Record<string, unknown>),
        }
      : body),
    ...(request.params as object),
  }
  const name = operation.name as OperationName
  const caller = request.caller as Caller
  const output = await parts.door
    .invoke(name, input, {
      caller,
      trace: request.trace,
      idempotencyKey: idempotencyKey(request),
      signal: abort.signal,
      upload: isUpload ? (request.body as AsyncIterable<Uint8Array>) : undefined,
    })
    .finally(() => {
      const limits = parts.rate?.fields(name, caller)
      if (limits) reply.header('RateLimit-Policy', limits.policy).header('RateLimit', limits.state)
    })
  if (operation.body === 'download')
    return sendBytes(parts, request, reply, output as { id: string; size: number; media_type: string; name: string | null })
  const duplicate = (output as { receipt?: { duplicate?: boolean } | null } | null)?.receipt?.duplicate === true
  return reply.code(duplicate ? 200 : (operation.status ?? 200)).send(output)
}

const isStream = (value: unknown): boolean => typeof (value as { pipe?: unknown } | null)?.pipe === 'function'

const isJson = (request: FastifyRequest): boolean =>
  request.headers['content-type']?.split(';', 1)[0]?.trim() === 'application/json'

/** Taken quoted, as the header's draft says, and bare, as everyone sends it. */
function idempotencyKey(request: FastifyRequest): string | undefined {
  const header = request.headers['idempotency-key']
  if (typeof header !== 'string' || header === '') return undefined
  const key = /^"(.*)"$/.exec(header)?.[1] ?? header
  if (key.length > 256 || !key.isWellFormed())
    throw new CadreError(
      'invalid_request',
      {},
      { fields: [{ pointer: '/Idempotency-Key', detail: 'At most 256 characters of well-formed text.' }] },
    )
  return key
}

async function sendBytes(
  parts: RestParts,
  request: FastifyRequest,
  reply: FastifyReply,
  artifact: { id: string; size: number; media_type: string; name: string | null },
) {
  const etag = `"${artifact.id}"`
  reply.header('ETag', etag).header('Accept-Ranges', 'bytes').header('Cache-Control', 'private, max-age=31536000, immutable')
  // Bytes from agents must not run as a page of ours.
  reply
    .header('Content-Type', artifact.media_type)
    .header('Content-Security-Policy', "sandbox; default-src 'none'")
    .header('X-Content-Type-Options', 'nosniff')
  reply.header('Content-Disposition', `attachment; filename*=UTF-8''${encodeURIComponent(artifact.name ?? artifact.id)}`)
  if (request.headers['if-none-match'] === etag) return reply.code(304).send()
  const range = readRange(request.headers.range, artifact.size)
  if (range === 'unsatisfiable') return reply.code(416).header('Content-Range', `bytes */${artifact.size}`).send()
  if (range) reply.code(206).header('Content-Range', `bytes ${range.start}-${range.end}/${artifact.size}`)
  reply.header('Content-Length', range ? range.end - range.start + 1 : artifact.size)
  return reply.send(await parts.openArtifact(artifact.id, range))
}

/** One range; several are answered with the whole, as the standard allows. */
function readRange(header: string | undefined, size: number): { start: number; end: number } | 'unsatisfiable' | undefined {
  const match = header === undefined ? null : /^bytes=(\d*)-(\d*)$/.exec(header)
  if (!match || (match[1] === '' && match[2] === '')) return undefined
  const start = match[1] === '' ? Math.max(0, size - Number(match[2])) : Number(match[1])
  const end = match[1] === '' || match[2] === '' ? size - 1 : Math.min(Number(match[2]), size - 1)
  return start > end || start >= size ? 'unsatisfiable' : { start, end }
}

const schemas = new Map<string, Record<string, { type?: string; anyOf?: { type?: string }[] }>>()

/** Query strings are text: numbers, booleans and lists are read as the schema says. */
function coerce(operation: Operation, query: Record<string, unknown>): Record<string, unknown> {
  let properties = schemas.get(operation.name)
  if (!properties) {
    properties = (z.toJSONSchema(operation.input, { io: 'input' }).properties ?? {}) as Record<string, { type?: string }>
    schemas.set(operation.name, properties)
  }
  const types = properties
  return Object.fromEntries(
    Object.entries(query).map(([field, value]) => {
      const declared = types[operation.aliases?.[field] ?? field]
      const kinds = [declared?.type, ...(declared?.anyOf ?? []).map((option) => option.type)]
      if (kinds.includes('array') && !kinds.includes('string'))
        return [field, Array.isArray(value) ? value : String(value).split(',')]
      if (typeof value !== 'string') return [field, value]
      if ((kinds.includes('integer') || kinds.includes('number')) && value.trim() !== '' && !Number.isNaN(Number(value)))
        return [field, Number(value)]
      if (kinds.includes('boolean') && (value === 'true' || value === 'false')) return [field, value === 'true']
      return [field, value]
    }),
  )
}

function toCadreError(error: unknown, request: FastifyRequest, logger: Logger): CadreError {
  if (error instanceof CadreError) return error
  const { code, statusCode, message } = error as { code?: string; statusCode?: number; message?: string }
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE')
    return new CadreError('too_large', { what: 'The body', limit: `${Math.round(jsonBody / 1024)} KiB` }, { cause: error })
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE')
    return new CadreError('malformed', { reason: 'Send the body with Content-Type: application/json.' }, { cause: error })
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500)
    return new CadreError('malformed', { reason: message ?? 'The request cannot be read.' }, { cause: error })
  logger.error('a request failed', {
    method: request.method,
    path: request.url.split('?', 1)[0],
    trace: request.trace,
    cause: error,
  })
  return new CadreError('internal', {}, { cause: error })
}

function sendProblem(reply: FastifyReply, error: CadreError, trace: string): void {
  const problem = error.toProblem(trace)
  if (error.code === 'unauthenticated') reply.header('WWW-Authenticate', 'Bearer')
  if (problem.retryable && (problem.status === 429 || problem.status === 503))
    reply.header('Retry-After', String(problem.parameters?.['retry_after_s'] ?? 1))
  reply.code(errors[error.code].status).type('application/problem+json').send(problem)
}
