/** Cuts a document into passages at paragraph and heading borders, with exact offsets. Linear, for documents of any size. */
import type { Passage } from '../citation.ts'
import { headingAt, outlineOf } from './outline.ts'

export type PassageSize = { target: number; limit: number }

const defaultSize: PassageSize = { target: 1200, limit: 2000 }

export function cutPassages(document: string, text: string, size: PassageSize = defaultSize): Passage[] {
  const passages: Passage[] = []
  const outline = outlineOf(text)
  let heading = 0
  let from = 0
  const push = (end: number) => {
    const part = text.slice(from, end)
    if (part.trim() !== '') {
      const path = headingAt(outline, from)
      passages.push({ document, chunk: passages.length, start: from, end, text: part, ...(path === '' ? {} : { heading: path }) })
    }
    from = end
  }
  let blankBefore = true
  for (let at = 0; at < text.length; ) {
    const newline = text.indexOf('\n', at)
    const next = newline < 0 ? text.length : newline + 1
    while ((outline[heading]?.start ?? Number.POSITIVE_INFINITY) < at) heading += 1
    const atHeading = outline[heading]?.start === at
    const length = at - from
    if (
      length > 0 &&
      ((atHeading && length > size.target / 3) || (blankBefore && length >= size.target) || next - from > size.limit)
    )
      push(at)
    // A line longer than a passage (minified text, one huge paragraph) is cut at white space.
    while (next - from > size.limit) push(borderBefore(text, from + size.target, from + size.limit))
    blankBefore = next - at <= 2 && text.slice(at, next).trim() === ''
    at = next
  }
  if (from < text.length) push(text.length)
  return passages
}

/** The last sentence end or white space in the range; its end when there is none, but never inside a surrogate pair. */
function borderBefore(text: string, low: number, high: number): number {
  for (let at = high; at > low; at -= 1) {
    const before = text.charCodeAt(at - 1)
    if ((before === 0x20 || before === 0x0a) && '.!?。'.includes(text[at - 2] ?? ' ')) return at
  }
  const space = text.lastIndexOf(' ', high)
  if (space > low) return space + 1
  const code = text.charCodeAt(high)
  return code >= 0xdc00 && code <= 0xdfff ? high - 1 : high
}
