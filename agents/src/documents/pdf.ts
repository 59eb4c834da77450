/** The text of a PDF as light markdown: lines as set, blank lines between paragraphs and pages, `#` before lines set clearly larger. */
import type { RefusalCode } from './document.ts'

export type PdfResult = { text: string } | { refused: RefusalCode; reason: string }

export type PdfLimits = { pages: number; characters: number }

const defaultLimits: PdfLimits = { pages: 1500, characters: 20_000_000 }

type Item = { str: string; x: number; y: number; width: number; size: number; font: string; endOfLine: boolean }
/** `font` is the line's only font, empty where it mixes several. */
type Line = { text: string; y: number; size: number; font: string }

export async function extractPdf(bytes: Uint8Array, limits: PdfLimits = defaultLimits): Promise<PdfResult> {
  if (!startsWithPdfMark(bytes)) return { refused: 'corrupt_pdf', reason: 'It is not a PDF inside: the mark "%PDF-" is missing.' }
  const { getDocumentProxy } = await import('unpdf')
  let pdf: Awaited<ReturnType<typeof getDocumentProxy>>
  try {
    // The reader takes its buffer over, so it gets a copy. verbosity 0: a broken file is reported by us, once.
    pdf = await getDocumentProxy(bytes.slice(), { verbosity: 0, stopAtErrors: false, useSystemFonts: false })
  } catch (error) {
    return refusalOf(error)
  }
  try {
    const pages: string[] = []
    let characters = 0
    for (let number = 1; number <= Math.min(pdf.numPages, limits.pages) && characters < limits.characters; number += 1) {
      const page = await pdf.getPage(number)
      const content = await page.getTextContent()
      const text = layOut(content.items.flatMap(toItem), number === 1)
      page.cleanup()
      characters += text.length
      if (text !== '') pages.push(text)
    }
    const text = pages.join('\n\n').slice(0, limits.characters)
    if (text.trim() === '') return { refused: 'no_text_layer', reason: 'The PDF has no text in it, only pictures of pages.' }
    return { text }
  } catch (error) {
    return refusalOf(error)
  } finally {
    await pdf.loadingTask.destroy()
  }
}

function startsWithPdfMark(bytes: Uint8Array): boolean {
  const head = new TextDecoder('latin1').decode(bytes.subarray(0, 1024))
  return head.includes('%PDF-')
}

function refusalOf(error: unknown): { refused: RefusalCode; reason: string } {
  if (error instanceof Error && error.name === 'PasswordException') {
    return { refused: 'encrypted_pdf', reason: 'The PDF is protected by a password.' }
  }
  return { refused: 'corrupt_pdf', reason: 'The PDF is damaged and cannot be read.' }
}

function toItem(item: object): Item[] {
  if (!('str' in item) || typeof item.str !== 'string') return []
  const source = item as { str: string; transform: number[]; width: number; fontName: string; hasEOL: boolean }
  const [, , c = 0, d = 0, x = 0, y = 0] = source.transform
  return [{ str: source.str, x, y, width: source.width, size: Math.hypot(c, d), font: source.fontName, endOfLine: source.hasEOL }]
}

function layOut(items: Item[], first: boolean): string {
  const lines = toLines(items)
  if (lines.length === 0) return ''
  const body = commonest(lines, (line) => Math.round(line.size * 2) / 2) ?? 0
  const bodyFont = commonest(lines, (line) => line.font)
  const out: string[] = []
  let previous: Line | undefined
  let titled = !first
  for (const line of lines) {
    const large = line.size > body * 1.15 && line.text.length < 140
    // A short line in a font of its own is a heading even at the size of the text.
    const apart =
      line.font !== '' &&
      line.font !== bodyFont &&
      line.size >= body * 0.95 &&
      line.text.length < 80 &&
      !/[.,;:]$/.test(line.text)
    const heading = (large || apart) && /\p{L}{3}/u.test(line.text)
    const gap = previous === undefined ? 0 : Math.abs(previous.y - line.y)
    const resized = previous !== undefined && Math.abs(previous.size - line.size) > body * 0.12
    if (
      previous !== undefined &&
      (heading || gap > Math.max(line.size, previous.size) * 1.6 || resized || line.y > previous.y + line.size)
    )
      out.push('')
    out.push(heading ? `${!titled || line.size > body * 1.5 ? '#' : '##'} ${line.text}` : line.text)
    // The first heading of a document is its title: all others stand below it.
    if (heading) titled = true
    previous = line
  }
  return out.join('\n').trim()
}

function toLines(items: Item[]): Line[] {
  const lines: Line[] = []
  let parts: string[] = []
  let size = 0
  let y = 0
  let edge: number | undefined
  let fonts = new Set<string>()
  const flush = () => {
    const text = parts.join('').replace(/\s+/g, ' ').trim()
    if (text !== '') lines.push({ text, y, size, font: fonts.size === 1 ? ([...fonts][0] ?? '') : '' })
    parts = []
    size = 0
    edge = undefined
    fonts = new Set()
  }
  for (const item of items) {
    if (parts.length > 0 && item.str !== '' && Math.abs(item.y - y) > Math.max(size, item.size) * 0.6) flush()
    // Columns set far apart on one line would otherwise run into each other.
    if (edge !== undefined && item.str.trim() !== '' && item.x - edge > item.size * 0.25 && !/\s$/.test(parts.at(-1) ?? ' '))
      parts.push(' ')
    if (item.str !== '') {
      parts.push(item.str)
      if (item.str.trim() !== '') {
        size = Math.max(size, item.size)
        y = item.y
        fonts.add(item.font)
        edge = item.x + item.width
      }
    }
    if (item.endOfLine) flush()
  }
  flush()
  return lines
}

/** The value that most characters of the page share. */
function commonest<T>(lines: Line[], valueOf: (line: Line) => T): T | undefined {
  const weight = new Map<T, number>()
  for (const line of lines) weight.set(valueOf(line), (weight.get(valueOf(line)) ?? 0) + line.text.length)
  return [...weight].toSorted((a, b) => b[1] - a[1])[0]?.[0]
}
