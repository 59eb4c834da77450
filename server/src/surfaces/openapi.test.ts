/** What is derived from the contract: schemas a client can use, an OpenAPI document that holds together, and aliases that stay on top. */
import assert from 'node:assert/strict'
import { symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'node:test'
import { type Operation, closeCodes, errors, events, operations, permissions } from '@cadre/contract'
import { z } from 'zod'
import { verifies } from '../../../test/verifies.ts'
import { parseInput } from '../core/invoke.ts'
import { serveFor, temporaryFolder } from '../testing.ts'
import { openapi } from './openapi.ts'

type Json = Record<string, unknown>
const all = Object.values(operations) as Operation[]

// Everything JSON Schema 2020-12 names and we use; a word outside of it would be lost on other clients.
const keywords = new Set(
  'type properties required additionalProperties propertyNames items prefixItems enum const anyOf oneOf allOf not default description format pattern minLength maxLength minimum maximum exclusiveMinimum exclusiveMaximum multipleOf minItems maxItems uniqueItems minProperties maxProperties title examples deprecated readOnly writeOnly'.split(
    ' ',
  ),
)

function check(schema: unknown, at: string): void {
  if (typeof schema === 'boolean') return
  assert.ok(schema !== null && typeof schema === 'object', at)
  for (const [word, value] of Object.entries(schema)) {
    assert.ok(keywords.has(word), `${at} uses ${word}`)
    if (word === 'properties') for (const [name, inner] of Object.entries(value as Json)) check(inner, `${at}/${name}`)
    else if (['items', 'additionalProperties', 'propertyNames', 'not'].includes(word)) check(value, `${at}/${word}`)
    else if (['anyOf', 'oneOf', 'allOf', 'prefixItems'].includes(word))
      for (const [index, inner] of (value as unknown[]).entries()) check(inner, `${at}/${word}/${index}`)
  }
}
const bare = (schema: object): Json => {
  const { $schema, ...rest } = schema as Json
  assert.equal($schema, 'https://json-schema.org/draft/2020-12/schema')
  return rest
}

test('every schema on the wire is plain JSON Schema 2020-12, without references', () => {
  for (const operation of all) {
    check(bare(z.toJSONSchema(operation.input, { io: 'input' })), `${operation.name} input`)
    check(bare(z.toJSONSchema(operation.output)), `${operation.name} output`)
  }
  for (const event of Object.values(events)) check(bare(z.toJSONSchema(event.data)), event.name)
})

verifies('API-32', 'fields are snake_case everywhere', () => {
  const walk = (schema: Json, at: string): void => {
    for (const [name, inner] of Object.entries((schema['properties'] ?? {}) as Record<string, Json>)) {
      assert.match(name, /^[a-z][a-z0-9]*(_[a-z0-9]+)*$/, `${at}/${name}`)
      walk(inner, `${at}/${name}`)
    }
    for (const inner of [schema['items'], ...((schema['anyOf'] ?? []) as unknown[])]) if (inner) walk(inner as Json, at)
  }
  for (const operation of all) {
    walk(z.toJSONSchema(operation.input, { io: 'input' }) as Json, operation.name)
    walk(z.toJSONSchema(operation.output) as Json, operation.name)
  }
})

test('declarations hold together: names, routes, frames, references, permissions', () => {
  const routes = new Set<string>()
  const frames = new Set<string>()
  for (const operation of all) {
    assert.equal(operations[operation.name as keyof typeof operations], operation)
    assert.match(operation.name, /^[a-z]+\.[a-z_]+$/)
    assert.ok(permissions.includes(operation.permission), operation.name)
    assert.ok(operation.summary.length > 3 && !operation.summary.endsWith('.'))
    const fields = Object.keys((z.toJSONSchema(operation.input, { io: 'input' }).properties ?? {}) as Json)
    for (const { method, path } of operation.routes ?? []) {
      const shape = `${method} ${path.replaceAll(/\{\w+\}/g, '{}')}`
      assert.ok(!routes.has(shape), `two operations answer at ${shape}`)
      routes.add(shape)
      for (const [, name] of path.matchAll(/\{(\w+)\}/g))
        assert.ok(fields.includes(name as string), `${operation.name} has no field ${name}`)
      if (method === 'GET')
        assert.equal(
          operation.kind === 'query' || operation.body === 'download',
          true,
          `${operation.name} changes something by GET`,
        )
    }
    for (const frame of [operation.name, ...(operation.frames ?? [])]) {
      assert.ok(!frames.has(frame), `two operations answer to ${frame}`)
      frames.add(frame)
    }
    for (const field of Object.keys(operation.refs ?? {}))
      assert.ok(fields.includes(field), `${operation.name} refers by ${field}`)
    for (const [alias, field] of Object.entries(operation.aliases ?? {})) {
      // One table of aliases serves all operations of a subject.
      const subject = operation.name.split('.')[0]
      assert.ok(
        all.some((other) => other.name.split('.')[0] === subject && field in (other.input as z.ZodObject).shape),
        `${operation.name}: ${alias} stands for ${field}, which is no field`,
      )
      assert.ok(!fields.includes(alias), `${operation.name}: ${alias} is a field and an alias`)
    }
  }
  assert.equal(new Set(Object.values(closeCodes)).size, Object.keys(closeCodes).length)
  for (const [code, { status, title, detail }] of Object.entries(errors)) {
    assert.match(code, /^[a-z_]+$/)
    assert.ok(status >= 400 && status < 600 && !title.endsWith('.') && /[.}]$/.test(detail), code)
  }
})

test('aliases are folded on the top level only, and never into content, value or metadata', () => {
  for (const operation of all) {
    for (const [alias, field] of Object.entries(operation.aliases ?? {})) {
      const inner = Object.fromEntries(Object.keys(operation.aliases ?? {}).map((name) => [name, { [name]: [{ [name]: 1 }] }]))
      for (const free of ['content', 'value', 'metadata', 'input', 'arguments', 'result']) {
        const schema = z.toJSONSchema(operation.input, { io: 'input' }) as { properties?: Record<string, Json> }
        const declared = schema.properties?.[free]
        const isFree = declared !== undefined && (declared['type'] === undefined || declared['type'] === 'object')
        if (!isFree || free === field) continue
        try {
          const parsed = parseInput(operation.name as 'messages.send', { [free]: inner, [alias]: 'x' }) as Json
          assert.deepEqual(parsed[free], inner, `${operation.name} ${free}`)
        } catch (error) {
          // Other fields are missing; the free one must not be among the complaints.
          const fields = (error as { fields?: { pointer: string }[] }).fields ?? []
          assert.ok(
            fields.length > 0 && fields.every(({ pointer }) => !pointer.startsWith(`/${free}`)),
            `${operation.name} ${free}: ${JSON.stringify(fields)}`,
          )
        }
      }
    }
  }
  const odd = JSON.parse('{"to":"a","content":{"__proto__":{"x":1}},"__proto__":{"polluted":true}}') as Json
  const parsed = parseInput('messages.send', odd) as Json
  assert.equal(Object.getPrototypeOf(parsed), Object.prototype)
  assert.equal(({} as Json)['polluted'], undefined)
  assert.deepEqual(Object.keys(parsed['content'] as Json), ['__proto__'])
})

verifies('API-24', 'the OpenAPI document describes every route, and all of it can be resolved', () => {
  const document = JSON.parse(JSON.stringify(openapi('1.2.3'))) as {
    openapi: string
    info: { version: string }
    paths: Record<
      string,
      Record<
        string,
        {
          operationId: string
          parameters: { name: string; in: string; required: boolean }[]
          responses: Record<string, unknown>
          requestBody?: object
        }
      >
    >
  }
  assert.equal(document.openapi, '3.1.0')
  assert.equal(document.info.version, '1.2.3')
  const ids = new Set<string>()
  let described = 0
  for (const [path, methods] of Object.entries(document.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      described += 1
      assert.ok(!ids.has(operation.operationId), operation.operationId)
      ids.add(operation.operationId)
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1])
      assert.deepEqual(
        operation.parameters.filter((parameter) => parameter.in === 'path').map((parameter) => parameter.name),
        inPath,
        path,
      )
      assert.ok(operation.parameters.every((parameter) => parameter.in !== 'path' || parameter.required))
      const keys = operation.parameters.map((parameter) => `${parameter.in} ${parameter.name}`)
      assert.equal(new Set(keys).size, keys.length)
      assert.ok(Object.keys(operation.responses).some((status) => status.startsWith('2')) && 'default' in operation.responses)
      if (method === 'get') assert.equal(operation.requestBody, undefined)
    }
  }
  assert.equal(
    described,
    all.reduce((sum, operation) => sum + (operation.routes?.length ?? 0), 0),
  )
  const references: string[] = []
  JSON.stringify(document, (name, value: unknown) => {
    if (name === '$ref') references.push(String(value))
    return value
  })
  for (const reference of new Set(references)) {
    let target: unknown = document
    for (const part of reference.replace(/^#\//, '').split('/')) target = (target as Json)[part]
    assert.ok(target, reference)
  }
})

verifies('API-24', 'the page at /docs comes with its script, its style and the document, all from here', async (t) => {
  const assets = temporaryFolder()
  t.after(() => assets.remove())
  symlinkSync(join(dirname(fileURLToPath(import.meta.resolve('@fastify/swagger-ui'))), 'static'), join(assets.path, 'docs'))
  const server = await serveFor(t, { assets: assets.path })
  const page = await server.request('GET', '/docs')
  assert.equal(page.status, 200)
  const linked = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1] as string)
  assert.ok(linked.length >= 4 && linked.every((path) => path.startsWith('/docs/')), linked.join(' '))
  for (const path of linked) assert.equal((await server.request('GET', path)).status, 200, path)
  const start = await server.request('GET', '/docs/start.js')
  assert.match(start.text, /tryItOutEnabled: true/)
  const [, url] = /url: '([^']+)'/.exec(start.text) ?? []
  const document = await server.request<{ openapi: string }>('GET', url as string)
  assert.equal(document.body.openapi, '3.1.0')
  assert.match(String(page.headers['content-security-policy']), /default-src 'self'/)
  for (const path of ['/docs/..%2f..%2fetc%2fpasswd', '/docs/.hidden', '/assets/..%2findex.html'])
    assert.equal((await server.request('GET', path)).status, 404, path)
})
