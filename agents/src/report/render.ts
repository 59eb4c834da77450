/** Claims in sections to markdown. Numbers of citations are given in reading order; the same range keeps its number. */
import type { Citation, Claim } from '../citation.ts'

/** `paragraphs` hold indices of claims; `notes` are sentences that claim nothing about the world and carry no citation. */
/** `labels[i]` names what paragraph i is about: the heading it stood under in its document. */
export type Section = {
  title: string
  paragraphs: number[][]
  labels?: (string | null | undefined)[]
  list?: boolean
  notes?: string[]
}

/** The verdict on one claim; `reasons` are shown where it is struck out. */
export type ClaimVerdict = { supported: boolean; reasons: string[] }

type Renderable = { title: string; claims: Claim[]; sections: Section[] }

const maxQuote = 160

export function render(
  report: Renderable,
  verdicts: ClaimVerdict[] | undefined,
  skipped: { document: string; reason: string }[] = [],
): string {
  const numbers = new Map<string, number>()
  const cited: Citation[] = []
  const mark = (claim: Claim) =>
    claim.citations
      .map((citation) => {
        const key = `${citation.document}\u0000${citation.start}\u0000${citation.end}`
        let number = numbers.get(key)
        if (number === undefined) {
          cited.push(citation)
          number = cited.length
          numbers.set(key, number)
        }
        return `[${number}]`
      })
      .join('')
  const sentence = (index: number) => {
    const claim = report.claims[index]
    if (claim === undefined) return ''
    const verdict = verdicts?.[index]
    if (verdict === undefined || verdict.supported) return `${claim.text} ${mark(claim)}`
    return `~~${claim.text}~~ ${mark(claim)} *(struck out: ${reasonOf(verdict)})*`
  }
  const lines: string[] = [`# ${report.title === '' ? 'Report' : report.title}`, '']
  for (const section of report.sections) {
    const paragraphs = section.paragraphs
      .map((claims, index) => ({ claims, label: section.labels?.[index] }))
      .filter((paragraph) => paragraph.claims.length > 0)
    if (paragraphs.length === 0 && (section.notes ?? []).length === 0) continue
    lines.push(`## ${section.title}`, '')
    for (const paragraph of paragraphs) {
      const label = !paragraph.label ? '' : `**${paragraph.label}:** `
      const text = label + paragraph.claims.map(sentence).join(' ')
      if (section.list === true) lines.push(`- ${text}`)
      else lines.push(text, '')
    }
    for (const note of section.notes ?? []) lines.push(`- ${note}`)
    if (lines.at(-1) !== '') lines.push('')
  }
  if (verdicts !== undefined) {
    const struck = verdicts.filter((verdict) => !verdict.supported).length
    const checked = `${verdicts.length} sentence${verdicts.length === 1 ? '' : 's'} checked against ${verdicts.length === 1 ? 'its' : 'their'} sources`
    lines.push('## Check', '', struck === 0 ? `${checked}; none had to be struck out.` : `${checked}; ${struck} struck out.`, '')
  }
  lines.push('## Sources', '')
  for (const [index, citation] of cited.entries())
    lines.push(
      `${index + 1}. \`${citation.document}\`, characters ${citation.start}–${citation.end}: “${shortened(citation.quote)}”`,
    )
  if (skipped.length > 0)
    lines.push('', '## Not read', '', ...skipped.slice(0, 20).map((entry) => `- \`${entry.document}\`: ${entry.reason}`))
  if (skipped.length > 20) lines.push(`- and ${skipped.length - 20} more.`)
  return `${lines.join('\n')}\n`
}

function reasonOf(verdict: ClaimVerdict): string {
  const reason = verdict.reasons[0] ?? 'The source does not support it.'
  return reason.replace(/\.$/, '')
}

function shortened(quote: string): string {
  const line = quote.replace(/\s+/g, ' ').trim()
  return line.length <= maxQuote ? line : `${line.slice(0, maxQuote - 1).trimEnd()}…`
}
