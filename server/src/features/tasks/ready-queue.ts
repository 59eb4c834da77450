/**
 * Ready tasks the engine may assign, grouped by what they ask for. Assigning looks at the head of each group only, so its cost does not
 * grow with the backlog. A hint, not the truth: an entry is used only if the store still says ready.
 */
export interface Wanted {
  tenant: number
  /** Canonical agent type, or null. */
  type: string | null
  /** Canonical capabilities, sorted. */
  capabilities: readonly string[]
}

interface Entry {
  priority: number
  id: string
}

export interface Group {
  wanted: Wanted
  heap: Entry[]
}

export class ReadyQueue {
  readonly #groups = new Map<string, Group>()

  get size(): number {
    let size = 0
    for (const group of this.#groups.values()) size += group.heap.length
    return size
  }

  add(wanted: Wanted, priority: number, id: string): void {
    const key = JSON.stringify([wanted.tenant, wanted.type, wanted.capabilities])
    let group = this.#groups.get(key)
    if (!group) this.#groups.set(key, (group = { wanted, heap: [] }))
    push(group.heap, { priority, id })
  }

  /** Groups with work, the most urgent head first. */
  groups(): Group[] {
    for (const [key, group] of this.#groups) if (group.heap.length === 0) this.#groups.delete(key)
    return [...this.#groups.values()].toSorted((a, b) => compare(a.heap[0] as Entry, b.heap[0] as Entry))
  }

  static take(group: Group): Entry | undefined {
    return pop(group.heap)
  }

  static putBack(group: Group, entry: Entry): void {
    push(group.heap, entry)
  }
}

const compare = (a: Entry, b: Entry): number => a.priority - b.priority || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0)

function push(heap: Entry[], entry: Entry): void {
  let index = heap.push(entry) - 1
  while (index > 0) {
    const parent = (index - 1) >> 1
    if (compare(heap[parent] as Entry, entry) <= 0) break
    heap[index] = heap[parent] as Entry
    index = parent
  }
  heap[index] = entry
}

function pop(heap: Entry[]): Entry | undefined {
  const top = heap[0]
  const last = heap.pop()
  if (top === undefined || last === undefined || heap.length === 0) return top
  let index = 0
  for (;;) {
    let child = 2 * index + 1
    if (child >= heap.length) break
    if (child + 1 < heap.length && compare(heap[child + 1] as Entry, heap[child] as Entry) < 0) child += 1
    if (compare(last, heap[child] as Entry) <= 0) break
    heap[index] = heap[child] as Entry
    index = child
  }
  heap[index] = last
  return top
}
