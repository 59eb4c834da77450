import { z } from 'zod'
import { event, operation } from './define.ts'
import { cursor, id, limit, page, receipt, time } from './values.ts'

const artifactId = z
  .string()
  .regex(/^[0-9a-f]{64}$/)
  .meta({ description: 'SHA-256 of the bytes, in hex.' })

export const artifact = z.object({
  id: artifactId,
  size: z.number().int().meta({ description: 'Bytes.' }),
  media_type: z.string(),
  name: z.string().nullable(),
  created_by: z.string(),
  task_id: id.nullable(),
  created_at: time,
})

export const artifactOperations = {
  upload: operation({
    name: 'artifacts.upload',
    kind: 'command',
    summary: 'Store bytes',
    description: 'The request body is the file; the answer names it by its SHA-256. The same bytes are stored once.',
    permission: 'artifacts:write',
    routes: [{ method: 'POST', path: '/artifacts' }],
    status: 201,
    idempotent: true,
    destructive: false,
    body: 'upload',
    input: z.object({
      name: z.string().max(500).optional(),
      media_type: z.string().max(200).default('application/octet-stream'),
      task_id: id.optional(),
      content: z
        .string()
        .max(2_000_000)
        .optional()
        .meta({ description: 'Text to store, for callers that cannot send a raw body.' }),
    }),
    output: artifact.extend({ receipt }),
  }),
  get: operation({
    name: 'artifacts.get',
    kind: 'query',
    summary: 'Read what is known of an artifact',
    permission: 'artifacts:read',
    routes: [{ method: 'GET', path: '/artifacts/{id}' }],
    idempotent: true,
    destructive: false,
    refs: { id: 'artifact' },
    input: z.object({ id: artifactId }),
    output: artifact,
  }),
  download: operation({
    name: 'artifacts.download',
    kind: 'query',
    summary: 'Download the bytes',
    description: 'Supports Range; the ETag is the SHA-256.',
    permission: 'artifacts:read',
    routes: [{ method: 'GET', path: '/artifacts/{id}/content' }],
    idempotent: true,
    destructive: false,
    body: 'download',
    refs: { id: 'artifact' },
    input: z.object({ id: artifactId }),
    output: artifact,
  }),
  list: operation({
    name: 'artifacts.list',
    kind: 'query',
    summary: 'List artifacts',
    permission: 'artifacts:read',
    routes: [{ method: 'GET', path: '/artifacts' }],
    idempotent: true,
    destructive: false,
    input: z.object({ task_id: id.optional(), limit, cursor }),
    output: page(artifact),
  }),
} as const

export const artifactEvents = {
  stored: event({
    name: 'artifact.stored',
    schema_version: 1,
    summary: 'An artifact was stored',
    topic: 'system.events',
    data: z.object({ artifact_id: z.string(), name: z.string().nullable(), size: z.number().int(), task_id: id.nullable() }),
  }),
} as const
