import { z } from 'zod'
import { event, operation } from './define.ts'
import { agentRef, cursor, id, limit, metadata, page, receipt, time } from './values.ts'

const collectionName = z
  .string()
  .min(1)
  .max(128)
  .regex(/^[\w.-]+$/)

export const collection = z.object({
  name: collectionName,
  description: z.string().nullable(),
  documents: z.number().int(),
  chunks: z.number().int(),
  created_at: time,
})
export const document = z.object({
  id,
  collection: z.string(),
  title: z.string(),
  source: z.string().nullable(),
  tags: z.array(z.string()),
  private: z.boolean(),
  owner: z.string(),
  chunks: z.number().int(),
  length: z.number().int().meta({ description: 'UTF-16 units of the text.' }),
  artifact: z.string().nullable(),
  metadata,
  created_at: time,
})
/** One passage found. start and end are UTF-16 offsets into the text of the document. */
export const hit = z.object({
  document_id: id,
  collection: z.string(),
  title: z.string(),
  source: z.string().nullable(),
  chunk: z.number().int(),
  start: z.number().int(),
  end: z.number().int(),
  text: z.string(),
  content: z.string(),
  score: z.number(),
  parts: z.object({ text: z.number(), vector: z.number() }),
  tags: z.array(z.string()),
  metadata,
})
export type Hit = z.infer<typeof hit>

export const knowledgeOperations = {
  add: operation({
    name: 'knowledge.add',
    kind: 'command',
    summary: 'Add a text to a collection',
    description:
      'Chunked, indexed for full text and lexical vectors in one commit, and searchable at once. Shared in the tenant unless private.',
    permission: 'knowledge:write',
    routes: [{ method: 'POST', path: '/knowledge' }],
    status: 201,
    frames: ['knowledge:add'],
    idempotent: false,
    destructive: false,
    refs: { collection: 'collection', artifact: 'artifact' },
    aliases: { text: 'content', collection_name: 'collection' },
    input: z.object({
      content: z.string().min(1).max(20_000_000).optional(),
      title: z.string().max(500).optional(),
      source: z.string().max(2000).optional(),
      collection: collectionName.default('default'),
      tags: z.array(z.string().min(1).max(64)).max(64).default([]),
      private: z.boolean().default(false),
      artifact: z
        .string()
        .max(128)
        .optional()
        .meta({ description: 'Artifact the text belongs to; without content, its bytes are the text, as UTF-8.' }),
      metadata: metadata.optional(),
    }),
    output: document.extend({ receipt }),
  }),
  search: operation({
    name: 'knowledge.search',
    kind: 'query',
    summary: 'Search by meaning and words',
    description: 'Full text and lexical vectors, fused by rank. top_k is 5 unless given.',
    permission: 'knowledge:read',
    routes: [
      { method: 'POST', path: '/knowledge/search' },
      { method: 'GET', path: '/knowledge/search' },
    ],
    frames: ['knowledge:search'],
    idempotent: true,
    destructive: false,
    refs: { collection: 'collection' },
    aliases: { q: 'query', limit: 'top_k', k: 'top_k', collection_name: 'collection' },
    input: z.object({
      query: z.string().min(1).max(10_000),
      collection: collectionName.optional(),
      top_k: z.number().int().min(1).max(200).default(5),
      tags: z.array(z.string()).max(16).optional(),
      agent: agentRef.optional(),
    }),
    output: z.object({ items: z.array(hit), query: z.string() }),
  }),
  list: operation({
    name: 'knowledge.list',
    kind: 'query',
    summary: 'List documents',
    permission: 'knowledge:read',
    routes: [{ method: 'GET', path: '/knowledge' }],
    idempotent: true,
    destructive: false,
    input: z.object({ collection: collectionName.optional(), limit, cursor }),
    output: page(document),
  }),
  get: operation({
    name: 'knowledge.get',
    kind: 'query',
    summary: 'Read a document with its text',
    permission: 'knowledge:read',
    routes: [{ method: 'GET', path: '/knowledge/{id}' }],
    idempotent: true,
    destructive: false,
    refs: { id: 'document' },
    input: z.object({ id }),
    output: document.extend({ content: z.string() }),
  }),
  chunks: operation({
    name: 'knowledge.chunks',
    kind: 'query',
    summary: 'List the passages of a document',
    description: 'In their order; start and end are UTF-16 offsets into the text of the document.',
    permission: 'knowledge:read',
    routes: [{ method: 'GET', path: '/knowledge/{id}/chunks' }],
    idempotent: true,
    destructive: false,
    refs: { id: 'document' },
    input: z.object({ id, limit, cursor }),
    output: page(z.object({ chunk: z.number().int(), start: z.number().int(), end: z.number().int(), text: z.string() })),
  }),
  delete: operation({
    name: 'knowledge.delete',
    kind: 'command',
    summary: 'Remove a document',
    permission: 'knowledge:write',
    routes: [{ method: 'DELETE', path: '/knowledge/{id}' }],
    idempotent: false,
    destructive: true,
    refs: { id: 'document' },
    input: z.object({ id }),
    output: z.object({ id, deleted: z.literal(true), receipt }),
  }),
  collections: operation({
    name: 'knowledge.collections',
    kind: 'query',
    summary: 'List collections',
    permission: 'knowledge:read',
    routes: [{ method: 'GET', path: '/knowledge/collections' }],
    idempotent: true,
    destructive: false,
    input: z.object({ limit, cursor }),
    output: page(collection),
  }),
  createCollection: operation({
    name: 'knowledge.create_collection',
    kind: 'command',
    summary: 'Create a collection',
    permission: 'knowledge:write',
    routes: [{ method: 'POST', path: '/knowledge/collections' }],
    status: 201,
    idempotent: true,
    destructive: false,
    input: z.object({ name: collectionName, description: z.string().max(2000).optional() }),
    output: collection.extend({ receipt: receipt.nullable() }),
  }),
  deleteCollection: operation({
    name: 'knowledge.delete_collection',
    kind: 'command',
    summary: 'Delete a collection with its documents',
    permission: 'knowledge:write',
    routes: [{ method: 'DELETE', path: '/knowledge/collections/{name}' }],
    idempotent: false,
    destructive: true,
    refs: { name: 'collection' },
    input: z.object({ name: collectionName }),
    output: z.object({ name: z.string(), deleted: z.literal(true), documents: z.number().int(), receipt }),
  }),
} as const

export const knowledgeEvents = {
  added: event({
    name: 'knowledge.added',
    schema_version: 1,
    summary: 'A document was added',
    topic: 'system.events',
    data: z.object({ document_id: id, collection: z.string(), title: z.string(), chunks: z.number().int() }),
  }),
  removed: event({
    name: 'knowledge.removed',
    schema_version: 1,
    summary: 'A document or a collection was removed',
    topic: 'system.events',
    data: z.object({ collection: z.string(), document_id: id.nullable() }),
  }),
  collectionCreated: event({
    name: 'knowledge.collection_created',
    schema_version: 1,
    summary: 'A collection was created',
    topic: 'system.events',
    data: z.object({ collection: z.string() }),
  }),
} as const
