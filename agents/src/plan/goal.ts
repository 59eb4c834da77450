/** A goal as its owner wrote it, taken apart into questions. */
import { comparedSides } from '../text/question.ts'
import { plainText } from '../text/plain.ts'
import { sentenceSpans } from '../text/sentences.ts'
import { contentStems } from '../text/tokens.ts'

/** `title` fits a heading; `questions` are in the order of the goal, without repeats. */
export type Goal = { text: string; title: string; questions: string[] }

const maxGoal = 20_000
const maxQuestions = 12
const longQuestion = 400
const maxTitle = 120

export function readGoal(raw: string): Goal {
  const text = raw.slice(0, maxGoal).replaceAll('\uFEFF', '').trim()
  const asked = sentenceSpans(text)
    .filter((span) => span.kind !== 'code')
    .map((span) => plainText(text.slice(span.start, span.end)).replace(/^(?:and|then|also|finally|und|dann)\s+/i, ''))
    .filter((sentence) => contentStems(sentence).length > 0)
  const kept = asked.length <= 3 && text.length < 600 ? asked : essential(asked)
  const questions: string[] = []
  for (const sentence of kept)
    for (const part of splitSentence(sentence)) if (!repeats(part, questions)) questions.push(condensed(part))
  return { text, title: titleOf(text, questions), questions: questions.slice(0, maxQuestions) }
}

const requestWords =
  /^(?:please\s+)?(?:summari[sz]e|compare|contrast|explain|describe|list|find|identify|analy[sz]e|assess|evaluate|determine|outline|give|tell|show|report|review|write|provide|investigate|calculate|discuss|name|check|what|who|whom|whose|which|when|where|why|how|is|are|was|were|do|does|did|can|could|should|will|has|have|fasse|vergleiche|erkläre|beschreibe|nenne|liste|was|wer|wem|wann|wo|warum|wieso|wie|welche[rsn]?)\b/i

/** Of a long goal, the sentences that ask or order something; where none does, its opening and its last sentence. */
function essential(sentences: string[]): string[] {
  const asking = sentences.filter((sentence) => sentence.includes('?') || requestWords.test(sentence))
  if (asking.length > 0) return asking.slice(0, maxQuestions)
  return sentences.length <= 3 ? sentences : [...sentences.slice(0, 2), ...sentences.slice(-1)]
}

/** "What caused the outage and what did it cost?" is two questions; "Compare A and B" is one, because its parts belong together. */
function splitSentence(sentence: string): string[] {
  const numbered = sentence
    .split(/\s*(?:\(\d{1,2}\)|\b\d{1,2}\)|(?<=[:;,]\s)[a-h]\))\s+/)
    .filter((part) => contentStems(part).length > 0)
  if (numbered.length > 2)
    return numbered.slice(requestWords.test(numbered[0] ?? '') && !/[:,]\s*$/.test(numbered[0] ?? '') ? 0 : 1).map(tidy)
  if (comparedSides(sentence).length > 0) return [tidy(sentence)]
  const parts = sentence.split(
    /(?:\s*[,;]\s*|\s+)(?:and|und|sowie|as well as|plus|then|et|y)\s+(?=(?:what|who|whom|which|when|where|why|how|is|are|was|were|did|does|do|should|summari[sz]e|list|explain|describe|compare|identify|give|tell|name|analy[sz]e|recommend|was|wer|wann|wo|warum|wieso|wie|welche[rsn]?|nenne|vergleiche|pourquoi|combien|comment|quand|quel(?:le)?s?|qui|cuánt[oa]s?|cuándo|quién|cómo|qué)\b)|\s*;\s+|\?\s+|,\s+(?=(?:what|who|when|where|why|how|which|was|wer|wann|warum|wie|welche[rsn]?)\s)/i,
  )
  // "... and why?" has no subject of its own and stays with its question.
  if (parts.some((part) => contentStems(part).length === 0)) return [tidy(sentence)]
  return parts.map(tidy)
}

function tidy(part: string): string {
  const bare = part
    .trim()
    .replace(/^[,;:.\s]+|[,;:\s]+$/g, '')
    .replace(/^(?:and|then|also|und|dann)\s+/i, '')
  const asks =
    /^(?:what|who|whom|whose|which|when|where|why|how|is|are|was|were|did|does|do|wer|wann|wo|warum|wieso|wie|welche[rsn]?)\b/i.test(
      bare,
    )
  const ended = /[.?!]$/.test(bare) ? bare : asks ? `${bare}?` : bare
  return ended.charAt(0).toUpperCase() + ended.slice(1)
}

function condensed(question: string): string {
  if (question.length <= longQuestion) return question
  const cut = question.lastIndexOf(' ', longQuestion)
  return `${question.slice(0, cut > 100 ? cut : longQuestion)} …`
}

function repeats(question: string, before: string[]): boolean {
  const stems = contentStems(question).join(' ')
  return before.some((other) => contentStems(other).join(' ') === stems && other.length >= question.length * 0.8)
}

/** The goal itself where it fits a heading, else as many of its questions as do. */
function titleOf(text: string, questions: string[]): string {
  const oneLine = plainText(text)
  if (oneLine.length <= maxTitle) return oneLine
  return shortTitle(questions.length === 0 ? oneLine : questions.join(' '))
}

/** At most 120 characters, cut between words. */
export function shortTitle(text: string): string {
  if (text.length <= maxTitle) return text
  const cut = text.lastIndexOf(' ', maxTitle - 2)
  return `${text.slice(0, cut > 40 ? cut : maxTitle - 2).replace(/[,;:.\s]+$/, '')} …`
}
