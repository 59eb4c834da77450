/** The documents of a run as the agents share them: texts are artifacts, passages are chunks of a knowledge collection. */
import type { Hub } from '@cadre/sdk'
import type { Passage } from '../citation.ts'
import type { DocumentKind, LoadedDocument } from '../documents/document.ts'
import { type Heading, headingAt, outlineOf } from '../research/outline.ts'

export interface CorpusDocument {
  /** POSIX path under the folder the documents came from. */
  document: string
  kind: DocumentKind
  /** SHA-256 of the text as UTF-8: the artifact that holds it. */
  artifact: string
  characters: number
}

export interface Corpus {
  collection: string
  documents: CorpusDocument[]
}

const maxTexts = 64
const pageSize = 500
const overviewPassages = 200
const smallDocuments = 32
/** About 250 passages, which fit one page of chunks even when they lie in one document. */
const smallCharacters = 250_000

/** Reads texts and passages for one agent; texts are kept, for several tasks ask for the same. */
export class Library {
  readonly #hub: Hub
  readonly #texts = new Map<string, Promise<string>>()
  readonly #outlines = new Map<string, Heading[]>()
  readonly #small = new Map<string, Passage[]>()

  constructor(hub: Hub) {
    this.#hub = hub
  }

  async text(entry: Pick<CorpusDocument, 'artifact'>): Promise<string> {
    const known = this.#texts.get(entry.artifact)
    if (known) return known
    const loading = this.#hub.artifacts.download(entry.artifact).then((bytes) => decode(bytes))
    if (this.#texts.size >= maxTexts) this.#texts.delete(this.#texts.keys().next().value ?? '')
    this.#texts.set(entry.artifact, loading)
    loading.catch(() => this.#texts.delete(entry.artifact))
    return loading
  }

  async loaded(entry: CorpusDocument): Promise<LoadedDocument> {
    return {
      document: entry.document,
      kind: entry.kind,
      text: await this.text(entry),
      extracted: false,
      encoding: 'utf-8',
      sha256: entry.artifact,
    }
  }

  /** Passages of prose that a search finds. */
  async search(corpus: Corpus, query: string, limit = 200): Promise<Passage[]> {
    const items = await this.#hub.knowledge.search(query.slice(0, 2000), { collection: corpus.collection, top_k: limit })
    const bySource = new Map(corpus.documents.map((entry) => [entry.document, entry]))
    const passages: Passage[] = []
    for (const hit of items) {
      const entry = hit.source === null ? undefined : bySource.get(hit.source)
      // Rows of tables are the analyst's; read as prose they make no sentences.
      if (entry && entry.kind !== 'csv' && entry.kind !== 'tsv')
        passages.push({ document: entry.document, chunk: hit.chunk, start: hit.start, end: hit.end, text: hit.text })
    }
    return passages
  }

  /** Every passage of prose of a small corpus, where ranking all of them is better than searching first; undefined for a larger one. */
  async everything(corpus: Corpus): Promise<Passage[] | undefined> {
    const prose = corpus.documents.filter((entry) => entry.kind !== 'csv' && entry.kind !== 'tsv')
    if (prose.length > smallDocuments || prose.reduce((sum, entry) => sum + entry.characters, 0) > smallCharacters)
      return undefined
    const key = JSON.stringify([corpus.collection, ...prose.map((entry) => [entry.document, entry.artifact])])
    const known = this.#small.get(key)
    if (known) return known
    const ids = await this.ids(corpus)
    const passages: Passage[] = []
    for (const entry of prose) {
      const id = ids.get(entry.document)
      if (id === undefined) continue
      const { items } = await this.#hub.call('knowledge.chunks', { id, limit: pageSize })
      for (const { chunk, start, end, text } of items) passages.push({ document: entry.document, chunk, start, end, text })
    }
    if (this.#small.size >= maxTexts) this.#small.clear()
    this.#small.set(key, passages)
    return passages
  }

  /** The opening passages of every document, for a question about all of them. */
  async openings(corpus: Corpus): Promise<Passage[]> {
    const passages: Passage[] = []
    const share = Math.max(2, Math.ceil(overviewPassages / Math.max(1, corpus.documents.length)))
    const documents = await this.ids(corpus)
    for (const entry of corpus.documents.slice(0, overviewPassages)) {
      const id = documents.get(entry.document)
      if (id === undefined) continue
      const { items } = await this.#hub.call('knowledge.chunks', { id, limit: Math.min(share, pageSize) })
      for (const chunk of items) passages.push({ document: entry.document, ...chunk })
    }
    return passages
  }

  /** Knowledge ids by document. */
  async ids(corpus: Corpus): Promise<Map<string, string>> {
    const ids = new Map<string, string>()
    for (let cursor: string | undefined; ; ) {
      const page = await this.#hub.call('knowledge.list', {
        collection: corpus.collection,
        limit: pageSize,
        ...(cursor !== undefined && { cursor }),
      })
      for (const item of page.items) if (item.source !== null) ids.set(item.source, item.id)
      if (page.next === null) return ids
      cursor = page.next
    }
  }

  /** Answers which chunk holds an offset of a document, for the documents named. */
  async chunkFinder(corpus: Corpus, documents: readonly string[]): Promise<(document: string, offset: number) => number> {
    const ids = await this.ids(corpus)
    const starts = new Map<string, { chunk: number; start: number }[]>()
    for (const document of documents) {
      const id = ids.get(document)
      if (id === undefined) continue
      const chunks: { chunk: number; start: number }[] = []
      for (let cursor: string | undefined; ; ) {
        const page = await this.#hub.call('knowledge.chunks', { id, limit: pageSize, ...(cursor !== undefined && { cursor }) })
        for (const { chunk, start } of page.items) chunks.push({ chunk, start })
        if (page.next === null) break
        cursor = page.next
      }
      starts.set(document, chunks)
    }
    return (document, offset) => starts.get(document)?.findLast((chunk) => chunk.start <= offset)?.chunk ?? 0
  }

  /** Answers the headings above an offset of the documents that these passages come from. */
  async headingFinder(corpus: Corpus, passages: readonly Passage[]): Promise<(document: string, offset: number) => string> {
    const named = new Set(passages.map((passage) => passage.document))
    const outlines = new Map<string, Heading[]>()
    for (const entry of corpus.documents) {
      if (!named.has(entry.document)) continue
      const known = this.#outlines.get(entry.artifact) ?? outlineOf(await this.text(entry))
      if (this.#outlines.size >= maxTexts) this.#outlines.delete(this.#outlines.keys().next().value ?? '')
      this.#outlines.set(entry.artifact, known)
      outlines.set(entry.document, known)
    }
    return (document, offset) => headingAt(outlines.get(document) ?? [], offset)
  }
}

// A byte-order mark is part of the text: offsets count it.
const decode = (bytes: Uint8Array): string => new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes)
