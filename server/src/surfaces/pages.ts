/** Pages: the control room, the API documentation, sign-in. */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CadreError } from '@cadre/contract'
import type { FastifyInstance, FastifyReply } from 'fastify'
import type { Access } from '../core/access.ts'
import type { Door } from '../core/invoke.ts'
import { asyncapi } from './asyncapi.ts'
import { credentialsOf } from './credentials.ts'
import { openapi } from './openapi.ts'
import { prometheus } from './prometheus.ts'

export interface PagesParts {
  access: Access
  door: Door
  version: string
  /** Folder with `dashboard/` and `docs/`; absent parts answer that they were not built. */
  assets: string
  ready: () => boolean
}

const policy =
  "default-src 'self'; connect-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
const swaggerStart = `window.addEventListener('load', () => {
  SwaggerUIBundle({ url: '/openapi.json', dom_id: '#swagger-ui', presets: [SwaggerUIBundle.presets.apis], layout: 'BaseLayout', validatorUrl: null, tryItOutEnabled: true })
})`
const swaggerPage = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Cadre API</title><meta name="viewport" content="width=device-width">
<link rel="stylesheet" href="/docs/swagger-ui.css"><link rel="icon" href="/docs/favicon-32x32.png"></head>
<body><div id="swagger-ui"></div><script src="/docs/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script></body></html>`
const types: Readonly<Record<string, string>> = {
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml',
  png: 'image/png',
  json: 'application/json',
  woff2: 'font/woff2',
  ico: 'image/x-icon',
}

export function servePages(app: FastifyInstance, parts: PagesParts): void {
  let document: string | undefined
  let frames: string | undefined
  app.addHook('onSend', async (_request, reply) => {
    reply.header('X-Content-Type-Options', 'nosniff').header('Referrer-Policy', 'no-referrer')
    if (String(reply.getHeader('content-type') ?? '').startsWith('text/html') && !reply.hasHeader('content-security-policy'))
      reply.header('Content-Security-Policy', policy)
  })

  app.get('/openapi.json', (_request, reply) => {
    document ??= JSON.stringify(openapi(parts.version))
    return reply.type('application/json').send(document)
  })
  app.get('/asyncapi.json', (_request, reply) => {
    frames ??= JSON.stringify(asyncapi(parts.version))
    return reply.type('application/json').send(frames)
  })
  app.get('/docs', (_request, reply) =>
    reply.type('text/html').header('Content-Security-Policy', `${policy}; style-src 'self' 'unsafe-inline'`).send(swaggerPage),
  )
  app.get('/docs/start.js', (_request, reply) => reply.type('text/javascript').send(swaggerStart))
  app.get('/docs/:file', (request, reply) =>
    file(reply, join(parts.assets, 'docs'), (request.params as { file: string }).file, true),
  )

  app.get('/healthz', (_request, reply) => reply.send({ status: 'ok' }))
  app.get('/readyz', (_request, reply) =>
    reply.code(parts.ready() ? 200 : 503).send({ status: parts.ready() ? 'ok' : 'draining' }),
  )
  app.get('/metrics', async (request, reply) => {
    const caller = await parts.access.authenticate(credentialsOf(request.raw))
    return reply.type('text/plain; version=0.0.4').send(prometheus(await parts.door.invoke('system.metrics', {}, { caller })))
  })

  app.get('/sign-in/:code', (request, reply) => {
    const cookie = parts.access.redeem((request.params as { code: string }).code)
    if (cookie === undefined)
      throw new CadreError('unauthenticated', {
        reason: 'The link was used or is older than ten minutes; `npx cadre link` makes another.',
      })
    return reply.header('Set-Cookie', cookie).redirect('/', 303)
  })
  app.post('/sign-out', (_request, reply) => reply.header('Set-Cookie', parts.access.signOutCookie()).redirect('/', 303))

  app.get('/', (_request, reply) => file(reply, join(parts.assets, 'dashboard'), 'index.html', false))
  app.get('/assets/:file', (request, reply) =>
    file(reply, join(parts.assets, 'dashboard', 'assets'), (request.params as { file: string }).file, true),
  )
  app.get('/favicon.svg', (_request, reply) => file(reply, join(parts.assets, 'dashboard'), 'favicon.svg', true))
}

/** One folder deep and one file at a time: a name with a slash or a leading dot is nobody's file. */
async function file(reply: FastifyReply, folder: string, name: string, cache: boolean): Promise<unknown> {
  const path = join(folder, name)
  if (!/^[\w-][\w.-]*$/.test(name) || !existsSync(path)) {
    if (name === 'index.html')
      return reply.code(503).type('text/plain').send('The control room is not built; run npm run build.\n')
    throw new CadreError('route_not_found', { method: 'GET', path: name })
  }
  if (cache) reply.header('Cache-Control', 'public, max-age=3600')
  else reply.header('Cache-Control', 'no-cache')
  return reply.type(types[name.split('.').at(-1) ?? ''] ?? 'application/octet-stream').send(await readFile(path))
}
