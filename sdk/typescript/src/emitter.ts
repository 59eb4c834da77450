/** Typed listeners. One that throws does not keep the others from hearing. */
export class Emitter<E extends object> {
  readonly #listeners = new Map<keyof E, Set<(value: never) => void>>()

  /** Adds a listener; the answer removes it. */
  on<K extends keyof E>(name: K, listener: (value: E[K]) => void): () => void {
    const listeners = this.#listeners.get(name) ?? new Set()
    this.#listeners.set(name, listeners)
    listeners.add(listener)
    return () => void listeners.delete(listener)
  }

  has(name: keyof E): boolean {
    return (this.#listeners.get(name)?.size ?? 0) > 0
  }

  emit<K extends keyof E>(name: K, value: E[K]): void {
    for (const listener of this.#listeners.get(name) ?? []) {
      try {
        ;(listener as (value: E[K]) => void)(value)
      } catch (error) {
        // Reported where uncaught errors are, after everything else of this turn was done.
        queueMicrotask(() => {
          throw error
        })
      }
    }
  }
}
