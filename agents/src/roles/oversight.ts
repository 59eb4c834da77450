/** Checks every sentence of a report against the passage it cites; rules decide, a configured model may only object. */
import type { Hub } from '@cadre/sdk'
import { allFindings, analyseDocument, recomputer } from '../analysis/analyse.ts'
import { type Citation, type Claim, citationFault } from '../citation.ts'
import { verifyClaim } from '../claims/verify.ts'
import { joinVerdicts, parseVerdicts, verifyMessages } from '../prompts/verify.ts'
import type { Report } from '../report/compose.ts'
import type { ClaimVerdict } from '../report/render.ts'
import { Library } from './corpus.ts'
import { type Job, generate, jobOf, pause, resultsOf, wordsOf } from './job.ts'

interface Computed {
  calculators: Map<string, ReturnType<typeof recomputer>>
  analysed: Map<string, ReturnType<typeof allFindings>>
}

export interface OversightResult {
  report: Report
  verdicts: ClaimVerdict[]
}

export function oversight(hub: Hub): void {
  const library = new Library(hub)

  /** Tables are read and computed once a report, not once a sentence. */
  async function judge(claim: Claim, job: Job, { calculators, analysed }: Computed): Promise<ClaimVerdict> {
    for (const citation of claim.citations) {
      const fault = await faultOf(citation, job)
      if (fault !== undefined) return { supported: false, reasons: [`In ${citation.document} ${fault}.`] }
    }
    if (claim.computed === undefined)
      return verifyClaim(
        claim.text,
        claim.citations.map((citation) => ({ text: citation.quote })),
      )
    const document = claim.citations[0]?.document ?? ''
    const entry = job.corpus.documents.find((candidate) => candidate.document === document)
    if (!entry) return { supported: false, reasons: ['It cites a document that is not there.'] }
    const calculator = calculators.get(document) ?? recomputer(document, await library.text(entry), job.goal)
    calculators.set(document, calculator)
    const found = analysed.get(document) ?? allFindings(analyseDocument(document, await library.text(entry), job.goal))
    analysed.set(document, found)
    const finding = found.find((candidate) => candidate.key === claim.computed)
    if (!finding) return { supported: false, reasons: ['No calculation stands behind it.'] }
    const again = calculator({ ...finding, text: claim.text, citations: claim.citations })
    return { supported: again.confirmed, reasons: again.confirmed ? [] : [again.reason] }
  }

  async function faultOf(citation: Citation, job: Job): Promise<string | undefined> {
    const entry = job.corpus.documents.find((candidate) => candidate.document === citation.document)
    return entry ? citationFault(citation, await library.text(entry)) : 'nothing stands: there is no such document'
  }

  hub.onTask(async (task, context) => {
    const job = jobOf(task)
    if (!job) return verifyPlain(task.input, wordsOf(task))
    const results = await resultsOf(hub, task)
    const report = [...results.values()].find(
      (result) => typeof result === 'object' && result !== null && 'claims' in result,
    ) as Report
    const verdicts: ClaimVerdict[] = []
    const computed: Computed = { calculators: new Map(), analysed: new Map() }
    for (const [index, claim] of report.claims.entries()) {
      if (index % 5 === 0)
        await context.progress(index / report.claims.length, `checking sentence ${index + 1} of ${report.claims.length}`)
      verdicts.push(await judge(claim, job, computed))
    }
    await pause(context, job.pace_ms)
    const prose = report.claims.map((claim, index) => ({ claim, index })).filter(({ claim }) => claim.computed === undefined)
    const answer =
      prose.length === 0 ? undefined : await generate(hub, verifyMessages(prose.map(({ claim }) => claim)), context.proof)
    const second = answer === undefined ? undefined : parseVerdicts(answer, prose.length)
    for (const [position, { index }] of prose.entries())
      verdicts[index] = joinVerdicts(verdicts[index] as ClaimVerdict, second?.[position])
    return { report, verdicts } satisfies OversightResult
  })
  hub.onMessage((message) => verifyPlain(message.content, typeof message.content === 'string' ? message.content : ''))
}

/** `{claim, sources}` from anyone. */
function verifyPlain(input: unknown, words: string) {
  const { claim, text, sources } = (typeof input === 'object' && input !== null ? input : {}) as {
    claim?: unknown
    text?: unknown
    sources?: unknown
  }
  const list = (Array.isArray(sources) ? sources : sources === undefined ? [] : [sources]).slice(0, 50)
  const texts = list.flatMap((source: unknown) => {
    const passage =
      typeof source === 'string'
        ? source
        : ((source as { text?: unknown; quote?: unknown } | null)?.text ?? (source as { quote?: unknown } | null)?.quote)
    return typeof passage === 'string' ? [{ text: passage }] : []
  })
  return verifyClaim(typeof claim === 'string' ? claim : typeof text === 'string' ? text : words, texts)
}
