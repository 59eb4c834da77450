/** How agents are chosen for tasks: strategies, the card of a decision, classes of errors, fallbacks. */
import { z } from 'zod'
import { event, operation } from './define.ts'
import { agentRef, id, receipt, time } from './values.ts'

/** The strategies every server has; one that is composed in has a name of its own. */
export const taskStrategies = ['least_busy', 'round_robin', 'random', 'capability', 'weighted', 'sticky'] as const

export const taskStrategy = z
  .string()
  .regex(/^[a-z][a-z0-9_]{0,63}$/)
  .meta({
    description:
      'How one of several able agents is chosen. `least_busy`: most room left, connected before polling. `round_robin`: in turn. `random`: by chance. `capability`: whose skills fit the task most closely. `weighted`: by chance, in proportion to measured success, speed and health for tasks of this type. `sticky`: tasks with the same `affinity` go to the same agent while it is present, and wait for it when it is busy.',
  })

const agentType = z.string().min(1).max(64)

/** Who stands in: an agent by name or id, or any agent of a type. */
export const fallback = z.union([agentRef, z.object({ agent_type: agentType })])
export type Fallback = z.infer<typeof fallback>
export const fallbacks = z.array(fallback).max(10)

/** Fields by which a new task says who is to do it and how it is tried again. */
export const placementFields = {
  strategy: taskStrategy.optional(),
  affinity: z
    .string()
    .min(1)
    .max(256)
    .optional()
    .meta({ description: 'Tasks with the same key go to the same agent; implies the strategy `sticky`.' }),
  backoff_factor: z.number().min(1).max(10).optional().meta({
    description: 'By how much the wait of 1 s grows from one retry to the next; 2 unless given. No wait is over an hour.',
  }),
  fallback: fallbacks.optional().meta({
    description:
      'Tried in order, one attempt each, when the retries are used up or the error allows none. Those that are away are passed over. Without it, what the failing agent declares.',
  }),
}

/** Why an agent got a task. */
export const decision = z.object({
  strategy: z.string(),
  considered: z.number().int().meta({ description: 'How many agents were able and had room.' }),
  candidates: z
    .array(
      z.object({
        agent_id: id,
        agent: z.string(),
        score: z.number().meta({ description: 'What the strategy gave it; comparable within one decision only.' }),
        skill: z.number().meta({ description: '0 to 1: how closely its skills fit what the task asks for.' }),
        load: z.number().meta({ description: '0 to 1: the share of its room that was taken.' }),
        health: z
          .number()
          .meta({ description: '0 to 1: 1 when connected, 0.8 when polling; times its measured success where known.' }),
      }),
    )
    .meta({
      description:
        'The highest scores, at most 20 (8 by the strategy least_busy, 3 while many tasks wait), the chosen one always among them.',
    }),
})
export type Decision = z.infer<typeof decision>

/**
 * Codes of failed attempts that are not tried again, because another try would end the same. All other codes are retryable, those that
 * nobody knows too; `tasks.fail` may say otherwise with `retryable`.
 */
export const finalTaskErrors: ReadonlySet<string> = new Set([
  'cancelled',
  'content_refused',
  'cycle',
  'forbidden',
  'invalid_input',
  'invalid_request',
  'loop_stopped',
  'malformed',
  'not_found',
  'outcome_unknown',
  'rejected',
  'too_large',
  'unauthenticated',
  'unknown_operation',
  'unsupported',
])
export const isRetryableTaskError = (code: string): boolean => !finalTaskErrors.has(code)

const settings = z.object({
  strategy: taskStrategy,
  strategies: z.array(z.string()).meta({ description: 'Those that may be chosen.' }),
  updated_by: z.string().nullable(),
  updated_at: time.nullable(),
})

export const assignmentOperations = {
  get: operation({
    name: 'assignment.get',
    kind: 'query',
    summary: 'Read how tasks are assigned',
    permission: 'rules:read',
    routes: [{ method: 'GET', path: '/assignment' }],
    idempotent: true,
    destructive: false,
    input: z.object({}),
    output: settings,
  }),
  configure: operation({
    name: 'assignment.configure',
    kind: 'command',
    summary: 'Choose how tasks are assigned',
    description: 'The strategy for tasks that name none, from the next assignment on. The current one again answers 200.',
    permission: 'rules:write',
    routes: [{ method: 'PUT', path: '/assignment' }],
    idempotent: true,
    destructive: false,
    input: z.object({ strategy: taskStrategy }),
    output: settings.extend({ receipt: receipt.nullable() }),
  }),
} as const

export const assignmentEvents = {
  configured: event({
    name: 'assignment.configured',
    schema_version: 1,
    summary: 'The strategy for tasks that name none was changed',
    topic: 'system.events',
    data: z.object({ from: z.string(), to: z.string() }),
  }),
} as const
