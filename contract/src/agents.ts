import { z } from 'zod'
import { fallback, fallbacks } from './assignment.ts'
import { event, lifecycle, operation } from './define.ts'
import { agentRef, capability, cursor, duration, id, limit, metadata, name, page, receipt, time } from './values.ts'

/** starting -> idle <-> busy; failed and stopping on the way out; terminated is final. */
export const agentLifecycle = lifecycle('agent', ['starting', 'idle'], {
  starting: ['idle', 'failed', 'stopping'],
  idle: ['busy', 'failed', 'stopping'],
  busy: ['idle', 'failed', 'stopping'],
  failed: ['starting', 'idle', 'stopping'],
  stopping: ['terminated'],
  terminated: [],
})
export type AgentStatus = (typeof agentLifecycle.states)[number]
export const agentStatus = z.enum(['starting', 'idle', 'busy', 'failed', 'stopping', 'terminated'])
export const presence = z.enum(['online', 'suspect', 'offline'])

export const agent = z.object({
  id,
  agent_id: id,
  name: z.string(),
  type: z.string(),
  agent_type: z.string(),
  status: agentStatus,
  presence,
  capabilities: z.array(z.string()),
  description: z.string().nullable(),
  managed: z.boolean().meta({ description: 'True when the platform runs the process (spawned), false when it runs elsewhere.' }),
  concurrency: z.number().int(),
  load: z.number().int().meta({ description: 'Tasks assigned or running now.' }),
  inbox_depth: z.number().int(),
  created_at: time,
  last_seen: time.nullable(),
  metadata,
  allow_delegation: z.boolean().optional().meta({ description: 'False when it may give no work to others; absent otherwise.' }),
  fallback: z.array(fallback).optional(),
})
export type Agent = z.infer<typeof agent>

const profile = {
  name,
  type: z.string().min(1).max(64).default('custom'),
  capabilities: z.array(capability).max(64).default([]),
  description: z.string().max(4000).optional(),
  metadata: metadata.optional(),
  concurrency: z.number().int().min(1).max(1000).default(1).meta({ description: 'Tasks the agent takes at once.' }),
  allow_delegation: z
    .boolean()
    .optional()
    .meta({ description: 'False: it may neither delegate by message nor assign tasks to others. True unless given.' }),
  fallback: fallbacks.optional().meta({ description: 'Who takes over, in order, what it cannot bring to an end.' }),
}
const profileAliases = { agent_type: 'type', agent_name: 'name', role: 'type' }
const registered = agent.extend({ token: z.string().optional(), receipt })

export const agentOperations = {
  spawn: operation({
    name: 'agents.spawn',
    kind: 'command',
    summary: 'Start an agent that the platform runs',
    description:
      'Stores the desired state and starts a worker process; the agent is idle within about a second and is started again after a crash.',
    permission: 'agents:write',
    routes: [{ method: 'POST', path: '/agents/spawn' }],
    status: 201,
    idempotent: false,
    destructive: false,
    aliases: profileAliases,
    input: z.object({ ...profile, type: z.string().min(1).max(64) }),
    output: agent.extend({ receipt }),
  }),
  register: operation({
    name: 'agents.register',
    kind: 'command',
    summary: 'Join as an agent that runs elsewhere',
    description:
      'Answers the agent with its token. A returning agent keeps what it leaves out. Registering an existing name again needs its token, or operator rights.',
    permission: 'agents:register',
    routes: [{ method: 'POST', path: '/agents/register' }],
    status: 201,
    idempotent: false,
    destructive: false,
    aliases: profileAliases,
    input: z.object({
      ...profile,
      type: z.string().min(1).max(64).optional(),
      capabilities: z.array(capability).max(64).optional(),
      concurrency: z.number().int().min(1).max(1000).optional(),
      token: z.string().max(256).optional(),
    }),
    output: registered,
  }),
  list: operation({
    name: 'agents.list',
    kind: 'query',
    summary: 'List agents',
    permission: 'agents:read',
    routes: [{ method: 'GET', path: '/agents' }],
    idempotent: true,
    destructive: false,
    aliases: { agent_type: 'type' },
    input: z.object({
      type: z.string().max(64).optional(),
      status: agentStatus.optional(),
      presence: presence.optional(),
      capability: capability.optional(),
      limit,
      cursor,
    }),
    output: page(agent),
  }),
  get: operation({
    name: 'agents.get',
    kind: 'query',
    summary: 'Read one agent',
    permission: 'agents:read',
    routes: [{ method: 'GET', path: '/agents/{id}' }],
    idempotent: true,
    destructive: false,
    refs: { id: 'agent' },
    aliases: { agent_id: 'id' },
    input: z.object({ id: agentRef }),
    output: agent,
  }),
  setStatus: operation({
    name: 'agents.set_status',
    kind: 'command',
    summary: 'Change the status of an agent',
    description: 'Legal moves only; a refusal lists them. Setting the current status again changes nothing and answers 200.',
    permission: 'agents:write',
    routes: [{ method: 'PUT', path: '/agents/{id}/status' }],
    idempotent: true,
    destructive: false,
    refs: { id: 'agent' },
    aliases: { agent_id: 'id' },
    input: z.object({ id: agentRef, status: agentStatus, reason: z.string().max(1000).optional() }),
    output: agent.extend({ receipt: receipt.nullable() }),
  }),
  watch: operation({
    name: 'agents.watch',
    kind: 'stream',
    summary: 'Be told on this socket who joins and leaves',
    description: 'As agent:joined and agent:left, until agents.unwatch or the end of the connection.',
    permission: 'agents:read',
    frames: ['agent:watch'],
    idempotent: true,
    destructive: false,
    input: z.object({}),
    output: z.object({ watching: z.boolean() }),
  }),
  unwatch: operation({
    name: 'agents.unwatch',
    kind: 'query',
    summary: 'Be told no more who joins and leaves',
    permission: 'agents:read',
    frames: ['agent:unwatch'],
    idempotent: true,
    destructive: false,
    input: z.object({}),
    output: z.object({ watching: z.boolean() }),
  }),
  heartbeat: operation({
    name: 'agents.heartbeat',
    kind: 'command',
    summary: 'Say that an agent is alive',
    description: 'Renews presence and, where named, the leases of tasks. Not durable: presence is judged by the server clock.',
    permission: 'agents:write',
    routes: [{ method: 'POST', path: '/agents/{id}/heartbeat' }],
    frames: ['agent:heartbeat'],
    idempotent: true,
    destructive: false,
    refs: { id: 'agent' },
    aliases: { agent_id: 'id' },
    input: z.object({
      id: agentRef.optional(),
      leases: z.array(z.string().max(256)).max(1000).default([]),
    }),
    output: z.object({
      id,
      agent_id: id,
      presence,
      server_time: time,
      lost: z.array(z.string()).meta({ description: 'Leases that are no longer current: stop that work.' }),
      lease_until: time.nullable(),
    }),
  }),
  terminate: operation({
    name: 'agents.terminate',
    kind: 'command',
    summary: 'Stop an agent',
    description: 'A busy agent drains first unless `force` is given; its tasks then move to others.',
    permission: 'agents:write',
    routes: [{ method: 'DELETE', path: '/agents/{id}' }],
    idempotent: true,
    destructive: true,
    refs: { id: 'agent' },
    aliases: { agent_id: 'id' },
    input: z.object({ id: agentRef, force: z.boolean().default(false), reason: z.string().max(1000).optional() }),
    output: agent.extend({ receipt: receipt.nullable() }),
  }),
} as const

export const agentEvents = {
  registered: event({
    name: 'agent.registered',
    schema_version: 1,
    summary: 'An agent joined the registry',
    topic: 'agent.lifecycle',
    data: z.object({ agent_id: id, name: z.string(), type: z.string(), capabilities: z.array(z.string()), managed: z.boolean() }),
  }),
  statusChanged: event({
    name: 'agent.status_changed',
    schema_version: 1,
    summary: 'An agent moved to another status',
    topic: 'agent.lifecycle',
    data: z.object({ agent_id: id, name: z.string(), from: agentStatus, to: agentStatus, reason: z.string().nullable() }),
  }),
  joined: event({
    name: 'agent.joined',
    schema_version: 1,
    summary: 'An agent came online',
    topic: 'agent.state',
    frame: 'agent:joined',
    data: z.object({ agent_id: id, name: z.string(), type: z.string(), capabilities: z.array(z.string()) }),
  }),
  left: event({
    name: 'agent.left',
    schema_version: 1,
    summary: 'An agent went offline or ended',
    topic: 'agent.state',
    frame: 'agent:left',
    data: z.object({ agent_id: id, name: z.string(), reason: z.string() }),
  }),
  crashed: event({
    name: 'agent.worker_exited',
    schema_version: 1,
    summary: 'The worker process of a managed agent ended unasked',
    topic: 'agent.lifecycle',
    data: z.object({ agent_id: id, name: z.string(), pid: z.number().int(), exit: z.string(), restart_in: duration }),
  }),
} as const
