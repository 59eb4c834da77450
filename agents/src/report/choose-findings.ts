/** Which computed sentences belong into the report of this goal. */
import type { Finding } from '../analysis/finding.ts'
import { asksForExtreme, type Question } from '../text/question.ts'
import { meansSame } from '../text/thesaurus.ts'
import { contentStems } from '../text/tokens.ts'
import type { TableFindings } from './compose.ts'

const maxTotal = 8
const maxPerColumn = 4
/** A finding below this share of a question's terms is about something else. */
const minRelevance = 0.6

/**
 * Findings that bear on one of the questions. When the goal asks for an overview and names nothing, the strongest of each column.
 * A table that shares no subject with the goal stays out, however remarkable its numbers are.
 */
export function chooseFindings(questions: Question[], tables: TableFindings[]): TableFindings[] {
  const overview = questions.length > 0 && questions.every((question) => question.overview)
  const taken = new Map<string, number>()
  const perColumn = overview ? 2 : maxPerColumn
  const named = new Set(
    tables.filter(({ findings }) => findings.some((finding) => namesMeasure(questions, finding))).map(({ document }) => document),
  )
  const ranked = tables
    .flatMap(({ document, findings }) =>
      findings.map((finding) => ({
        document,
        finding,
        relevance: Math.max(0, ...questions.map((question) => relevance(question, document, finding))),
      })),
    )
    .filter(({ document, finding, relevance: share }) => {
      if (overview) return finding.kind !== 'lookup'
      if (finding.kind === 'comparison') return true
      // Where columns answer to the question, the other columns of a fitting table are beside the point.
      if (named.has(document) && finding.kind !== 'lookup' && !namesMeasure(questions, finding)) return false
      return share >= minRelevance
    })
    .toSorted((a, b) => weightOf(b) - weightOf(a))
    .filter(({ document, finding }) => {
      const key = `${document}:${finding.columns[0] ?? ''}`
      const count = taken.get(key) ?? 0
      taken.set(key, count + 1)
      return count < perColumn
    })
    .slice(0, overview ? 6 : maxTotal)
  return tables.map(({ document }) => ({
    document,
    findings: ranked.filter((entry) => entry.document === document).map((entry) => entry.finding),
  }))
}

const weightOf = ({ finding, relevance: share }: { finding: Finding; relevance: number }) =>
  finding.strength + Math.min(1, share) * 0.5

const kindCues: [RegExp, Finding['kind'][]][] = [
  [/\b(?:outliers?|anomal\w+|unusual|stands? out|exceptions?|ausrei(?:ß|ss)er\w*|auffällig\w*)\b/i, ['outlier']],
  [/\b(?:trends?|over time|entwicklung|develop\w*|evolve\w*)\b/i, ['trend']],
  [
    /\b(?:average|mean|median|total|sum|overall|altogether|durchschnitt\w*|mittel\w*|summe|insgesamt|gesamt\w*)\b/i,
    ['summary', 'group'],
  ],
  [/\b(?:correlat\w+|relationship|connect(?:ed|ion)|depends? on|zusammenh[aä]ng\w*)\b/i, ['correlation']],
]

/** The kinds of calculation a question asks for by its words: "average" for sums by group, "highest" for extremes. */
export function askedKinds(question: Question): ReadonlySet<Finding['kind']> {
  const kinds = kindCues.filter(([pattern]) => pattern.test(question.text)).flatMap(([, found]) => found)
  if (question.kinds.includes('trend')) kinds.push('trend')
  if (asksForExtreme(question.text)) kinds.push('extreme', 'group')
  if (question.sides.length > 0) kinds.push('comparison')
  return new Set(kinds)
}

/** How much a finding bears on a question, 0..1.3: the terms it speaks of, and more when it is the kind of calculation that was asked for. */
export function relevance(question: Question, document: string, finding: Finding): number {
  const share = coverage(question, document, finding)
  // How many rows each group has answers only who asks how many.
  if (/:count:/.test(finding.key) && !/\b(?:how many|number|counts?|wie ?viele|anzahl)\b/i.test(question.text)) return share * 0.5
  return share === 0 || !askedKinds(question).has(finding.kind) ? share : share + 0.3
}

/** Whether a question names what the finding computes: its first column, or either of two that move together. */
function namesMeasure(questions: Question[], finding: Finding): boolean {
  const stems = contentStems(readable(finding.columns.slice(0, finding.kind === 'correlation' ? 2 : 1).join(' ')))
  return questions.some((question) =>
    question.terms.some((term) => term.weight >= 0.5 && stems.some((stem) => meansSame(stem, term.stem))),
  )
}

function readable(name: string): string {
  return name.replace(/([a-z])([A-Z])/g, '$1 $2').replace(/[_\-/.]+/g, ' ')
}

/** The share of a question's terms that a finding speaks of, 0..1. A looked-up row also counts with its cells. */
function coverage(question: Question, document: string, finding: Finding): number {
  const named = `${finding.columns.join(' ')} ${document.slice(document.lastIndexOf('/') + 1)} ${finding.kind === 'lookup' ? finding.text : ''}`
  const stems = contentStems(readable(named))
  const text = new Set(contentStems(finding.text))
  let total = 0
  let met = 0
  let subjects = 0
  let subjectsMet = 0
  for (const term of question.terms) {
    const share = stems.some((stem) => meansSame(stem, term.stem)) ? 1 : text.has(term.stem) ? 0.7 : 0
    total += term.weight
    met += term.weight * share
    if (term.cue === undefined) subjects += 1
    if (term.cue === undefined && share > 0) subjectsMet += 1
  }
  // "The annual fee of the Gold Card" is not the annual fee in the table of some other card.
  if (finding.kind === 'lookup') {
    const told = [...stems, ...text]
    if (question.terms.some((term) => term.named && !told.some((stem) => meansSame(stem, term.stem)))) return 0
  }
  // A row that was found by its name must also have a column for what is asked of it.
  const asked = question.terms.filter((term) => !term.named && term.weight >= 1)
  const columns = contentStems(readable(finding.columns.join(' ')))
  if (finding.kind === 'lookup' && asked.length > 0 && !asked.some((term) => columns.some((stem) => meansSame(stem, term.stem))))
    return 0
  // "What did the outage cost?" is not answered by a column of fees.
  return total === 0 || (subjects > 0 && subjectsMet === 0) ? 0 : met / total
}
