/** The headings of a document by offset, so that any sentence can be told what it stands under. Linear, for documents of any size. */

export type Heading = { start: number; end: number; level: number; path: string }

const maxHeadings = 20_000

/** Markdown headings, underlined headings, and lone short lines without a stop, as plain text has them. `path` joins the titles from the top with " › ". */
export function outlineOf(text: string): Heading[] {
  const found: Heading[] = []
  const open: { level: number; title: string }[] = []
  const push = (start: number, end: number, level: number, raw: string) => {
    while ((open.at(-1)?.level ?? 0) >= level) open.pop()
    open.push({
      level,
      title: raw
        .replace(/[*_`#\r\uFEFF]+/g, '')
        .trim()
        .slice(0, 160),
    })
    found.push({ start, end, level, path: open.map((entry) => entry.title).join(' › ') })
  }
  let fence = false
  let before = ''
  let beforeAt = 0
  let twoBefore = ''
  for (let at = 0; at <= text.length && found.length < maxHeadings; ) {
    const newline = text.indexOf('\n', at)
    const end = newline < 0 ? text.length : newline
    const line = text
      .slice(at, Math.min(end, at + 200))
      .replace('\uFEFF', '')
      .trim()
    if (/^(?:`{3}|~{3})/.test(line)) fence = !fence
    else if (!fence) {
      const hash = /^(#{1,6})[ \t]+(\S.*)/.exec(line)
      if (hash !== null) push(at, end, hash[1]?.length ?? 1, hash[2] ?? '')
      else if (/^(?:={3,}|-{3,})$/.test(line) && before !== '' && before.length < 120 && twoBefore === '')
        push(beforeAt, end, line[0] === '=' ? 1 : 2, before)
      else if (line === '' && twoBefore === '' && isLoneTitle(before, found.length === 0))
        push(beforeAt, at, found.length === 0 ? 1 : 2, before)
    }
    twoBefore = before
    before = line
    beforeAt = at
    if (newline < 0) break
    at = newline + 1
  }
  return found
}

/** "Interview summary: remote work" alone between blank lines. Below the top, a field ("Date: today") is none. */
export function isLoneTitle(line: string, top: boolean): boolean {
  if (line.length < 3 || line.length > 90 || !/^[\p{Lu}\d]/u.test(line) || !/\p{L}{3}/u.test(line)) return false
  // A stop anywhere inside makes it prose; marks of citations and tables are no part of titles.
  if (/[.!?]\s|[\])]$/.test(line)) return false
  if (/[.!?:;,…。]["'”)]*$/.test(line) || /[|<>{}]/.test(line)) return false
  return top || !/^[^:]{1,40}:\s/.test(line)
}

/** The path at an offset; empty above the first heading. A heading does not stand under itself. */
export function headingAt(outline: Heading[], offset: number): string {
  let low = 0
  let high = outline.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((outline[middle]?.end ?? 0) <= offset) low = middle + 1
    else high = middle
  }
  return outline[low - 1]?.path ?? ''
}
