/** One object for a person: a line a field, lists of objects as tables, long texts as blocks. */
import { cell, isEmpty, paint } from './look.ts'
import { columnsOf, isRedundant, table } from './table.ts'
import type { Terminal } from './terminal.ts'
import { fit, oneLine, pad, printable, widthOf } from './text.ts'

type Fields = Readonly<Record<string, unknown>>

const isObject = (value: unknown): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value)
const isRows = (value: unknown): value is Fields[] => Array.isArray(value) && value.length > 0 && value.every(isObject)
/** Free-form values are shown as JSON and never taken apart. */
const freeForm = new Set([
  'value',
  'content',
  'metadata',
  'input',
  'result',
  'data',
  'arguments',
  'input_schema',
  'requirements',
  'parameters',
])
/** Proof of the write: for programs, under --json. */
const hidden = new Set(['receipt'])
/** Limits whose absence is the answer. */
const unset: Readonly<Record<string, string>> = { messages_days: 'for ever', messages_max: 'any number' }
const blockWidth = 60

export function card(object: Fields, terminal: Terminal): string {
  const now = terminal.now()
  const { colours } = terminal
  const columns = terminal.size()?.columns ?? Number.POSITIVE_INFINITY
  const lines: [label: string, text: string, paint: (text: string) => string][] = []
  const blocks: string[] = []
  const add = (fields: Fields, prefix: string) => {
    for (const [field, value] of Object.entries(fields)) {
      if (
        (isEmpty(value) && !Object.hasOwn(unset, field)) ||
        (hidden.has(field) && typeof value === 'object') ||
        isRedundant(field, [fields])
      )
        continue
      const label = `${prefix}${field}`
      if (isRows(value) && !freeForm.has(field))
        blocks.push(`\n${colours.dim(label)}\n${table(value, terminal, { indent: '  ' })}`)
      else if (isObject(value) && !freeForm.has(field)) add(value, `${label}.`)
      else if (isLong(value)) blocks.push(`\n${colours.dim(label)}\n${indent(pretty(value))}\n`)
      else {
        const shown = isEmpty(value) ? { text: unset[field] ?? '', tone: 'quiet' as const } : cell(field, value, now)
        if (widthOf(shown.text) + 20 > columns) {
          blocks.push(`\n${colours.dim(label)}\n${indent(shown.text)}\n`)
          continue
        }
        lines.push([label, oneLine(shown.text), (text) => paint(colours, shown.tone, text)])
      }
    }
  }
  add(object, '')
  const width = Math.max(0, ...lines.map(([label]) => widthOf(label)))
  return [...lines.map(([label, text, tone]) => `${colours.dim(pad(printable(label), width))}  ${tone(text)}\n`), ...blocks].join(
    '',
  )
}

const isWords = (value: object) => Array.isArray(value) && value.every((each) => typeof each !== 'object')

const isLong = (value: unknown): boolean =>
  typeof value === 'string'
    ? value.includes('\n') || value.length > blockWidth * 2
    : typeof value === 'object' && value !== null && !isWords(value) && JSON.stringify(value).length > blockWidth

const pretty = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value, null, 2))

const indent = (text: string): string =>
  printable(text)
    .trimEnd()
    .split('\n')
    .map((line) => `  ${line}`)
    .join('\n')

/** What is shown this once: a new token, a new key. */
export const secretsIn = (object: Fields): string[] =>
  ['token', 'key'].filter((field) => String(object[field]).startsWith('cad_'))

// Without its name it would say nothing.
const isBare = (field: string, value: unknown) => typeof value === 'boolean' || (typeof value === 'number' && field !== 'size')

const notInBrief = new Set([
  'created_at',
  'updated_at',
  'started_at',
  'type',
  'version',
  'receipt',
  'lease',
  'priority',
  'seq',
  'attempt',
])

/** What a command changed, on one line: `✓ tsk_1  Collect figures  ○ ready`. */
export function brief(object: Fields, terminal: Terminal): string {
  const secrets = secretsIn(object)
  const scalars = Object.fromEntries(
    Object.entries(object).filter(
      ([field, value]) => !isObject(value) && !isRows(value) && value !== 0 && !secrets.includes(field),
    ),
  )
  const fields = columnsOf([scalars]).filter((field) => !notInBrief.has(field))
  const now = terminal.now()
  const parts = fields.map((field) => {
    const shown = cell(field, scalars[field], now)
    const text = oneLine(shown.text)
    const isName = field === 'id' || field === 'key' || field === 'name'
    return { ...shown, text: isBare(field, scalars[field]) ? `${field} ${text}` : isName ? text : fit(text, 60) }
  })
  return parts.map((part) => paint(terminal.colours, part.tone, part.text)).join('  ')
}
