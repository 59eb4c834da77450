/** Where a sentence may be taken to end. A missed end only makes a chunk less even; a false one would cut a sentence in two. */

const maxClosers = 8
const maxAbbreviation = 12

// Words whose full stop does not end a sentence.
const abbreviations = new Set(
  (
    'mr mrs ms dr prof st sr jr vs cf ca al eg ie fig figs eq eqs no nos vol pp ed eds art sec ch approx resp incl dept est ' +
    'jan feb mar apr jun jul aug sep sept oct nov dec bzw ggf vgl bspw nr str abb tab sog inkl mio mrd usw'
  ).split(' '),
)

/** Offset just past a sentence that ends with the character at `at` (closing quotes and brackets included), or -1. */
export function sentenceEndAt(text: string, at: number): number {
  const code = text.charCodeAt(at)
  if (isWideEnd(code)) return afterClosers(text, at + 1)
  if (code !== 0x2e && code !== 0x21 && code !== 0x3f && code !== 0x2026) return -1
  const end = afterClosers(text, at + 1)
  if (end >= text.length) return end
  if (!isBlank(text.charCodeAt(end))) return -1
  const next = afterBlanks(text, end, end + 64)
  if (isLowerCase(text, next)) return -1
  return code === 0x2e && isAbbreviation(text, at) ? -1 : end
}

export function isBlank(code: number): boolean {
  return (
    code === 0x20 ||
    (code >= 0x09 && code <= 0x0d) ||
    code === 0xa0 ||
    code === 0x1680 ||
    (code >= 0x2000 && code <= 0x200a) ||
    code === 0x2028 ||
    code === 0x2029 ||
    code === 0x202f ||
    code === 0x205f ||
    code === 0x3000 ||
    code === 0xfeff
  )
}

/** First offset from `at` that is not blank, or `limit`. */
export function afterBlanks(text: string, at: number, limit = text.length): number {
  const end = Math.min(limit, text.length)
  let next = at
  while (next < end && isBlank(text.charCodeAt(next))) next += 1
  return next
}

const isWideEnd = (code: number) => code === 0x3002 || code === 0xff01 || code === 0xff1f || code === 0x0964

function afterClosers(text: string, from: number): number {
  let at = from
  while (at < text.length && at - from < maxClosers && '.!?…"\'”’»)]}*_`'.includes(text[at] as string)) at += 1
  return at
}

function isLowerCase(text: string, at: number): boolean {
  const code = text.codePointAt(at)
  if (code === undefined) return false
  return code < 0x80 ? code >= 0x61 && code <= 0x7a : /\p{Ll}/u.test(String.fromCodePoint(code))
}

function isAbbreviation(text: string, dot: number): boolean {
  let from = dot
  while (from > 0 && dot - from < maxAbbreviation && isLetter(text.charCodeAt(from - 1))) from -= 1
  const word = text.slice(from, dot).toLowerCase()
  // Initials and "z. B."; a single letter after a digit is a unit and may end the sentence.
  if (word.length === 1) return !/\d\s?$/.test(text.slice(Math.max(0, from - 2), from))
  return abbreviations.has(word)
}

const isLetter = (code: number) => (code >= 0x41 && code <= 0x5a) || (code >= 0x61 && code <= 0x7a) || code >= 0xc0
