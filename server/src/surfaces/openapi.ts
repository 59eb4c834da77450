/** OpenAPI 3.1 from the declarations: its schemas are JSON Schema 2020-12, as zod prints them. */
import { type Operation, operations } from '@cadre/contract'
import { z } from 'zod'

export const problem = {
  type: 'object',
  required: ['type', 'title', 'status', 'detail', 'code', 'retryable'],
  properties: {
    type: { type: 'string' },
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string' },
    code: { type: 'string' },
    retryable: { type: 'boolean' },
    parameters: { type: 'object' },
    errors: { type: 'array', items: { type: 'object', properties: { pointer: { type: 'string' }, detail: { type: 'string' } } } },
    trace_id: { type: 'string' },
  },
}

type Schema = Record<string, unknown> & { properties?: Record<string, Schema>; required?: string[] }

export function openapi(version: string): object {
  const paths: Record<string, Record<string, object>> = {}
  for (const operation of Object.values(operations) as Operation[]) {
    const input = bare(z.toJSONSchema(operation.input, { io: 'input' }) as Schema)
    const output = bare(z.toJSONSchema(operation.output) as Schema)
    for (const [index, route] of (operation.routes ?? []).entries()) {
      const path = `/api/v1${route.path}`
      const inPath = [...route.path.matchAll(/\{(\w+)\}/g)].map((match) => match[1] as string)
      const rest = without(input, inPath)
      const inQuery = route.method === 'GET' || route.method === 'DELETE' || operation.body === 'upload'
      paths[path] = {
        ...paths[path],
        [route.method.toLowerCase()]: {
          operationId: index === 0 ? operation.name : `${operation.name}.${index + 1}`,
          summary: operation.summary,
          ...(operation.description !== undefined && { description: operation.description }),
          tags: [operation.name.split('.')[0]],
          'x-permission': operation.permission,
          'x-idempotent': operation.idempotent,
          'x-destructive': operation.destructive,
          security: operation.permission === 'public' ? [] : [{ bearer: [] }, {}],
          parameters: [
            ...inPath.map((name) => ({
              name,
              in: 'path',
              required: true,
              schema: input.properties?.[name] ?? { type: 'string' },
            })),
            ...(inQuery
              ? Object.entries(rest.properties ?? {}).map(([name, schema]) => ({
                  name,
                  in: 'query',
                  required: rest.required?.includes(name) ?? false,
                  schema,
                }))
              : []),
            // Only a durable write answers with a receipt, and only such a write records its key.
            ...(operation.kind === 'command' && !operation.idempotent && output.properties?.['receipt'] !== undefined
              ? [{ name: 'Idempotency-Key', in: 'header', required: false, schema: { type: 'string', maxLength: 256 } }]
              : []),
          ],
          ...(operation.body === 'upload' && {
            requestBody: { content: { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } } },
          }),
          ...(!inQuery && {
            requestBody: { required: (rest.required?.length ?? 0) > 0, content: { 'application/json': { schema: rest } } },
          }),
          responses: {
            [operation.status ?? 200]: {
              description: 'Done',
              content:
                operation.body === 'download'
                  ? { '*/*': { schema: { type: 'string', format: 'binary' } } }
                  : { 'application/json': { schema: output } },
            },
            default: {
              description: 'Refused or failed',
              content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
            },
          },
        },
      }
    }
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Cadre',
      version,
      description: 'Every path also answers under /api.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/' }],
    paths,
    components: { schemas: { Problem: problem }, securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } } },
  }
}

function bare(schema: Schema): Schema {
  const { $schema: _, ...rest } = schema
  return rest
}

function without(schema: Schema, names: readonly string[]): Schema {
  if (names.length === 0) return schema
  const properties = Object.fromEntries(Object.entries(schema.properties ?? {}).filter(([name]) => !names.includes(name)))
  const required = schema.required?.filter((name) => !names.includes(name))
  const { required: _, ...rest } = schema
  return { ...rest, properties, ...(required && required.length > 0 && { required }) }
}
