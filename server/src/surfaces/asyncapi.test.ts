/** The AsyncAPI document: valid by the format's own schema, complete by the contract, and true of what travels. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type TestContext, test } from 'node:test'
import { type EventSpec, closeCodes, events, pushes } from '@cadre/contract'
import { Ajv } from 'ajv'
import { type Socket, serveFor } from '../testing.ts'
import { asyncapi } from './asyncapi.ts'
import { byFrame } from './frames.ts'

interface Message {
  name: string
  payload: { properties: { type: { const?: string; enum?: string[] } } }
}
interface Document {
  asyncapi: string
  channels: Record<string, { address: string; messages: Record<string, Message>; 'x-close-codes'?: Record<string, string> }>
  operations: Record<
    string,
    { action: 'send' | 'receive'; messages: { $ref: string }[]; reply?: { messages: { $ref: string }[] } }
  >
}
const document = JSON.parse(JSON.stringify(asyncapi('1.2.3'))) as Document
const messages = Object.entries(document.channels['socket']?.messages ?? {})
const typesOf = ({ payload }: Message) => payload.properties.type.enum ?? [payload.properties.type.const as string]
/** The messages of the operations with that action, and of their answers. */
const travelling = (action: 'send' | 'receive') =>
  Object.values(document.operations)
    .filter((operation) => operation.action === action)
    .flatMap((operation) => operation.messages.map(({ $ref }) => resolve($ref) as Message))

function resolve(reference: string): unknown {
  let target: unknown = document
  for (const part of reference.replace(/^#\//, '').split('/')) target = (target as Record<string, unknown>)[part]
  return target
}

/** The format's schema, from its own package. */
function formatSchema(t: TestContext): object | undefined {
  try {
    const path = fileURLToPath(import.meta.resolve('@asyncapi/specs/schemas/3.0.0-without-$id.json'))
    return JSON.parse(readFileSync(path, 'utf8')) as object
  } catch {
    t.skip('the package @asyncapi/specs is not installed')
    return undefined
  }
}

test('it is valid by the schema of AsyncAPI 3.0', (t) => {
  const schema = formatSchema(t)
  if (!schema) return
  const validate = new Ajv({ strict: false, allErrors: true, validateFormats: false }).compile(schema)
  assert.ok(validate(document), JSON.stringify(validate.errors?.slice(0, 5), undefined, 1))
  assert.equal(validate({ ...document, channels: { socket: { address: 7 } } }), false, 'the schema refuses something')
})

test('every frame that a client may send is in it, with an answer of its own', () => {
  const described = new Set(travelling('receive').flatMap(typesOf))
  for (const frame of [...byFrame.keys(), 'agent:register', 'auth', 'flow', 'ping'])
    assert.ok(described.has(frame), `${frame} is missing`)
  for (const frame of described)
    assert.ok(byFrame.has(frame) || ['agent:register', 'auth', 'flow', 'ping'].includes(frame), `${frame} is none of ours`)
  for (const [name, operation] of Object.entries(document.operations))
    if (operation.action === 'receive' && name !== 'flow') assert.ok((operation.reply?.messages.length ?? 0) > 0, name)
})

test('every frame that the server sends, every event by its topic, and every close code are in it', () => {
  const sent = new Set(travelling('send').flatMap(typesOf))
  for (const frame of [...Object.keys(pushes), 'pong']) assert.ok(sent.has(frame), `${frame} is missing`)
  for (const event of Object.values<EventSpec>(events)) {
    assert.ok(document.channels[event.topic]?.messages[event.name], `${event.name} is missing in ${event.topic}`)
    if (event.frame !== undefined) assert.ok(sent.has(event.frame), `${event.frame} is missing`)
  }
  assert.deepEqual(
    Object.keys(document.channels['socket']?.['x-close-codes'] ?? {}),
    Object.values(closeCodes)
      .map(String)
      .toSorted((a, b) => Number(a) - Number(b)),
  )
})

test('every reference in it leads somewhere', () => {
  JSON.stringify(document, (name, value: unknown) => {
    if (name === '$ref') assert.ok(resolve(value as string), String(value))
    return value
  })
})

test('what travels in both directions is as it says', async (t) => {
  const server = await serveFor(t)
  const served = await server.request<Document>('GET', '/asyncapi.json')
  assert.equal(served.status, 200)
  assert.deepEqual(Object.keys(served.body.channels), Object.keys(document.channels))
  const ajv = new Ajv({ strict: false, allErrors: true, validateFormats: false })
  ajv.addSchema(document, 'document')
  const escaped = (name: string) => name.replaceAll(':', '%3A')
  const conforms = (frame: unknown, keys: string[], what: string) => {
    const problems = keys.map((key) => {
      const validate = ajv.compile({ $ref: `document#/channels/socket/messages/${escaped(key)}/payload` })
      return validate(frame) ? undefined : ajv.errorsText(validate.errors)
    })
    assert.ok(keys.length > 0, `${what} is not described`)
    assert.ok(problems.includes(undefined), `${what}: ${problems.join(' | ')}: ${JSON.stringify(frame)}`)
  }
  const keysOf = (type: string) =>
    messages.flatMap(([key, message]) => (typesOf(message).includes(type) && type !== 'ack' ? [key] : []))
  const seen = new Set<string>()
  let calls = 0
  const speak = async (socket: Socket, type: string, data: object, outcome: 'ack' | 'refused' | 'invalid' = 'ack') => {
    const frame = { type, id: ++calls, data }
    const [key, ...others] = keysOf(type)
    assert.ok(key !== undefined && others.length === 0, `${type} is described once`)
    // What the document allows the door may still refuse; what the door finds malformed the document refuses too.
    if (outcome === 'invalid') assert.throws(() => conforms(frame, [key], type), { code: 'ERR_ASSERTION' })
    else conforms(frame, [key], type)
    socket.send(frame)
    const ack = await socket.take((received) => received.type === 'ack' && received.ref === frame.id, `the answer to ${type}`)
    conforms(ack, [outcome === 'ack' ? `${key}.ack` : 'refused'], `the answer to ${type}`)
    seen.add(type)
    return ack.data
  }
  const heard = (socket: Socket) => {
    for (const frame of socket.frames) {
      conforms(frame, keysOf(frame.type), frame.type)
      seen.add(frame.type)
    }
  }
  const [a, b] = [await server.socket(), await server.socket()]
  await speak(a, 'agent:register', { name: 'ada', type: 'analyst', capabilities: ['sums'] })
  await speak(b, 'agent:register', { agent_name: 'bob', agent_type: 'worker', credits: 16 })
  await speak(a, 'events:watch', { after: 0 }, 'refused')
  await speak(a, 'agent:heartbeat', {})
  await speak(a, 'message:send', { recipients: ['bob'], content: { text: 'hello' } })
  await speak(a, 'message:send', { to: 'bob' }, 'invalid')
  await speak(a, 'memory:set', { key: 'k', value: [1] })
  await speak(a, 'memory:get', { key: 'k' })
  await speak(a, 'memory:get', { key: 'none' }, 'refused')
  const task = await speak(a, 'task:create', { title: 'sum' })
  await speak(a, 'task:assign', { task_id: task['id'], agent_id: 'bob' })
  const { data: assigned } = await b.take((frame) => frame.type === 'task:assigned', 'the task')
  await speak(b, 'task:update', { task_id: task['id'], status: 'running', progress: 0.5, lease: assigned['lease'] })
  await speak(a, 'task:cancel', { id: task['id'] })
  await speak(b, 'tool:register', { name: 'add', input_schema: { type: 'object' } })
  await server.call('POST', '/tools/add/grants', { agent: 'ada' })
  const called = speak(a, 'tool:call', { name: 'add', arguments: { a: 1 } })
  const { data: invocation } = await b.take((frame) => frame.type === 'tool:invoke', 'the invocation')
  await speak(b, 'tool:result', { invocation: invocation['invocation'], result: 3 })
  await called
  await speak(a, 'models.generate', { messages: [{ role: 'user', content: 'hi' }] })
  b.send({ type: 'flow', ack: 1, credits: 1 })
  b.send({ type: 'ping' })
  const operator = await server.socket()
  await speak(operator, 'events:watch', { after: 0 })
  await speak(operator, 'system.whoami', {})
  await operator.next('event')
  b.terminate()
  await a.next('agent:left')
  for (const socket of [a, b, operator]) heard(socket)
  for (const type of ['message:received', 'task:updated', 'task:cancelled', 'memory:updated', 'agent:joined', 'event'])
    assert.ok(seen.has(type), `${type} was not seen`)
})
