/** Material for the fuzzer: valid inputs from the contract's own schemas, and what can be wrong with them. */
import { type Operation, operations } from '@cadre/contract'
import fc from 'fast-check'
import { z } from 'zod'

export type Json = null | boolean | number | string | Json[] | { [field: string]: Json }
type Schema = Record<string, unknown>

/** Ids of things that exist, by what they are. */
export type World = Readonly<Record<string, readonly string[]>>

export const allOperations = Object.values(operations) as Operation[]

/** Stands for more levels than `JSON.stringify` itself can write. */
const deep = '@deep'
const levels = 20_000

/** JSON of a value of the fuzzer. */
export const write = (value: unknown): string =>
  JSON.stringify(value).replaceAll(`"${deep}"`, () => '['.repeat(levels) + ']'.repeat(levels))

const nested = (count: number): Json => JSON.parse('['.repeat(count) + ']'.repeat(count)) as Json
const odd: readonly Json[] = [
  null,
  true,
  false,
  0,
  -1,
  1.5,
  1e308,
  -1e308,
  2 ** 53,
  '',
  ' ',
  '\u0000',
  '\ud800',
  '1e999',
  'operator',
  "'; drop table log; --",
  '../../etc/passwd',
  '2026-13-45T99:99:99Z',
  'x'.repeat(300),
  'x'.repeat(300_000),
  [],
  [[]],
  [null],
  [[[['a']]]],
  {},
  { type: 'object', properties: { a: { $ref: '#' } } },
  JSON.parse('{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}') as Json,
  nested(70),
  deep,
  Array.from({ length: 2_000 }, () => 'x'),
  Object.fromEntries(Array.from({ length: 10_001 }, (_, index) => [`k${index}`, 1])),
]
const oddNames = ['__proto__', 'constructor', 'toString', '', 'a/b~c', 'token', 'sender', 'lease', 'tenant', 'x'.repeat(1_000)]

export const oddValue: fc.Arbitrary<Json> = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...odd) },
  { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 3 }) as fc.Arbitrary<Json> },
)

/** Waits that the server would really wait are kept short. */
const waitFields = new Set(['timeout_ms', 'wait_ms'])
export const waits = (operation: Operation): boolean =>
  Object.keys((operation.input as z.ZodObject).shape).some((name) => waitFields.has(name))

/** Inputs the operation accepts by its schema, naming things that exist where it refers to some. */
export function validInput(operation: Operation, world: World): fc.Arbitrary<Record<string, Json>> {
  const schema = z.toJSONSchema(operation.input, { io: 'input' }) as Schema
  const properties = (schema['properties'] ?? {}) as Record<string, Schema>
  const required = new Set(schema['required'] as string[] | undefined)
  const fields = Object.entries(properties).map(([name, field]): [string, fc.Arbitrary<Json | undefined>] => {
    const kind = operation.refs?.[name]
    const existing = kind === undefined ? [] : (world[kind] ?? [])
    const any = waitFields.has(name) ? fc.integer({ min: 1, max: 5 }) : valueOf(field)
    const value =
      existing.length > 0 ? fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...existing) }, { weight: 1, arbitrary: any }) : any
    return [name, required.has(name) || waitFields.has(name) ? value : fc.option(value, { nil: undefined, freq: 3 })]
  })
  return fc
    .record(Object.fromEntries(fields))
    .map((record) =>
      Object.fromEntries(Object.entries(record).filter((entry): entry is [string, Json] => entry[1] !== undefined)),
    )
}

function valueOf(schema: Schema): fc.Arbitrary<Json> {
  if ('const' in schema) return fc.constant(schema['const'] as Json)
  if ('enum' in schema) return fc.constantFrom(...(schema['enum'] as Json[]))
  const options = (schema['anyOf'] ?? schema['oneOf']) as Schema[] | undefined
  if (options) return fc.oneof(...options.map(valueOf))
  const number = (name: string, otherwise: number) => (typeof schema[name] === 'number' ? schema[name] : otherwise)
  switch (schema['type']) {
    case 'string':
      if (schema['format'] === 'date-time') return fc.constantFrom('2026-01-01T00:00:00.000Z', '2030-06-01T12:00:00Z')
      return fc.oneof(
        fc.constantFrom('a', 'fuzz', 'one.two', 'bob'),
        fc.string({ minLength: number('minLength', 0), maxLength: Math.min(number('maxLength', 20), 20), unit: 'grapheme' }),
      )
    case 'integer':
      return fc.integer({ min: Math.max(number('minimum', 0), -1_000), max: Math.min(number('maximum', 1_000), 1_000) })
    case 'number':
      return fc.double({
        min: number('minimum', 0),
        max: Math.min(number('maximum', 1), 1_000),
        noNaN: true,
        noDefaultInfinity: true,
      })
    case 'boolean':
      return fc.boolean()
    case 'null':
      return fc.constant(null)
    case 'array':
      return fc.array(valueOf((schema['items'] as Schema | undefined) ?? {}), { minLength: number('minItems', 0), maxLength: 3 })
    case 'object': {
      const properties = Object.entries((schema['properties'] ?? {}) as Record<string, Schema>)
      if (properties.length === 0)
        return fc.dictionary(fc.string({ maxLength: 8 }), fc.jsonValue({ maxDepth: 1 }) as fc.Arbitrary<Json>, { maxKeys: 3 })
      const required = new Set(schema['required'] as string[] | undefined)
      return fc.record(Object.fromEntries(properties.map(([name, field]) => [name, valueOf(field)])), {
        requiredKeys: properties.map(([name]) => name).filter((name) => required.has(name)),
      }) as fc.Arbitrary<Json>
    }
    default:
      return fc.jsonValue({ maxDepth: 2 }) as fc.Arbitrary<Json>
  }
}

/** The input with up to three things wrong; with none, sometimes. */
export function wrongInput(operation: Operation, world: World): fc.Arbitrary<Json> {
  const ids = Object.values(world).flat()
  const change = fc.oneof(
    fc.record({ kind: fc.constant('replace' as const), at: fc.nat(30), value: oddValue }),
    fc.record({ kind: fc.constant('replace' as const), at: fc.nat(30), value: fc.constantFrom<Json>(...ids) }),
    fc.record({ kind: fc.constant('drop' as const), at: fc.nat(30), value: fc.constant(null) }),
    fc.record({ kind: fc.constant('add' as const), at: fc.nat(oddNames.length - 1), value: oddValue }),
  )
  const changed = fc.tuple(validInput(operation, world), fc.array(change, { maxLength: 3 })).map(([input, changes]): Json => {
    const result: Record<string, Json> = { ...input }
    for (const { kind, at, value } of changes) {
      const names = Object.keys(result)
      const name = kind === 'add' ? oddNames[at] : names[at % Math.max(1, names.length)]
      if (name === undefined) continue
      if (kind === 'drop') delete result[name]
      else Object.defineProperty(result, name, { value, enumerable: true, configurable: true, writable: true })
    }
    // An accepted one starts a process, which goes on by itself.
    if (operation.name === 'agents.spawn') result['type'] = ''
    const declared = (operation.input as z.ZodObject).shape
    for (const wait of waitFields) if (wait in declared && !Object.hasOwn(result, wait)) result[wait] = 1
    return result
  })
  return fc.oneof({ weight: 12, arbitrary: changed }, { weight: 1, arbitrary: oddValue.filter((value) => !isPlain(value)) })
}

const isPlain = (value: Json) => value === null || (typeof value === 'object' && !Array.isArray(value))
