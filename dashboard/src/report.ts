/** Reports: where a run keeps its own, and which citation each numbered mark of it stands for. */
import type { Task } from '@cadre/contract'
import { type Block, type Cite, type Inline, parseInline, plainOf } from './markdown.ts'

/** `quote` is what stands from `start` to `end` of the document's text, in UTF-16 units. */
export interface Citation {
  document: string
  chunk: string
  start: number
  end: number
  quote: string
}
export interface Claim {
  text: string
  citations: Citation[]
  supported: boolean
  /** Why it was struck; null when the check gave no reason. */
  reason: string | null
}
export interface Report {
  markdown: string
  claims: Claim[]
}

type Fields = Record<string, unknown>
const isObject = (value: unknown): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value)
const textOf = (value: unknown): string => (typeof value === 'string' ? value : typeof value === 'number' ? String(value) : '')

/** The report in a task's result, `{ report: { markdown, claims } }` or the inner object itself. */
export function readReport(result: unknown): Report | undefined {
  if (!isObject(result)) return undefined
  const body = isObject(result.report) ? result.report : result
  if (typeof body.markdown !== 'string' || body.markdown.trim() === '') return undefined
  return { markdown: body.markdown, claims: Array.isArray(body.claims) ? body.claims.slice(0, 2000).flatMap(readClaim) : [] }
}

function readClaim(value: unknown): Claim[] {
  if (!isObject(value) || typeof value.text !== 'string') return []
  const reason = [
    Array.isArray(value.reasons) ? value.reasons.join(' ') : undefined,
    value.reason,
    value.fault,
    value.note,
    value.why,
  ].find((each) => typeof each === 'string' && each !== '')
  const citations = (Array.isArray(value.citations) ? value.citations.slice(0, 100) : []).filter(isObject).map((citation) => ({
    document: textOf(citation.document) || textOf(citation.title) || textOf(citation.document_id),
    chunk: textOf(citation.chunk),
    start: Number(citation.start),
    end: Number(citation.end),
    quote: textOf(citation.quote),
  }))
  return [{ text: value.text, citations, supported: value.supported !== false, reason: textOf(reason) || null }]
}

/** The task whose result is the run's report: the last one that ended with one; the checked version comes after the draft. */
export function findReport(tasks: readonly Task[]): { task: Task; report: Report } | undefined {
  const ended = tasks.filter((task) => task.state === 'completed')
  const latest = ended.toSorted((a, b) => (b.completed_at ?? '').localeCompare(a.completed_at ?? ''))
  for (const task of latest) {
    const report = readReport(task.result)
    if (report !== undefined) return { task, report }
  }
  return undefined
}

/** One numbered source as the reader meets it. */
export interface Evidence {
  number: number
  citation: Citation
}
export interface Links {
  cites: ReadonlyMap<Cite, readonly Evidence[]>
  /** Struck passages and the claim that each of them is. */
  strikes: ReadonlyMap<Inline, Claim>
  /** Unsupported claims that do not stand struck in the text: shown beneath it. */
  removed: readonly Claim[]
  /** Every mark's citation once, in order of number. */
  evidence: readonly Evidence[]
}

/**
 * A mark takes the citations of the sentence it stands in: the n-th number the n-th citation where both are as many, else all of
 * them. A mark outside any claim takes the n-th different citation of the report.
 */
export function linkReport(blocks: readonly Block[], claims: readonly Claim[]): Links {
  const known = claims
    .map((claim) => ({ claim, plain: plainOf(parseInline(claim.text)).text.trim() }))
    .filter((each) => each.plain !== '')
  const different = distinct(claims.flatMap((claim) => claim.citations))
  const cites = new Map<Cite, Evidence[]>()
  const strikes = new Map<Inline, Claim>()
  const shown = new Set<Claim>()
  for (const line of linesOf(blocks)) {
    const { text, cites: marks, strikes: struck } = plainOf(line)
    const places = known.flatMap(({ claim, plain }) => {
      const start = text.indexOf(plain)
      return start < 0 ? [] : [{ claim, start, end: start + plain.length }]
    })
    for (const { node, start, end } of struck) {
      const place = places.find((each) => each.start < end && each.end > start && !each.claim.supported)
      if (place === undefined) continue
      strikes.set(node, place.claim)
      shown.add(place.claim)
    }
    for (const [place, group] of groupMarks(marks, places)) {
      const numbers = [...new Set(group.flatMap((mark) => mark.numbers))]
      for (const mark of group)
        cites.set(
          mark,
          mark.numbers.flatMap((number) => resolve(number, numbers, place?.claim, different)),
        )
    }
  }
  const all = new Map<string, Evidence>()
  for (const each of [...cites.values()].flat()) all.set(`${each.number} ${keyOf(each.citation)}`, each)
  return {
    cites,
    strikes,
    removed: claims.filter((claim) => !claim.supported && !shown.has(claim)),
    evidence: [...all.values()].sort((a, b) => a.number - b.number || a.citation.start - b.citation.start),
  }
}

interface Place {
  claim: Claim
  start: number
  end: number
}

/** Marks by the sentence they stand in or right after: marks come before or after its full stop. */
function groupMarks(marks: readonly { node: Cite; at: number }[], places: readonly Place[]): Map<Place | undefined, Cite[]> {
  const groups = new Map<Place | undefined, Cite[]>()
  for (const { node, at } of marks) {
    const holding = places.filter((place) => at > place.start && at <= place.end + 2)
    const place = holding.toSorted((a, b) => b.start - a.start || a.end - b.end)[0]
    groups.set(place, [...(groups.get(place) ?? []), node])
  }
  return groups
}

function resolve(
  number: number,
  numbers: readonly number[],
  claim: Claim | undefined,
  different: readonly Citation[],
): Evidence[] {
  const own = claim?.citations ?? []
  if (own.length > 0 && own.length === numbers.length)
    return own
      .slice(numbers.indexOf(number))
      .slice(0, 1)
      .map((citation) => ({ number, citation }))
  const byNumber = different[number - 1]
  if (own.length > 0) {
    const match = byNumber === undefined ? undefined : own.find((citation) => keyOf(citation) === keyOf(byNumber))
    return (match === undefined ? own : [match]).map((citation) => ({ number, citation }))
  }
  return byNumber === undefined ? [] : [{ number, citation: byNumber }]
}

const keyOf = (citation: Citation): string => `${citation.document}\u0000${citation.start}\u0000${citation.end}`
const distinct = (citations: readonly Citation[]): Citation[] =>
  [...new Map(citations.map((each) => [keyOf(each), each])).values()].filter(Boolean)

function linesOf(blocks: readonly Block[]): Inline[][] {
  return blocks.flatMap((block): Inline[][] => {
    if (block.kind === 'heading' || block.kind === 'paragraph') return [block.children]
    if (block.kind === 'list') return block.items.flatMap(linesOf)
    if (block.kind === 'quote') return linesOf(block.blocks)
    if (block.kind === 'table') return [...block.head, ...block.rows.flat()]
    return []
  })
}
