/** The best `limit` of many scores: a heap with the worst kept one on top. */
import type { VectorHit } from './port.ts'

export class Nearest {
  readonly #limit: number
  readonly #heap: VectorHit[] = []

  constructor(limit: number) {
    this.#limit = limit
  }

  /** A score has to exceed this to be kept. */
  get threshold(): number {
    return this.#heap.length < this.#limit ? Number.NEGATIVE_INFINITY : (this.#heap[0] as VectorHit).score
  }

  offer(id: number, score: number): void {
    const heap = this.#heap
    if (heap.length < this.#limit) {
      heap.push({ id, score })
      this.#rise(heap.length - 1)
    } else if (score > (heap[0] as VectorHit).score) {
      heap[0] = { id, score }
      this.#sink(0)
    }
  }

  /** Best first; equal scores in the order of their ids. */
  ranked(): VectorHit[] {
    return this.#heap.toSorted((a, b) => b.score - a.score || a.id - b.id)
  }

  #rise(from: number): void {
    let at = from
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (this.#score(parent) <= this.#score(at)) return
      this.#swap(at, parent)
      at = parent
    }
  }

  #sink(from: number): void {
    let at = from
    for (;;) {
      const left = 2 * at + 1
      const right = left + 1
      let least = at
      if (left < this.#heap.length && this.#score(left) < this.#score(least)) least = left
      if (right < this.#heap.length && this.#score(right) < this.#score(least)) least = right
      if (least === at) return
      this.#swap(at, least)
      at = least
    }
  }

  #score(at: number): number {
    return (this.#heap[at] as VectorHit).score
  }

  #swap(a: number, b: number): void {
    const kept = this.#heap[a] as VectorHit
    this.#heap[a] = this.#heap[b] as VectorHit
    this.#heap[b] = kept
  }
}
