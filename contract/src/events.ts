/** The log as clients read it: from a position, live, by topic, and in groups that keep their place. */
import { z } from 'zod'
import { event, operation } from './define.ts'
import { type EventTopic, eventTopicNames } from './event-topics.ts'
import { id, json, receipt, time } from './values.ts'

export const eventTopicName = z.enum(eventTopicNames as [EventTopic, ...EventTopic[]])

export const logEntry = z.object({
  seq: z.number().int(),
  type: z.string(),
  topic: eventTopicName,
  key: z.string().meta({ description: 'Entries of one topic and key are in one partition, in the order of the log.' }),
  partition: z.number().int(),
  schema_version: z.number().int(),
  at: time,
  actor: z.string(),
  subject: z.string(),
  trace: z.string().nullable(),
  data: json,
})
export type LogEntry = z.infer<typeof logEntry>

const topics = z.array(eventTopicName).min(1).max(eventTopicNames.length)
const types = z.array(z.string().max(128)).max(64)
const position = z.number().int().min(0)
const gap = z
  .boolean()
  .meta({ description: 'Retention removed messages after the position that was asked for; what is left comes.' })
const filter = { topics: topics.optional(), types: types.optional() }
const aliases = { topic: 'topics' }

const group = z
  .string()
  .min(1)
  .max(64)
  .regex(/^[A-Za-z0-9][\w.-]*$/, 'Letters, digits, dots, dashes and underscores.')
const from = z.union([position, z.string().min(1).max(40)]).meta({
  description: '`start`, `end`, the position of the last entry not to be read, or an ISO 8601 time: entries from then on.',
})
const consumer = z.object({
  group,
  topics,
  lag: z
    .record(z.string(), z.number().int())
    .meta({ description: 'By topic: entries after what was committed. Counted when asked.' }),
  cursors: z.array(
    z.object({
      topic: eventTopicName,
      partition: z.number().int(),
      committed: position.meta({ description: 'Everything up to here is done.' }),
      member: z.string().nullable().meta({ description: 'Who reads it at present.' }),
    }),
  ),
  members: z.array(z.string()),
  created_by: z.string(),
  created_at: time,
})
export type Consumer = z.infer<typeof consumer>

export const eventOperations = {
  list: operation({
    name: 'events.list',
    kind: 'query',
    summary: 'Read the log from a position',
    description:
      'Oldest first, after `after` or from a time on. Keep `next` as your position: a page may be short, or empty, before the end.',
    permission: 'events:read',
    routes: [{ method: 'GET', path: '/events' }],
    idempotent: true,
    destructive: false,
    aliases,
    input: z.object({
      after: position.default(0),
      from_time: time.optional().meta({ description: 'Entries from then on, in place of `after`.' }),
      ...filter,
      partition: position.max(63).optional().meta({ description: 'This partition of the topics only.' }),
      limit: z.number().int().min(1).max(1000).default(100),
    }),
    output: z.object({ items: z.array(logEntry), next: position, head: position, gap }),
  }),
  topics: operation({
    name: 'events.topics',
    kind: 'query',
    summary: 'List the topics of the log',
    permission: 'events:read',
    routes: [{ method: 'GET', path: '/events/topics' }],
    idempotent: true,
    destructive: false,
    input: z.object({}),
    output: z.object({
      head: position,
      items: z.array(
        z.object({
          name: eventTopicName,
          summary: z.string(),
          partitions: z.number().int(),
          key: z.array(z.string()).meta({
            description: 'Fields of the data; the first that is a text is the key, and the subject where there is none.',
          }),
          events: z.array(z.object({ type: z.string(), summary: z.string(), schema_version: z.number().int() })),
          head: position.nullable().meta({ description: 'Position of its newest entry.' }),
          inside: z.array(z.string()).meta({ description: 'Who reads it inside the server, at once and without a cursor.' }),
          groups: z.array(z.object({ group, lag: z.number().int() })),
        }),
      ),
    }),
  }),
  watch: operation({
    name: 'events.watch',
    kind: 'stream',
    summary: 'Follow the log on this socket',
    description:
      'Entries after `after`, or from now on, arrive as event frames, in order and without a gap, until events.unwatch or the end of the connection. Over HTTP the same comes as server-sent events from GET /api/v1/events/stream, which resumes by Last-Event-ID.',
    permission: 'events:read',
    frames: ['events:watch'],
    idempotent: true,
    destructive: false,
    aliases,
    input: z.object({ after: position.optional(), ...filter }),
    output: z.object({ head: position, after: position, gap }),
  }),
  unwatch: operation({
    name: 'events.unwatch',
    kind: 'query',
    summary: 'Stop following the log on this socket',
    permission: 'events:read',
    frames: ['events:unwatch'],
    idempotent: true,
    destructive: false,
    input: z.object({}),
    output: z.object({ watching: z.literal(false) }),
  }),
} as const

export const consumerOperations = {
  create: operation({
    name: 'consumers.create',
    kind: 'command',
    summary: 'Make a group that reads the log at its own pace',
    description: 'Its place is stored for each partition of its topics and survives restarts. Groups do not affect each other.',
    permission: 'events:write',
    routes: [{ method: 'POST', path: '/consumers' }],
    status: 201,
    idempotent: false,
    destructive: false,
    aliases,
    input: z.object({ group, topics, from: from.default('end') }),
    output: consumer.extend({ receipt }),
  }),
  list: operation({
    name: 'consumers.list',
    kind: 'query',
    summary: 'List the groups that read the log',
    permission: 'events:read',
    routes: [{ method: 'GET', path: '/consumers' }],
    idempotent: true,
    destructive: false,
    input: z.object({}),
    output: z.object({ items: z.array(consumer) }),
  }),
  read: operation({
    name: 'consumers.read',
    kind: 'query',
    summary: 'Read what comes after the place of a group',
    description:
      'At least once: until the cursor of an answer is committed, the same entries come again. Members share the partitions of a group, each partition read by one of them; a member counts as gone 30 s after it read last, and who gives no name is one member. A partition changes hands only between two reads of its owner.',
    permission: 'events:write',
    routes: [{ method: 'GET', path: '/consumers/{group}/entries' }],
    idempotent: true,
    destructive: false,
    input: z.object({
      group,
      member: z.string().max(64).default(''),
      limit: z.number().int().min(1).max(1000).default(100),
      wait_ms: z.number().int().min(0).max(30_000).default(0).meta({ description: 'How long to wait for a first entry.' }),
    }),
    output: z.object({
      items: z.array(logEntry),
      cursor: z.string().meta({ description: 'Commit it once the entries are done.' }),
      partitions: z.array(z.object({ topic: eventTopicName, partition: z.number().int() })),
      gap,
    }),
  }),
  commit: operation({
    name: 'consumers.commit',
    kind: 'command',
    summary: 'Say that a group is done with what it read',
    description:
      'Places only move on; an older cursor changes nothing. A cursor from before a seek or from another store is refused.',
    permission: 'events:write',
    routes: [{ method: 'POST', path: '/consumers/{group}/commit' }],
    idempotent: true,
    destructive: false,
    input: z.object({ group, cursor: z.string().min(1).max(512) }),
    output: z.object({ group, committed: position, moved: z.boolean() }),
  }),
  seek: operation({
    name: 'consumers.seek',
    kind: 'command',
    summary: 'Set a group to another place in the log',
    description: 'Cursors that were read before are no longer taken.',
    permission: 'events:write',
    routes: [{ method: 'POST', path: '/consumers/{group}/seek' }],
    idempotent: false,
    destructive: false,
    input: z.object({ group, to: from }),
    output: consumer.extend({ receipt }),
  }),
  delete: operation({
    name: 'consumers.delete',
    kind: 'command',
    summary: 'Delete a group and its place in the log',
    permission: 'events:write',
    routes: [{ method: 'DELETE', path: '/consumers/{group}' }],
    idempotent: false,
    destructive: true,
    input: z.object({ group }),
    output: z.object({ group, deleted: z.literal(true), receipt }),
  }),
} as const

export const consumerEvents = {
  created: event({
    name: 'consumer.created',
    schema_version: 1,
    summary: 'A group that reads the log was made',
    topic: 'system.events',
    data: z.object({ group_id: id, group, topics, after: position }),
  }),
  moved: event({
    name: 'consumer.moved',
    schema_version: 1,
    summary: 'A group was set to another place in the log',
    topic: 'system.events',
    data: z.object({ group_id: id, group, after: position }),
  }),
  deleted: event({
    name: 'consumer.deleted',
    schema_version: 1,
    summary: 'A group that reads the log was deleted',
    topic: 'system.events',
    data: z.object({ group_id: id, group }),
  }),
} as const
