/** Ways in which a sentence made of the source's own words still says something else. Each check answers a reason or nothing. */
import { type Quantity, sameQuantity } from '../text/quantities.ts'
import { meansSame } from '../text/thesaurus.ts'
import type { Token } from '../text/tokens.ts'
import { areOpposites, hasOpposite, hedgeOf, isDenier, isNegator, negatedStems, negationCount, quantifiers } from './polarity.ts'
import { tampering } from './alignment.ts'
import type { Reading } from './reading.ts'

export function contradictions(claim: Reading, window: Reading): string[] {
  const found = [
    tampering(claim, window),
    negation(claim, window),
    opposite(claim, window),
    swapped(claim, window),
    pairing(claim, window),
    quantity(claim, window),
    bound(claim, window),
    certainty(claim, window),
  ]
  return found.filter((reason) => reason !== undefined)
}

function has(reading: Reading, stem: string): boolean {
  return reading.content.some((token) => meansSame(token.stem, stem))
}

/** The parts of a window, cut at clause borders, that share most with the claim. */
function clauses(reading: Reading): Reading[] {
  const cuts = [
    ...reading.text.matchAll(
      /[,;:.!?—]\s|\s(?:but|while|whereas|although|though|however|aber|während|jedoch|sondern)\s|\sand\s(?=\w+\s+\w+)/gi,
    ),
  ].map((match) => match.index)
  const edges = [0, ...cuts, reading.text.length]
  return edges.slice(0, -1).map((from, index) => {
    const to = edges[index + 1] ?? reading.text.length
    const within = (entry: { start: number }) => entry.start >= from && entry.start < to
    return {
      text: reading.text.slice(from, to),
      tokens: reading.tokens.filter(within),
      content: reading.content.filter(within),
      numbers: reading.numbers.filter(within),
    }
  })
}

function negation(claim: Reading, window: Reading): string | undefined {
  const claimed = negatedStems(claim.tokens, claim.text)
  const stated = negatedStems(window.tokens, window.text)
  for (const stem of claimed) {
    if (stem === '' || [...stated].some((other) => meansSame(other, stem))) continue
    if (has(window, stem) && !isDenied(window, stem)) return 'The source does not deny this, the sentence does.'
  }
  for (const stem of stated) {
    if (stem === '' || [...claimed].some((other) => meansSame(other, stem))) continue
    const plain = window.tokens.filter((token) => meansSame(token.stem, stem)).length > 1
    if (has(claim, stem) && !isDenied(claim, stem) && !plain) return 'The source denies what the sentence says.'
  }
  // Where the negated word was rephrased, the count of negations must still agree in the part of the source that the claim is about.
  const part = focus(claim, window)
  const difference = Math.abs(negationCount(claim.tokens, claim.text) - negationCount(part.tokens, window.text))
  if (difference % 2 === 1 && !explained(claim, part, window)) return 'The sentence and the source differ in a "not".'
  return undefined
}

/** "failed to start": the word after a verb of denial is denied as well. */
function isDenied(reading: Reading, stem: string): boolean {
  return reading.tokens.some((token, index) => {
    if (!isDenier(token)) return false
    const next = reading.tokens.slice(index + 1, index + 5).filter((other) => !other.stop)
    return next.slice(0, 2).some((other) => meansSame(other.stem, stem))
  })
}

/** A difference in "not" is harmless when both sides use the same denial words, or the odd one stands among words the claim leaves out. */
function explained(claim: Reading, part: Reading, window: Reading): boolean {
  const odd = (own: Reading, text: string, other: Reading) =>
    own.tokens
      .filter((token) => isNegator(token, text) || isDenier(token))
      .filter((token) => !other.tokens.some((twin) => twin.stem === token.stem))
  const extra = [...odd(part, window.text, claim), ...odd(claim, claim.text, part)]
  return extra.every((token) => {
    if (isDenier(token) && !isNegator(token, window.text))
      return (
        ![...claim.content, ...part.content].some((other) => other !== token && areOpposites(other.stem, token.stem)) &&
        !coversAfter(token, part, claim)
      )
    return !coversAfter(token, part, claim)
  })
}

/** Whether the claim repeats the content word that follows `token` in the source part. */
function coversAfter(token: Token, part: Reading, claim: Reading): boolean {
  const inPart = part.tokens.includes(token)
  const own = inPart ? part : claim
  const other = inPart ? claim : part
  const next = own.tokens.slice(own.tokens.indexOf(token) + 1).find((entry) => !entry.stop)
  const last = own.tokens.slice(0, own.tokens.indexOf(token)).findLast((entry) => !entry.stop)
  return next !== undefined ? has(other, next.stem) : last !== undefined && has(other, last.stem)
}

/** The clauses of the window from the first to the last that shares content with the claim. */
function focus(claim: Reading, window: Reading): Reading {
  const parts = clauses(window)
  const shares = parts.map((part) => part.content.filter((token) => has(claim, token.stem)).length)
  const most = Math.max(...shares, 0)
  const kept = parts.filter((_, index) => (shares[index] ?? 0) > 0 && (shares[index] ?? 0) >= most * 0.4)
  if (kept.length === 0) return window
  return {
    text: kept.map((part) => part.text).join(' '),
    tokens: kept.flatMap((part) => part.tokens),
    content: kept.flatMap((part) => part.content),
    numbers: kept.flatMap((part) => part.numbers),
  }
}

/** Opposites are also words without a subject of their own ("before", "more", "up"), so all tokens are looked at. */
function opposite(claim: Reading, window: Reading): string | undefined {
  for (const [index, token] of claim.tokens.entries()) {
    if (!hasOpposite(token.stem) && token.stem.length < 4) continue
    const twins = window.tokens.filter((other) => areOpposites(token.stem, other.stem))
    if (twins.length === 0) continue
    const same = window.tokens.filter(
      (other) => other.stem === token.stem || (!other.stop && !token.stop && meansSame(other.stem, token.stem)),
    )
    if (same.length === 0) {
      // "did not rise" for "fell" is fine; "rose" for "fell" is not.
      if (claim.tokens.slice(Math.max(0, index - 3), index).some((other) => isNegator(other, claim.text))) continue
      const twin = twins[0]
      if (
        twin !== undefined &&
        window.tokens
          .slice(Math.max(0, window.tokens.indexOf(twin) - 3), window.tokens.indexOf(twin))
          .some((other) => isNegator(other, window.text))
      )
        continue
      if (twin !== undefined && claim.tokens.some((other) => other.stem === twin.stem)) continue
      return `The sentence says "${token.text}" where the source says "${twin?.text ?? ''}".`
    }
    // Both words stand in the source: then the one in the clause of the claim's subject counts.
    const subject = nearestContent(claim, token)
    if (subject === undefined || claim.tokens.some((other) => twins.some((twin) => twin.stem === other.stem))) continue
    const parts = clauses(window).filter((part) => part.tokens.some((other) => meansSame(other.stem, subject.stem)))
    if (parts.length === 0) continue
    const agrees = parts.some((part) => part.tokens.some((other) => same.includes(other)))
    const clashes = parts.find((part) => part.tokens.some((other) => twins.includes(other)))
    if (!agrees && clashes !== undefined)
      return `The sentence says "${token.text}" of "${subject.text}", the source says the opposite.`
  }
  return undefined
}

function nearestContent(reading: Reading, token: Token): Token | undefined {
  const before = reading.content.filter((other) => other.end <= token.start && !areSame(other, token))
  return before.at(-1) ?? reading.content.find((other) => other.start >= token.end)
}

function areSame(a: Token, b: Token): boolean {
  return a.start === b.start
}

const linking = new Set('than before after to from over by with against'.split(' '))

/**
 * "A bought B" for "B bought A": a shared word with the same two neighbours on opposite sides. Only the nearest content words on both sides
 * count, and a passive on one side explains the exchange.
 */
function swapped(claim: Reading, window: Reading): string | undefined {
  for (const [index, token] of claim.tokens.entries()) {
    if ((token.stop && !linking.has(token.folded)) || /\d/.test(token.text)) continue
    const left = claim.tokens.slice(0, index).findLast((other) => !other.stop && !isModifier(other))
    const right = claim.tokens.slice(index + 1).find((other) => !other.stop)
    if (left === undefined || right === undefined || left.stem === right.stem) continue
    for (const [at, twin] of window.tokens.entries()) {
      if (twin.stem !== token.stem) continue
      const lefts = contentAround(window, at, -1)
      const rights = contentAround(window, at, 1)
      const exchanged = lefts.some((other) => other.stem === right.stem) && rights.some((other) => other.stem === left.stem)
      const kept = lefts.some((other) => other.stem === left.stem) && rights.some((other) => other.stem === right.stem)
      if (exchanged === kept) continue
      const sameVoice = isPassive(claim, index) === isPassive(window, at)
      if (exchanged !== sameVoice || (kept && /\d/.test(right.text))) continue
      if (/^(?:and|or|with|und|oder)$/.test(token.folded)) continue
      return `The sentence exchanges "${left.text}" and "${right.text}".`
    }
  }
  return undefined
}

function isModifier(token: Token): boolean {
  return /(?:ly)$/.test(token.folded)
}

/** Up to four content words on one side of a token, within its sentence. */
function contentAround(reading: Reading, at: number, step: 1 | -1): Token[] {
  const out: Token[] = []
  for (let index = at + step; index >= 0 && index < reading.tokens.length && out.length < 4; index += step) {
    const token = reading.tokens[index]
    if (token === undefined) break
    const anchor = reading.tokens[at]
    const [from, to] = step === 1 ? [anchor?.end ?? 0, token.start] : [token.end, anchor?.start ?? 0]
    if (/[.;!?]\s/.test(reading.text.slice(from, to))) break
    if (!token.stop) out.push(token)
  }
  return out
}

/** "was caused by", "acquired by", "due to", "wurde ... von": the doer stands after the verb. */
function isPassive(reading: Reading, at: number): boolean {
  const after = reading.tokens.slice(at + 1, at + 4).map((token) => token.folded)
  return after.includes('by') || after.includes('von') || after.includes('durch')
}

/** Each number must belong to the same thing: the word or number it stands next to in the claim is compared with the source. */
function pairing(claim: Reading, window: Reading): string | undefined {
  if (claim.numbers.length === 0 || window.numbers.length < 2) return undefined
  const direction = fromTo(claim, window)
  if (direction !== undefined) return direction
  for (const number of claim.numbers) {
    const twins = window.numbers.filter((other) => sameQuantity(number, other))
    const anchors = anchorsOf(claim, number)
    if (twins.length === 0 || anchors.length === 0) continue
    const owner = anchors.find((anchor) => anchor.end <= number.start && /^\p{Lu}/u.test(anchor.text))
    if (owner !== undefined && belongsToOther(window, owner, number, twins))
      return `The source gives "${number.text}" for something else than "${owner.text}".`
    for (const anchor of anchors) {
      const places = window.tokens.filter((token) => token.stem === anchor.stem)
      if (places.length === 0) continue
      // The source has this word next to another number of the same sort, and the claim's number next to another word.
      const own = Math.min(...twins.flatMap((twin) => places.map((place) => gap(window, twin, place))))
      const rivals = window.numbers.filter(
        (other) =>
          other.kind === number.kind && !twins.includes(other) && !claim.numbers.some((mine) => sameQuantity(mine, other)),
      )
      const swaps = window.numbers.filter(
        (other) =>
          other.kind === number.kind &&
          !twins.includes(other) &&
          claim.numbers.some((mine) => mine !== number && sameQuantity(mine, other)),
      )
      const rival = [...rivals, ...swaps].find((other) => places.some((place) => gap(window, other, place) + 1 < own))
      if (rival === undefined) continue
      const better = twins.some((twin) => anchorsOf(window, twin).some((word) => anchors.some((mine) => mine.stem === word.stem)))
      if (!better && own > 3) return `The source gives "${number.text}" for something else than "${anchor.text}".`
    }
  }
  return undefined
}

/** "Paris sold 120 and London 340" gives London another number of the same sort, and the claimed one to a name before or after it. */
function belongsToOther(window: Reading, owner: Token, number: Quantity, twins: Quantity[]): boolean {
  if (/\brespectively\b/i.test(window.text)) return false
  const places = window.tokens.filter((token) => token.stem === owner.stem)
  if (places.length === 0) return false
  const names = window.content.filter((token) => /^\p{Lu}/u.test(token.text) && token.stem !== owner.stem)
  return places.every((place) => {
    const own = window.numbers.find(
      (other) => other.start > place.end && other.kind === number.kind && other.unit === number.unit && !isYear(other),
    )
    if (own === undefined || twins.includes(own)) return false
    return twins.every((twin) => twin.end <= place.start || names.some((name) => name.start > own.end && name.end <= twin.start))
  })
}

function isYear(number: Quantity): boolean {
  return number.kind === 'number' && /^(?:19|20)\d\d$/.test(number.value)
}

/** "from 5 to 7" against "from 7 to 5". */
function fromTo(claim: Reading, window: Reading): string | undefined {
  const role = (reading: Reading, number: Quantity) =>
    /\b(from|to|von|auf|bis)\s+(?:about |around |nearly |[$€£])*$/i.exec(reading.text.slice(0, number.start))?.[1]?.toLowerCase()
  for (const number of claim.numbers) {
    const mine = role(claim, number)
    if (mine === undefined) continue
    const theirs = window.numbers.filter((other) => sameQuantity(number, other)).map((other) => role(window, other))
    if (theirs.length > 0 && theirs.every((other) => other !== undefined && other !== mine))
      return `The source says "${theirs[0]} ${number.text}", the sentence "${mine} ${number.text}".`
  }
  return undefined
}

/** The content words that stand closest to a number: one before and one after, names first. */
function anchorsOf(reading: Reading, number: Quantity): Token[] {
  const before = reading.content.filter((token) => token.end <= number.start).slice(-2)
  const after = reading.content.filter((token) => token.start >= number.end).slice(0, 2)
  const names = [...before, ...after].filter((token) => /^\p{Lu}/u.test(token.text))
  return names.length > 0 ? names : [...before.slice(-1), ...after.slice(0, 1)]
}

/** Tokens between a number and a word. */
function gap(reading: Reading, number: Quantity, token: Token): number {
  const [from, to] = token.start < number.start ? [token.end, number.start] : [number.end, token.start]
  const words = reading.tokens.filter((other) => other.start >= from && other.start < to).length
  return words + (/[,;]\s/.test(reading.text.slice(from, to)) ? 2 : 0)
}

const strength = { none: 0, few: 1, some: 2, most: 3, all: 4, only: 5 }

function quantity(claim: Reading, window: Reading): string | undefined {
  const stated = quantifiers(window.text)
  for (const { kind, word, at } of quantifiers(claim.text)) {
    if (stated.some((other) => other.kind === kind)) continue
    if (word === 'any' || word === 'both' || word === 'each' || word === 'fully' || word === 'entirely' || word === 'completely')
      continue
    const noun = claim.tokens.find((token) => token.start > at && !token.stop)
    const rival = stated.find(
      (other) =>
        noun === undefined ||
        window.tokens.some((token) => token.start > other.at && token.start < other.at + 60 && meansSame(token.stem, noun.stem)),
    )
    if (rival !== undefined && strength[rival.kind] !== strength[kind])
      return `The sentence says "${word}", the source says "${rival.word}".`
    if (kind === 'all' || kind === 'none' || kind === 'only' || kind === 'most') {
      if (kind === 'none' && window.tokens.some((token) => isNegator(token, window.text))) continue
      return `The source does not say "${word}".`
    }
  }
  return undefined
}

const boundWords: [string, RegExp][] = [
  [
    'more than',
    /\b(?:more than|over|above|at least|exceed(?:s|ed|ing)?|no (?:less|fewer) than|mehr als|mindestens|über)\s+(?:\w+\s)?[$€£]?\d/i,
  ],
  [
    'less than',
    /\b(?:less than|fewer than|under|below|at most|up to|no more than|weniger als|höchstens|unter)\s+(?:\w+\s)?[$€£]?\d/i,
  ],
]

function bound(claim: Reading, window: Reading): string | undefined {
  for (const [name, pattern] of boundWords) {
    if (pattern.test(claim.text) && !pattern.test(window.text)) return `The source does not say "${name}".`
  }
  return undefined
}

/** What the source only supposes, plans or makes conditional may not be told as a fact. */
function certainty(claim: Reading, window: Reading): string | undefined {
  const part = focus(claim, window)
  const stated = hedgeOf(part.text)
  if (stated === undefined || hedgeOf(claim.text) !== undefined) return undefined
  return `The source says it with "${stated}", the sentence as a fact.`
}
