/**
 * Cuts text into spans that can be cited: sentences of paragraphs, headings, list items, table rows, single fields and lines of code.
 * Offsets are UTF-16 units of the given text; a span has no white space or list mark at its ends. Linear in the text.
 */
import { isLoneTitle } from '../research/outline.ts'
import { sentenceEnds } from './sentence-ends.ts'

export type SpanKind = 'sentence' | 'heading' | 'item' | 'row' | 'field' | 'code'

/** `heading` is the path of the headings above, outermost first, joined with " › "; empty above the first. `block` numbers the paragraph or item. */
export type Span = { start: number; end: number; kind: SpanKind; heading: string; level: number; block: number }

type Line = { start: number; end: number; text: string }

const headingPath = ' › '
const maxSpan = 1200

export function sentenceSpans(text: string): Span[] {
  const spans: Span[] = []
  const headings: { level: number; title: string }[] = []
  let paragraph: Line[] = []
  let fence = ''
  let block = 0
  let tableHeader = false
  const heading = () => headings.map((entry) => entry.title).join(headingPath)
  const push = (start: number, end: number, kind: SpanKind, level = 0) => {
    const [from, to] = trimmed(text, start, end)
    if (to > from) spans.push({ start: from, end: to, kind, heading: heading(), level, block })
  }
  const openHeading = (level: number, line: Line, from: number, to: number) => {
    while ((headings.at(-1)?.level ?? 0) >= level) headings.pop()
    block += 1
    push(from, to, 'heading', level)
    headings.push({ level, title: plainTitle(text.slice(from, to)) })
    if (headings.length > 8) headings.shift()
  }
  const flush = () => {
    if (paragraph.length === 0) return
    for (const group of joinLines(paragraph)) {
      block += 1
      for (const [start, end] of sentencesOf(text, group.start, group.end)) push(start, end, group.kind)
    }
    paragraph = []
  }
  let lineNumber = -1
  for (let at = 0; at < text.length; ) {
    const newline = text.indexOf('\n', at)
    const end = newline < 0 ? text.length : newline
    const line: Line = { start: at, end, text: text.slice(at, Math.min(end, at + 4000)) }
    at = end + 1
    lineNumber += 1
    const bare = line.text.replace(/^\uFEFF/, '').trim()
    if (fence !== '') {
      if (bare.startsWith(fence)) fence = ''
      else push(line.start, line.end, 'code')
      continue
    }
    if (bare === '') {
      const alone = paragraph[0]
      if (
        paragraph.length === 1 &&
        alone !== undefined &&
        !alone.text.startsWith(itemMark) &&
        isLoneTitle(alone.text.replace('\uFEFF', '').trim(), spans.length === 0)
      ) {
        paragraph = []
        openHeading(spans.length === 0 ? 1 : 2, alone, alone.start, alone.end)
      }
      flush()
      tableHeader = false
      continue
    }
    const mark = /^(?:`{3,}|~{3,})/.exec(bare)?.[0]
    if (mark !== undefined) {
      flush()
      fence = mark.slice(0, 3)
      continue
    }
    const hash = /^(#{1,6})[ \t]+(?=\S)/.exec(bare)
    if (hash !== null) {
      flush()
      const from = line.start + line.text.indexOf(hash[0]) + hash[0].length
      openHeading(hash[1]?.length ?? 1, line, from, trimHashes(text, from, line.end))
      continue
    }
    if (/^(?:={3,}|-{3,}|\*{3,}|_{3,})\s*$/.test(bare) || /^(?:[*_-][ \t]*){3,}$/.test(bare)) {
      const last = paragraph.at(-1)
      if ((bare[0] === '=' || bare[0] === '-') && paragraph.length === 1 && last !== undefined && last.text.trim().length < 120) {
        paragraph = []
        openHeading(bare[0] === '=' ? 1 : 2, last, last.start, last.end)
      } else flush()
      continue
    }
    if (isTableRow(bare)) {
      flush()
      if (/^\|?[\s:|-]+\|?$/.test(bare)) {
        const header = spans.at(-1)
        if (header?.kind === 'row' && !tableHeader) tableHeader = true
        continue
      }
      block += 1
      push(line.start, line.end, 'row')
      continue
    }
    const item = /^(?:[-*+•·▪◦–]|\d{1,3}[.)]|\(?[a-zA-Z0-9]\))[ \t]+(?=\S)/.exec(bare)
    if (item !== null) {
      flush()
      paragraph.push({
        ...line,
        start: line.start + line.text.indexOf(item[0]) + item[0].length,
        text: itemMark + bare.slice(item[0].length),
      })
      continue
    }
    const quote = /^(?:>[ \t]?)+/.exec(bare)
    if (quote !== null) {
      const from = line.start + line.text.indexOf(quote[0]) + quote[0].length
      if (from >= line.end) flush()
      else paragraph.push({ start: from, end: line.end, text: bare.slice(quote[0].length) })
      continue
    }
    paragraph.push(line)
    // A "paragraph" of thousands of lines is a list or a log; cutting it bounds the work of joining.
    if (paragraph.length >= 400) flush()
  }
  flush()
  return spans
}

/** Marks a line that opened a list item, so that joining knows it. */
const itemMark = '\u0001'

/** Rows of a markdown or text table: bars at both ends, or at least two inner bars with spaces. */
function isTableRow(bare: string): boolean {
  if (bare[0] === '|' && bare.length > 2 && bare.indexOf('|', 1) > 0) return true
  return /^[^|]+ \| [^|]+ \| /.test(bare)
}

type Group = { start: number; end: number; kind: SpanKind }

const fieldPattern = /^(?:[-*]\s+)?(?:\*\*)?[\p{L}][\p{L}\p{N} /_()-]{0,40}(?:\*\*)?:(?:\*\*)?\s/u
const stampPattern = /^\[?(?:\d{4}-\d\d-\d\d|\d{1,2}:\d\d|\d{1,2}[./]\d{1,2}[./]\d{2,4})/

/** Puts hard-wrapped lines back together, and keeps lines apart that stand for themselves: fields, time stamps, short lines. */
function joinLines(lines: Line[]): Group[] {
  const first = lines[0]
  if (first === undefined) return []
  const isItem = first.text.startsWith(itemMark)
  let width = 0
  for (const line of lines) width = Math.max(width, line.end - line.start)
  const fields = lines.filter((line) => fieldPattern.test(line.text.trim())).length
  const groups: Group[] = []
  let open: Group | undefined
  for (const [index, line] of lines.entries()) {
    const kind: SpanKind =
      isItem && index === 0 ? 'item' : fieldPattern.test(line.text.trim()) && fields > 1 ? 'field' : 'sentence'
    const previous = lines[index - 1]
    if (open !== undefined && previous !== undefined && continues(previous, line, width, fields, lines.length))
      open.end = line.end
    else {
      open = { start: line.start, end: line.end, kind: kind === 'field' && isItem ? 'item' : kind }
      groups.push(open)
    }
  }
  return groups
}

function continues(previous: Line, line: Line, width: number, fields: number, count: number): boolean {
  const before = previous.text.trim().replace(itemMark, '')
  const after = line.text.trim()
  if (stampPattern.test(after)) return false
  if (fields > 1 && fieldPattern.test(after)) return false
  if (/^[\p{Ll},;)]/u.test(after)) return true
  if (/[.!?:;。！？]["'”’)\]*_]*$/.test(before)) return true
  const firstWord = after.search(/\s/)
  const next = firstWord < 0 ? after.length : firstWord
  // Two or three lines do not show how wide the text was set, unless they are long.
  return (
    previous.end - previous.start + next + 1 > width * 0.85 &&
    (width > 60 || (width > 30 && count > 3 && !fieldPattern.test(after)))
  )
}

function* sentencesOf(text: string, start: number, end: number): Generator<[number, number]> {
  let from = start
  for (const cut of sentenceEnds(text, start, end)) {
    yield* bounded(text, from, cut)
    from = cut
  }
  if (from < end) yield* bounded(text, from, end)
}

/** Text without any sentence end is cut at white space, so that no span grows past what one can cite. */
function* bounded(text: string, start: number, end: number): Generator<[number, number]> {
  let from = start
  while (end - from > maxSpan) {
    const space = Math.max(text.lastIndexOf(' ', from + maxSpan), text.lastIndexOf('\n', from + maxSpan))
    const cut = space > from + maxSpan / 2 ? space : from + maxSpan
    yield [from, cut]
    from = cut
  }
  yield [from, end]
}

function trimmed(text: string, start: number, end: number): [number, number] {
  let from = start
  let to = end
  while (from < to && isSpace(text.charCodeAt(from))) from += 1
  while (to > from && isSpace(text.charCodeAt(to - 1))) to -= 1
  return [from, to]
}

function trimHashes(text: string, start: number, end: number): number {
  let to = trimmed(text, start, end)[1]
  while (to > start && text.charCodeAt(to - 1) === 0x23) to -= 1
  return to
}

function isSpace(code: number): boolean {
  return code === 0x20 || (code >= 9 && code <= 13) || code === 0xa0 || code === 0xfeff || code === 0x3000
}

function plainTitle(title: string): string {
  return title
    .replace(/[*_`#]+/g, '')
    .trim()
    .slice(0, 160)
}
