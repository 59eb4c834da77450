import { z } from 'zod'
import { event, operation } from './define.ts'
import { id, metadata } from './values.ts'

export const modelUsage = z.object({
  input_tokens: z.number().int(),
  output_tokens: z.number().int(),
  total_tokens: z.number().int(),
})

export const modelOperations = {
  generate: operation({
    name: 'models.generate',
    kind: 'stream',
    summary: 'Generate text with the configured model',
    description:
      'Deltas arrive as stream:delta frames and are not durable; the answer is the whole result. Without a configured model the offline provider answers.',
    permission: 'models:call',
    routes: [{ method: 'POST', path: '/models/generate' }],
    frames: ['model.generate'],
    idempotent: false,
    destructive: false,
    refs: { task_id: 'task' },
    input: z.object({
      messages: z
        .array(z.object({ role: z.enum(['system', 'user', 'assistant']), content: z.string().max(2_000_000) }))
        .min(1)
        .max(1000),
      model: z.string().max(200).optional(),
      max_output_tokens: z.number().int().min(1).max(200_000).optional(),
      temperature: z.number().min(0).max(2).optional(),
      stop: z.array(z.string().max(200)).max(8).optional(),
      seed: z.number().int().optional(),
      response_format: z
        .union([z.object({ type: z.literal('text') }), z.object({ type: z.literal('json'), schema: metadata.optional() })])
        .optional(),
      task_id: id.optional(),
      lease: z.string().max(256).optional(),
      timeout_ms: z.number().int().min(1).max(600_000).default(120_000),
    }),
    output: z.object({
      text: z.string(),
      provider: z.string(),
      model: z.string(),
      finish_reason: z.enum(['stop', 'length', 'content_filter', 'tool_calls', 'other']),
      usage: modelUsage,
    }),
  }),
  info: operation({
    name: 'models.info',
    kind: 'query',
    summary: 'Tell which model is configured',
    permission: 'system:read',
    routes: [{ method: 'GET', path: '/models' }],
    idempotent: true,
    destructive: false,
    input: z.object({}),
    output: z.object({ provider: z.string(), model: z.string(), offline: z.boolean() }),
  }),
} as const

export const modelEvents = {
  generated: event({
    name: 'model.generated',
    schema_version: 1,
    summary: 'A model call ended; the text itself is with the caller',
    topic: 'system.events',
    data: z.object({
      provider: z.string(),
      model: z.string(),
      finish_reason: z.string(),
      usage: modelUsage,
      duration_ms: z.number(),
      task_id: id.nullable(),
    }),
  }),
} as const
