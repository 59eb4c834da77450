/**
 * Adding a text without holding up others: all slices but the last are written ahead, each in a transaction of its own, under a
 * document nobody sees; the last one is written with whatever makes the document visible.
 */
import type { Database, Tx } from '../../drivers/database/port.ts'
import type { Embedder } from '../../drivers/embedding/port.ts'
import type { VectorRow } from '../../drivers/vector/port.ts'
import { prepare, toVector } from './prepare.ts'
import { type ChunkRow, type DocumentRow, insertChunks, insertDocument, setDocumentState, showDocument } from './store.ts'

export interface Staged {
  /** The document as `finish` leaves it. */
  document: DocumentRow
  /** Writes the last slice and shows the document. Answers the vectors of all its chunks. */
  finish(tx: Tx): Promise<VectorRow[]>
  /** Leaves what was written ahead to be cleared away. */
  abandon(): Promise<void>
}

export async function stage(
  { database, embedder }: { database: Database; embedder: Embedder },
  document: DocumentRow,
  content: string,
  signal: AbortSignal,
): Promise<Staged> {
  const { dialect } = database
  const written: VectorRow[] = []
  let last: ChunkRow[] = []
  let ahead = 0

  const write = async (tx: Tx, slice: readonly ChunkRow[]): Promise<VectorRow[]> => {
    const ids = await insertChunks(tx, dialect, document, slice)
    return slice.map((row, at) => ({ id: ids[at] as number, vector: toVector(row.vector) }))
  }

  async function writeAhead(slice: readonly ChunkRow[]): Promise<void> {
    const first = ahead === 0
    const rows = await database.transaction(async (tx) => {
      if (first) await insertDocument(tx, document)
      return write(tx, slice)
    })
    written.push(...rows)
    ahead += slice.length
  }

  async function abandon(): Promise<void> {
    if (ahead > 0) await database.transaction((tx) => setDocumentState(tx, document.id, 'removing'))
  }

  try {
    for await (const slice of prepare(document.title, content, embedder)) {
      signal.throwIfAborted()
      if (last.length > 0) await writeAhead(last)
      last = slice
    }
  } catch (error) {
    await abandon()
    throw error
  }
  const ready: DocumentRow = { ...document, state: 'ready', chunks: ahead + last.length }
  return {
    document: ready,
    async finish(tx) {
      if (ahead === 0) await insertDocument(tx, ready)
      else await showDocument(tx, ready)
      return [...written, ...(await write(tx, last))]
    },
    abandon,
  }
}
