/** Where a sentence nearly repeats its source, the few words that differ are what matters. */
import type { Token } from '../text/tokens.ts'
import { areOpposites, hedgeOf, isNegator, quantifiers } from './polarity.ts'
import type { Reading } from './reading.ts'

/** Words of the claim that stand in place of words of the source, between two words that both share. */
export type Edit = { claimed: Token[]; stated: Token[] }

/** The longest common run of words costs claim x source steps: 200 x 400 words are 80,000. */
const maxClaim = 200
const maxStated = 400

/** The differences inside the shared part, or undefined when too little is shared for the order to mean anything. */
function editsOf(claim: Reading, source: Reading): Edit[] | undefined {
  const a = claim.tokens.slice(0, maxClaim)
  const b = source.tokens.slice(0, maxStated)
  if (a.length < 5) return undefined
  const width = b.length + 1
  const lengths = new Uint16Array((a.length + 1) * width)
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      const here = i * width + j
      lengths[here] =
        a[i]?.folded === b[j]?.folded
          ? (lengths[here + width + 1] ?? 0) + 1
          : Math.max(lengths[here + width] ?? 0, lengths[here + 1] ?? 0)
    }
  }
  if ((lengths[0] ?? 0) < a.length * 0.75) return undefined
  const edits: Edit[] = []
  let open: Edit = { claimed: [], stated: [] }
  let started = false
  let i = 0
  let j = 0
  while (i < a.length && j < b.length) {
    const left = a[i]
    const right = b[j]
    if (left === undefined || right === undefined) break
    if (left.folded === right.folded) {
      if ((started || open.claimed.length > 0) && open.claimed.length + open.stated.length > 0)
        edits.push(started ? open : { claimed: open.claimed, stated: open.stated.slice(-open.claimed.length - 1) })
      open = { claimed: [], stated: [] }
      started = true
      i += 1
      j += 1
    } else if ((lengths[(i + 1) * width + j] ?? 0) >= (lengths[i * width + j + 1] ?? 0)) {
      open.claimed.push(left)
      i += 1
    } else {
      open.stated.push(right)
      j += 1
    }
  }
  return edits
}

/** A reason when one of the edits turns the statement round: an opposite, a "not" or a "may" more or less, another quantifier. */
export function tampering(claim: Reading, source: Reading): string | undefined {
  for (const { claimed, stated } of editsOf(claim, source) ?? []) {
    if (stated.length > 12) continue
    for (const token of claimed) {
      const twin = stated.find((other) => areOpposites(token.stem, other.stem))
      if (twin !== undefined) return `The sentence says "${token.text}" where the source says "${twin.text}".`
    }
    const mine = wordsOf(claimed)
    const theirs = wordsOf(stated)
    const denies = claimed.filter((token) => isNegator(token, claim.text)).length
    const denied = stated.filter((token) => isNegator(token, source.text)).length
    // "had no ... and did not": dropping a whole clause takes its own negation along.
    if ((denies + denied) % 2 === 1 && Math.max(claimed.length, stated.length) <= 4)
      return 'The sentence and the source differ in a "not".'
    const hedged = hedgeOf(theirs)
    if (hedged !== undefined && hedgeOf(mine) === undefined && stated.length <= 4)
      return `The source says it with "${hedged}", the sentence as a fact.`
    const quantified = quantifiers(mine)[0]
    const counted = quantifiers(theirs)[0]
    if (quantified !== undefined && counted !== undefined && quantified.kind !== counted.kind)
      return `The sentence says "${quantified.word}", the source says "${counted.word}".`
    if (
      quantified !== undefined &&
      quantified.kind === 'all' &&
      counted === undefined &&
      claimed.length <= 2 &&
      !/^(?:any|both)$/.test(quantified.word)
    )
      return `The source does not say "${quantified.word}".`
  }
  return undefined
}

function wordsOf(tokens: Token[]): string {
  return tokens.map((token) => token.text).join(' ')
}
