import { z } from 'zod'
import { event, operation, permissions } from './define.ts'
import { agentRef, cursor, id, limit, page, receipt, time } from './values.ts'

const component = z.object({ name: z.string(), status: z.enum(['ok', 'degraded', 'down']), detail: z.string().optional() })

export const role = z.enum(['admin', 'operator', 'viewer', 'agent'])
export type Role = z.infer<typeof role>

/** What each role may do. Agents act only as themselves; the door checks that where an operation names an agent. */
export const roleGrants: Readonly<Record<Role, readonly string[]>> = {
  admin: permissions,
  operator: permissions.filter((permission) => permission !== 'keys:admin'),
  viewer: permissions.filter((permission) => permission.endsWith(':read')),
  // The log shows every message of the tenant and rules decide where those of others go, so neither is for agents.
  agent: permissions.filter((permission) => !['keys:admin', 'events:read', 'events:write', 'rules:write'].includes(permission)),
}

export const systemOperations = {
  health: operation({
    name: 'system.health',
    kind: 'query',
    summary: 'Tell whether the server works',
    permission: 'public',
    routes: [{ method: 'GET', path: '/health' }],
    idempotent: true,
    destructive: false,
    input: z.object({}),
    output: z.object({
      status: z.enum(['ok', 'degraded', 'down']),
      version: z.string(),
      uptime_s: z.number(),
      time,
      components: z.array(component),
    }),
  }),
  metrics: operation({
    name: 'system.metrics',
    kind: 'query',
    summary: 'Read counts and throughput',
    permission: 'system:read',
    routes: [{ method: 'GET', path: '/metrics' }],
    idempotent: true,
    destructive: false,
    input: z.object({}),
    output: z.object({
      agents: z.object({ total: z.number().int(), online: z.number().int(), by_status: z.record(z.string(), z.number().int()) }),
      tasks: z.object({ total: z.number().int(), by_state: z.record(z.string(), z.number().int()) }),
      messages: z.object({
        total: z.number().int(),
        waiting: z.number().int(),
        leased: z.number().int(),
        dead: z.number().int(),
        per_minute: z.number(),
        delivered: z.number().int().meta({ description: 'Since this process started, as are the next two.' }),
        acknowledged: z.number().int(),
        redelivered: z.number().int(),
      }),
      connections: z.number().int(),
      knowledge: z.object({ documents: z.number().int(), chunks: z.number().int() }),
      memory_keys: z.number().int(),
      log_seq: z.number().int(),
      consumers: z
        .array(z.object({ group: z.string(), lag: z.record(z.string(), z.number().int()) }))
        .meta({ description: 'Groups that read the log, each with the entries it has not committed, by topic.' }),
      process: z.object({ rss_bytes: z.number().int(), uptime_s: z.number(), event_loop_p99_ms: z.number() }),
    }),
  }),
  whoami: operation({
    name: 'system.whoami',
    kind: 'query',
    summary: 'Tell who the caller is',
    permission: 'system:read',
    routes: [{ method: 'GET', path: '/whoami' }],
    idempotent: true,
    destructive: false,
    input: z.object({}),
    output: z.object({ id: z.string(), name: z.string(), role, tenant: z.string(), permissions: z.array(z.string()) }),
  }),
  createLink: operation({
    name: 'system.link',
    kind: 'command',
    summary: 'Make a one-time link that signs a browser in',
    permission: 'keys:admin',
    routes: [{ method: 'POST', path: '/sign-in-links' }],
    status: 201,
    idempotent: true,
    destructive: false,
    input: z.object({}),
    output: z.object({ url: z.string(), expires_at: time }),
  }),
  createKey: operation({
    name: 'keys.create',
    kind: 'command',
    summary: 'Create an API key',
    description: 'The secret is shown once.',
    permission: 'keys:admin',
    routes: [{ method: 'POST', path: '/keys' }],
    status: 201,
    idempotent: false,
    destructive: false,
    input: z.object({ name: z.string().min(1).max(128), role: role.exclude(['agent']).default('operator') }),
    output: z.object({ id, name: z.string(), role, key: z.string(), created_at: time, receipt }),
  }),
  listKeys: operation({
    name: 'keys.list',
    kind: 'query',
    summary: 'List API keys',
    permission: 'keys:admin',
    routes: [{ method: 'GET', path: '/keys' }],
    idempotent: true,
    destructive: false,
    input: z.object({ limit, cursor }),
    output: page(z.object({ id, name: z.string(), role, created_at: time, last_used_at: time.nullable() })),
  }),
  revokeKey: operation({
    name: 'keys.revoke',
    kind: 'command',
    summary: 'Revoke an API key',
    permission: 'keys:admin',
    routes: [{ method: 'DELETE', path: '/keys/{id}' }],
    idempotent: false,
    destructive: true,
    refs: { id: 'key' },
    input: z.object({ id }),
    output: z.object({ id, revoked: z.literal(true), receipt }),
  }),
} as const

export const systemEvents = {
  started: event({
    name: 'system.started',
    schema_version: 1,
    summary: 'A server process started',
    topic: 'system.events',
    data: z.object({ version: z.string(), store_epoch: z.string() }),
  }),
  denied: event({
    name: 'access.denied',
    schema_version: 1,
    summary: 'A caller was refused',
    topic: 'system.events',
    data: z.object({ operation: z.string(), reason: z.string(), agent: agentRef.nullable() }),
  }),
  keyCreated: event({
    name: 'key.created',
    schema_version: 1,
    summary: 'An API key was created',
    topic: 'system.events',
    data: z.object({ key_id: id, name: z.string(), role }),
  }),
  keyRevoked: event({
    name: 'key.revoked',
    schema_version: 1,
    summary: 'An API key was revoked',
    topic: 'system.events',
    data: z.object({ key_id: id }),
  }),
} as const
