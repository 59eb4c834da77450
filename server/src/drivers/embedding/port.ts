/**
 * The embedding port. What an embedder promises:
 * - The same text yields the same vector for as long as `id` is unchanged; vectors of two ids are never compared.
 * - Vectors have `dimensions` numbers and length 1, or are all zero when the text holds nothing to embed.
 * - `embed` answers one vector for each text, in order. It yields to the event loop; a remote embedder may reject with
 *   `unavailable`, and then none of the batch is answered.
 */
export interface Embedder {
  /** Names method and version. Stored vectors are read back only by the embedder that made them. */
  readonly id: string
  readonly dimensions: number
  embed(texts: readonly string[]): Promise<Float32Array[]>
}
