/** The chain from a sentence of the report back to characters of a document. */

/** How the knowledge store names a chunk: its number in the document, or its id. */
export type ChunkName = string | number

/** `quote` is `text.slice(start, end)` of the document's text, in UTF-16 units. */
export type Citation = { document: string; chunk: ChunkName; start: number; end: number; quote: string }

/** A sentence of the report as it stands in the markdown, with what it rests on. `computed` names the recipe of a calculated sentence. */
export type Claim = { text: string; citations: Citation[]; computed?: string }

/** A retrieved part of a document. `text` is `documentText.slice(start, end)`. `heading` is the path of headings above it, where known. */
export type Passage = { document: string; chunk: ChunkName; start: number; end: number; text: string; heading?: string }

/** What is wrong with a citation, judged against the document's text; undefined when nothing is. */
export function citationFault(citation: Citation, text: string): string | undefined {
  const { start, end, quote } = citation
  if (!Number.isInteger(start) || !Number.isInteger(end) || start < 0 || end <= start) return 'its range is no range'
  if (end > text.length) return `its range ends at ${end}, the document has ${text.length} characters`
  if (text.slice(start, end) !== quote) return 'its quote is not what stands there'
  return undefined
}
