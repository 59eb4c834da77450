/**
 * One group of readers. Vocabulary:
 * slot: one partition of one topic of the group. committed: everything of the slot up to there is done. clear: nothing of the slot lies
 * between `committed` and there, so that nobody walks that part of the log again. member: a reader by name; each slot is read by one.
 *
 * Who reads what is kept in memory: it decides who is handed an entry, never whether, since places only move by commits.
 */
import { CadreError, type EventTopic, type LogEntry, eventTopics } from '@cadre/contract'
import type { CursorRow, GroupRow } from './store.ts'

export interface Slot {
  readonly topic: EventTopic
  readonly partition: number
  committed: number
  clear: number
  owner: string | undefined
}

/** How long a member counts as there after it read. */
const memberMs = 30_000
/** More could not all have a partition: the six topics have 17. */
const maxMembers = 32

interface Member {
  until: number
  /** Reads that wait for a first entry. */
  waiting: number
}

export class Group {
  readonly row: GroupRow
  readonly topics: readonly EventTopic[]
  readonly slots: readonly Slot[]
  generation: number
  /** Raised when a place moves; what was counted before holds no more. */
  version = 0
  readonly #members = new Map<string, Member>()
  readonly #waiting = new Set<() => void>()

  constructor(row: GroupRow, cursors: readonly Pick<CursorRow, 'topic' | 'partition_number' | 'seq'>[]) {
    this.row = row
    this.generation = row.generation
    this.topics = JSON.parse(row.topics) as EventTopic[]
    this.slots = slotsOf(this.topics).map(({ topic, partition }) => {
      const seq = cursors.find((each) => each.topic === topic && each.partition_number === partition)?.seq ?? 0
      return { topic, partition, committed: seq, clear: seq, owner: undefined }
    })
  }

  /** Somebody waits for an entry. */
  get isAwaited(): boolean {
    return this.#waiting.size > 0
  }

  get members(): string[] {
    return [...this.#members.keys()].toSorted()
  }

  /**
   * Renews a member, and answers the slots it reads now. A slot passes on when its owner reads again or is gone, so that two members never
   * hold entries of one key at a time.
   */
  join(name: string, now: number): Slot[] {
    let changed = this.#forgetAbsent(now)
    const member = this.#members.get(name)
    if (member) member.until = now + memberMs
    else {
      if (this.#members.size >= maxMembers)
        throw new CadreError('conflict', {
          reason: `The group ${this.row.name} has ${maxMembers} members already; read under the name of one that is gone.`,
        })
      this.#members.set(name, { until: now + memberMs, waiting: 0 })
      changed = true
    }
    const names = this.members
    for (const [index, slot] of this.slots.entries()) {
      const wanted = names[index % names.length]
      const before = slot.owner
      if (slot.owner === name && wanted !== name) slot.owner = undefined
      else if (slot.owner === undefined && wanted === name) slot.owner = name
      if (slot.owner !== before) changed = true
    }
    if (changed) this.wake()
    return this.slots.filter(({ owner }) => owner === name)
  }

  #forgetAbsent(now: number): boolean {
    let changed = false
    for (const [name, { until, waiting }] of this.#members) {
      if (waiting > 0 || until > now) continue
      this.#members.delete(name)
      for (const slot of this.slots) if (slot.owner === name) slot.owner = undefined
      changed = true
    }
    return changed
  }

  /** Resolves when the group changes, when `signal` says so, or when `wake` is called. */
  wait(name: string, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const member = this.#members.get(name)
      const done = () => {
        if (!this.#waiting.delete(done)) return
        if (member) member.waiting -= 1
        signal.removeEventListener('abort', done)
        resolve()
      }
      if (member) member.waiting += 1
      this.#waiting.add(done)
      signal.addEventListener('abort', done)
      if (signal.aborted) done()
    })
  }

  wake(): void {
    for (const done of this.#waiting) done()
  }

  slotOf(entry: Pick<LogEntry, 'topic' | 'partition'>): Slot | undefined {
    return this.slots.find(({ topic, partition }) => topic === entry.topic && partition === entry.partition)
  }

  maskOf(slots: readonly Slot[]): number {
    return this.slots.reduce((mask, slot, index) => (slots.includes(slot) ? mask | (1 << index) : mask), 0)
  }

  inMask(mask: number): Slot[] {
    return this.slots.filter((_, index) => (mask & (1 << index)) !== 0)
  }

  /** After the commit of a place. */
  advance(slots: readonly Slot[], through: number): void {
    for (const slot of slots) {
      slot.committed = Math.max(slot.committed, through)
      slot.clear = Math.max(slot.clear, through)
    }
    this.version += 1
  }

  /** After the group was set to another place. */
  reset(after: number): void {
    for (const slot of this.slots) slot.committed = slot.clear = after
    this.generation += 1
    this.version += 1
    this.wake()
  }
}

export const slotsOf = (topics: readonly EventTopic[]): { topic: EventTopic; partition: number }[] =>
  topics.flatMap((topic) => Array.from({ length: eventTopics[topic].partitions }, (_, partition) => ({ topic, partition })))
