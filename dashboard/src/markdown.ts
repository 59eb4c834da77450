/**
 * The part of Markdown that reports use, as data: headings, paragraphs, lists, quotes, code, tables, rules; strong, emphasis, strike,
 * code, links and citation marks (`[1]`, `[1, 3]`, `[^2]`). Never HTML: what looks like a tag stays text.
 */
export type Inline =
  | { kind: 'text'; text: string }
  | { kind: 'code'; text: string }
  | { kind: 'strong' | 'emphasis' | 'strike'; children: Inline[] }
  | { kind: 'link'; href: string; children: Inline[] }
  | Cite
export interface Cite {
  kind: 'cite'
  numbers: number[]
}
export type Block =
  | { kind: 'heading'; level: number; children: Inline[] }
  | { kind: 'paragraph'; children: Inline[] }
  | { kind: 'list'; ordered: boolean; start: number; items: Block[][] }
  | { kind: 'quote'; blocks: Block[] }
  | { kind: 'code'; text: string }
  | { kind: 'table'; head: Inline[][]; rows: Inline[][][] }
  | { kind: 'rule' }

/** Longer texts are cut: a page is not the place for a book. UTF-16 units. */
const limit = 400_000
const maxDepth = 12

export const parseMarkdown = (source: string): Block[] =>
  parseBlocks(source.slice(0, limit).replaceAll(/\r\n?/g, '\n').split('\n'), 0)

const heading = /^ {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$/
const fence = /^ {0,3}(```+|~~~+)/
const rule = /^ {0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$/
const bullet = /^( {0,3})([-*+]|\d{1,9}[.)])([ \t]+|$)/
const quoted = /^ {0,3}> ?/
const divider = /^ {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/
const blank = /^\s*$/

function parseBlocks(lines: readonly string[], depth: number): Block[] {
  const blocks: Block[] = []
  const nests = depth < maxDepth
  let at = 0
  while (at < lines.length) {
    const line = lines[at]!
    const found = nests ? startOf(lines, at, depth) : undefined
    if (blank.test(line)) at++
    else if (found !== undefined) {
      blocks.push(found.block)
      at = found.next
    } else {
      const begin = at++
      while (at < lines.length && !blank.test(lines[at]!) && !(nests && interrupts(lines, at))) at++
      blocks.push({
        kind: 'paragraph',
        children: parseInline(
          lines
            .slice(begin, at)
            .map((each) => each.trim())
            .join('\n'),
        ),
      })
    }
  }
  return blocks
}

const interrupts = (lines: readonly string[], at: number): boolean => {
  const line = lines[at]!
  return heading.test(line) || fence.test(line) || rule.test(line) || quoted.test(line) || bullet.test(line) || isTable(lines, at)
}

const isTable = (lines: readonly string[], at: number): boolean =>
  lines[at]!.includes('|') &&
  divider.test(lines[at + 1] ?? '') &&
  (lines[at + 1] ?? '').includes('-') &&
  (lines[at + 1] ?? '').includes('|')

function startOf(lines: readonly string[], at: number, depth: number): { block: Block; next: number } | undefined {
  const line = lines[at]!
  const title = heading.exec(line)
  if (title !== null)
    return { block: { kind: 'heading', level: title[1]!.length, children: parseInline(title[2] ?? '') }, next: at + 1 }
  const opening = fence.exec(line)?.[1]
  if (opening !== undefined) return readCode(lines, at, opening)
  if (rule.test(line)) return { block: { kind: 'rule' }, next: at + 1 }
  if (quoted.test(line)) {
    let next = at
    while (next < lines.length && quoted.test(lines[next]!)) next++
    const inner = lines.slice(at, next).map((each) => each.replace(quoted, ''))
    return { block: { kind: 'quote', blocks: parseBlocks(inner, depth + 1) }, next }
  }
  if (bullet.test(line)) return readList(lines, at, depth)
  if (isTable(lines, at)) return readTable(lines, at)
  return undefined
}

function readCode(lines: readonly string[], at: number, opening: string): { block: Block; next: number } {
  let next = at + 1
  while (next < lines.length && !lines[next]!.trimStart().startsWith(opening)) next++
  return { block: { kind: 'code', text: lines.slice(at + 1, next).join('\n') }, next: Math.min(lines.length, next + 1) }
}

function readList(lines: readonly string[], at: number, depth: number): { block: Block; next: number } {
  const first = bullet.exec(lines[at]!)!
  const ordered = /\d/.test(first[2]!)
  const items: Block[][] = []
  let next = at
  for (;;) {
    const match = next < lines.length && !rule.test(lines[next]!) ? bullet.exec(lines[next]!) : null
    if (match === null || /\d/.test(match[2]!) !== ordered) break
    const indent = match[1]!.length + match[2]!.length + 1
    const body = [lines[next]!.slice(match[0].length)]
    next++
    while (next < lines.length) {
      const line = lines[next]!
      const inside = line.length - line.trimStart().length >= Math.min(indent, 2)
      if (blank.test(line)) {
        const after = lines[next + 1]
        if (after === undefined || blank.test(after) || after.length - after.trimStart().length < Math.min(indent, 2)) break
        body.push('')
      } else if (inside) body.push(line.slice(Math.min(indent, line.length - line.trimStart().length)))
      else if (interrupts(lines, next)) break
      else body.push(line)
      next++
    }
    items.push(parseBlocks(body, depth + 1))
    // A blank line between two items does not end the list.
    if (next + 1 < lines.length && blank.test(lines[next]!) && bullet.test(lines[next + 1]!)) next++
  }
  return { block: { kind: 'list', ordered, start: ordered ? Number.parseInt(first[2]!, 10) : 1, items }, next }
}

function readTable(lines: readonly string[], at: number): { block: Block; next: number } {
  const cells = (line: string) =>
    line
      .trim()
      .replace(/^\|/, '')
      .replace(/\|$/, '')
      .split(/(?<!\\)\|/)
      .map((cell) => parseInline(cell.trim().replaceAll('\\|', '|')))
  const head = cells(lines[at]!)
  let next = at + 2
  const rows: Inline[][][] = []
  while (next < lines.length && lines[next]!.includes('|') && !blank.test(lines[next]!)) {
    rows.push(cells(lines[next]!).slice(0, head.length))
    next++
  }
  return { block: { kind: 'table', head, rows }, next }
}

const marks = [
  { open: '**', kind: 'strong' },
  { open: '__', kind: 'strong' },
  { open: '~~', kind: 'strike' },
  { open: '*', kind: 'emphasis' },
  { open: '_', kind: 'emphasis' },
] as const
const cite = /\[\^?(\d{1,4}(?:\s*[,;]\s*\^?\d{1,4})*)\](?!\()/y
const link = /\[([^[\]\n]{1,500})\]\(\s*<?([^\s()<>]{1,2000})>?(?:\s+"[^"\n]{0,500}")?\s*\)/y
const bare = /https?:\/\/[^\s<>()[\]{}"'`]{1,2000}[^\s<>()[\]{}"'`.,;:!?]/y
const wordCharacter = /[\p{L}\p{N}]/u

export function parseInline(source: string, depth = 0): Inline[] {
  const out: Inline[] = []
  let plain = ''
  let at = 0
  const flush = () => {
    if (plain !== '') out.push({ kind: 'text', text: plain })
    plain = ''
  }
  const take = (expression: RegExp): RegExpExecArray | null => {
    expression.lastIndex = at
    return expression.exec(source)
  }
  while (at < source.length) {
    const character = source[at]!
    if (character === '\\' && /[!-/:-@[-`{-~]/.test(source[at + 1] ?? '')) {
      plain += source[at + 1]
      at += 2
      continue
    }
    const found = readInline(source, at, character, depth, take)
    if (found === undefined) {
      plain += character
      at++
      continue
    }
    flush()
    out.push(found.node)
    at = found.next
  }
  flush()
  return out
}

type Taker = (expression: RegExp) => RegExpExecArray | null

function readInline(
  source: string,
  at: number,
  character: string,
  depth: number,
  take: Taker,
): { node: Inline; next: number } | undefined {
  if (character === '`') {
    const ticks = /^`+/.exec(source.slice(at, at + 20))![0]
    const end = source.slice(0, at + reach).indexOf(ticks, at + ticks.length)
    return end < 0
      ? undefined
      : { node: { kind: 'code', text: source.slice(at + ticks.length, end).trim() }, next: end + ticks.length }
  }
  if (character === '[') {
    const numbers = take(cite)
    if (numbers !== null)
      return { node: { kind: 'cite', numbers: [...numbers[1]!.matchAll(/\d+/g)].map(Number) }, next: at + numbers[0].length }
    const target = take(link)
    if (target === null) return undefined
    const children = depth < maxDepth ? parseInline(target[1]!, depth + 1) : [{ kind: 'text' as const, text: target[1]! }]
    const href = safeAddress(target[2]!)
    // An address of another scheme is not followed; its words stay.
    return {
      node: href === undefined ? { kind: 'emphasis', children } : { kind: 'link', href, children },
      next: at + target[0].length,
    }
  }
  if (character === 'h') {
    const address = take(bare)?.[0]
    return address === undefined
      ? undefined
      : { node: { kind: 'link', href: address, children: [{ kind: 'text', text: address }] }, next: at + address.length }
  }
  if (depth >= maxDepth) return undefined
  for (const { open, kind } of marks) {
    if (!source.startsWith(open, at)) continue
    const end = closing(source, at, open)
    if (end === undefined) continue
    return { node: { kind, children: parseInline(source.slice(at + open.length, end), depth + 1) }, next: end + open.length }
  }
  return undefined
}

/** How far a mark looks for its end: without a bound, a text full of lone marks takes quadratic time. */
const reach = 4000

/** The end of a marked stretch: no blank inside the marks, no underscore within a word, and not the half of a longer mark. */
function closing(source: string, at: number, open: string): number | undefined {
  const begin = at + open.length
  if (/\s/.test(source[begin] ?? ' ')) return undefined
  if (open.startsWith('_') && wordCharacter.test(source[at - 1] ?? '')) return undefined
  const near = source.slice(0, begin + reach)
  for (let end = near.indexOf(open, begin + 1); end >= 0; end = near.indexOf(open, end + 1)) {
    if (/\s/.test(source[end - 1]!) || source[end - 1] === '\\') continue
    if (open.length === 1 && source[end + 1] === open) {
      end++
      continue
    }
    if (open.startsWith('_') && wordCharacter.test(source[end + open.length] ?? '')) continue
    return end
  }
  return undefined
}

/** Only addresses that lead to a page: http, https, mailto, and places on this server. */
export function safeAddress(address: string): string | undefined {
  return /^(?:https?:\/\/|mailto:|#|\/(?!\/|\\))/i.test(address) ? address : undefined
}

/** The words without marks, and where in them each citation mark stands. */
export function plainOf(nodes: readonly Inline[]): {
  text: string
  cites: { node: Cite; at: number }[]
  strikes: { node: Inline; start: number; end: number }[]
} {
  const out = {
    text: '',
    cites: [] as { node: Cite; at: number }[],
    strikes: [] as { node: Inline; start: number; end: number }[],
  }
  const walk = (list: readonly Inline[]) => {
    for (const node of list) {
      if (node.kind === 'cite') out.cites.push({ node, at: out.text.length })
      else if (node.kind === 'text' || node.kind === 'code') {
        const text = node.text.replaceAll(/\s+/g, ' ')
        out.text += out.text.endsWith(' ') ? text.trimStart() : text
      } else {
        const start = out.text.length
        walk(node.children)
        if (node.kind === 'strike') out.strikes.push({ node, start, end: out.text.length })
      }
    }
  }
  walk(nodes)
  return out
}
