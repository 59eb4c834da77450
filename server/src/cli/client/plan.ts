/**
 * Operation -> plan of its sub-command. Vocabulary:
 * noun, verb: the two words of the command, from the two parts of the operation's name.
 * field: one property of the input. positional: a field given by its place; every field also has an option.
 */
import { type Operation, operations } from '@cadre/contract'
import { z } from 'zod'
import { positionalExtras } from './names.ts'

export interface Schema {
  type?: string
  enum?: readonly string[]
  anyOf?: readonly Schema[]
  items?: Schema
  properties?: Readonly<Record<string, Schema>>
  required?: readonly string[]
  default?: unknown
  description?: string
  format?: string
  minimum?: number
  maximum?: number
  maxLength?: number
}

/** How the text of an argument becomes a value. `list` takes several, `words` one or several, `mixed` a number or a word. */
export type FieldKind = 'text' | 'number' | 'boolean' | 'list' | 'words' | 'mixed' | 'json'

export interface Field {
  name: string
  /** Long option without dashes. */
  option: string
  kind: FieldKind
  schema: Schema
  required: boolean
  /** Words the field takes, where it takes no others. */
  choices: readonly string[] | undefined
  /** May be read from a file or standard input. */
  fromFile: boolean
}

export interface Plan {
  operation: Operation
  noun: string
  verb: string
  fields: readonly Field[]
  positionals: readonly Field[]
  /** Further option names, `[option, field]`: aliases of the contract and the spelling with underscores. */
  hidden: readonly (readonly [string, Field])[]
  /** The answer is a page: `{ items, next }`. */
  isPage: boolean
}

/** Options that sub-commands have beside their fields; a field of the same name gets the noun before it (`--agent-token`). */
const sharedOptions: ReadonlySet<string> = new Set([
  'url',
  'token',
  'timeout',
  'json',
  'jsonl',
  'quiet',
  'yes',
  'data',
  'help',
  'idempotency-key',
])
// A text this long is a document: it may come from a file.
const documentLength = 100_000

export const kebab = (name: string): string => name.replaceAll('_', '-')
export const singular = (noun: string): string => noun.replace(/s$/, '')

export function planOf(operation: Operation): Plan {
  const [noun = '', verb = ''] = operation.name.split('.').map(kebab)
  const schema = z.toJSONSchema(operation.input, { io: 'input' }) as Schema
  const shared = new Set(sharedOptions)
  if (operation.body === 'upload') shared.add('file')
  if (operation.body === 'download') shared.add('output')
  if (operation.input instanceof z.ZodObject && 'cursor' in operation.input.shape) shared.add('all')
  const fields = Object.entries(schema.properties ?? {}).map(([name, property]): Field => {
    const kind = kindOf(property)
    return {
      name,
      option: shared.has(kebab(name)) ? `${singular(noun)}-${kebab(name)}` : kebab(name),
      kind,
      schema: property,
      required: schema.required?.includes(name) ?? false,
      choices: property.type === 'string' ? property.enum : undefined,
      fromFile: kind === 'json' || (property.maxLength ?? 0) >= documentLength,
    }
  })
  const taken = new Set([...shared, ...fields.map((field) => field.option)])
  const hidden: [string, Field][] = []
  const hide = (option: string, field: Field) => {
    if (taken.has(option)) return
    taken.add(option)
    hidden.push([option, field])
  }
  for (const field of fields) hide(field.name, field)
  for (const [alias, target] of Object.entries(operation.aliases ?? {})) {
    const field = fields.find((each) => each.name === target)
    if (field) for (const spelling of [kebab(alias), alias]) hide(spelling, field)
  }
  const output = operation.output instanceof z.ZodObject ? operation.output.shape : {}
  return {
    operation,
    noun,
    verb,
    fields,
    positionals: positionalsOf(operation, fields),
    hidden,
    isPage: 'items' in output && fields.some((field) => field.name === 'cursor'),
  }
}

/** What the route's path names, then what is required: entities before free values, else as declared. */
function positionalsOf(operation: Operation, fields: readonly Field[]): Field[] {
  const paths = (operation.routes ?? []).map((route) => [...route.path.matchAll(/\{(\w+)\}/g)].map((match) => match[1] as string))
  const inPath = paths.toSorted((a, b) => b.length - a.length)[0] ?? []
  const rest = fields.filter((field) => field.required && !inPath.includes(field.name))
  const extras = positionalExtras[operation.name] ?? []
  const isReference = (field: Field) => operation.refs?.[field.name] !== undefined
  const names = [
    ...inPath,
    ...fields
      .filter((field) => isReference(field) && (rest.includes(field) || extras.includes(field.name)))
      .map((field) => field.name),
    ...rest.filter((field) => !isReference(field)).map((field) => field.name),
    ...extras,
  ]
  return [...new Set(names)].flatMap((name) => fields.find((field) => field.name === name) ?? [])
}

function kindOf(schema: Schema): FieldKind {
  if (schema.anyOf) {
    const kinds = schema.anyOf.map(kindOf)
    if (kinds.includes('json')) return 'json'
    if (kinds.includes('list')) return 'words'
    return new Set(kinds).size === 1 ? (kinds[0] as FieldKind) : 'mixed'
  }
  switch (schema.type) {
    case 'string':
      return 'text'
    case 'integer':
    case 'number':
      return 'number'
    case 'boolean':
      return 'boolean'
    case 'null':
      return 'mixed'
    case 'array':
      return schema.items && kindOf(schema.items) === 'text' ? 'list' : 'json'
    default:
      return 'json'
  }
}

export const plans: readonly Plan[] = (Object.values(operations) as Operation[]).map(planOf)

export function planFor(name: string): Plan {
  const plan = plans.find((each) => each.operation.name === name)
  if (!plan) throw new Error(`no operation ${name}`)
  return plan
}
