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

/** `type analysis.*, metadata.region eu`; anything but the short form as JSON. */
export function describeCondition(when: Rule['when']): string {
  const parts = Object.entries(when)
  const short = parts.every(([name, value]) => !['and', 'or', 'not', 'field', 'op'].includes(name) && isPlain(value))
  if (!short) return JSON.stringify(when)
  return parts.length === 0 ? 'every message' : parts.map(([name, value]) => `${name} ${[value].flat().join(' or ')}`).join(', ')
}

const isPlain = (value: unknown): boolean =>
  Array.isArray(value) ? value.every(isPlain) : ['string', 'number', 'boolean'].includes(typeof value)

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
