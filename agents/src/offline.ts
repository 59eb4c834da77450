/**
 * The whole way from documents to a checked report in one process: what the agents do together, without a server between them.
 * Used where no team is running, and to try the parts on each other.
 */
import { allFindings, analyseDocument, recommend, recomputer, tablesOf } from './analysis/analyse.ts'
import type { Claim, Passage } from './citation.ts'
import { verifyClaim } from './claims/verify.ts'
import type { LoadedDocument } from './documents/document.ts'
import { decomposeGoal, type InventoryEntry, type Plan } from './plan/decompose.ts'
import { type Answer, composeReport, type Report, type TableFindings } from './report/compose.ts'
import type { ClaimVerdict } from './report/render.ts'
import { type CheckedReport, strike } from './report/strike.ts'
import { chooseFindings } from './report/choose-findings.ts'
import { type ExtractOptions, extractEvidence } from './research/extract.ts'
import { type Heading, headingAt, outlineOf } from './research/outline.ts'
import { cutPassages } from './research/passages.ts'
import { narrowPassages } from './research/narrow.ts'
import { type Question, readQuestions } from './text/question.ts'

export type OfflineResult = { plan: Plan; draft: Report; report: CheckedReport; answers: Answer[] }

export function answerOffline(
  goal: string,
  documents: LoadedDocument[],
  skipped: { document: string; reason: string }[] = [],
): OfflineResult {
  const texts = new Map(documents.map((document) => [document.document, document.text]))
  const plan = decomposeGoal(goal, documents.map(inventoryOf))
  const passages = documents.flatMap((document) =>
    document.kind === 'csv' || document.kind === 'tsv' ? [] : cutPassages(document.document, document.text),
  )
  const questions = readQuestions(plan.questions)
  const outlines = new Map<string, Heading[]>()
  const headingOf = (document: string, offset: number) => {
    const outline = outlines.get(document) ?? outlineOf(texts.get(document) ?? '')
    outlines.set(document, outline)
    return headingAt(outline, offset)
  }
  const answers = researchAll(questions, passages, headingOf)
  const tables = plan.tasks.some((task) => task.role === 'analyst')
    ? documents.map((document) => ({
        document: document.document,
        findings: allFindings(analyseDocument(document.document, document.text, goal)),
      }))
    : []
  const chosen = chooseFindings(questions, tables)
  const draft = composeReport({
    goal: plan.goal,
    title: plan.title,
    answers,
    tables: chosen,
    textOf: (document) => texts.get(document) ?? '',
    chunkAt: () => 0,
    recommendations: recommend(chosen.flatMap((entry) => entry.findings)),
    skipped,
  })
  const recomputers = new Map<string, ReturnType<typeof recomputer>>()
  const recomputeIn = (document: string) => {
    const known = recomputers.get(document) ?? recomputer(document, texts.get(document) ?? '', goal)
    recomputers.set(document, known)
    return known
  }
  const verdicts = draft.claims.map((claim) => judge(claim, chosen, recomputeIn))
  return { plan, draft, report: strike(draft, verdicts, skipped), answers }
}

export function inventoryOf(document: LoadedDocument): InventoryEntry {
  const tables = tablesOf(document.document, document.text).map((table) => ({ columns: table.columns, rows: table.rows.length }))
  return { document: document.document, kind: document.kind, characters: document.text.length, tables }
}

function researchAll(questions: Question[], passages: Passage[], headingOf?: ExtractOptions['headingOf']): Answer[] {
  return questions.map((question) => {
    const limit =
      question.overview || question.sides.length > 0 || question.kinds.includes('conclusion') ? 10 : questions.length > 1 ? 5 : 8
    const { answered, reason, evidence, orders } = extractEvidence(question, narrowPassages(question, passages), {
      limit,
      ...(headingOf === undefined ? {} : { headingOf }),
    })
    return { question, answered, reason, evidence, orders }
  })
}

function judge(
  claim: Claim,
  tables: TableFindings[],
  recomputeIn: (document: string) => ReturnType<typeof recomputer>,
): ClaimVerdict {
  if (claim.computed === undefined) {
    const sources = claim.citations.map((citation) => ({ text: citation.quote }))
    return verifyClaim(claim.text, sources)
  }
  const document = claim.citations[0]?.document ?? ''
  const finding = tables.find((entry) => entry.document === document)?.findings.find((entry) => entry.key === claim.computed)
  if (finding === undefined) return { supported: false, reasons: ['No calculation stands behind it.'] }
  const again = recomputeIn(document)({ ...finding, text: claim.text, citations: claim.citations })
  return { supported: again.confirmed, reasons: again.confirmed ? [] : [again.reason] }
}
