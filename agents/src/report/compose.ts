/** Evidence and findings to a report in markdown whose every claim stands in it word for word. */
import type { Citation, Claim, ChunkName } from '../citation.ts'
import { verifyClaim } from '../claims/verify.ts'
import type { Finding } from '../analysis/finding.ts'
import type { Evidence } from '../research/extract.ts'
import { plainText } from '../text/plain.ts'
import type { Question } from '../text/question.ts'
import { overlap } from '../text/rank.ts'
import { contentStems } from '../text/tokens.ts'
import { askedKinds, relevance } from './choose-findings.ts'
import { render, type Section } from './render.ts'

/** What research found for one question, `reason` when it found nothing. `orders` are documents that tried to command their reader. */
export type Answer = { question: Question; answered: boolean; reason: string; evidence: Evidence[]; orders?: string[] }

/** Findings of one document; `text` is the document's, to quote from. `answers` are the questions they are relevant to, all when left out. */
export type TableFindings = { document: string; findings: Finding[] }

export type ComposeInput = {
  goal: string
  title: string
  answers: Answer[]
  tables: TableFindings[]
  /** The text that citations are cut from, by document. */
  textOf: (document: string) => string
  /** The chunk that holds an offset, for computed citations; evidence brings its own. */
  chunkAt: (document: string, offset: number) => ChunkName
  recommendations?: string[]
  skipped?: { document: string; reason: string }[]
}

export type Report = { title: string; answered: boolean; markdown: string; claims: Claim[]; sections: Section[] }

export const notSaid = 'The documents do not say.'

const maxClaimLength = 420
const maxFindings = 8

export function composeReport(input: ComposeInput): Report {
  const used: Set<string>[] = []
  const claims: Claim[] = []
  const add = (claim: Claim | undefined): number[] => {
    if (claim === undefined) return []
    const stems = new Set(contentStems(claim.text))
    if (used.some((other) => overlap(stems, other) > 0.9 && claim.computed === undefined)) return []
    used.push(stems)
    claims.push(claim)
    return [claims.length - 1]
  }
  const findings = input.tables
    .flatMap(({ document, findings: list }) => list.map((finding) => ({ document, finding })))
    .toSorted((a, b) => b.finding.strength - a.finding.strength)
  // "What stands out?" after a question about a column is asked of the table, not of prose that happens to name the column.
  const toTables = (answer: Answer) =>
    !answer.question.overview && answer.question.terms.every((term) => term.weight < 1) && coveredByTables(answer, findings)
  const answered = input.answers.filter((answer) => answer.answered && answer.evidence.length > 0 && !toTables(answer))
  const sections: Section[] = []
  const perAnswer = answered.length <= 1 ? (answered[0]?.question.overview === true ? 6 : 2) : answered.length === 2 ? 2 : 1
  const leading = leadingFindings(input.answers, answered, findings)
  const computed = (entry: Placed) => add(computedClaim(entry.document, entry.finding, input))
  const short: Required<Pick<Section, 'paragraphs' | 'labels'>> = { paragraphs: [], labels: [] }
  const tell = (paragraph: number[], label?: string | null) => {
    short.paragraphs.push(paragraph)
    short.labels.push(label)
  }
  // The questions in their order; each with what was computed for it and what the prose says.
  for (const answer of input.answers) {
    const own = leading.filter((entry) => entry.answer === answer)
    const asked = askedKinds(answer.question)
    const before = own.filter((entry) => asked.has(entry.finding.kind)).flatMap(computed)
    const evidence = answered.includes(answer) ? openingOf(answer, perAnswer) : []
    const spoken = byHeading(evidence.flatMap((entry) => add(claimOf(entry, input)).map((index) => ({ index, evidence: entry }))))
    const after = own.filter((entry) => !asked.has(entry.finding.kind)).flatMap(computed)
    // Sentences about one side of a comparison, or of several documents, are labelled with what they are about.
    const labelled = answer.question.sides.length > 0 || answer.question.overview
    if (labelled) {
      tell(before)
      for (const [at, paragraph] of spoken.paragraphs.entries()) tell(paragraph, spoken.labels?.[at])
      tell(after)
    } else tell([...before, ...spoken.paragraphs.flat(), ...after])
  }
  if (short.paragraphs.some((paragraph) => paragraph.length > 0)) sections.push({ title: 'Short answer', ...short })
  for (const answer of answered) {
    const told = inOrder(answer.evidence).flatMap((evidence) =>
      add(claimOf(evidence, input)).map((index) => ({ index, evidence })),
    )
    const title = input.answers.length === 1 ? 'Details' : headingOf(answer.question.text)
    if (told.length > 0) sections.push({ title, ...byHeading(told) })
  }
  const led = new Set(leading.map((entry) => entry.finding))
  const rest = findings.filter((entry) => !led.has(entry.finding)).slice(0, maxFindings)
  const told = rest.flatMap(({ document, finding }) => add(computedClaim(document, finding, input)))
  if (told.length > 0) sections.push({ title: 'What the tables show', paragraphs: told.map((index) => [index]), list: true })
  const hasClaims = claims.length > 0
  if (hasClaims) {
    const open = input.answers.filter((answer) => !answered.includes(answer) && !coveredByTables(answer, findings))
    if (open.length > 0)
      sections.push({
        title: 'What the documents do not say',
        paragraphs: [],
        notes: open.map((answer) => `“${answer.question.text}” ${answer.reason === '' ? notSaid : answer.reason}`),
      })
    const notes = [...(input.recommendations ?? []), ...ordersNoted(input.answers)]
    if (notes.length > 0) sections.push({ title: 'Worth checking', paragraphs: [], notes })
  }
  const report = { title: input.title, answered: hasClaims, claims, sections }
  const reasons = input.answers.map((answer) => answer.reason).filter((reason) => reason !== '')
  return {
    ...report,
    markdown: hasClaims ? render(report, undefined, input.skipped ?? []) : emptyReport(input, [...new Set(reasons)]),
  }
}

type Placed = { document: string; finding: Finding; answer: Answer }

const kindOrder = ['comparison', 'lookup', 'trend', 'group', 'extreme', 'outlier', 'summary', 'correlation']

/** The findings worth a place in the short answer, each with the question it answers best: those asked for, those that stand alone, and striking ones. */
function leadingFindings(answers: Answer[], answered: Answer[], findings: { document: string; finding: Finding }[]): Placed[] {
  const placed = findings.flatMap((entry): (Placed & { share: number })[] => {
    const shares = answers.map((answer) => ({ answer, share: relevance(answer.question, entry.document, entry.finding) }))
    const best = shares.toSorted((a, b) => b.share - a.share)[0]
    return best === undefined ? [] : [{ ...entry, ...best }]
  })
  return answers.flatMap((answer) => {
    const asked = askedKinds(answer.question)
    const alone = !answered.includes(answer)
    return placed
      .filter((entry) => entry.answer === answer)
      .filter(({ finding }) => asked.has(finding.kind) || finding.strength >= (alone ? 0.5 : 0.8))
      .toSorted((a, b) => Number(asked.has(b.finding.kind)) - Number(asked.has(a.finding.kind)) || b.share - a.share)
      .slice(0, alone ? 3 : 2)
      .toSorted((a, b) => kindOrder.indexOf(a.finding.kind) - kindOrder.indexOf(b.finding.kind))
  })
}

/** A question that the tables answer is not an open one. */
function coveredByTables({ question }: Answer, findings: { document: string; finding: Finding }[]): boolean {
  if (question.overview) return findings.length > 0
  return findings.some(
    ({ document, finding }) =>
      (question.sides.length > 0 && finding.kind === 'comparison') || relevance(question, document, finding) >= 0.6,
  )
}

/** A reader should know that a document speaks to machines, and that nobody listened. */
function ordersNoted(answers: Answer[]): string[] {
  const documents = [...new Set(answers.flatMap((answer) => answer.orders ?? []))]
  return documents
    .slice(0, 5)
    .map((document) => `\`${document}\` gives orders to programs that read it; such sentences were not followed and not used.`)
}

function headingOf(question: string): string {
  return question.length <= 120 ? question : `${question.slice(0, question.lastIndexOf(' ', 117)).trimEnd()} …`
}

function emptyReport(input: ComposeInput, reasons: string[]): string {
  const skipped = (input.skipped ?? []).map((entry) => `- ${entry.document}: ${entry.reason}`)
  return [
    `# ${input.title === '' ? 'Report' : input.title}`,
    '',
    notSaid,
    ...(reasons.length > 0 ? ['', reasons.join(' ')] : []),
    ...ordersNoted(input.answers).flatMap((note) => ['', note]),
    ...(skipped.length > 0 ? ['', '## Not read', '', ...skipped] : []),
    '',
  ].join('\n')
}

/** The best sentences of an answer, a leading one before the one that leans on it. */
function openingOf(answer: Answer, count: number): Evidence[] {
  const direct = answer.evidence.filter((entry) => !entry.lead)
  // An overview is one of all documents: the best sentence of each.
  if (answer.question.overview) {
    const first = direct.filter((entry, at) => direct.findIndex((other) => other.document === entry.document) === at)
    return inOrder(first.slice(0, count))
  }
  const floor = (direct[0]?.score ?? 0) * 0.75
  const chosen = direct.slice(0, count).filter((entry) => entry.score >= floor)
  const leads = answer.evidence.filter(
    (entry) =>
      entry.lead &&
      chosen.some((other) => other.document === entry.document && other.start > entry.start && other.start - entry.end < 8),
  )
  return inOrder([...chosen, ...leads], chosen)
}

/** Documents by their best sentence, sentences of one document as they stand there. */
function inOrder(evidence: Evidence[], ranked: Evidence[] = evidence): Evidence[] {
  const best = new Map<string, number>()
  for (const [index, entry] of ranked.entries()) if (!best.has(entry.document)) best.set(entry.document, index)
  return evidence.toSorted((a, b) => (best.get(a.document) ?? 99) - (best.get(b.document) ?? 99) || a.start - b.start)
}

/** A paragraph for each heading of a document, labelled with it: "Failover took 12 seconds" needs to be told of whom. */
function byHeading(told: { index: number; evidence: Evidence }[]): Pick<Section, 'paragraphs' | 'labels'> {
  const paragraphs: number[][] = []
  const labels: (string | undefined)[] = []
  let last = ''
  for (const { index, evidence } of told) {
    const key = `${evidence.document}\u0000${evidence.heading}`
    if (key === last && (paragraphs.at(-1)?.length ?? 0) < 6) paragraphs.at(-1)?.push(index)
    else {
      paragraphs.push([index])
      // The path of a field in a JSON document is no heading.
      labels.push(/\.jsonl?$/i.test(evidence.document) ? undefined : labelOf(evidence.heading))
    }
    last = key
  }
  return { paragraphs, labels }
}

/** The nearest heading without its number, when it is short enough to stand before a sentence. */
function labelOf(path: string): string | undefined {
  const nearest = (path.split(' › ').at(-1) ?? '')
    .replace(/^\d+(?:\.\d+)*\.?\s+/, '')
    .replace(/[:*_`]+$/g, '')
    .trim()
  return nearest === '' || nearest.length > 60 || !/\p{L}/u.test(nearest) ? undefined : nearest
}

/** The sentence, cleaned of markup and ended with a stop. One that its own source does not support once cleaned is left out. */
export function claimOf(evidence: Evidence, input: Pick<ComposeInput, 'textOf'>): Claim | undefined {
  const quote = input.textOf(evidence.document).slice(evidence.start, evidence.end)
  if (quote === '' || quote !== evidence.text) return undefined
  const text = sentenceOf(quote)
  if (text === undefined || !verifyClaim(text, [{ text: quote }]).supported) return undefined
  return {
    text,
    citations: [{ document: evidence.document, chunk: evidence.chunk, start: evidence.start, end: evidence.end, quote }],
  }
}

/** Plain text as a sentence; undefined when nothing speakable is left, or when it would have to be cut. */
export function sentenceOf(raw: string): string | undefined {
  const unescaped = raw.replace(/\\["/]/g, (pair) => pair.slice(1)).replace(/\\[ntr]/g, ' ')
  const text = plainText(unescaped).replace(/\s*[:;,–—-]$/, '')
  if (contentStems(text).length < 2 || text.length > maxClaimLength * 2) return undefined
  // "If the customer has a card" promises a main clause that does not come.
  if (/^(?:if|when|whether|because|although|wenn|falls|weil|obwohl)\b[^,;:–—?]*$/i.test(text)) return undefined
  const capital = text.charAt(0).toUpperCase() + text.slice(1)
  return /[.!?…。！？]["'”’»)]*$/.test(capital) ? capital : `${capital}.`
}

export function computedClaim(
  document: string,
  finding: Finding,
  input: Pick<ComposeInput, 'textOf' | 'chunkAt'>,
): Claim | undefined {
  const text = input.textOf(document)
  const citations: Citation[] = finding.citations.map(({ start, end }) => ({
    document,
    chunk: input.chunkAt(document, start),
    start,
    end,
    quote: text.slice(start, end),
  }))
  return citations.length === 0 ? undefined : { text: finding.text, citations, computed: finding.key }
}
