/** Routing rules in words. */
import type { Rule } from './api.ts'

type Strategy = NonNullable<Rule['to']['strategy']>

export const strategies: readonly { value: Strategy; label: string }[] = [
  { value: 'idle', label: 'An idle one first' },
  { value: 'least_busy', label: 'The least busy' },
  { value: 'round_robin', label: 'In turn' },
  { value: 'random', label: 'By chance' },
  { value: 'all', label: 'All of them' },
]

const which: Readonly<Record<Strategy, string>> = {
  any: 'in turn',
  round_robin: 'in turn',
  idle: 'an idle one first',
  least_busy: 'the least busy',
  random: 'by chance',
  all: 'all of them',
}

const operators: Readonly<Record<string, string>> = {
  eq: '=',
  ne: '≠',
  in: 'one of',
  prefix: 'begins with',
  contains: 'contains',
  gt: '>',
  gte: '≥',
  lt: '<',
  lte: '≤',
}

/** `type analysis.*`, `metadata.region = eu and (type data.* or content.rows > 100)`, `not type draft`. */
export function describeCondition(when: unknown, nested = false): string {
  if (typeof when !== 'object' || when === null) return JSON.stringify(when) ?? ''
  const { and, or, not, field, op, value, ...fields } = when as Record<string, unknown>
  const parts: string[] = []
  if (typeof field === 'string') {
    if (op === 'exists') parts.push(`${field} ${value === false ? 'is absent' : 'exists'}`)
    else parts.push([field, operators[String(op)] ?? '', valueOf(value)].filter((part) => part !== '').join(' '))
  }
  for (const [name, wanted] of Object.entries(fields)) parts.push(`${name} ${valueOf(wanted)}`)
  if (Array.isArray(and)) parts.push(...and.map((each) => describeCondition(each, true)))
  if (Array.isArray(or)) parts.push(`(${or.map((each) => describeCondition(each, true)).join(' or ')})`)
  if (not !== undefined) parts.push(`not ${describeCondition(not, true)}`)
  if (parts.length === 0) return 'every message'
  return nested && parts.length > 1 ? `(${parts.join(' and ')})` : parts.join(' and ')
}

const valueOf = (value: unknown): string =>
  Array.isArray(value) ? value.map(String).join(' or ') : typeof value === 'object' ? JSON.stringify(value) : String(value)

export function describeTarget(to: Rule['to']): string {
  if (to.topic !== undefined) return `topic ${to.topic}`
  const who =
    to.agents !== undefined
      ? to.agents.join(', ')
      : [to.agent_type === undefined ? 'agents' : `type ${to.agent_type}`, to.capabilities?.join(', ')]
          .filter((part) => part !== undefined)
          .join(' with ')
  return to.strategy === undefined ? who : `${who}, ${which[to.strategy] ?? to.strategy}`
}
