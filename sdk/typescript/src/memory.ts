/** Shared memory: versioned values under keys. */
import type { InputOf, MemoryEntry, OutputOf } from '@cadre/contract'
import type { Call, CallOptions } from './calls.ts'
import { CadreClientError, hasCode } from './errors.ts'
import { forwards } from './forwarding.ts'

/** Under contention each round has one winner, so this many writers at once still all succeed. */
const maxTries = 32

export type Entry<V> = Omit<MemoryEntry, 'value'> & { value: V }
export type SetOptions = Omit<InputOf<'memory.set'>, 'key' | 'value'> & CallOptions

export interface Memory {
  /** The entry with its version, or undefined when there is none. */
  get<V = unknown>(key: string, options?: CallOptions & { version?: number }): Promise<Entry<V> | undefined>
  /** Writes; with `if_version` only over that version (0: only if there is none), otherwise `version_mismatch`. */
  set(key: string, value: unknown, options?: SetOptions): Promise<OutputOf<'memory.set'>>
  delete(key: string, options?: CallOptions & { if_version?: number }): Promise<OutputOf<'memory.delete'>>
  list(query?: InputOf<'memory.list'> & CallOptions): Promise<OutputOf<'memory.list'>>
  history(key: string, query?: Omit<InputOf<'memory.history'>, 'key'> & CallOptions): Promise<OutputOf<'memory.history'>>
  /**
   * Reads, changes and writes until nobody wrote in between. `change` gets the current value, undefined when there is none, and may
   * run several times. Gives up with `version_mismatch` after 32 lost rounds.
   */
  update<V = unknown>(
    key: string,
    change: (current: V | undefined) => V | Promise<V>,
    options?: Omit<SetOptions, 'if_version' | 'idempotencyKey'>,
  ): Promise<Entry<V>>
}

export function makeMemory(call: Call): Memory {
  const { read, ...methods } = forwards<
    Pick<Memory, 'set' | 'delete' | 'list' | 'history'> & {
      read: (key: string, options?: CallOptions & { version?: number }) => Promise<MemoryEntry>
    }
  >(call, {
    read: 'memory.get key',
    set: 'memory.set key value',
    delete: 'memory.delete key',
    list: 'memory.list',
    history: 'memory.history key',
  })
  const get = async <V>(key: string, options?: CallOptions & { version?: number }): Promise<Entry<V> | undefined> => {
    try {
      return (await read(key, options)) as Entry<V>
    } catch (error) {
      if (hasCode(error, 'not_found')) return undefined
      throw error
    }
  }
  return {
    get,
    ...methods,
    async update<V>(
      key: string,
      change: (current: V | undefined) => V | Promise<V>,
      options: Omit<SetOptions, 'if_version' | 'idempotencyKey'> = {},
    ) {
      let refused: CadreClientError | undefined
      for (let attempt = 0; attempt < maxTries; attempt++) {
        const current = await get<V>(key, { signal: options.signal, timeout: options.timeout })
        // A deleted key reads as absent and goes on counting: the refusal names the version to write over.
        const told = refused?.parameters['version']
        const version = current?.version ?? (typeof told === 'number' ? told : 0)
        try {
          return (await methods.set(key, await change(current?.value), { ...options, if_version: version })) as Entry<V>
        } catch (error) {
          if (!(error instanceof CadreClientError) || error.code !== 'version_mismatch') throw error
          refused = error
        }
      }
      throw refused as CadreClientError
    },
  }
}
