/** Asking a model for a report over numbered evidence, and mapping its sentences back to that evidence. */
import type { Claim, Citation } from '../citation.ts'
import type { Section } from '../report/render.ts'
import { sentenceSpans } from '../text/sentences.ts'
import { plainText } from '../text/plain.ts'
import { fenced, type Message, untrustedRule } from './message.ts'

/** What the model may cite as [n]: `text` is what it reads, `citations` where that stands. `computed` names the calculation behind a table sentence. */
export type NumberedSource = { number: number; document: string; text: string; citations: Citation[]; computed?: string }

export type DraftedReport = {
  claims: Claim[]
  sections: Section[]
  dropped: { sentence: string; reason: string }[]
  refused: boolean
}

const notAnswered = 'NOT_ANSWERED'
const maxShown = 60_000

export function draftMessages(goal: string, questions: string[], sources: NumberedSource[]): Message[] {
  const shown: string[] = []
  let characters = 0
  for (const source of sources) {
    const text = fenced({ number: source.number, document: source.document }, source.text)
    characters += text.length
    if (characters > maxShown) break
    shown.push(text)
  }
  return [
    {
      role: 'system',
      content: [
        'You write a short report that answers a goal from numbered sources and from nothing else.',
        untrustedRule,
        'Every sentence ends with the numbers of the sources that state it, like [2] or [1][3], after its full stop. Leave out what no source states; do not guess, round or combine numbers.',
        'Use markdown: the short answer first, then a section "## ..." for each question. No title, no list of sources.',
        `If the sources do not answer the goal, write only ${notAnswered}.`,
      ].join('\n'),
    },
    {
      role: 'user',
      content: `${shown.join('\n')}\n\nThe goal: ${goal.slice(0, 12_000)}\n\nThe questions:\n${questions.map((question) => `- ${question}`).join('\n')}`,
    },
  ]
}

/** Sentences with known numbers become claims; those without any, or with a number that was never given, are dropped and named. */
export function parseDraft(answer: string, sources: NumberedSource[]): DraftedReport {
  const text = answer.slice(0, 100_000).replace(/^```(?:markdown|md)?\s*\n|\n```\s*$/g, '')
  if (text.includes(notAnswered)) return { claims: [], sections: [], dropped: [], refused: true }
  const known = new Map(sources.map((source) => [source.number, source]))
  const claims: Claim[] = []
  const sections: Section[] = []
  const dropped: DraftedReport['dropped'] = []
  let section: Section = { title: 'Short answer', paragraphs: [] }
  let block = -1
  for (const { sentence, heading, numbers, number } of sentencesWithNumbers(text)) {
    if (heading) {
      if (section.paragraphs.length > 0) sections.push(section)
      section = { title: plainText(sentence).slice(0, 120), paragraphs: [] }
      continue
    }
    const claimText = plainText(sentence)
    if (claimText === '') continue
    const found = numbers.map((value) => known.get(value))
    if (numbers.length === 0 || found.includes(undefined)) {
      dropped.push({
        sentence: claimText,
        reason: numbers.length === 0 ? 'it names no source' : 'it names a source that was not given',
      })
      continue
    }
    const cited = found.filter((source) => source !== undefined)
    const only = cited.length === 1 ? cited[0] : undefined
    claims.push({
      text: claimText,
      citations: cited.flatMap((source) => source.citations),
      ...(only?.computed !== undefined && only.text === claimText ? { computed: only.computed } : {}),
    })
    if (number === block) section.paragraphs.at(-1)?.push(claims.length - 1)
    else section.paragraphs.push([claims.length - 1])
    block = number
  }
  if (section.paragraphs.length > 0) sections.push(section)
  return { claims, sections, dropped, refused: claims.length === 0 }
}

type Drafted = { sentence: string; heading: boolean; numbers: number[]; number: number }

/** Marks stand before or after the full stop: "rose. [1]" and "rose [1]." both belong to the sentence that they end. */
function sentencesWithNumbers(text: string): Drafted[] {
  const moved = text
    .replace(/\s*((?:\[\d{1,3}(?:\s*,\s*\d{1,3})*\]\s*)+)([.!?])/g, '$2 $1')
    .replace(/([.!?])((?:\[\d{1,3}\])+)/g, '$1 $2')
  const out: Drafted[] = []
  for (const span of sentenceSpans(moved)) {
    const raw = moved.slice(span.start, span.end)
    const lead = /^(?:\s*\[\d{1,3}(?:\s*,\s*\d{1,3})*\])+/.exec(raw)?.[0] ?? ''
    const last = out.at(-1)
    if (lead !== '' && last !== undefined && !last.heading) last.numbers.push(...numbersIn(lead))
    const rest = raw.slice(lead.length)
    if (rest.trim() === '') continue
    out.push({
      sentence: rest.replace(/\s*\[\d{1,3}(?:\s*,\s*\d{1,3})*\]/g, '').trim(),
      heading: span.kind === 'heading',
      numbers: numbersIn(rest),
      number: span.block,
    })
  }
  return out.map((entry) => ({ ...entry, numbers: [...new Set(entry.numbers)] }))
}

function numbersIn(text: string): number[] {
  return [...text.matchAll(/\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]/g)].flatMap((match) => (match[1] ?? '').split(',').map(Number))
}
