/** The string values inside (possibly cut) JSON text, with the range between their quotes. */

export type JsonString = { start: number; end: number; path: string; prose: boolean }

/** Keys that lead to a value become its `path`; `prose` marks values of at least four words, the ones that can answer a question. */
export function jsonStrings(text: string): JsonString[] {
  const found: JsonString[] = []
  let key = ''
  for (let at = text.indexOf('"'); at >= 0; at = text.indexOf('"', at)) {
    const end = opensString(text, at) ? closingQuote(text, at + 1) : -1
    if (end < 0) {
      at += 1
      continue
    }
    let after = end + 1
    while (after < text.length && isSpace(text.charCodeAt(after))) after += 1
    if (text[after] === ':') key = text.slice(at + 1, end).slice(0, 80)
    else {
      const value = text.slice(at + 1, end)
      const prose = /\S+\s+\S+\s+\S+\s+\S/.test(value) && value.length < 4000
      found.push({ start: at + 1, end, path: key.replace(/[_-]+/g, ' '), prose })
    }
    at = end + 1
  }
  return found
}

/** A passage may start inside a string: a quote that no structure stands before is the end of that one. */
function opensString(text: string, at: number): boolean {
  let before = at - 1
  while (before >= 0 && isSpace(text.charCodeAt(before))) before -= 1
  return before < 0 || ':[,{'.includes(text[before] ?? '')
}

function closingQuote(text: string, from: number): number {
  for (let at = from; at < text.length; at += 1) {
    const code = text.charCodeAt(at)
    if (code === 0x5c) at += 1
    else if (code === 0x22) return at
    else if (code === 0x0a) return -1
  }
  return -1
}

function isSpace(code: number): boolean {
  return code === 0x20 || (code >= 9 && code <= 13)
}
