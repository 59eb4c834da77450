/** JSON out of what a model wrote: fenced, surrounded by talk, with trailing commas or cut off. */

/** The first JSON object or array in the text, mildly repaired; undefined when there is none to be had. */
export function readJsonAnswer(answer: string): unknown {
  const text = answer.slice(0, 200_000)
  const start = text.search(/[{[]/)
  if (start < 0) return undefined
  const { body, open } = balanced(text, start)
  for (const candidate of [body, withoutTrailingCommas(body), withoutTrailingCommas(closed(body, open))]) {
    try {
      return JSON.parse(candidate)
    } catch {
      // The next repair is tried; when none helps, the answer is refused.
    }
  }
  return undefined
}

/** From `start` to the bracket that closes it; `open` lists what is still unclosed where the text ends first. */
function balanced(text: string, start: number): { body: string; open: string[] } {
  const open: string[] = []
  let inString = false
  for (let at = start; at < text.length; at += 1) {
    const char = text[at]
    if (inString) {
      if (char === '\\') at += 1
      else if (char === '"') inString = false
    } else if (char === '"') inString = true
    else if (char === '{' || char === '[') open.push(char === '{' ? '}' : ']')
    else if (char === '}' || char === ']') {
      open.pop()
      if (open.length === 0) return { body: text.slice(start, at + 1), open }
    }
  }
  return { body: text.slice(start) + (inString ? '"' : ''), open }
}

function closed(body: string, open: string[]): string {
  return body.replace(/[,:]\s*$/, '').replace(/,\s*"[^"]*"$/, '') + open.toReversed().join('')
}

function withoutTrailingCommas(text: string): string {
  return text.replace(/,(\s*[}\]])/g, '$1')
}
