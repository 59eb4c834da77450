/** Brakes: rules that stop exchanges and calls which go round in circles, and what operators do about one that held. */
import { z } from 'zod'
import { event, operation } from './define.ts'
import { cursor, id, limit, page, receipt, time } from './values.ts'

export const brakeRule = z.enum(['hops', 'ping_pong', 'burst', 'repeated_call'])
export type BrakeRule = z.infer<typeof brakeRule>

const count = (maximum: number) => z.number().int().min(0).max(maximum)
const window = z.number().int().min(100).max(86_400_000)

/** 0 turns a rule off. Windows and the cool-down are milliseconds. */
const settingFields = {
  enabled: z.boolean().meta({ description: 'False turns every rule off; what is held goes on.' }),
  hop_limit: count(10_000).meta({ description: 'How many replies away from the message that began it one may be.' }),
  ping_pong_turns: count(100_000).meta({ description: 'Turns of two agents that only repeat what was said, within its window.' }),
  ping_pong_window_ms: window,
  dialogue_turns: count(100_000).meta({
    description: 'Turns of two agents in strict alternation, whatever they say, without anybody else or an artifact.',
  }),
  dialogue_window_ms: window,
  burst_messages: count(10_000_000).meta({
    description: 'Messages from one agent to another with at most 32 different contents, within its window.',
  }),
  burst_window_ms: window,
  call_repeats: count(100_000).meta({
    description: 'The same call of a tool by one agent with no other between, within its window.',
  }),
  call_window_ms: window,
  cooldown_ms: window.meta({ description: 'How long what was stopped is held when no operator resets it.' }),
} as const
export const brakeSettings = z.object(settingFields)
export type BrakeSettings = z.infer<typeof brakeSettings>

/** Generous for dialogues, and out of the way of load with contents that differ. */
export const defaultBrakeSettings: BrakeSettings = {
  enabled: true,
  hop_limit: 32,
  ping_pong_turns: 20,
  ping_pong_window_ms: 60_000,
  dialogue_turns: 200,
  dialogue_window_ms: 600_000,
  burst_messages: 5_000,
  burst_window_ms: 1_000,
  call_repeats: 25,
  call_window_ms: 60_000,
  cooldown_ms: 900_000,
}

const conversation = id.nullable().meta({ description: 'What is held; null when all that the parties send each other is.' })
const facts = {
  rule: brakeRule,
  parties: z.array(z.string()).meta({ description: 'Names of the agents that are held.' }),
  conversation_id: conversation,
  tool: z.string().nullable(),
  task_id: id.nullable(),
  count: z.number().int().meta({ description: 'What was counted when it was stopped.' }),
  limit: z.number().int(),
  window_ms: z.number().int().nullable(),
  message_ids: z.array(id).meta({ description: 'The last messages of the exchange, newest first.' }),
  reason: z.string(),
  held_until: time,
} as const

export const brake = z.object({
  id,
  state: z.enum(['held', 'cooled', 'reset']).meta({ description: 'cooled: the time to hold it is over.' }),
  ...facts,
  tripped_at: time,
  reset_at: time.nullable(),
  reset_by: z.string().nullable(),
})
export type Brake = z.infer<typeof brake>

const settingsAnswer = brakeSettings.extend({ exempt_conversations: z.array(id) })

export const brakeOperations = {
  list: operation({
    name: 'brakes.list',
    kind: 'query',
    summary: 'List what the loop brakes stopped',
    description: 'Newest first, with the reason, the rule and the last messages of each.',
    permission: 'events:read',
    routes: [{ method: 'GET', path: '/brakes' }],
    idempotent: true,
    destructive: false,
    input: z.object({ held: z.boolean().optional().meta({ description: 'True: only what is held now.' }), limit, cursor }),
    output: page(brake),
  }),
  get: operation({
    name: 'brakes.get',
    kind: 'query',
    summary: 'Read why a loop brake stopped something',
    permission: 'events:read',
    routes: [{ method: 'GET', path: '/brakes/{id}' }],
    idempotent: true,
    destructive: false,
    input: z.object({ id }),
    output: brake,
  }),
  reset: operation({
    name: 'brakes.reset',
    kind: 'command',
    summary: 'Let what a loop brake stopped go on',
    description: 'Counting starts anew. For operators; agents are refused.',
    permission: 'messages:write',
    routes: [{ method: 'POST', path: '/brakes/{id}/reset' }],
    idempotent: true,
    destructive: false,
    input: z.object({ id }),
    output: brake.extend({ receipt: receipt.nullable() }),
  }),
  settings: operation({
    name: 'brakes.settings',
    kind: 'query',
    summary: 'Read the limits of the loop brakes',
    permission: 'events:read',
    routes: [{ method: 'GET', path: '/brakes/settings' }],
    idempotent: true,
    destructive: false,
    input: z.object({}),
    output: settingsAnswer,
  }),
  configure: operation({
    name: 'brakes.configure',
    kind: 'command',
    summary: 'Change the limits of the loop brakes',
    description: 'Fields left out stay. A limit of 0 turns its rule off. For operators; agents are refused.',
    permission: 'messages:write',
    routes: [{ method: 'PATCH', path: '/brakes/settings' }],
    idempotent: true,
    destructive: false,
    input: brakeSettings.partial(),
    output: settingsAnswer.extend({ receipt }),
  }),
  exempt: operation({
    name: 'brakes.exempt',
    kind: 'command',
    summary: 'Take a conversation out of the loop brakes',
    description:
      'Or back in, with `exempt: false`. What is held already stays held until it is reset. For operators; agents are refused.',
    permission: 'messages:write',
    routes: [{ method: 'POST', path: '/brakes/exemptions' }],
    idempotent: true,
    destructive: false,
    input: z.object({ conversation_id: id, exempt: z.boolean().default(true) }),
    output: z.object({ conversation_id: id, exempt: z.boolean(), receipt: receipt.nullable() }),
  }),
} as const

export const brakeEvents = {
  tripped: event({
    name: 'brake.tripped',
    schema_version: 1,
    summary: 'A loop brake stopped an exchange or a call, and holds it',
    topic: 'agent.communication',
    data: z.object({ brake_id: id, ...facts }),
  }),
  reset: event({
    name: 'brake.reset',
    schema_version: 1,
    summary: 'An operator let go on what a loop brake held',
    topic: 'agent.communication',
    data: z.object({
      brake_id: id,
      rule: brakeRule,
      parties: z.array(z.string()),
      conversation_id: conversation,
      tool: z.string().nullable(),
      task_id: id.nullable(),
    }),
  }),
  configured: event({
    name: 'brakes.configured',
    schema_version: 1,
    summary: 'The limits of the loop brakes were changed',
    topic: 'system.events',
    data: brakeSettings,
  }),
  exempted: event({
    name: 'conversation.exempted',
    schema_version: 1,
    summary: 'A conversation was taken out of the loop brakes, or back in',
    topic: 'system.events',
    data: z.object({ conversation_id: id, exempt: z.boolean() }),
  }),
} as const
