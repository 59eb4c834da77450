import { z } from 'zod'
import { event, operation } from './define.ts'
import { agentRef, capability, cursor, id, limit, page, receipt, time } from './values.ts'

/** What a message asks for: an answer, attention, work, or a person. */
export const messageIntent = z.enum(['ask', 'inform', 'delegate', 'escalate'])
export type MessageIntent = z.infer<typeof messageIntent>

export const strategy = z.enum(['any', 'round_robin', 'least_busy', 'idle', 'random', 'all']).meta({
  description:
    'Which of several agents that fit: in turn (`any`, `round_robin`), with the least work, an idle one before a busy one, by chance, or each of them. Connected agents come before those that are away.',
})
export type Strategy = z.infer<typeof strategy>

/** Why a message went where it did. */
export const route = z.object({
  by: z.enum(['direct', 'list', 'broadcast', 'topic', 'group', 'rule', 'type', 'capability', 'reply', 'escalation']),
  reason: z.string(),
  rule: id.optional().meta({ description: 'The rule that decided.' }),
  strategy: strategy.optional(),
  agent_type: z.string().optional(),
  capabilities: z.array(z.string()).optional(),
  groups: z.array(z.string()).optional().meta({ description: 'Groups of subscribers of which one member each got it.' }),
})
export type MessageRoute = z.infer<typeof route>

const agentType = z.string().min(1).max(64)
const capabilities = z.array(capability).min(1).max(64)

/** Fields by which a sender names what an agent is rather than its name. */
export const routingFields = {
  agent_type: agentType.optional().meta({ description: 'Instead of a name: an agent of this type.' }),
  capabilities: capabilities.optional().meta({ description: 'Instead of a name: an agent with all of these.' }),
  strategy: strategy.optional(),
}

const predicate = z.record(z.string(), z.unknown()).meta({
  description:
    'What a message must be like. Short: `{"type": "analysis.*", "metadata.region": "eu"}`, where `*` is any text and a list means one of. In full: `{"field": "content.rows", "op": "gt", "value": 100}` with op eq, ne, in, prefix, glob, contains (any case), gt, gte, lt, lte or exists, joined by `{"and": [...]}`, `{"or": [...]}` and `{"not": {...}}`. Fields: type, topic, intent, kind, priority, sender, metadata.<path>, content.<path>.',
})

const target = z
  .object({
    agents: z
      .array(agentRef)
      .min(1)
      .max(100)
      .optional()
      .meta({ description: 'These, by name: all of them, or one by strategy.' }),
    agent_type: agentType.optional(),
    capabilities: capabilities.optional(),
    topic: z
      .string()
      .min(1)
      .max(256)
      .regex(/^[\w.:/-]+$/)
      .optional()
      .meta({ description: 'As if it were published to this topic.' }),
    strategy: strategy.optional(),
  })
  .refine(
    (to) => [to.agents, to.topic, to.agent_type ?? to.capabilities].filter((way) => way !== undefined).length === 1,
    'Name agents, or an agent_type and capabilities, or a topic: exactly one of them.',
  )
  .refine((to) => to.topic === undefined || to.strategy === undefined, 'A topic has subscribers and no strategy.')

const fields = {
  name: z.string().min(1).max(128),
  priority: z.number().int().min(0).max(1_000_000).meta({ description: 'Lower is tried first; among equals the older rule.' }),
  enabled: z.boolean(),
  when: predicate,
  to: target,
}

export const rule = z.object({
  ...fields,
  id,
  rule_id: id,
  created_by: z.string(),
  created_at: time,
  updated_at: time,
})
export type Rule = z.infer<typeof rule>

const changed = rule.extend({ receipt: receipt.nullable() })
const aliases = { rule_id: 'id', condition: 'when', predicate: 'when', target: 'to' }

export const routingOperations = {
  create: operation({
    name: 'rules.create',
    kind: 'command',
    summary: 'Add a routing rule',
    description:
      'Rules decide where a message goes that names nobody and is not sent as a broadcast. They are tried by rising priority, then in the order in which they were made; the first that matches decides, and when none does the message is broadcast.',
    permission: 'rules:write',
    routes: [{ method: 'POST', path: '/rules' }],
    status: 201,
    idempotent: false,
    destructive: false,
    aliases,
    input: z.object({ ...fields, priority: fields.priority.default(100), enabled: fields.enabled.default(true) }),
    output: rule.extend({ receipt }),
  }),
  list: operation({
    name: 'rules.list',
    kind: 'query',
    summary: 'List routing rules',
    description: 'In the order in which they are tried.',
    permission: 'rules:read',
    routes: [{ method: 'GET', path: '/rules' }],
    idempotent: true,
    destructive: false,
    input: z.object({ limit, cursor }),
    output: page(rule),
  }),
  get: operation({
    name: 'rules.get',
    kind: 'query',
    summary: 'Read one routing rule',
    permission: 'rules:read',
    routes: [{ method: 'GET', path: '/rules/{id}' }],
    idempotent: true,
    destructive: false,
    aliases,
    input: z.object({ id }),
    output: rule,
  }),
  update: operation({
    name: 'rules.update',
    kind: 'command',
    summary: 'Change a routing rule',
    description: 'Fields that are left out stay as they are. Messages under way keep their route.',
    permission: 'rules:write',
    routes: [{ method: 'PATCH', path: '/rules/{id}' }],
    idempotent: true,
    destructive: false,
    aliases,
    input: z.object({
      id,
      name: fields.name.optional(),
      priority: fields.priority.optional(),
      enabled: fields.enabled.optional(),
      when: predicate.optional(),
      to: target.optional(),
    }),
    output: changed,
  }),
  delete: operation({
    name: 'rules.delete',
    kind: 'command',
    summary: 'Remove a routing rule',
    permission: 'rules:write',
    routes: [{ method: 'DELETE', path: '/rules/{id}' }],
    idempotent: true,
    destructive: true,
    aliases,
    input: z.object({ id }),
    output: changed,
  }),
} as const

const changedRule = rule.omit({ created_by: true })
export const routingEvents = {
  created: event({
    name: 'rule.created',
    schema_version: 1,
    summary: 'A routing rule was added',
    topic: 'system.events',
    data: changedRule,
  }),
  updated: event({
    name: 'rule.updated',
    schema_version: 1,
    summary: 'A routing rule was changed; the data is the rule as it is now',
    topic: 'system.events',
    data: changedRule,
  }),
  deleted: event({
    name: 'rule.deleted',
    schema_version: 1,
    summary: 'A routing rule was removed',
    topic: 'system.events',
    data: changedRule,
  }),
} as const
