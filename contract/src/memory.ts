import { z } from 'zod'
import { event, operation } from './define.ts'
import { agentRef, cursor, duration, id, json, limit, metadata, page, receipt, time } from './values.ts'

const key = z.string().min(1).max(512)
export const accessControl = z
  .object({ read: z.array(agentRef).max(1000).optional(), write: z.array(agentRef).max(1000).optional() })
  .meta({
    description: 'Agents that may read or write the key; a missing list means everyone in the tenant. The writer always may.',
  })

export const memoryEntry = z.object({
  id,
  key,
  value: json,
  description: z.string().nullable().meta({ description: 'What the entry is about, in the words of who wrote it.' }),
  version: z.number().int(),
  created_by: z.string(),
  updated_by: z.string(),
  task_id: id.nullable(),
  access_control: accessControl,
  metadata,
  created_at: time,
  updated_at: time,
  expires_at: time.nullable(),
})
export type MemoryEntry = z.infer<typeof memoryEntry>

const write = {
  key,
  value: json,
  description: z
    .string()
    .max(4000)
    .optional()
    .meta({ description: 'Found by memory.query. Taken from `metadata.description` when left out; else it stays as it was.' }),
  if_version: z
    .number()
    .int()
    .min(0)
    .optional()
    .meta({ description: 'Write only over this version; 0 creates only. Otherwise 412 with the current one.' }),
  ttl: duration.optional().meta({ description: 'Milliseconds; permanent when left out.' }),
  access_control: accessControl.optional(),
  metadata: metadata.optional(),
  task_id: id.optional(),
  lease: z.string().max(256).optional(),
}
const watched = { key: key.optional(), prefix: z.string().max(512).optional() }
const aliases = { version: 'if_version', expected_version: 'if_version', acl: 'access_control' }

export const memoryOperations = {
  set: operation({
    name: 'memory.set',
    kind: 'command',
    summary: 'Write a value under a key',
    permission: 'memory:write',
    routes: [
      { method: 'POST', path: '/memory' },
      { method: 'PUT', path: '/memory/{key}' },
    ],
    frames: ['memory:set'],
    idempotent: false,
    destructive: false,
    refs: { key: 'memory', task_id: 'task' },
    aliases,
    input: z.object(write),
    output: memoryEntry.extend({ receipt }),
  }),
  get: operation({
    name: 'memory.get',
    kind: 'query',
    summary: 'Read the value of a key',
    permission: 'memory:read',
    routes: [{ method: 'GET', path: '/memory/{key}' }],
    frames: ['memory:get'],
    idempotent: true,
    destructive: false,
    refs: { key: 'memory' },
    input: z.object({ key, version: z.number().int().min(1).optional() }),
    output: memoryEntry,
  }),
  delete: operation({
    name: 'memory.delete',
    kind: 'command',
    summary: 'Delete a key',
    description: 'Leaves a tombstone version, so that versions never repeat.',
    permission: 'memory:write',
    routes: [{ method: 'DELETE', path: '/memory/{key}' }],
    frames: ['memory:delete'],
    idempotent: false,
    destructive: true,
    refs: { key: 'memory' },
    aliases,
    input: z.object({ key, if_version: z.number().int().min(1).optional() }),
    output: z.object({ key, version: z.number().int(), deleted: z.literal(true), receipt }),
  }),
  list: operation({
    name: 'memory.list',
    kind: 'query',
    summary: 'List keys',
    permission: 'memory:read',
    routes: [{ method: 'GET', path: '/memory' }],
    frames: ['memory:list'],
    idempotent: true,
    destructive: false,
    input: z.object({ prefix: z.string().max(512).optional(), limit, cursor }),
    output: page(memoryEntry),
  }),
  query: operation({
    name: 'memory.query',
    kind: 'query',
    summary: 'Find keys by a part of their name or description',
    description:
      'The shared blackboard: whoever looks need not know the key. Upper and lower case are alike. Newest first; a page may be short, or empty, before the last.',
    permission: 'memory:read',
    routes: [{ method: 'GET', path: '/blackboard' }],
    frames: ['memory:query'],
    idempotent: true,
    destructive: false,
    aliases: { query: 'pattern', q: 'pattern' },
    input: z.object({ pattern: z.string().min(1).max(512), limit, cursor }),
    output: page(memoryEntry),
  }),
  watch: operation({
    name: 'memory.watch',
    kind: 'command',
    summary: 'Follow a key, or keys by prefix, on this socket',
    description:
      'Every version after `from`, or from now on, arrives as a `memory:updated` frame whose `seq` is the `from` to come back with: in order for each key and without a gap. Who may read a key is asked at each delivery. Clients without credits are told of all keys they may read anyway. `resync` says that older versions are gone: read the keys anew.',
    permission: 'memory:read',
    frames: ['memory:watch'],
    idempotent: true,
    destructive: false,
    input: z.object({ ...watched, from: z.number().int().min(0).optional() }),
    output: z.object({ head: z.number().int(), from: z.number().int(), resync: z.boolean() }),
  }),
  unwatch: operation({
    name: 'memory.unwatch',
    kind: 'query',
    summary: 'Stop following a key or prefix on this socket',
    permission: 'memory:read',
    frames: ['memory:unwatch'],
    idempotent: true,
    destructive: false,
    input: z.object(watched),
    output: z.object({ watching: z.literal(false) }),
  }),
  history: operation({
    name: 'memory.history',
    kind: 'query',
    summary: 'List the versions of a key',
    permission: 'memory:read',
    routes: [{ method: 'GET', path: '/memory/{key}/history' }],
    idempotent: true,
    destructive: false,
    refs: { key: 'memory' },
    input: z.object({ key, limit, cursor }),
    output: page(
      z.object({
        key,
        version: z.number().int(),
        value: json,
        deleted: z.boolean(),
        updated_by: z.string(),
        task_id: id.nullable(),
        updated_at: time,
      }),
    ),
  }),
} as const

export const memoryEvents = {
  updated: event({
    name: 'memory.updated',
    schema_version: 1,
    summary: 'A key was written or deleted',
    topic: 'agent.state',
    frame: 'memory:updated',
    data: z.object({
      key,
      version: z.number().int(),
      value: json,
      deleted: z.boolean(),
      updated_by: z.string(),
      access_control: accessControl.meta({ description: 'Who might read and write the key then, its owner included.' }),
    }),
  }),
} as const
