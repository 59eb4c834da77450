/** AsyncAPI 3.0 from the declarations: every frame of the socket in both directions, and the log by topic. Schemas are draft 7, as that format has them. */
import {
  type EventSpec,
  type Operation,
  authFrame,
  closeCodes,
  events,
  flowFrame,
  logEntry,
  operations,
  pushes,
  registerFrame,
  registeredFrame,
} from '@cadre/contract'
import { z } from 'zod'
import { subprotocol } from './frames.ts'
import { problem } from './openapi.ts'

type Schema = Record<string, unknown>
type Named = Record<string, object>

const ref = (path: string) => ({ $ref: `#/${path}` })
const schemaRef = (name: string) => ref(`components/schemas/${name}`)
const closeReasons: Readonly<Record<keyof typeof closeCodes, string>> = {
  bad_frame: 'What was sent is no frame',
  unauthorised: 'No key, an unknown one, or one that was revoked',
  forbidden: 'The key may not connect',
  idle: 'Nothing was heard from the client, not even a pong',
  replaced: 'A newer session speaks for the agent',
  too_large: 'A frame was over max_frame',
  rate_limited: 'The client went on sending against its limit',
  internal: 'The connection failed on our side',
  draining: 'The server stops; connect again',
  slow_consumer: 'The client did not take what it was sent; it resumes without loss',
}

export function asyncapi(version: string): object {
  const schemas: Record<string, Schema> = { Problem: problem, Id: { type: ['string', 'number'], maxLength: 128 } }
  const messages: Record<string, Named> = { socket: {} }
  const declared: Named = {}
  const channels: Record<string, object> = {}

  const say = (channel: string, name: string, message: { name: string; [field: string]: unknown }) => {
    messages[channel] ??= {}
    messages[channel][name] = message
    return ref(`channels/${channel}/messages/${name}`)
  }
  const asked = (name: string, frames: readonly string[], summary: string, data: Schema, answer: Schema, detail?: string) => {
    schemas[`${name}.data`] = data
    schemas[`${name}.answer`] = answer
    const message = say('socket', name, {
      name: frames.at(-1) ?? name,
      title: summary,
      correlationId: { location: '$message.payload#/id' },
      payload: {
        type: 'object',
        required: ['type'],
        properties: {
          type: { enum: frames },
          id: schemaRef('Id'),
          key: { type: 'string', maxLength: 256, description: 'Makes it safe to send again.' },
          data: schemaRef(`${name}.data`),
          trace: { type: 'string', maxLength: 256 },
        },
      },
    })
    const answered = say('socket', `${name}.ack`, {
      name: 'ack',
      title: `Answer to ${frames.at(-1) ?? name}`,
      correlationId: { location: '$message.payload#/ref' },
      payload: acknowledgement(true, schemaRef(`${name}.answer`)),
    })
    declared[name] = {
      action: 'receive',
      channel: ref('channels/socket'),
      summary,
      ...(detail !== undefined && { description: detail }),
      messages: [message],
      reply: { channel: ref('channels/socket'), messages: [answered, ref('channels/socket/messages/refused')] },
    }
  }
  const told = (channel: string, name: string, summary: string, payload: Schema) => {
    const message = say(channel, name, { name, title: summary, payload })
    declared[`${channel}.${name.replaceAll(':', '-')}`] = {
      action: 'send',
      channel: ref(`channels/${channel}`),
      summary,
      messages: [message],
    }
  }

  say('socket', 'refused', {
    name: 'ack',
    title: 'Refusal or failure of any frame',
    correlationId: { location: '$message.payload#/ref' },
    payload: acknowledgement(false, schemaRef('Problem')),
  })
  for (const operation of Object.values<Operation>(operations)) {
    const frames = [operation.name, ...(operation.frames ?? [])].filter((frame) => frame !== 'agent:register')
    const [input, output] = [shape(operation.input, 'input'), shape(operation.output, 'output')]
    asked(operation.name, frames, operation.summary, withAliases(input, operation.aliases), output, operation.description)
  }
  const register = operations['agents.register']
  asked(
    'agent.register',
    ['agent:register'],
    'Speak for an agent on this connection, and resume what it was sent',
    withAliases(merged(shape(register.input, 'input'), shape(registerFrame, 'input')), register.aliases),
    merged(shape(register.output.omit({ receipt: true }), 'output'), shape(registeredFrame, 'output')),
    'With credits messages are leased and acknowledged; without them they are acknowledged on write.',
  )
  asked(
    'auth',
    ['auth'],
    'Give the key of this connection',
    shape(authFrame, 'input'),
    ref('components/schemas/system.whoami.answer'),
  )
  for (const [name, summary, fields] of [
    ['flow', 'Acknowledge all deliveries up to a number, and allow more; it has no answer', shape(flowFrame, 'input')],
    ['ping', 'Ask for a pong', {}],
  ] as [string, string, Schema][]) {
    const properties = { ...(fields['properties'] as object | undefined), type: { const: name } }
    const message = say('socket', name, { name, title: summary, payload: { type: 'object', required: ['type'], properties } })
    declared[name] = {
      action: 'receive',
      channel: ref('channels/socket'),
      summary,
      messages: [message],
      ...(name === 'ping' && { reply: { channel: ref('channels/socket'), messages: [ref('channels/socket/messages/pong')] } }),
    }
  }
  told('socket', 'pong', 'Answer to ping', { type: 'object', required: ['type'], properties: { type: { const: 'pong' } } })
  for (const [name, { summary, data, beside = {} }] of Object.entries(pushes)) {
    const fields = Object.entries(beside).map(
      ([field, type]) => [field, shape(type, 'output'), type.safeParse(undefined).success] as const,
    )
    schemas[`${name.replaceAll(':', '.')}.data`] = shape(data, 'output')
    told('socket', name, summary, {
      type: 'object',
      required: ['type', ...fields.flatMap(([field, , optional]) => (optional ? [] : [field])), 'data'],
      properties: {
        type: { const: name },
        ...Object.fromEntries(fields.map(([field, type]) => [field, type])),
        data: schemaRef(`${name.replaceAll(':', '.')}.data`),
      },
    })
  }
  channels['socket'] = {
    address: '/ws',
    title: 'The socket',
    description: `Subprotocol ${subprotocol}. A message is one frame or an array of frames. Fields that are not named are ignored.`,
    messages: messages['socket'],
    bindings: { ws: { bindingVersion: '0.1.0' } },
    'x-close-codes': Object.fromEntries(
      Object.entries(closeCodes).map(([name, code]) => [String(code), closeReasons[name as keyof typeof closeCodes]]),
    ),
  }

  const entry = shape(logEntry, 'output')
  for (const event of Object.values<EventSpec>(events)) {
    const { name, summary, topic, schema_version, data } = event
    schemas[`${name}.entry`] = shape(data, 'output')
    told(topic, name, summary, {
      ...entry,
      properties: {
        ...(entry['properties'] as object),
        type: { const: name },
        schema_version: { const: schema_version },
        data: schemaRef(`${name}.entry`),
      },
    })
    channels[topic] ??= {
      address: topic,
      title: `Entries of the log: ${topic}`,
      description: 'Read by GET /api/v1/events, followed by events:watch on the socket.',
      messages: messages[topic],
    }
  }
  return {
    asyncapi: '3.0.0',
    info: { title: 'Cadre', version, license: { name: 'MIT' }, description: 'The socket protocol cadre.v1 and the log.' },
    defaultContentType: 'application/json',
    servers: {
      here: {
        host: '{host}',
        protocol: 'ws',
        variables: { host: { default: 'localhost:8000' } },
        security: [ref('components/securitySchemes/bearer')],
      },
    },
    channels,
    operations: declared,
    components: {
      schemas,
      securitySchemes: {
        bearer: {
          type: 'http',
          scheme: 'bearer',
          description: 'In the head of the upgrade, or as token in the first frame: agent:register or auth. Never in an address.',
        },
      },
    },
  }
}

function acknowledgement(ok: boolean, data: object): Schema {
  return {
    type: 'object',
    required: ['type', 'ref', 'ok', 'data'],
    properties: { type: { const: 'ack' }, ref: { type: ['string', 'number', 'null'] }, ok: { const: ok }, data },
  }
}

function shape(schema: z.ZodType, io: 'input' | 'output'): Schema {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { target: 'draft-7', io })
  return rest
}

/** A field that has another spelling may come under that one, so it cannot be demanded under its own. */
function withAliases(schema: Schema, aliases: Readonly<Record<string, string>> = {}): Schema {
  const spellings = new Map<string, string[]>()
  for (const [alias, field] of Object.entries(aliases)) spellings.set(field, [...(spellings.get(field) ?? []), alias])
  const properties = schema['properties'] as Record<string, object> | undefined
  const required = (schema['required'] as string[] | undefined) ?? []
  const either = required.filter((field) => spellings.has(field))
  if (!properties || spellings.size === 0) return schema
  const { required: _, ...rest } = schema
  const firm = required.filter((field) => !either.includes(field))
  return {
    ...rest,
    properties: {
      ...properties,
      ...Object.fromEntries(
        [...spellings].flatMap(([field, names]) =>
          names.filter((name) => properties[field] && !(name in properties)).map((name) => [name, properties[field]]),
        ),
      ),
    },
    ...(firm.length > 0 && { required: firm }),
    ...(either.length > 0 && {
      allOf: either.map((field) => ({ anyOf: [field, ...(spellings.get(field) ?? [])].map((name) => ({ required: [name] })) })),
    }),
  }
}

function merged(first: Schema, second: Schema): Schema {
  const required = [...new Set([...((first['required'] as string[]) ?? []), ...((second['required'] as string[]) ?? [])])]
  return {
    ...first,
    properties: { ...(first['properties'] as object), ...(second['properties'] as object) },
    ...(required.length > 0 && { required }),
  }
}
