/**
 * Exact search: every vector of the scope is compared. 384 numbers take about 0.3 us, so ten thousand passages take a few
 * milliseconds, in slices that let other work run. Memory is bounded: past `maxBytes` the scopes that were not searched for longest
 * are given up and read again when asked for. One scope alone may exceed the bound; it is then the only one held.
 */
import type { VectorIndex, VectorRow, VectorSource } from './port.ts'
import { Nearest } from './nearest.ts'

export interface ExactOptions {
  dimensions: number
  source: VectorSource
  /** 256 MiB by default: 170,000 vectors of 384 numbers. */
  maxBytes?: number
  /** Lets other work run between slices. */
  pause?: () => Promise<unknown>
}

const rowsPerSlice = 8192
const firstCapacity = 64

interface Scope {
  loading: Promise<void> | undefined
  /** Ids removed while the scope was being read; a batch read before may still bring them. */
  gone: Set<number>
  positions: Map<number, number>
  /** 0 marks a removed row. Arrays are replaced, never compacted in place, so that a search under way keeps its own. */
  ids: Float64Array
  vectors: Float32Array
  count: number
}

const nextTurn = () => new Promise((done) => setImmediate(done))

export function makeExactIndex({
  dimensions,
  source,
  maxBytes = 256 * 1024 * 1024,
  pause = nextTurn,
}: ExactOptions): VectorIndex {
  // In the order of their last search.
  const scopes = new Map<string, Scope>()

  async function held(name: string): Promise<Scope> {
    let scope = scopes.get(name)
    if (scope) {
      scopes.delete(name)
      scopes.set(name, scope)
    } else {
      scope = {
        loading: undefined,
        gone: new Set(),
        positions: new Map(),
        ids: new Float64Array(0),
        vectors: new Float32Array(0),
        count: 0,
      }
      scopes.set(name, scope)
      scope.loading = load(name, scope)
    }
    await scope.loading
    return scope
  }

  async function load(name: string, scope: Scope): Promise<void> {
    try {
      for await (const rows of source(name)) {
        for (const row of rows) if (!scope.gone.has(row.id) && !scope.positions.has(row.id)) put(scope, row)
      }
      scope.loading = undefined
      scope.gone.clear()
      makeRoom(name)
    } catch (error) {
      if (scopes.get(name) === scope) scopes.delete(name)
      throw error
    }
  }

  function put(scope: Scope, { id, vector }: VectorRow): void {
    let position = scope.positions.get(id)
    if (position === undefined) {
      if (scope.count === scope.ids.length) resize(scope, Math.max(firstCapacity, scope.count * 2))
      position = scope.count
      scope.count += 1
      scope.positions.set(id, position)
      scope.ids[position] = id
    }
    scope.vectors.set(vector, position * dimensions)
  }

  /** Moves the live rows into arrays of the given capacity. */
  function resize(scope: Scope, capacity: number): void {
    const ids = new Float64Array(capacity)
    const vectors = new Float32Array(capacity * dimensions)
    let count = 0
    for (const [id, position] of scope.positions) {
      ids[count] = id
      vectors.set(scope.vectors.subarray(position * dimensions, (position + 1) * dimensions), count * dimensions)
      scope.positions.set(id, count)
      count += 1
    }
    Object.assign(scope, { ids, vectors, count })
  }

  function makeRoom(keep: string): void {
    let bytes = size().bytes
    for (const [name, scope] of scopes) {
      if (bytes <= maxBytes) return
      if (name === keep || scope.loading) continue
      scopes.delete(name)
      bytes -= bytesOf(scope)
    }
  }

  const bytesOf = (scope: Scope) => scope.ids.byteLength + scope.vectors.byteLength

  function size() {
    let vectors = 0
    let bytes = 0
    for (const scope of scopes.values()) {
      vectors += scope.positions.size
      bytes += bytesOf(scope)
    }
    return { scopes: scopes.size, vectors, bytes }
  }

  return {
    async search(name, query, limit, accept) {
      const { ids, vectors, count } = await held(name)
      const nearest = new Nearest(limit)
      for (let start = 0; start < count; start += rowsPerSlice) {
        if (start > 0) await pause()
        const end = Math.min(count, start + rowsPerSlice)
        for (let position = start; position < end; position++) {
          const id = ids[position] as number
          if (id === 0 || (accept && !accept(id))) continue
          const score = dot(vectors, position * dimensions, query)
          if (score > nearest.threshold) nearest.offer(id, score)
        }
      }
      return nearest.ranked()
    },
    add(name, rows) {
      const scope = scopes.get(name)
      if (!scope) return
      for (const row of rows) {
        scope.gone.delete(row.id)
        put(scope, row)
      }
      if (!scope.loading) makeRoom(name)
    },
    remove(name, removed) {
      const scope = scopes.get(name)
      if (!scope) return
      for (const id of removed) {
        if (scope.loading) scope.gone.add(id)
        const position = scope.positions.get(id)
        if (position === undefined) continue
        scope.ids[position] = 0
        scope.positions.delete(id)
      }
      if (scope.positions.size < scope.count / 2) resize(scope, Math.max(firstCapacity, scope.positions.size))
    },
    drop(name) {
      scopes.delete(name)
    },
    size,
  }
}

/** Four sums side by side: twice as fast as one, which has to wait for itself. */
function dot(vectors: Float32Array, offset: number, query: Float32Array): number {
  const length = query.length
  let a = 0
  let b = 0
  let c = 0
  let d = 0
  let at = 0
  for (; at + 3 < length; at += 4) {
    a += (vectors[offset + at] as number) * (query[at] as number)
    b += (vectors[offset + at + 1] as number) * (query[at + 1] as number)
    c += (vectors[offset + at + 2] as number) * (query[at + 2] as number)
    d += (vectors[offset + at + 3] as number) * (query[at + 3] as number)
  }
  for (; at < length; at++) a += (vectors[offset + at] as number) * (query[at] as number)
  return a + b + c + d
}
