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
