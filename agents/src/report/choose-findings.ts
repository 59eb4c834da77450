/** Which computed sentences belong into the report of this goal. */
import type { Finding } from '../analysis/findings.ts'
import type { Question } from '../text/question.ts'
import { meansSame } from '../text/thesaurus.ts'
import { contentStems } from '../text/tokens.ts'
import type { TableFindings } from './compose.ts'

const maxTotal = 10
const maxPerColumn = 5

/**
 * Findings whose columns, table or document cover most of what one of the questions names. When the goal asks for an overview and names nothing,
 * the strongest of each column. A table that shares no subject with the goal stays out, however remarkable its numbers are.
 */
export function chooseFindings(questions: Question[], tables: TableFindings[]): TableFindings[] {
  const overview = questions.length > 0 && questions.every((question) => question.overview)
  const taken = new Map<string, number>()
  const perColumn = overview ? 2 : maxPerColumn
  const named = new Set(
    tables.filter(({ findings }) => findings.some((finding) => namesColumn(questions, finding))).map(({ document }) => document),
  )
  const strongest = tables
    .flatMap(({ document, findings }) => findings.map((finding) => ({ document, finding })))
    .filter(({ document, finding }) => {
      if (overview) return finding.kind !== 'lookup'
      if (finding.kind === 'comparison') return true
      // Where columns answer to the question, the other columns of a fitting table are beside the point.
      if (named.has(document) && finding.kind !== 'lookup' && !namesColumn(questions, finding)) return false
      return questions.some((question) => coverage(question, document, finding) >= 0.6)
    })
    .toSorted((a, b) => b.finding.strength - a.finding.strength)
    .filter(({ document, finding }) => {
      const key = `${document}:${finding.columns[0] ?? ''}`
      const count = taken.get(key) ?? 0
      taken.set(key, count + 1)
      return count < perColumn
    })
    .slice(0, overview ? 6 : maxTotal)
  return tables.map(({ document }) => ({
    document,
    findings: strongest.filter((entry) => entry.document === document).map((entry) => entry.finding),
  }))
}

/** Whether the finding's own column, the one it computes, is one that a question names. */
function namesColumn(questions: Question[], finding: Finding): boolean {
  const stems = contentStems(readable(finding.columns.slice(0, 2).join(' ')))
  return questions.some((question) =>
    question.terms.some((term) => term.weight >= 0.5 && stems.some((stem) => meansSame(stem, term.stem))),
  )
}

function readable(name: string): string {
  return name.replace(/([a-z])([A-Z])/g, '$1 $2').replace(/[_\-/.]+/g, ' ')
}

/** The share of a question's terms that a finding speaks of, 0..1. A looked-up row also counts with its cells. */
export function coverage(question: Question, document: string, finding: Finding): number {
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
  // A row that was found by its name must also have a column for what is asked of it.
  const asked = question.terms.filter((term) => !term.named && term.weight >= 1)
  const columns = contentStems(readable(finding.columns.join(' ')))
  if (finding.kind === 'lookup' && asked.length > 0 && !asked.some((term) => columns.some((stem) => meansSame(stem, term.stem))))
    return 0
  // "What did the outage cost?" is not answered by a column of fees.
  return total === 0 || (subjects > 0 && subjectsMet === 0) ? 0 : met / total
}
