/** What a document may be; `markdown`, `text`, `csv`, `tsv`, `json` and `jsonl` are cited in their raw decoded text, `html` and `pdf` in the extracted one. */
export type DocumentKind = 'markdown' | 'text' | 'csv' | 'tsv' | 'json' | 'jsonl' | 'html' | 'pdf'

export type RefusalCode =
  | 'unsupported_type'
  | 'not_text'
  | 'empty'
  | 'too_large'
  | 'too_many'
  | 'corrupt_pdf'
  | 'encrypted_pdf'
  | 'no_text_layer'
  | 'unreadable'
  | 'outside'

/** `text` is what citations index in UTF-16 units. `extracted` says that it is not the file's own text and must be published beside the citations. */
export type LoadedDocument = {
  document: string
  kind: DocumentKind
  text: string
  extracted: boolean
  encoding: string
  sha256: string
}

/** `reason` is one sentence for a person. */
export type RefusedDocument = { document: string; refused: RefusalCode; reason: string }

export type LoadResult = LoadedDocument | RefusedDocument

export function isRefused(result: LoadResult): result is RefusedDocument {
  return 'refused' in result
}

const kindByExtension: Record<string, DocumentKind> = {
  md: 'markdown',
  markdown: 'markdown',
  txt: 'text',
  text: 'text',
  log: 'text',
  csv: 'csv',
  tsv: 'tsv',
  json: 'json',
  jsonl: 'jsonl',
  ndjson: 'jsonl',
  html: 'html',
  htm: 'html',
  xhtml: 'html',
  pdf: 'pdf',
}

/** The kind that a file name promises, or undefined for a type that no reader exists for. */
export function documentKind(name: string): DocumentKind | undefined {
  return kindByExtension[extensionOf(name)]
}

/** The extension in lower case without its dot; empty where there is none. */
export function extensionOf(name: string): string {
  const base = name.slice(name.lastIndexOf('/') + 1)
  const dot = base.lastIndexOf('.')
  return dot <= 0 ? '' : base.slice(dot + 1).toLowerCase()
}

/** 1_234_567 -> "1.2 MB"; sizes in refusals are for reading, not for arithmetic. */
export function readableSize(bytes: number): string {
  if (bytes < 1000) return `${bytes} bytes`
  if (bytes < 1_000_000) return `${(bytes / 1000).toFixed(1)} kB`
  return `${(bytes / 1_000_000).toFixed(1)} MB`
}
