/** The words of help: options, places, what the schema says of a field, examples. */
import { Option } from 'commander'
import { operationExamples, samples } from './names.ts'
import type { Field, Plan } from './plan.ts'

export function optionsOf(flag: string, field: Field, text: string): Option[] {
  if (field.kind === 'boolean') return [new Option(`--${flag}`, text), new Option(`--no-${flag}`, `not --${flag}`)]
  const option = new Option(`--${flag} ${valueName(field)}`, text)
  if (field.choices) option.choices(field.choices)
  if (field.kind === 'list' || field.kind === 'words')
    option.argParser((value: string, before: unknown) => [...((before as string[] | undefined) ?? []), value])
  return [option]
}

function valueName(field: Field): string {
  switch (field.kind) {
    case 'number':
      return field.schema.type === 'integer' || field.schema.type === undefined ? '<n>' : '<number>'
    case 'list':
    case 'words':
      return '<a,b>'
    case 'json':
      return '<json>'
    default:
      return field.schema.format === 'date-time' ? '<time>' : field.choices ? '<word>' : '<text>'
  }
}

export function placeOf(field: Field, isRequired: boolean, isLast: boolean): string {
  const name = field.option + (isLast && (field.kind === 'list' || field.kind === 'words') ? '...' : '')
  return isRequired ? `<${name}>` : `[${name}]`
}

/** What the schema says of a field, in words. */
export function describe(plan: Plan, field: Field): string {
  const { schema } = field
  const entity = plan.operation.refs?.[field.name]
  // `id` of what says more than what an id is.
  const said =
    entity !== undefined && entity !== 'agent' && /_id$|^id$|^depends_on$/.test(field.name)
      ? `id of a ${entity}`
      : (schema.description?.replace(/\.$/, '') ?? '')
  const range =
    schema.minimum !== undefined && schema.maximum !== undefined && Math.abs(schema.maximum) < 1e9
      ? `${schema.minimum} to ${schema.maximum}`
      : ''
  const words = schema.anyOf?.flatMap((option) => [
    ...(option.enum ?? []),
    ...(option.minimum === undefined || option.maximum === undefined ? [] : [`${option.minimum} to ${option.maximum}`]),
  ])
  const fallback = isEmptyDefault(schema.default) ? '' : `default: ${String(schema.default)}`
  return [
    said,
    words && words.length > 0 ? `one of ${words.join(', ')}` : '',
    range,
    field.fromFile ? 'also @file or -' : '',
    field.required ? 'required' : '',
    fallback,
  ]
    .filter((part) => part !== '')
    .join('; ')
}

const isEmptyDefault = (value: unknown): boolean =>
  value === undefined ||
  value === '' ||
  value === false ||
  (typeof value === 'object' && value !== null && Object.keys(value).length === 0)

function sampleOf(plan: Plan, field: Field): string {
  if (field.choices) return field.choices[0] as string
  const entity = plan.operation.refs?.[field.name]
  return (
    (entity === undefined ? undefined : samples[entity]) ??
    samples[field.name] ??
    (field.name === 'id' || field.name === 'invocation' ? `${plan.noun.slice(0, 3)}_0123` : undefined) ??
    (field.kind === 'number' ? '0.5' : field.kind === 'json' ? `'{"a": 1}'` : 'some-text')
  )
}

export function helpFooter(plan: Plan, positionals: readonly Field[], examples: readonly string[] | undefined): string {
  const { operation } = plan
  const [route] = operation.routes ?? []
  const start = `cadre ${plan.noun} ${plan.verb}`
  const line = [
    start,
    ...(operation.body === 'upload' ? ['report.pdf'] : positionals.map((field) => sampleOf(plan, field))),
  ].join(' ')
  const shown = examples ?? operationExamples[operation.name] ?? [line, `${line} --json`]
  return [
    '',
    'Examples:',
    ...shown.map((example) => `  ${example}`),
    '',
    `The same as ${route ? `${route.method} /api/v1${route.path}` : `the socket frame ${operation.name}`}; needs ${operation.permission === 'public' ? 'no credential' : operation.permission}.`,
  ].join('\n')
}
