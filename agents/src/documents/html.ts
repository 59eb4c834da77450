/**
 * The readable text of an HTML page as light markdown lines: headings `#`, list items `-`, table rows `| a | b |`, paragraphs apart.
 * One pass over the characters and no tree: a DOM (happy-dom 21) took 2 s a megabyte here, and overflowed the stack at 5,000 nested
 * elements; this takes 10-20 ms a megabyte. Nothing is run and nothing is loaded, because nothing here could.
 */
import { decodeEntities } from './entities.ts'

/** Their content is text to a tokeniser and never prose. */
const rawElements = new Set(['script', 'style', 'textarea', 'iframe', 'noembed', 'noframes', 'xmp', 'template'])
/** Page furniture: left out with everything inside. `header` only outside an article, where it may hold the title. */
const furniture = new Set([
  'nav',
  'footer',
  'aside',
  'form',
  'svg',
  'math',
  'select',
  'button',
  'dialog',
  'object',
  'canvas',
  'audio',
  'video',
  'noscript',
  'head',
])
const voidElements = new Set([
  'br',
  'hr',
  'img',
  'input',
  'meta',
  'link',
  'area',
  'base',
  'col',
  'embed',
  'source',
  'track',
  'wbr',
  'param',
])
const blocks = new Set([
  'address',
  'article',
  'blockquote',
  'body',
  'caption',
  'center',
  'dd',
  'details',
  'div',
  'dl',
  'dt',
  'fieldset',
  'figcaption',
  'figure',
  'h1',
  'h2',
  'h3',
  'h4',
  'h5',
  'h6',
  'header',
  'html',
  'legend',
  'li',
  'main',
  'ol',
  'p',
  'pre',
  'section',
  'summary',
  'table',
  'tbody',
  'tfoot',
  'thead',
  'tr',
  'ul',
])

/** Each costs a second reading of the rest of the page. */
const maxRewinds = 6

type Tag = { name: string; closing: boolean; selfClosing: boolean; hidden: boolean; next: number }

type Writer = {
  lines: string[]
  inline: string[]
  prefix: string
  cells: string[] | undefined
  rowsInTable: number
  keepLines: boolean
}

export function extractHtml(html: string): string {
  const out: Writer = { lines: [], inline: [], prefix: '', cells: undefined, rowsInTable: 0, keepLines: false }
  let at = 0
  let articles = 0
  /** Name, nesting count and first character of the element being left out. */
  let skipping = ''
  let skipDepth = 0
  let skipFrom = 0
  /** Elements that once swallowed the rest of the page because they were never closed; they are read like any other from then on. */
  const unclosed = new Set<string>()
  let titleText = ''
  for (;;) {
    if (at >= html.length) {
      if (skipping === '' || unclosed.size >= maxRewinds) break
      unclosed.add(skipping)
      skipping = ''
      at = skipFrom
      continue
    }
    const open = html.indexOf('<', at)
    const end = open < 0 ? html.length : open
    if (end > at && skipping === '') writeText(out, html.slice(at, end))
    if (open < 0) {
      at = html.length
      continue
    }
    const tag = readTag(html, open)
    if (tag === undefined) {
      if (skipping === '') writeText(out, '<')
      at = open + 1
      continue
    }
    at = tag.next
    if (tag.name === '') continue
    if (!tag.closing && tag.name === 'title' && titleText === '') {
      const close = indexOfClosing(html, 'title', at)
      titleText = collapse(decodeEntities(html.slice(at, close)))
      at = close
      continue
    }
    if (!tag.closing && rawElements.has(tag.name) && !tag.selfClosing) {
      at = indexOfClosing(html, tag.name, at)
      continue
    }
    if (skipping !== '') {
      if (tag.name === skipping && !voidElements.has(tag.name)) skipDepth += tag.closing ? -1 : tag.selfClosing ? 0 : 1
      // A page that never closes its head or nav would otherwise vanish whole.
      if (skipDepth <= 0 || (skipping === 'head' && tag.name === 'body')) skipping = ''
      continue
    }
    if (tag.name === 'article' || tag.name === 'main') articles += tag.closing ? -1 : 1
    const leftOut = furniture.has(tag.name) || tag.hidden || (tag.name === 'header' && articles <= 0)
    if (
      !tag.closing &&
      leftOut &&
      !tag.selfClosing &&
      !voidElements.has(tag.name) &&
      !unclosed.has(tag.name) &&
      unclosed.size < maxRewinds
    ) {
      skipping = tag.name
      skipDepth = 1
      skipFrom = at
      continue
    }
    writeTag(out, tag)
  }
  flush(out)
  return assemble(out.lines, titleText)
}

function assemble(lines: string[], title: string): string {
  const body = lines
    .join('\n')
    .replace(/\n{3,}/g, '\n\n')
    .trim()
  if (title === '' || body === '') return body
  const firstLine = body.slice(0, Math.max(0, body.indexOf('\n')) || body.length).replace(/^#+\s*/, '')
  return firstLine === title || /^# /m.test(body.slice(0, 4000)) ? body : `# ${title}\n\n${body}`
}

function writeTag(out: Writer, tag: Tag): void {
  const { name, closing } = tag
  if (name === 'br') {
    if (out.cells === undefined) lineBreak(out)
    else out.inline.push(' ')
    return
  }
  if (name === 'td' || name === 'th') {
    if (!closing) {
      out.cells ??= []
      out.inline = []
    } else if (out.cells !== undefined) {
      out.cells.push(takeInline(out))
    }
    return
  }
  if (!blocks.has(name) && name !== 'hr') return
  if (out.cells !== undefined && name !== 'tr' && name !== 'table' && name !== 'tbody') {
    out.inline.push(' ')
    return
  }
  flush(out)
  if (name === 'pre') out.keepLines = !closing
  if (name === 'tr') {
    if (!closing) out.cells = []
    return
  }
  if (name === 'table') out.rowsInTable = 0
  if (name === 'li') {
    out.prefix = closing ? '' : '- '
    return
  }
  if (name === 'dt' || name === 'dd' || name === 'thead' || name === 'tbody' || name === 'tfoot') return
  blank(out)
  const level = /^h([1-6])$/.exec(name)
  out.prefix = level !== null && !closing ? `${'#'.repeat(Number(level[1]))} ` : ''
}

function writeText(out: Writer, raw: string): void {
  const text = decodeEntities(raw)
  if (!out.keepLines) {
    out.inline.push(text)
    return
  }
  const lines = text.split(/\r?\n/)
  for (const [index, line] of lines.entries()) {
    out.inline.push(line)
    if (index < lines.length - 1) lineBreak(out)
  }
}

function takeInline(out: Writer): string {
  const text = collapse(out.inline.join(''))
  out.inline = []
  return text
}

function lineBreak(out: Writer): void {
  const text = takeInline(out)
  if (text !== '') out.lines.push(out.prefix + text)
  out.prefix = ''
}

/** Ends the open line, or the open table row. */
function flush(out: Writer): void {
  if (out.cells === undefined) {
    const text = takeInline(out)
    if (text === '') return
    out.lines.push(out.prefix + text)
    out.prefix = ''
    return
  }
  const rest = takeInline(out)
  if (rest !== '') out.cells.push(rest)
  const cells = out.cells
  out.cells = undefined
  if (cells.every((cell) => cell === '')) return
  out.lines.push(`| ${cells.map((cell) => cell.replaceAll('|', '/')).join(' | ')} |`)
  if (out.rowsInTable === 0) out.lines.push(`|${' --- |'.repeat(cells.length)}`)
  out.rowsInTable += 1
}

function blank(out: Writer): void {
  if (out.lines.length > 0 && out.lines.at(-1) !== '') out.lines.push('')
}

function collapse(text: string): string {
  return text.replace(/[\s\u00a0]+/g, ' ').trim()
}

/** The tag, comment or declaration at `open`; undefined when this `<` is only a character. `name` is empty for comments and declarations. */
function readTag(html: string, open: number): Tag | undefined {
  const nothing = { name: '', closing: false, selfClosing: false, hidden: false }
  if (html.startsWith('<!--', open)) {
    const close = html.indexOf('-->', open + 4)
    return { ...nothing, next: close < 0 ? html.length : close + 3 }
  }
  const second = html.charCodeAt(open + 1)
  if (second === 0x21 || second === 0x3f) return { ...nothing, next: endOfTag(html, open + 2) }
  const closing = second === 0x2f
  const from = open + (closing ? 2 : 1)
  let to = from
  while (to < html.length && isNameCode(html.charCodeAt(to))) to += 1
  if (to === from || !isLetterCode(html.charCodeAt(from))) return undefined
  const next = endOfTag(html, to)
  const attributes = next - to > 2 && next - to < 600 ? html.slice(to, next) : ''
  return {
    name: html.slice(from, to).toLowerCase(),
    closing,
    selfClosing: html.charCodeAt(next - 2) === 0x2f,
    hidden: !closing && attributes !== '' && isHidden(attributes),
    next,
  }
}

function isHidden(attributes: string): boolean {
  return (
    /\saria-hidden\s*=\s*["']?true/i.test(attributes) ||
    /\shidden(?=[\s/>=])/i.test(attributes) ||
    /\sstyle\s*=\s*["'][^"']*display\s*:\s*none/i.test(attributes) ||
    /\srole\s*=\s*["']?(?:navigation|banner|contentinfo|search)\b/i.test(attributes)
  )
}

/** Past the `>` that ends a tag; a `>` inside a quoted attribute does not. A quote that is never closed costs one look at the next 64 kB only. */
function endOfTag(html: string, from: number): number {
  const limit = Math.min(html.length, from + 65_536)
  let quote = 0
  for (let at = from; at < limit; at += 1) {
    const code = html.charCodeAt(at)
    if (quote !== 0) {
      if (code === quote) quote = 0
    } else if (code === 0x3e) return at + 1
    else if ((code === 0x22 || code === 0x27) && html.charCodeAt(at - 1) === 0x3d) quote = code
  }
  const plain = html.indexOf('>', from)
  return plain < 0 ? html.length : plain + 1
}

/** Where `</name` begins at or after `from`, else the end of the page. */
function indexOfClosing(html: string, name: string, from: number): number {
  const pattern = new RegExp(`</${name}(?=[\\s/>])`, 'gi')
  pattern.lastIndex = from
  return pattern.exec(html)?.index ?? html.length
}

function isLetterCode(code: number): boolean {
  return (code >= 0x61 && code <= 0x7a) || (code >= 0x41 && code <= 0x5a)
}

function isNameCode(code: number): boolean {
  return isLetterCode(code) || (code >= 0x30 && code <= 0x39) || code === 0x2d || code === 0x3a || code === 0x5f
}
