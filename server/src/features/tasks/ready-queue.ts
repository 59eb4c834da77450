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
  /** The strategy it names, or null. */
  strategy: string | null
  /** Tasks of one key wait for the same agent, and keep no other from theirs: a group of their own. */
  affinity: string | null
}

interface Entry {
  priority: number
  id: string
}

export interface Waiting extends Entry {
  group: Group
  /** Who held it last, so that another may be tried. */
  lastHolder: number | null
  /** Type of the task. */
  type: string
  /** When it came in; kept when it changes places. */
  since: number
  alerted: boolean
}

export interface Group {
  wanted: Wanted
  /** Holds entries that were moved or removed since, too; they are dropped when they come to the top. */
  heap: Entry[]
  waiting: number
}

export class ReadyQueue {
  readonly #groups = new Map<string, Group>()
  /** In the order in which they came. */
  readonly #waiting = new Map<string, Waiting>()

  get size(): number {
    return this.#waiting.size
  }

  /** Adds a task, or moves it to another place. */
  add(wanted: Wanted, priority: number, id: string, lastHolder: number | null = null, since = 0, type = ''): void {
    const key = JSON.stringify([wanted.tenant, wanted.type, wanted.capabilities, wanted.strategy, wanted.affinity])
    let group = this.#groups.get(key)
    if (!group) this.#groups.set(key, (group = { wanted, heap: [], waiting: 0 }))
    const known = this.#waiting.get(id)
    if (known?.priority === priority && known.group === group) return
    if (known) known.group.waiting -= 1
    this.#waiting.set(id, { alerted: false, since, ...known, priority, id, group, lastHolder, type })
    group.waiting += 1
    push(group.heap, { priority, id })
  }

  remove(id: string): void {
    const known = this.#waiting.get(id)
    if (!known) return
    this.#waiting.delete(id)
    const { group } = known
    group.waiting -= 1
    if (group.heap.length <= 2 * group.waiting + 64) return
    const left = group.heap.filter((entry) => this.#isCurrent(group, entry))
    group.heap.length = 0
    for (const entry of left) push(group.heap, entry)
  }

  /** Groups with work, the most urgent head last, so that it is popped first. */
  groups(): Group[] {
    for (const [key, group] of this.#groups) if (!this.#head(group)) this.#groups.delete(key)
    return [...this.#groups.values()].toSorted((a, b) => compare(b.heap[0] as Entry, a.heap[0] as Entry))
  }

  /** Puts a group back among sorted ones, whose head was taken. */
  replace(groups: Group[], group: Group): void {
    const head = this.#head(group)
    if (!head) return
    let [low, high] = [0, groups.length]
    while (low < high) {
      const middle = (low + high) >> 1
      const other = (groups[middle] as Group).heap[0]
      if (other && compare(other, head) > 0) low = middle + 1
      else high = middle
    }
    groups.splice(low, 0, group)
  }

  /** The most urgent of a group, which stays. */
  peek(group: Group): Waiting | undefined {
    const head = this.#head(group)
    return head && this.#waiting.get(head.id)
  }

  take(group: Group): Waiting | undefined {
    if (!this.#head(group)) return undefined
    const entry = pop(group.heap) as Entry
    const known = this.#waiting.get(entry.id) as Waiting
    this.#waiting.delete(entry.id)
    group.waiting -= 1
    return known
  }

  /** Ids of the most urgent tasks among the groups that `may` accepts, at most `limit`. Nothing is taken. */
  first(may: (wanted: Wanted) => boolean, limit: number): Entry[] {
    const found: Entry[] = []
    for (const group of this.#groups.values()) {
      if (!may(group.wanted)) continue
      const seen: Entry[] = []
      while (seen.length < limit && this.#head(group)) seen.push(pop(group.heap) as Entry)
      for (const entry of seen) push(group.heap, entry)
      found.push(...seen)
    }
    return found.toSorted(compare).slice(0, limit)
  }

  /** Those that came in before `before` and were not alerted, and whose group `alone` accepts. */
  unserved(before: number, alone: (wanted: Wanted) => boolean, limit: number): Waiting[] {
    const found: Waiting[] = []
    const asked = new Map<Group, boolean>()
    for (const entry of this.#waiting.values()) {
      if (found.length >= limit) break
      if (entry.since > before || entry.alerted) continue
      let is = asked.get(entry.group)
      if (is === undefined) asked.set(entry.group, (is = alone(entry.group.wanted)))
      if (is) found.push(entry)
    }
    return found
  }

  #isCurrent(group: Group, entry: Entry): boolean {
    const known = this.#waiting.get(entry.id)
    return known?.group === group && known.priority === entry.priority
  }

  #head(group: Group): Entry | undefined {
    while (group.heap[0] && !this.#isCurrent(group, group.heap[0])) pop(group.heap)
    return group.heap[0]
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
