/**
 * Does a source say what a claim says? Classical means only: the claim must be covered by one to three neighbouring sentences of a source,
 * every number and name must stand there, and nothing may turn the statement round (see `contradictions.ts`).
 */
import { type Quantity, sameQuantity } from '../text/quantities.ts'
import { plainText } from '../text/plain.ts'
import { sentenceSpans } from '../text/sentences.ts'
import { meansSame } from '../text/thesaurus.ts'
import type { Token } from '../text/tokens.ts'
import { contradictions } from './contradictions.ts'
import { isName, type Reading, readText } from './reading.ts'

/** `score` is the share of the claim that its best window of the source covers, 0..1; 0 when something contradicts it. */
export type Verdict = { supported: boolean; score: number; reasons: string[] }

const maxSource = 60_000
const maxWindows = 1500

export function verifyClaim(claim: string, sources: { text: string }[]): Verdict {
  const read = readText(plainText(claim))
  if (read.content.length === 0 && read.numbers.length === 0)
    return { supported: false, score: 0, reasons: ['The sentence states nothing that could be checked.'] }
  const windows = sources.flatMap((source) => windowsOf(source.text.slice(0, maxSource)))
  if (windows.length === 0) return { supported: false, score: 0, reasons: ['It names no source.'] }
  if (windows.some((window) => sameWords(read, window))) return { supported: true, score: 1, reasons: [] }
  let best: { coverage: number; faults: string[] } | undefined
  const promising = windows
    .map((window) => ({ window, coverage: coverageOf(read, window) }))
    .sort((a, b) => b.coverage - a.coverage || a.window.tokens.length - b.window.tokens.length)
    .slice(0, 6)
  const top = promising[0]?.coverage ?? 0
  for (const { window, coverage } of promising) {
    // A far poorer match that happens to contradict nothing is no support.
    if (coverage < top - 0.12) break
    const faults = [...missing(read, window, coverage), ...contradictions(read, window)]
    if (faults.length === 0) return { supported: true, score: round(coverage), reasons: [] }
    if (best === undefined || faults.length < best.faults.length) best = { coverage, faults }
  }
  return { supported: false, score: 0, reasons: [...new Set(best?.faults ?? ['No source deals with it.'])].slice(0, 4) }
}

/** Every sentence of a source, and every two and three neighbours, each with the heading above as far as it is in the source. */
function windowsOf(source: string): Reading[] {
  const spans = sentenceSpans(source)
  const texts = spans.map((span) => plainText(source.slice(span.start, span.end)))
  const windows: Reading[] = []
  for (let size = 1; size <= 3; size += 1) {
    for (let at = 0; at + size <= spans.length && windows.length < maxWindows; at += 1)
      windows.push(readText(texts.slice(at, at + size).join(size > 1 ? ' ' : '')))
  }
  if (spans.length > 3 && spans.length <= 12) windows.push(readText(texts.join(' ')))
  return windows
}

/** The very words of the window in their order; punctuation, case and markup may differ. */
function sameWords(claim: Reading, window: Reading): boolean {
  if (claim.tokens.length !== window.tokens.length) return false
  return claim.tokens.every((token, index) => token.folded === window.tokens[index]?.folded) && sameSigns(claim, window)
}

function sameSigns(claim: Reading, window: Reading): boolean {
  return (
    claim.numbers.length === window.numbers.length && claim.numbers.every((number, index) => same(number, window.numbers[index]))
  )
}

function same(a: Quantity, b: Quantity | undefined): boolean {
  return b !== undefined && sameQuantity(a, b)
}

function coverageOf(claim: Reading, window: Reading): number {
  let weight = 0
  let met = 0
  const stems = new Set(window.content.map((token) => token.stem))
  for (const token of claim.content) {
    const value = isName(token, claim) ? 1.5 : 1
    weight += value
    if (isCovered(token, stems, window)) met += value
  }
  for (const number of claim.numbers) {
    weight += 1.5
    if (window.numbers.some((other) => sameQuantity(number, other))) met += 1.5
  }
  return weight === 0 ? 0 : met / weight
}

function isCovered(token: Token, stems: Set<string>, window: Reading): boolean {
  if (stems.has(token.stem)) return true
  return window.content.some((other) => meansSame(other.stem, token.stem))
}

/** Words that report or join without adding a fact. */
const framing = new Set(
  'accord say state report note mention document author find show describ explain indicat conclud overall also furthermore moreover addition meanwhile notabl specifical particular respectiv approximatel about around thu therefor main chief actual subsequent'.split(
    ' ',
  ),
)

/** What the claim says and the window does not: numbers and names always count, one loose word in six does not. */
function missing(claim: Reading, window: Reading, coverage: number): string[] {
  const faults: string[] = []
  for (const number of claim.numbers) {
    if (isNumberStated(number, window)) continue
    faults.push(`"${number.text}" does not stand in the source.`)
  }
  const stems = new Set(window.content.map((token) => token.stem))
  const loose: Token[] = []
  for (const token of claim.content) {
    if (framing.has(token.stem) || isCovered(token, stems, window)) continue
    if (isInNumber(token, claim)) continue
    if (isName(token, claim)) faults.push(`The source does not name "${token.text}".`)
    else loose.push(token)
  }
  const replaced = loose.filter((token) => isReplaced(token, claim, window))
  for (const token of replaced.slice(0, 2)) faults.push(`The source says something else where the sentence says "${token.text}".`)
  const allowed = Math.floor(claim.content.length / 6)
  if (replaced.length === 0 && loose.length > allowed)
    faults.push(
      `The source does not speak of ${loose
        .slice(0, 3)
        .map((token) => `"${token.text}"`)
        .join(', ')}.`,
    )
  if (faults.length === 0 && coverage < 0.6) faults.push('The source covers too little of the sentence.')
  return faults
}

function isNumberStated(number: Quantity, window: Reading): boolean {
  if (window.numbers.some((other) => sameQuantity(number, other))) return true
  // "one" and "first" are as often articles and order words as they are numbers.
  return (number.text.toLowerCase() === 'one' && number.kind === 'number') || (number.kind === 'ordinal' && number.value === '1')
}

function isInNumber(token: Token, reading: Reading): boolean {
  return reading.numbers.some((number) => token.start >= number.start && token.start < number.end) || unitWords.has(token.stem)
}

/** Units and scales are compared as part of their number. */
const unitWords = new Set(
  'million billion thousand percent dollar euro pound mio mrd usd eur hour minute second dai week month year hours'.split(' '),
)

/** The claim's word stands where the source has another: both neighbours agree and the word between differs. */
function isReplaced(token: Token, claim: Reading, window: Reading): boolean {
  const index = claim.content.indexOf(token)
  const left = claim.content[index - 1]
  const right = claim.content[index + 1]
  for (const [at, other] of window.content.entries()) {
    if (claim.content.some((own) => meansSame(own.stem, other.stem))) continue
    const before = window.content[at - 1]
    const after = window.content[at + 1]
    const leftAgrees = left === undefined ? before === undefined : before !== undefined && meansSame(before.stem, left.stem)
    const rightAgrees = right === undefined ? after === undefined : after !== undefined && meansSame(after.stem, right.stem)
    if (leftAgrees && rightAgrees) return true
    if ((leftAgrees && left !== undefined) || (rightAgrees && right !== undefined)) {
      if (claim.content.length >= 3) return true
    }
  }
  return false
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000
}
