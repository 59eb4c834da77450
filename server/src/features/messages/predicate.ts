/**
 * What a routing rule asks of a message: a closed tree of comparisons. Nothing in it is code and nothing is a regular expression; values
 * are found by own properties only. Reading one answers a tree that `holds` walks without a throw, whatever the message holds.
 */
import { CadreError, type MessageIntent, toPriority } from '@cadre/contract'

type Scalar = string | number | boolean | null
type Order = 'gt' | 'gte' | 'lt' | 'lte'

interface Field {
  name: 'type' | 'topic' | 'intent' | 'kind' | 'priority' | 'sender' | 'metadata' | 'content'
  /** Below metadata and content. */
  path: readonly string[]
}

export type Predicate =
  | { op: 'and' | 'or'; of: readonly Predicate[] }
  | { op: 'not'; of: Predicate }
  | { op: 'eq' | 'ne'; field: Field; value: Scalar }
  | { op: 'in'; field: Field; values: readonly Scalar[] }
  | { op: 'prefix'; field: Field; value: string }
  | { op: 'glob'; field: Field; parts: readonly string[] }
  | { op: 'contains'; field: Field; value: string }
  | { op: Order; field: Field; value: string | number }
  | { op: 'exists'; field: Field; value: boolean }

/** What of a message can be asked. */
export interface Facts {
  type: string
  topic: string | null
  intent: MessageIntent | undefined
  kind: string
  priority: number
  /** Name of the sender. */
  sender: string
  metadata: unknown
  content: unknown
}

const maxDepth = 8
const maxNodes = 64
const maxValues = 100
const maxText = 1024
const maxPath = 8
/** Texts of messages are looked at this far, so that no message makes the rules slow. */
const maxLooked = 65_536

const plainFields = ['type', 'topic', 'intent', 'kind', 'priority', 'sender'] as const
const openFields = ['metadata', 'content'] as const
const operators = ['eq', 'ne', 'in', 'prefix', 'glob', 'contains', 'gt', 'gte', 'lt', 'lte', 'exists'] as const

/** Reads a predicate as operators write it. Throws `invalid_request` that points at what is wrong with it. */
export function readPredicate(given: unknown, pointer = '/when'): Predicate {
  let nodes = 0
  return read(given, pointer, 1)

  function read(node: unknown, at: string, depth: number): Predicate {
    nodes += 1
    if (depth > maxDepth) refuse(at, `Nest at most ${maxDepth} levels.`)
    if (nodes > maxNodes) refuse(at, `Use at most ${maxNodes} conditions in one rule.`)
    if (!isObject(node)) refuse(at, 'Give an object, like {"type": "analysis.*"}.')
    const keys = Object.keys(node)
    if (keys.length === 0) refuse(at, 'Give at least one condition.')
    if (Object.hasOwn(node, 'field')) return readComparison(node, keys, at)
    const [key = ''] = keys
    if (keys.length === 1 && (key === 'and' || key === 'or')) {
      const list = node[key]
      if (!Array.isArray(list) || list.length === 0) refuse(`${at}/${key}`, 'Give a list of conditions.')
      return { op: key, of: list.map((each, index) => read(each, `${at}/${key}/${index}`, depth + 1)) }
    }
    if (keys.length === 1 && key === 'not') return { op: 'not', of: read(node['not'], `${at}/not`, depth + 1) }
    nodes += keys.length - 1
    if (nodes > maxNodes) refuse(at, `Use at most ${maxNodes} conditions in one rule.`)
    const each = keys.map((name) => readShort(name, node[name], `${at}/${escaped(name)}`))
    return each.length === 1 ? (each[0] as Predicate) : { op: 'and', of: each }
  }
}

/** Does the message have it? Never throws. */
export function holds(predicate: Predicate, facts: Facts): boolean {
  switch (predicate.op) {
    case 'and':
      return predicate.of.every((each) => holds(each, facts))
    case 'or':
      return predicate.of.some((each) => holds(each, facts))
    case 'not':
      return !holds(predicate.of, facts)
    default:
      return compare(predicate, valueAt(predicate.field, facts))
  }
}

type Comparison = Extract<Predicate, { field: Field }>

function compare(asked: Comparison, found: unknown): boolean {
  switch (asked.op) {
    case 'eq':
      return found === asked.value
    case 'ne':
      return found !== asked.value
    case 'in':
      return asked.values.some((value) => value === found)
    case 'exists':
      return (found !== undefined) === asked.value
    case 'prefix':
      return typeof found === 'string' && found.startsWith(asked.value)
    case 'glob':
      return typeof found === 'string' && globs(asked.parts, found.slice(0, maxLooked))
    case 'contains':
      return Array.isArray(found)
        ? found.some((each) => lower(each) === asked.value)
        : (lower(found)?.includes(asked.value) ?? false)
    default:
      return typeof found === typeof asked.value && inOrder(asked.op, found as string, asked.value as string)
  }
}

/** Numbers among themselves, texts among themselves. */
function inOrder<T extends string | number>(op: Order, found: T, value: T): boolean {
  if (op === 'gt') return found > value
  if (op === 'gte') return found >= value
  return op === 'lt' ? found < value : found <= value
}

const lower = (value: unknown): string | undefined =>
  typeof value === 'string' ? value.slice(0, maxLooked).toLowerCase() : undefined

/** The first part starts the text, the last ends it, those between follow each other: no way is tried twice. */
function globs(parts: readonly string[], text: string): boolean {
  const [first = '', ...rest] = parts
  const last = rest.pop()
  if (last === undefined) return text === first
  if (!text.startsWith(first)) return false
  let at = first.length
  for (const part of rest) {
    const found = text.indexOf(part, at)
    if (found < 0) return false
    at = found + part.length
  }
  return text.length - last.length >= at && text.endsWith(last)
}

function valueAt({ name, path }: Field, facts: Facts): unknown {
  // A message without a topic has none, rather than one that is null.
  let value: unknown = name === 'topic' ? (facts.topic ?? undefined) : facts[name]
  for (const part of path) {
    if (value === null || typeof value !== 'object') return undefined
    // An array has elements; its length is its own property too, but not a value of the message.
    if (Array.isArray(value) && !/^\d{1,9}$/.test(part)) return undefined
    if (!Object.hasOwn(value, part)) return undefined
    value = (value as Record<string, unknown>)[part]
  }
  return value
}

function readComparison(node: Record<string, unknown>, keys: readonly string[], at: string): Predicate {
  const stray = keys.find((key) => key !== 'field' && key !== 'op' && key !== 'value')
  if (stray !== undefined) refuse(`${at}/${escaped(stray)}`, 'A condition has field, op and value.')
  const field = readField(node['field'], `${at}/field`)
  const op = operators.find((name) => name === (node['op'] ?? 'eq')) ?? refuse(`${at}/op`, `Use one of ${operators.join(', ')}.`)
  const { value } = node
  const here = `${at}/value`
  switch (op) {
    case 'eq':
    case 'ne':
      return { op, field, value: readScalar(field, value, here) }
    case 'in':
      return { op, field, values: readScalars(field, value, here) }
    case 'prefix':
      return { op, field, value: readText(value, here) }
    case 'glob':
      return { op, field, parts: readText(value, here).split('*') }
    case 'contains':
      return { op, field, value: readText(value, here).toLowerCase() }
    case 'exists':
      if (value !== undefined && typeof value !== 'boolean') refuse(here, 'Give true or false.')
      return { op, field, value: value ?? true }
    default: {
      const bound = readScalar(field, value, here)
      if (typeof bound !== 'string' && typeof bound !== 'number') refuse(here, 'Give a number or a text to compare with.')
      return { op, field, value: bound }
    }
  }
}

/** `{"type": "analysis.*"}`: a text with a star is a glob, a list means one of, anything else the same value. */
function readShort(name: string, value: unknown, at: string): Predicate {
  const field = readField(name, at)
  if (Array.isArray(value)) return { op: 'in', field, values: readScalars(field, value, at) }
  if (typeof value === 'string' && value.includes('*')) return { op: 'glob', field, parts: readText(value, at).split('*') }
  return { op: 'eq', field, value: readScalar(field, value, at) }
}

function readField(given: unknown, at: string): Field {
  const text = typeof given === 'string' && given.length <= maxText ? given : ''
  const plain = plainFields.find((field) => field === text)
  if (plain) return { name: plain, path: [] }
  const [head, ...path] = text.split('.')
  const name = openFields.find((field) => field === head)
  if (!name || path.includes('') || path.length > maxPath || (name === 'metadata' && path.length === 0))
    refuse(at, `Ask for ${plainFields.join(', ')}, content, content.<path> or metadata.<path> of at most ${maxPath} steps.`)
  return { name, path }
}

function readScalar(field: Field, value: unknown, at: string): Scalar {
  if (typeof value === 'string') {
    const text = readText(value, at)
    return field.name === 'priority' ? readPriority(text, at) : text
  }
  if (value === null || typeof value === 'boolean' || typeof value === 'number') return value
  return refuse(at, 'Give a text, a number, true, false or null.')
}

function readPriority(text: string, at: string): number {
  if (text === 'critical' || text === 'high' || text === 'normal' || text === 'low') return toPriority(text)
  return refuse(at, 'Give 1 to 9, critical, high, normal or low.')
}

function readScalars(field: Field, values: unknown, at: string): Scalar[] {
  if (!Array.isArray(values) || values.length === 0 || values.length > maxValues)
    refuse(at, `Give a list of 1 to ${maxValues} values.`)
  return values.map((value, index) => readScalar(field, value, `${at}/${index}`))
}

function readText(value: unknown, at: string): string {
  if (typeof value !== 'string' || value.length > maxText) refuse(at, `Give a text of at most ${maxText} characters.`)
  return value
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const escaped = (name: string): string => name.slice(0, 100).replaceAll('~', '~0').replaceAll('/', '~1')

function refuse(pointer: string, detail: string): never {
  throw new CadreError('invalid_request', {}, { fields: [{ pointer, detail }] })
}
