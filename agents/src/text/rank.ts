/** Scores sentences against a question and decides whether the question is answered at all. */
import { type AnswerKind, asksForExtreme, hasAnswerForm, type Question, tellsExtreme, type Term } from './question.ts'
import type { SpanKind } from './sentences.ts'
import { derived } from './thesaurus.ts'
import { contentStems } from './tokens.ts'

/** One sentence with its surroundings. `position` counts sentences from the top of its document or section; `before` is what stands right above it. */
export type Candidate = { text: string; kind: SpanKind; heading: string; document: string; before: string; position: number }

/** `coverage` is the share of the question's weight met by the sentence with its heading and surroundings, 0..1; `own` by the sentence alone. */
export type Scored<C extends Candidate> = {
  candidate: C
  score: number
  coverage: number
  own: number
  named: number
  stems: Set<string>
}

export type Ranking<C extends Candidate> = { answered: boolean; reason: string; best: Scored<C>[] }

/** How rare a stem is in the whole collection; without it, the candidates themselves are counted. */
export type Frequency = { documents: number; of: (stem: string) => number }

const minCoverage = 0.55
/** A sentence rarely repeats all of a question of many words. On 120 scientific statements 0.45 answered 57 instead of 45, with one false answer either way. */
const minCoverageOfMany = 0.45
const minOwn = 0.2

export function rankSentences<C extends Candidate>(
  question: Question,
  candidates: C[],
  limit: number,
  frequency?: Frequency,
): Ranking<C> {
  const read = candidates.map((candidate) => ({ candidate, stems: new Set(contentStems(candidate.text)) }))
  const rarity = frequency ?? countFrequency(read)
  if (question.overview) return overview(read, limit)
  if (question.terms.length === 0) return { answered: false, reason: 'The goal names no subject to look for.', best: [] }
  const weights = question.terms.map((term) => term.weight * rarityOf(term, rarity))
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  const subjectTotal = question.terms.reduce((sum, term, index) => sum + (isSubject(term) ? (weights[index] ?? 0) : 0), 0)
  const cueTotal = question.terms.reduce((sum, term, index) => sum + (term.cue === undefined ? 0 : (weights[index] ?? 0)), 0)
  // What stands under a heading is about it, and a summary wants all of that.
  const headingShare = question.kinds.includes('conclusion') ? 0.96 : 0.8
  const headings = new Map<string, Set<string>>()
  const headingStems = (text: string) => {
    const known = headings.get(text)
    if (known !== undefined) return known
    const made = new Set(contentStems(text.replace(/[-_/.]+/g, ' ')))
    headings.set(text, made)
    return made
  }
  const scored: Scored<C>[] = []
  for (const { candidate, stems } of read) {
    if (stems.size === 0) continue
    const before = candidate.before === '' ? emptySet : new Set(contentStems(candidate.before))
    const heading = headingStems(candidate.heading)
    const name = headingStems(candidate.document)
    let own = 0
    let met = 0
    let subject = 0
    let cued = 0
    let named = 0
    for (const [index, term] of question.terms.entries()) {
      const weight = weights[index] ?? 0
      const direct = carried(term, stems, candidate.text)
      own += weight * direct
      const around = Math.max(
        direct,
        carried(term, heading, '') * headingShare,
        carried(term, before, '') * 0.6,
        carried(term, name, '') * 0.5,
      )
      met += weight * around
      if (term.named && around > 0.5) named += 1
      if (isSubject(term)) subject += weight * around
      if (term.cue !== undefined) cued += weight * around
    }
    // And what is said of the subject without the kind of answer that was asked for is beside the point.
    if (cued < cueTotal * 0.5) continue
    // The form of an answer about something else ("because", an amount) is a coincidence.
    if (subjectTotal > 0 && subject < subjectTotal * 0.35) continue
    const coverage = met / total
    if (own === 0 && coverage < 0.3) continue
    scored.push({
      candidate,
      coverage,
      own: own / total,
      named,
      stems,
      score: scoreOf(question, candidate, stems, own / total, coverage, heading),
    })
  }
  scored.sort((a, b) => b.score - a.score)
  if (question.sides.length > 0) return bySides(question, scored, limit)
  const verdict = decide(question, scored)
  return {
    ...verdict,
    best: verdict.answered
      ? diverse(
          fitting(question, scored),
          limit,
          0.5,
          Math.max(0.34, (scored[0]?.coverage ?? 0) * (question.kinds.includes('conclusion') ? 0.6 : 0.72)),
        )
      : [],
  }
}

/** Where some sentences meet all names of the question ("Gold Card"), those that meet a part of them ("Silver Card") are about something else. */
function fitting<C extends Candidate>(question: Question, all: Scored<C>[]): Scored<C>[] {
  // Who asked "when" wants no sentence without a date.
  const formed = (entry: Scored<C>, kind: AnswerKind) => hasAnswerForm(kind, entry.candidate.text)
  // A development may also be told without one of its usual words, as long as nothing else tells it.
  const needed = question.required.filter(
    (kind) => kind !== 'trend' || all.slice(0, 12).filter((entry) => formed(entry, kind)).length > 1,
  )
  const scored = all.filter((entry) => needed.every((kind) => formed(entry, kind)))
  const names = question.terms.filter((term) => term.named).length
  if (names === 0 || !scored.slice(0, 12).some((entry) => entry.named === names)) return scored
  return scored.filter((entry) => entry.named === names)
}

/** What the question is about, as against the kind of answer it wants and words that every text has. */
function isSubject(term: Term): boolean {
  return term.cue === undefined && term.weight >= 0.5
}

const emptySet: Set<string> = new Set()

function scoreOf(
  question: Question,
  candidate: Candidate,
  stems: Set<string>,
  own: number,
  coverage: number,
  heading: Set<string>,
): number {
  // A summary wants what a section says under its heading, a question the sentence with its own words.
  const summary = question.kinds.includes('conclusion')
  let score = summary ? coverage * 1.1 + own * 0.06 : coverage * 0.55 + own * 0.6
  // The form of a term that is asked for by name is in `own` already.
  let forms = 0
  for (const kind of question.kinds)
    if (!question.terms.some((term) => term.cue === kind) && hasAnswerForm(kind, candidate.text))
      forms += kind === 'conclusion' || kind === 'comparison' ? 0.07 : 0.16
  // The right form without any of the subject is a coincidence.
  score += Math.min(forms, 0.3) * Math.min(1, coverage * 1.6)
  const underCue = question.terms.some((term) => term.cue !== undefined && carried(term, heading, '') > 0.7)
  // The same sentence names the subject and says it in the form that was asked for: that is the answer itself.
  const direct = own > 0.5 && question.terms.some((term) => term.cue !== undefined && hasAnswerForm(term.cue, candidate.text))
  score += direct ? 0.3 : (underCue ? 0.25 : 0.05) / (1 + candidate.position / 2)
  if (asksForExtreme(question.text)) score += tellsExtreme(candidate.text) ? 0.25 : -0.1
  if (summary && /result|finding|conclusion|summary|abstract|fazit|ergebnis/i.test(candidate.heading)) score += 0.2
  if (summary && /method|material|reference|acknowledg|appendix/i.test(candidate.heading)) score -= 0.15
  const words = stems.size
  if (words < 3) score -= 0.2
  if (words > 30) score -= Math.min(0.25, (words - 30) / 120)
  if (/\?\s*$/.test(candidate.text)) score -= 0.3
  if (candidate.kind === 'code') score -= 0.15
  if (candidate.kind === 'row') score -= 0.2
  if (/^(?:table of contents|contents|see also|copyright|all rights reserved)\b/i.test(candidate.text)) score -= 0.5
  return score
}

/** How much of a term a set of words carries, 0..1. */
function carried(term: Term, stems: Set<string>, text: string): number {
  if (stems.has(term.stem)) return 1
  let best = 0
  for (const [word, share] of term.alternatives) if (share > best && stems.has(word)) best = share
  if (best < 0.9 && !term.named && term.stem.length > 4) for (const stem of stems) if (derived(stem, term.stem)) return 0.9
  // "What did it cost?" is met by an amount of money, "what caused it?" by "because".
  if (best < 0.7 && text !== '' && term.cue !== undefined && hasAnswerForm(term.cue, text)) best = 0.7
  return best
}

function countFrequency(read: { stems: Set<string> }[]): Frequency {
  const counts = new Map<string, number>()
  for (const { stems } of read) for (const stem of stems) counts.set(stem, (counts.get(stem) ?? 0) + 1)
  return { documents: read.length, of: (stem) => counts.get(stem) ?? 0 }
}

/** 0.6 for a word in every text, 1.4 for one in none: rarity shifts weights, it never silences a word of the question. */
function rarityOf(term: Term, frequency: Frequency): number {
  const total = Math.max(2, frequency.documents)
  const found = Math.min(frequency.of(term.stem), total)
  return 0.6 + 0.8 * (Math.log((total + 1) / (found + 1)) / Math.log(total + 1))
}

/** A comparison is answered when each side is spoken of; sentences that name several sides come first, then each side in turn. */
function bySides<C extends Candidate>(question: Question, scored: Scored<C>[], limit: number): Ranking<C> {
  const sides = question.sides.map((side) => new Set(contentStems(side)))
  const onlyOwn = sides.map((side, index) =>
    [...side].filter((stem) => !sides.some((other, at) => at !== index && other.has(stem))),
  )
  const speaks = (entry: Scored<C>, side: string[]) => {
    const around = new Set(contentStems(`${entry.candidate.heading} ${entry.candidate.document.replace(/[-_/.]+/g, ' ')}`))
    return side.filter((stem) => entry.stems.has(stem) || around.has(stem)).length >= side.length * 0.6
  }
  const all = onlyOwn.map((side) => scored.filter((entry) => side.length > 0 && speaks(entry, side)))
  const silent = question.sides.filter((_, index) => all[index]?.length === 0)
  if (silent.length > 0) return { answered: false, reason: `Nothing is said about ${joined(silent)}.`, best: [] }
  // "... at failover": where each side has sentences about that, only those count.
  const aspects = question.terms.filter(
    (term) => term.cue === undefined && !sides.some((side) => side.has(term.stem)) && term.weight >= 1,
  )
  const onAspect = all.map((group) => group.filter((entry) => aspects.some((term) => carried(term, entry.stems, '') > 0.7)))
  const groups = aspects.length > 0 && onAspect.every((group) => group.length > 0) ? onAspect : all
  const both = groups[0]?.filter((entry) => groups.every((group) => group.includes(entry))) ?? []
  const chosen = diverse(both, Math.ceil(limit / 4), 0.6, 0)
  const single = groups.map((group) => group.filter((entry) => !both.includes(entry)).slice(0, 60))
  const queues = single.map((group, index) => {
    const others = single.filter((_, at) => at !== index).flat()
    // What is said of both in like words ("Failover took 38 seconds", "... 12 seconds") is what a comparison is made of.
    const paired = group.map((entry) => ({
      ...entry,
      score: entry.score + 0.5 * Math.max(0, ...others.map((other) => overlap(entry.stems, other.stems))),
    }))
    return diverse(
      paired.toSorted((a, b) => b.score - a.score),
      limit,
      0.3,
      0,
    )
  })
  for (let turn = 0; turn < limit && chosen.length < limit; turn += 1) {
    for (const queue of queues) {
      const next = queue[turn]
      if (next !== undefined && chosen.length < limit) chosen.push(next)
    }
  }
  return { answered: chosen.length > 0, reason: '', best: chosen }
}

function decide<C extends Candidate>(question: Question, scored: Scored<C>[]): { answered: boolean; reason: string } {
  const top = scored.slice(0, 12)
  const enough = question.terms.filter((term) => term.weight >= 1).length >= 5 ? minCoverageOfMany : minCoverage
  const solid = top.filter((entry) => entry.coverage >= enough && entry.own >= minOwn)
  if (solid.length === 0) {
    const missing = question.terms
      .filter((term) => term.weight >= 1 && !scored.some((entry) => carried(term, entry.stems, '') > 0.5))
      .map((term) => term.text)
    return {
      answered: false,
      reason:
        missing.length > 0 ? `Nothing is said about ${joined(missing.slice(0, 4))}.` : 'No passage deals with what is asked.',
    }
  }
  for (const term of question.terms) {
    if (!term.named) continue
    const somewhere = scored.some((entry) => near(entry, term))
    if (!somewhere) return { answered: false, reason: `Nothing is said about ${term.text}.` }
  }
  for (const kind of question.required) {
    if (!solid.some((entry) => hasAnswerForm(kind, entry.candidate.text)))
      return { answered: false, reason: `The passages name the subject but give no ${formName[kind] ?? kind}.` }
  }
  return { answered: true, reason: '' }
}

const formName: Partial<Record<AnswerKind, string>> = {
  money: 'amount of money',
  number: 'number',
  date: 'date or time',
  duration: 'duration',
  person: 'person',
  trend: 'development over time',
}

function near<C extends Candidate>(entry: Scored<C>, term: Term): boolean {
  if (entry.stems.has(term.stem)) return true
  const around = `${entry.candidate.heading} ${entry.candidate.before} ${entry.candidate.document.replace(/[-_/.]+/g, ' ')}`
  return contentStems(around).includes(term.stem)
}

function joined(words: string[]): string {
  return words.length < 2 ? (words[0] ?? '') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`
}

/** Takes the best sentence again and again, each time less what was already said (maximal marginal relevance), and stops where relevance ends. */
function diverse<C extends Candidate>(scored: Scored<C>[], limit: number, floor: number, minimum: number): Scored<C>[] {
  const top = scored[0]?.score ?? 0
  const pool = scored.slice(0, 120)
  const chosen: Scored<C>[] = []
  const likeness = new Map<Scored<C>, number>()
  while (chosen.length < limit && pool.length > 0) {
    let best = 0
    let bestValue = Number.NEGATIVE_INFINITY
    for (const [index, entry] of pool.entries()) {
      const value = entry.score - 0.45 * (likeness.get(entry) ?? 0)
      if (value > bestValue) {
        best = index
        bestValue = value
      }
    }
    const [taken] = pool.splice(best, 1)
    if (taken === undefined || taken.score < top * floor || taken.coverage < minimum) break
    if ((likeness.get(taken) ?? 0) > 0.75) continue
    chosen.push(taken)
    for (const entry of pool) likeness.set(entry, Math.max(likeness.get(entry) ?? 0, overlap(entry.stems, taken.stems)))
  }
  return chosen
}

/** Shared words over the words of the shorter sentence, so that a part of a sentence counts as a repeat of it. */
export function overlap(a: Set<string>, b: Set<string>): number {
  let shared = 0
  const [small, large] = a.size < b.size ? [a, b] : [b, a]
  for (const stem of small) if (large.has(stem)) shared += 1
  return small.size === 0 ? 0 : shared / (small.size * 0.7 + large.size * 0.3)
}

/** For "summarise the documents": sentences made of the collection's commonest subjects, from the top of sections and from conclusions. */
function overview<C extends Candidate>(read: { candidate: C; stems: Set<string> }[], limit: number): Ranking<C> {
  const counts = countFrequency(read)
  const scored: Scored<C>[] = []
  for (const { candidate, stems } of read) {
    if (stems.size < 3 || candidate.kind === 'code' || candidate.kind === 'row' || /\?\s*$/.test(candidate.text)) continue
    let centre = 0
    for (const stem of stems) centre += Math.log1p(counts.of(stem) - 1)
    let score = centre / (6 + stems.size) / Math.log1p(Math.max(2, read.length))
    score += 0.35 / (1 + candidate.position / 2)
    // Figures are what a reader takes away; "Author: ..." is not.
    if (/\d/.test(candidate.text)) score += 0.08
    if (candidate.kind === 'field' && /^[^:]{1,40}:\s/.test(candidate.text)) score -= 0.4
    if (/summary|conclusion|overview|key|abstract|result|finding|tl;?dr|executive|fazit|zusammenfassung/i.test(candidate.heading))
      score += 0.25
    if (hasAnswerForm('conclusion', candidate.text)) score += 0.05
    if (stems.size > 32) score -= 0.1
    if (stems.size < 5) score -= 0.1
    if (candidate.kind === 'sentence' && !/[.!?。]\W{0,3}$/.test(candidate.text)) score -= 0.2
    scored.push({ candidate, score, coverage: 1, own: 1, named: 0, stems })
  }
  scored.sort((a, b) => b.score - a.score)
  const best = diverse(spread(scored), limit, 0.2, 0)
  return { answered: best.length > 0, reason: best.length > 0 ? '' : 'The documents hold no prose to summarise.', best }
}

/** The best of each document before the second best of any, so that a summary of many documents is one of all of them. */
function spread<C extends Candidate>(scored: Scored<C>[]): Scored<C>[] {
  const seen = new Map<string, number>()
  return scored
    .map((entry) => {
      const rank = seen.get(entry.candidate.document) ?? 0
      seen.set(entry.candidate.document, rank + 1)
      return { ...entry, score: entry.score - Math.min(0.5, rank * 0.06) }
    })
    .sort((a, b) => b.score - a.score)
}
