/** Writes the report from evidence and findings, and puts oversight's verdicts into it. */
import type { Assignment } from '@cadre/contract'
import type { Hub, TaskContext } from '@cadre/sdk'
import { recommend } from '../analysis/analyse.ts'
import type { Claim } from '../citation.ts'
import { shortTitle } from '../plan/goal.ts'
import { type NumberedSource, draftMessages, parseDraft } from '../prompts/draft.ts'
import { type Answer, type ComposeInput, type Report, claimOf, composeReport, computedClaim } from '../report/compose.ts'
import { chooseFindings } from '../report/choose-findings.ts'
import { render } from '../report/render.ts'
import { type CheckedReport, strike } from '../report/strike.ts'
import { readQuestions } from '../text/question.ts'
import type { AnalysisResult } from './analyst.ts'
import { Library } from './corpus.ts'
import { type Job, generate, jobOf, pause, resultsOf, textOf, wordsOf } from './job.ts'
import type { OversightResult } from './oversight.ts'
import { type ResearchResult, answerFromKnowledge } from './researcher.ts'

export interface FinalResult {
  answered: boolean
  report: { markdown: string; claims: CheckedReport['claims'] }
  struck: number
}

export function writer(hub: Hub): void {
  const library = new Library(hub)

  async function draft(task: Assignment, context: TaskContext, job: Job): Promise<Report> {
    await context.progress(0.1, 'reading the evidence')
    const results = await resultsOf(hub, task)
    const found = [...results.values()].flatMap((result) => (result as Partial<ResearchResult> | null)?.answers ?? [])
    const byText = new Map(found.map((answer) => [answer.question, answer]))
    const questions = readQuestions(job.questions)
    const answers = questions.flatMap((question): Answer[] => {
      const answer = byText.get(question.text)
      return answer ? [{ ...answer, question }] : []
    })
    const tables = chooseFindings(
      questions,
      [...results.values()].flatMap((result) => (result as Partial<AnalysisResult> | null)?.tables ?? []),
    )
    const cited = [
      ...new Set([
        ...answers.flatMap((answer) => answer.evidence.map((evidence) => evidence.document)),
        ...tables.map((table) => table.document),
      ]),
    ]
    const texts = new Map<string, string>()
    for (const entry of job.corpus.documents)
      if (cited.includes(entry.document)) texts.set(entry.document, await library.text(entry))
    const chunkAt = await library.chunkFinder(
      job.corpus,
      tables.map((table) => table.document),
    )
    await context.progress(0.5, 'writing')
    await pause(context, job.pace_ms)
    const goal = questions.map((question) => question.text).join(' ')
    const input: ComposeInput = {
      goal: job.goal,
      title: titleOf(job, goal),
      answers,
      tables,
      chunkAt,
      skipped: job.skipped,
      textOf: (document) => texts.get(document) ?? '',
      recommendations: recommend(tables.flatMap((table) => table.findings)),
    }
    const composed = composeReport(input)
    return composed.answered ? ((await drafted(hub, context, job, input, composed)) ?? composed) : composed
  }

  hub.onTask(async (task, context) => {
    const job = jobOf(task)
    if (!job) return answerFromKnowledge(hub, wordsOf(task))
    if (task.key !== 'final') return draft(task, context, job)
    const results = await resultsOf(hub, task)
    const { report, verdicts } = [...results.values()].find(
      (result) => typeof result === 'object' && result !== null && 'verdicts' in result,
    ) as OversightResult
    await pause(context, job.pace_ms)
    const checked = strike(report, verdicts, job.skipped)
    const final: FinalResult = {
      answered: checked.answered,
      report: { markdown: checked.markdown, claims: checked.claims },
      struck: checked.struck,
    }
    const { id } = await hub.artifacts.upload(checked.markdown, {
      name: 'report.md',
      media_type: 'text/markdown',
      task_id: task.id,
    })
    return { ...final, artifact: id }
  })
  hub.onMessage((message) => answerFromKnowledge(hub, textOf(message.content)))
}

/** A model's wording of the same evidence; only sentences that name their sources survive. */
async function drafted(
  hub: Hub,
  context: TaskContext,
  job: Job,
  input: ComposeInput,
  composed: Report,
): Promise<Report | undefined> {
  const claims: Claim[] = [
    ...input.answers.flatMap((answer) => answer.evidence.flatMap((evidence) => claimOf(evidence, input) ?? [])),
    ...input.tables.flatMap((table) => table.findings.flatMap((finding) => computedClaim(table.document, finding, input) ?? [])),
  ]
  const sources: NumberedSource[] = claims.map((claim, index) => ({
    number: index + 1,
    document: claim.citations[0]?.document ?? '',
    text: claim.computed === undefined ? claim.citations.map((citation) => citation.quote).join(' ') : claim.text,
    citations: claim.citations,
    ...(claim.computed !== undefined && { computed: claim.computed }),
  }))
  const answer = await generate(hub, draftMessages(job.goal, job.questions, sources), context.proof)
  const parsed = answer === undefined ? undefined : parseDraft(answer, sources)
  if (!parsed || parsed.refused || parsed.claims.length === 0) return undefined
  const report = { title: composed.title, claims: parsed.claims, sections: parsed.sections }
  return { ...report, answered: true, markdown: render(report, undefined, input.skipped) }
}

const titleOf = (job: Job, questions: string): string => {
  const [line = ''] = job.goal.trim().split('\n', 1)
  return line.length > 0 && line.length <= 120 ? line : shortTitle(questions)
}
