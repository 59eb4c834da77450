/** From passages to the sentences that answer a question, with absolute offsets. */
import type { ChunkName, Passage } from '../citation.ts'
import { documentKind } from '../documents/document.ts'
import type { Question } from '../text/question.ts'
import { type Candidate, type Frequency, type Scored, rankSentences } from '../text/rank.ts'
import { sentenceSpans } from '../text/sentences.ts'
import { tokenize } from '../text/tokens.ts'
import { type JsonString, jsonStrings } from './json-text.ts'
import { asksAboutOrders, givesOrders } from './orders.ts'

/** `text` is the raw slice at `start`..`end` of the document; `lead` says that it was taken only to introduce the next one. */
export type Evidence = {
  text: string
  document: string
  chunk: ChunkName
  start: number
  end: number
  heading: string
  score: number
  question: string
  lead: boolean
}

/** `orders` names the documents whose sentences were passed over because they give orders to their reader. */
export type Extraction = { question: Question; answered: boolean; reason: string; evidence: Evidence[]; orders: string[] }

export type ExtractOptions = {
  /** Sentences at most; 6 by default. */
  limit?: number
  /** The headings above an offset of a document (see `outline.ts`); without it, those that the passage knows or shows. */
  headingOf?: (document: string, offset: number) => string
  /** How rare words are in the whole collection. */
  frequency?: Frequency
}

type Spot = Candidate & { passage: Passage; start: number; end: number; next: number }

/** Sentences looked at for one question; the passages come best first, so what is beyond is the least likely. */
const maxCandidates = 20_000

export function extractEvidence(read: Question, passages: Passage[], options: ExtractOptions = {}): Extraction {
  const all = candidatesOf(passages, options.headingOf)
  const curious = asksAboutOrders(read.text)
  const candidates = curious ? all : all.filter((spot) => !givesOrders(spot.text))
  const orders = curious ? [] : [...new Set(all.filter((spot) => givesOrders(spot.text)).map((spot) => spot.document))]
  const ranking = rankSentences(read, candidates, options.limit ?? 6, options.frequency)
  const chosen = ranking.best.map((entry) => toEvidence(entry, read.text))
  return {
    question: read,
    answered: ranking.answered,
    reason: ranking.reason,
    evidence: withLeads(chosen, ranking.best, candidates, read.text),
    orders,
  }
}

/** The sentences of passages with their surroundings. A sentence that two overlapping passages share is taken once. */
function candidatesOf(passages: Passage[], headingOf?: ExtractOptions['headingOf']): Spot[] {
  const spots: Spot[] = []
  const seen = new Set<string>()
  for (const passage of passages) {
    const kind = documentKind(passage.document)
    if (kind === 'csv' || kind === 'tsv') continue
    const spans = kind === 'json' || kind === 'jsonl' ? jsonStrings(passage.text).flatMap(jsonSpans) : sentenceSpans(passage.text)
    let before = ''
    let block = -1
    let position = 0
    let heading = ''
    for (const [index, span] of spans.entries()) {
      if (spots.length >= maxCandidates) return spots
      const start = passage.start + span.start
      const end = passage.start + span.end
      const path =
        kind === 'json' || kind === 'jsonl' || headingOf === undefined
          ? [passage.heading ?? '', span.heading].filter((part) => part !== '').join(' › ')
          : headingOf(passage.document, start)
      if (path !== heading) position = 0
      heading = path
      if (span.kind === 'heading') {
        before = ''
        continue
      }
      const text = passage.text.slice(span.start, span.end)
      const key = `${passage.document}\u0000${start}\u0000${end}`
      if (!seen.has(key) && !cutOff(passage, span, index, spans.length)) {
        seen.add(key)
        const above = span.block === block || /:\s*$/.test(before) ? before : span.kind === 'sentence' ? before : ''
        spots.push({
          text,
          kind: span.kind,
          heading: path,
          document: passage.document,
          before: above,
          position,
          passage,
          start,
          end,
          next: index,
        })
      }
      before = text
      block = span.block
      position += 1
    }
  }
  return spots
}

function jsonSpans(entry: JsonString) {
  return entry.prose
    ? [{ start: entry.start, end: entry.end, kind: 'field' as const, heading: entry.path, level: 0, block: entry.start }]
    : []
}

/** A passage border may cut a sentence: a first one that starts in lower case, or a last one without an end in running text, is left out. */
function cutOff(passage: Passage, span: { start: number; end: number; kind: string }, index: number, count: number): boolean {
  if (span.kind !== 'sentence') return false
  if (index === 0 && passage.start > 0 && span.start < 3 && /^[\p{Ll},;)]/u.test(passage.text.slice(span.start, span.start + 2)))
    return true
  return (
    index === count - 1 &&
    count > 1 &&
    span.end >= passage.text.length &&
    /[\p{L}\p{N},;]$/u.test(passage.text.slice(0, span.end)) &&
    passage.text.length > 700
  )
}

function toEvidence(entry: Scored<Spot>, question: string, lead = false): Evidence {
  const { candidate } = entry
  const { passage, start, end, text, heading, document } = candidate
  return { text, document, chunk: passage.chunk, start, end, heading, score: Number(entry.score.toFixed(4)), question, lead }
}

const leaning =
  /^(?:it|its|they|their|them|this|these|those|he|she|his|her|however|therefore|thus|hence|but|and|so|as a result|in addition|moreover|furthermore|also|such|er|sie|es|dies\w*|daher|deshalb|dadurch|jedoch)\b/i

/** A sentence that leans on the one before it ("It cost 40,000 euros.") brings that one along. */
function withLeads(chosen: Evidence[], best: Scored<Spot>[], spots: Spot[], question: string): Evidence[] {
  const out = [...chosen]
  const taken = new Set(chosen.map((entry) => `${entry.document}:${entry.start}`))
  for (const entry of best.slice(0, 4)) {
    const spot = entry.candidate
    if (!leaning.test(spot.text) || spot.before === '') continue
    const above = spots.find(
      (other) =>
        other.passage === spot.passage && other.end <= spot.start && other.text === spot.before && spot.start - other.end < 8,
    )
    if (above === undefined || taken.has(`${above.document}:${above.start}`) || tokenize(above.text).length > 45) continue
    taken.add(`${above.document}:${above.start}`)
    out.push(toEvidence({ ...entry, candidate: above, score: entry.score * 0.9 }, question, true))
  }
  return out
}
