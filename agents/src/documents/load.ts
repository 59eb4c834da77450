import { createHash } from 'node:crypto'
import { decodeText } from './decode.ts'
import { documentKind, extensionOf, type LoadResult, type RefusalCode, type RefusedDocument } from './document.ts'
import { extractHtml } from './html.ts'
import { extractPdf } from './pdf.ts'

/** One file to citable text, or a refusal with its reason in one sentence. Never throws for what the bytes hold. */
export async function loadDocument(name: string, bytes: Uint8Array): Promise<LoadResult> {
  const kind = documentKind(name)
  if (kind === undefined) {
    const extension = extensionOf(name)
    const what = extension === '' ? 'A file without an extension' : `A .${extension} file`
    return refuse(name, 'unsupported_type', `${what} cannot be read: .md, .txt, .csv, .tsv, .json, .jsonl, .html and .pdf can.`)
  }
  if (bytes.length === 0) return refuse(name, 'empty', 'The file is empty.')
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  if (kind === 'pdf') {
    const result = await extractPdf(bytes)
    if ('refused' in result) return refuse(name, result.refused, result.reason)
    return { document: name, kind, text: result.text, extracted: true, encoding: 'pdf', sha256 }
  }
  const decoded = decodeText(bytes, kind === 'html' ? declaredCharset(bytes) : undefined)
  if ('binary' in decoded) return refuse(name, 'not_text', `The file is not text: ${decoded.binary}.`)
  const text = kind === 'html' ? extractHtml(decoded.text) : decoded.text
  if (text.replace('\uFEFF', '').trim() === '') {
    return refuse(name, 'empty', kind === 'html' ? 'The page has no readable text.' : 'The file holds nothing but white space.')
  }
  return { document: name, kind, text, extracted: kind === 'html', encoding: decoded.encoding, sha256 }
}

function refuse(document: string, refused: RefusalCode, reason: string): RefusedDocument {
  return { document, refused, reason }
}

function declaredCharset(bytes: Uint8Array): string | undefined {
  const head = new TextDecoder('latin1').decode(bytes.subarray(0, 2048))
  return /<meta[^>]{0,200}charset\s*=\s*["']?([\w-]{2,40})/i.exec(head)?.[1]
}
