/**
 * Cuts a text into passages. Every passage is an exact slice: `text.slice(start, end)`. Passages follow each other without overlap,
 * only blanks lie between them, and each ends where a reader would pause.
 */
import { afterBlanks, isBlank, sentenceEndAt } from './sentences.ts'

export interface Chunk {
  /** UTF-16 offsets of the passage without the blanks around it. */
  start: number
  end: number
}

export interface ChunkSizes {
  /** UTF-16 units. */
  minimum: number
  target: number
  maximum: number
}

export const chunkSizes: ChunkSizes = { minimum: 600, target: 1000, maximum: 1200 }

/** How good a place to cut is; only the last two may lie inside a sentence, and they are used when a sentence exceeds the maximum. */
const heading = 5
const paragraph = 4
const line = 3
const sentence = 2
const wrap = 1
const space = 0

/** Linear in the length of the text: no stretch is read more than a few times. */
export function* chunk(text: string, sizes: ChunkSizes = chunkSizes): Generator<Chunk> {
  let start = afterBlanks(text, 0)
  while (start < text.length) {
    const end = cut(text, start, sizes)
    yield { start, end: trimEnd(text, start, end) }
    start = afterBlanks(text, end)
  }
}

function cut(text: string, start: number, { minimum, target, maximum }: ChunkSizes): number {
  const rest = text.length - start
  if (rest <= maximum) return text.length
  // Two even passages read better than a full one and a crumb.
  const aim = rest < target + minimum ? Math.floor(rest / 2) : target
  const least = Math.min(minimum, aim)
  let best = -1
  let bestLevel = -1
  let early = -1
  let wrapped = -1
  let spaced = -1
  for (const { at, level } of breaks(text, start, start + maximum)) {
    if (level === space) spaced = at
    else if (level === wrap) wrapped = at
    else if (at - start < least) early = at
    else if (level > bestLevel || (level === bestLevel && Math.abs(at - start - aim) < Math.abs(best - start - aim))) {
      best = at
      bestLevel = level
    }
  }
  if (best > 0) return best
  if (early > 0) return early
  if (wrapped > 0) return wrapped
  if (spaced > 0) return spaced
  return wholeCharacter(text, start + maximum)
}

/** Places to cut in (start, limit], in order; the blanks after a place belong to neither passage. */
function* breaks(text: string, start: number, limit: number): Generator<{ at: number; level: number }> {
  let lineStart = start
  let row = isRow(text, start)
  for (let at = start; at < limit; at++) {
    const code = text.charCodeAt(at)
    if (isLineEnd(code)) {
      // The whole run of blanks is one place, read once.
      const content = afterBlanks(text, at, limit + 1)
      const level = lineLevel(text, lineStart, at, content, row)
      if (level !== undefined) yield { at, level }
      lineStart = content
      row = isRow(text, content)
      at = content - 1
    } else if (isBlank(code)) yield { at, level: space }
    else if (!row) {
      const end = sentenceEndAt(text, at)
      if (end > at && end <= limit) {
        yield { at: end, level: sentence }
        at = end - 1
      }
    }
  }
}

/** How good the end of a line is; the next line with content starts at `content`. Undefined: a heading stays with what follows it. */
function lineLevel(text: string, lineStart: number, lineEnd: number, content: number, row: boolean): number | undefined {
  if (text[content] === '#') return heading
  if (text[lineStart] === '#') return undefined
  if (lineEnds(text, lineEnd, content) > 1) return paragraph
  const end = trimEnd(text, lineStart, lineEnd)
  const indented = !isLineEnd(text.charCodeAt(content - 1))
  if (row || indented || startsItem(text, content) || isRow(text, content)) return line
  if (sentenceEndAt(text, lastLetter(text, lineStart, end)) >= end) return line
  return end - lineStart < shortLine && !/^\p{Ll}/u.test(text.slice(content, content + 2)) ? line : wrap
}

const isLineEnd = (code: number) => code === 0x0a || code === 0x0d

function lineEnds(text: string, from: number, to: number): number {
  let count = 0
  for (let at = from; at < to && count < 2; at++) {
    const code = text.charCodeAt(at)
    if (code === 0x0a || (code === 0x0d && text.charCodeAt(at + 1) !== 0x0a)) count += 1
  }
  return count
}

const shortLine = 45
const longestRow = 4000

const startsItem = (text: string, at: number) => /^(?:[-*+•>|{}[\]<]|\d{1,4}[.)]\s)/.test(text.slice(at, at + 8))

/** The sign before closing quotes and brackets. */
function lastLetter(text: string, from: number, to: number): number {
  let at = to - 1
  while (at > from && '"\'”’»)]}*_`'.includes(text[at] as string)) at -= 1
  return at
}

/** A row of a table: cells between bars or tabs, or as many commas or semicolons as the row that follows. */
function isRow(text: string, start: number): boolean {
  const here = separators(text, start)
  if (here.bars >= 2 || here.tabs >= 1) return true
  if (here.commas < 2 && here.semicolons < 2) return false
  const next = separators(text, here.next)
  return (here.commas >= 2 && here.commas === next.commas) || (here.semicolons >= 2 && here.semicolons === next.semicolons)
}

function separators(text: string, start: number) {
  const end = Math.min(start + longestRow, text.length)
  let bars = 0
  let tabs = 0
  let commas = 0
  let semicolons = 0
  let at = start
  for (; at < end; at++) {
    const code = text.charCodeAt(at)
    if (isLineEnd(code)) break
    if (code === 0x7c) bars += 1
    else if (code === 0x09) tabs += 1
    else if (code === 0x2c) commas += 1
    else if (code === 0x3b) semicolons += 1
  }
  const crlf = text.charCodeAt(at) === 0x0d && text.charCodeAt(at + 1) === 0x0a
  return { bars, tabs, commas, semicolons, next: at + (crlf ? 2 : 1) }
}

function trimEnd(text: string, start: number, end: number): number {
  let at = end
  while (at > start && isBlank(text.charCodeAt(at - 1))) at -= 1
  return at
}

/** Never between the halves of a surrogate pair. */
function wholeCharacter(text: string, at: number): number {
  const code = text.charCodeAt(at)
  const before = text.charCodeAt(at - 1)
  return code >= 0xdc00 && code <= 0xdfff && before >= 0xd800 && before <= 0xdbff ? at - 1 : at
}
