/** Asking a model whether sources support sentences. Its word can only strike out more, never acquit what the rules refused. */
import type { Claim } from '../citation.ts'
import type { ClaimVerdict } from '../report/render.ts'
import { fenced, type Message, untrustedRule } from './message.ts'
import { readJsonAnswer } from './json-answer.ts'

const maxQuote = 3000

export function verifyMessages(claims: Claim[]): Message[] {
  const shown = claims.map(
    (claim, index) =>
      `Sentence ${index + 1}: ${claim.text}\n${claim.citations.map((citation) => fenced({ document: citation.document }, citation.quote.slice(0, maxQuote))).join('\n')}`,
  )
  return [
    {
      role: 'system',
      content: [
        'You check sentences against the sources below each of them.',
        untrustedRule,
        'A sentence is supported only if its sources state all of it: who, what, when, every number, and whether it is certain, planned or denied. What you know from elsewhere does not count.',
        'Answer with one JSON array and nothing else, an entry for each sentence: [{"sentence": 1, "supported": true or false, "reason": "one short sentence when false"}].',
      ].join('\n'),
    },
    { role: 'user', content: shown.join('\n\n') },
  ]
}

/** One verdict for each claim, or undefined where the model gave none; undefined in all when the answer is not the list asked for. */
export function parseVerdicts(answer: string, count: number): (ClaimVerdict | undefined)[] | undefined {
  const value = readJsonAnswer(answer)
  const list: unknown = Array.isArray(value)
    ? value
    : typeof value === 'object' && value !== null
      ? Object.values(value).find(Array.isArray)
      : undefined
  if (!Array.isArray(list)) return undefined
  const verdicts: (ClaimVerdict | undefined)[] = Array.from({ length: count }, () => undefined)
  for (const entry of list as unknown[]) {
    if (typeof entry !== 'object' || entry === null || !('sentence' in entry) || !('supported' in entry)) continue
    const index = Number(entry.sentence) - 1
    if (!Number.isInteger(index) || index < 0 || index >= count || typeof entry.supported !== 'boolean') continue
    const reason = 'reason' in entry && typeof entry.reason === 'string' ? entry.reason.slice(0, 300) : ''
    verdicts[index] = { supported: entry.supported, reasons: entry.supported || reason === '' ? [] : [reason] }
  }
  return verdicts
}

/** Rules and model together: supported only where neither objects. */
export function joinVerdicts(rules: ClaimVerdict, model: ClaimVerdict | undefined): ClaimVerdict {
  if (model === undefined || model.supported) return rules
  return {
    supported: false,
    reasons: [...rules.reasons, ...(model.reasons.length > 0 ? model.reasons : ['A second reading found no support.'])],
  }
}
