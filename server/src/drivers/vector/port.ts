/**
 * The vector port: which stored vectors lie closest to a given one. What a driver promises:
 * - An index is a copy. The vectors stand in the database; a scope is read through `VectorSource` when it is first searched, and
 *   again after it was dropped or had to make room.
 * - `add` and `remove` are told after the commit and hold from the next search on. Adding an id again replaces its vector. For a
 *   scope that is not held they do nothing: it will be read whole.
 * - `search` answers at most `limit` hits, best first, by cosine (vectors have length 1, so -1 to 1). It may name a row that was
 *   removed while it ran; whoever reads the rows notices.
 */
export interface VectorRow {
  /** Positive; unique within its scope. */
  id: number
  vector: Float32Array
}

export interface VectorHit {
  id: number
  score: number
}

/** Answers all rows of a scope in batches. */
export type VectorSource = (scope: string) => AsyncIterable<readonly VectorRow[]>

export interface VectorIndex {
  search(scope: string, query: Float32Array, limit: number, accept?: (id: number) => boolean): Promise<VectorHit[]>
  add(scope: string, rows: readonly VectorRow[]): void
  remove(scope: string, ids: readonly number[]): void
  drop(scope: string): void
  /** What is held now. */
  size(): { scopes: number; vectors: number; bytes: number }
}
