/** The verdicts of oversight put into a report. */
import type { Claim } from '../citation.ts'
import { notSaid, type Report } from './compose.ts'
import { type ClaimVerdict, render } from './render.ts'

export type CheckedClaim = Claim & { supported: boolean; reasons: string[] }

export type CheckedReport = { answered: boolean; markdown: string; claims: CheckedClaim[]; struck: number }

/** `verdicts[i]` judges `report.claims[i]`; a claim without a verdict counts as unsupported, because nobody checked it. */
export function strike(
  report: Report,
  verdicts: (ClaimVerdict | undefined)[],
  skipped: { document: string; reason: string }[] = [],
): CheckedReport {
  const full = report.claims.map((_, index) => verdicts[index] ?? { supported: false, reasons: ['Nobody checked it.'] })
  const claims = report.claims.map((claim, index) => ({
    ...claim,
    supported: full[index]?.supported ?? false,
    reasons: full[index]?.reasons ?? [],
  }))
  const struck = full.filter((verdict) => !verdict.supported).length
  if (claims.length === 0) return { answered: false, markdown: report.markdown, claims, struck }
  const answered = struck < claims.length
  const body = render(report, full, skipped)
  // When nothing is left standing, the honest answer comes before the ruins.
  const markdown = answered ? body : body.replace('\n\n', `\n\n${notSaid} Every sentence of the draft was struck out.\n\n`)
  return { answered, markdown, claims, struck }
}
