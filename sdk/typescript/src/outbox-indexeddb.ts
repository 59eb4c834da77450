/** `@cadre/sdk/outbox-indexeddb`: a durable outbox in a browser. */
import { DurableOutbox, type OutboxOptions, type OutboxStore, type StoredCall } from './durable-outbox.ts'
import { CadreClientError } from './errors.ts'
import type { Outbox } from './outbox-port.ts'

const storeName = 'calls'

/**
 * Keeps what is sent in the IndexedDB database `cadre-outbox:<name>` until the server has answered: `connect(url, { outbox:
 * indexedDbOutbox('editor') })`. A page that comes back with the same name sends the rest, in order and under the same idempotency
 * keys. For one tab or worker at a time (`outbox_locked`); the lock needs Web Locks, which browsers have on https and localhost.
 */
export function indexedDbOutbox(name: string, options: OutboxOptions = {}): Outbox {
  return new DurableOutbox(new IndexedDbStore(`cadre-outbox:${name}`), options)
}

/** The part of the browser's interfaces that is used; the SDK is compiled without them. */
interface Request<T> {
  result: T
  error: unknown
  addEventListener(type: 'success' | 'error' | 'upgradeneeded', listener: () => void): void
}
interface Transaction {
  objectStore(name: string): { put(value: unknown): unknown; delete(key: number): unknown; getAll(): Request<StoredCall[]> }
  error: unknown
  addEventListener(type: 'complete' | 'abort', listener: () => void): void
}
interface IndexedDatabase {
  createObjectStore(name: string, options: { keyPath: string }): unknown
  transaction(names: string[], mode: 'readonly' | 'readwrite', options?: { durability: 'strict' | 'relaxed' }): Transaction
  close(): void
}
interface Browser {
  indexedDB?: { open(name: string, version: number): Request<IndexedDatabase> }
  navigator?: {
    locks?: {
      request(name: string, options: { ifAvailable: true }, run: (lock: unknown) => Promise<void> | undefined): Promise<unknown>
    }
  }
}

class IndexedDbStore implements OutboxStore {
  readonly #name: string
  #database: IndexedDatabase | undefined
  #release = (): void => {}

  constructor(name: string) {
    this.#name = name
  }

  async open(): Promise<{ calls: StoredCall[]; damaged: number }> {
    const { indexedDB } = globalThis as unknown as Browser
    if (!indexedDB) throw new CadreClientError('outbox_failed', 'There is no IndexedDB here; use fileOutbox outside of browsers.')
    this.#release = await lock(this.#name)
    try {
      const opening = indexedDB.open(this.#name, 1)
      opening.addEventListener('upgradeneeded', () => void opening.result.createObjectStore(storeName, { keyPath: 'seq' }))
      this.#database = await outcome(opening)
      const calls = await outcome(this.#database.transaction([storeName], 'readonly').objectStore(storeName).getAll())
      return { calls, damaged: 0 }
    } catch (error) {
      await this.close()
      throw error
    }
  }

  write(added: readonly StoredCall[], removed: readonly StoredCall[]): Promise<void> {
    return new Promise((resolve, reject) => {
      if (!this.#database) throw new CadreClientError('outbox_failed', 'The outbox is not open.')
      // What is removed may come back after a crash: it is sent again under its key, and answered as a duplicate.
      const durability = added.length > 0 ? 'strict' : 'relaxed'
      const transaction = this.#database.transaction([storeName], 'readwrite', { durability })
      const store = transaction.objectStore(storeName)
      for (const { seq } of removed) store.delete(seq)
      for (const call of added) store.put(call)
      transaction.addEventListener('complete', () => resolve())
      const aborted = () => reject(transaction.error ?? new Error('the browser aborted the write'))
      transaction.addEventListener('abort', aborted)
    })
  }

  async close(): Promise<void> {
    this.#database?.close()
    this.#database = undefined
    this.#release()
  }
}

const outcome = <T>(request: Request<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    request.addEventListener('success', () => resolve(request.result))
    request.addEventListener('error', () => reject(request.error))
  })

/** Held until the answer is called, or the tab is gone. */
function lock(name: string): Promise<() => void> {
  const { locks } = (globalThis as unknown as Browser).navigator ?? {}
  return new Promise((resolve, reject) => {
    const refuse = (message: string) => reject(new CadreClientError('outbox_locked', message, { parameters: { name } }))
    if (!locks) return refuse('This page has no Web Locks, which keep two tabs from using one outbox; serve it by https.')
    locks
      .request(name, { ifAvailable: true }, (held) => {
        if (held) return new Promise<void>((release) => resolve(release))
        refuse('The outbox is in use by another tab; give each a name of its own, or close that one.')
        return undefined
      })
      .catch(reject)
  })
}
