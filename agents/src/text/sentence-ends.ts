/** Where sentences end inside running text. */

const abbreviations = new Set(
  (
    'mr mrs ms dr prof sr jr st vs etc eg ie cf al fig figs eq no nos vol vols pp ed eds inc ltd co corp dept est approx ca resp incl excl max min avg sec ch art ' +
    'jan feb mar apr jun jul aug sep sept oct nov dec mon tue wed thu fri gen col lt capt sgt rev hon gov sen rep ave blvd rd ' +
    'bzw usw ggf evtl vgl bspw nr str abs abb tab sog inkl exkl zzgl mio mrd tsd ua zb dh'
  ).split(' '),
)

const closers = '"\'”’»)]*_`'

/** Offsets just past each sentence end (and its closing quotes) in `text` from `start`, the last one before `end` excluded if nothing follows. */
export function* sentenceEnds(text: string, start: number, end: number): Generator<number> {
  for (let at = start; at < end; at += 1) {
    const code = text.charCodeAt(at)
    if (code === 0x3002 || code === 0xff01 || code === 0xff1f) {
      if (at + 1 < end) yield at + 1
      continue
    }
    if (code !== 0x2e && code !== 0x21 && code !== 0x3f && code !== 0x2026) continue
    let next = at + 1
    while (next < end && '.!?…'.includes(text[next] ?? '')) next += 1
    while (next < end && closers.includes(text[next] ?? '') && next < at + 8) next += 1
    const gap = next
    while (next < end && isSpace(text.charCodeAt(next))) next += 1
    const follows = next > gap
    if (
      follows &&
      next < end &&
      startsSentence(text, next) &&
      !(code === 0x2e && gap === at + 1 && isAbbreviation(text, start, at, next))
    )
      yield gap
    at = Math.max(at, gap - 1)
  }
}

function isSpace(code: number): boolean {
  return code === 0x20 || (code >= 9 && code <= 13) || code === 0xa0
}

/** A capital, a digit, an opening mark or a letter of a script without capitals; a lower-case letter goes on with the sentence. */
function startsSentence(text: string, at: number): boolean {
  const code = text.codePointAt(at) ?? 0
  if (code >= 0x61 && code <= 0x7a) return false
  if (code < 0x80) return true
  return !/\p{Ll}/u.test(String.fromCodePoint(code))
}

function isAbbreviation(text: string, start: number, dot: number, next: number): boolean {
  let from = dot
  while (from > start && isWordCode(text.charCodeAt(from - 1)) && dot - from < 12) from -= 1
  const word = text.slice(from, dot)
  if (word === '') return false
  if (/^\p{Lu}$/u.test(word)) {
    // "J. Smith" and "z. B. Kosten" go on; "vitamin C. The" does not.
    const before = text.slice(Math.max(start, from - 3), from)
    return (
      /(?:^|[\s.(])$/.test(before) &&
      !/^(?:The|A|An|It|This|In|We|He|She|They)\b/.test(text.slice(next, next + 6)) &&
      word !== 'I'
    )
  }
  // "z. B." goes on, "after 3.5 s. The" does not: there the letter is a unit.
  if (/^\p{Ll}$/u.test(word)) return !/\d\s?$/.test(text.slice(Math.max(start, from - 3), from))
  if (/^\d{1,2}$/.test(word))
    return /^(?:Januar|Februar|März|April|Mai|Juni|Juli|August|September|Oktober|November|Dezember|Quartal|Jahrhundert)/.test(
      text.slice(next, next + 12),
    )
  const plain = word.toLowerCase()
  if (
    plain === 'no' ||
    plain === 'nr' ||
    plain === 'fig' ||
    plain === 'vol' ||
    plain === 'art' ||
    plain === 'ch' ||
    plain === 'sec'
  ) {
    return /^[\dIVX(]/.test(text.slice(next, next + 1))
  }
  // "etc." and company endings may end a sentence: they do before a capital.
  if (
    plain === 'etc' ||
    plain === 'inc' ||
    plain === 'ltd' ||
    plain === 'co' ||
    plain === 'corp' ||
    plain === 'usw' ||
    plain === 'max' ||
    plain === 'min'
  ) {
    return !/^\p{Lu}/u.test(text.slice(next, next + 2))
  }
  return abbreviations.has(plain)
}

function isWordCode(code: number): boolean {
  return (code >= 0x61 && code <= 0x7a) || (code >= 0x41 && code <= 0x5a) || (code >= 0x30 && code <= 0x39) || code > 0xbf
}
