/** Those who wait until nothing is under way. */
export class Idle {
  readonly #waiting = new Set<() => void>()

  /** Resolves at once when `size` is 0, otherwise with the next `wake`. */
  when(size: number): Promise<void> {
    return size === 0 ? Promise.resolve() : new Promise((resolve) => this.#waiting.add(resolve))
  }

  wake(): void {
    for (const wake of this.#waiting) wake()
    this.#waiting.clear()
  }
}
