/** Subscriptions of one process, matched in memory. `*` stands for one word of a dotted topic, `#` for any number of words. */
export interface Matched {
  /** Agents with a matching subscription outside any group, each once. */
  plain: Set<number>
  /** Members of each group with a matching subscription, in the order of their ids. */
  groups: Map<string, number[]>
}

interface Pattern {
  words: readonly string[]
  /** Agent -> its group. */
  agents: Map<number, string | null>
}

interface Tenant {
  exact: Map<string, Pattern>
  wild: Map<string, Pattern>
  /** How often a group was given something, for turns. Kept as long as the group has a subscription. */
  turns: Map<string, { given: number; subscriptions: number }>
}

export class Subscriptions {
  readonly #tenants = new Map<number, Tenant>()

  /** An agent has one subscription a pattern: given again, it moves to the group named now. */
  add(tenant: number, agent: number, pattern: string, group: string | null = null): void {
    this.remove(tenant, agent, pattern)
    let of = this.#tenants.get(tenant)
    if (!of) this.#tenants.set(tenant, (of = { exact: new Map(), wild: new Map(), turns: new Map() }))
    const words = pattern.split('.')
    const patterns = isWild(words) ? of.wild : of.exact
    let entry = patterns.get(pattern)
    if (!entry) patterns.set(pattern, (entry = { words, agents: new Map() }))
    entry.agents.set(agent, group)
    if (group === null) return
    const turns = of.turns.get(group)
    if (turns) turns.subscriptions += 1
    else of.turns.set(group, { given: 0, subscriptions: 1 })
  }

  remove(tenant: number, agent: number, pattern: string): void {
    const of = this.#tenants.get(tenant)
    const patterns = of && (isWild(pattern.split('.')) ? of.wild : of.exact)
    const entry = patterns?.get(pattern)
    const group = entry?.agents.get(agent)
    if (!of || !entry || group === undefined) return
    entry.agents.delete(agent)
    if (entry.agents.size === 0) patterns?.delete(pattern)
    const turns = group === null ? undefined : of.turns.get(group)
    if (group !== null && turns && --turns.subscriptions === 0) of.turns.delete(group)
  }

  /** Who hears of the topic, all but `except`. An agent may be among the plain ones and in groups. */
  matching(tenant: number, topic: string, except?: number): Matched {
    const plain = new Set<number>()
    const groups = new Map<string, Set<number>>()
    const of = this.#tenants.get(tenant)
    const take = ({ agents }: Pattern) => {
      for (const [agent, group] of agents) {
        if (agent === except) continue
        if (group === null) plain.add(agent)
        else {
          const members = groups.get(group)
          if (members) members.add(agent)
          else groups.set(group, new Set([agent]))
        }
      }
    }
    const exact = of?.exact.get(topic)
    if (exact) take(exact)
    if (of && of.wild.size > 0) {
      const words = topic.split('.')
      for (const entry of of.wild.values()) if (matches(entry.words, words)) take(entry)
    }
    return { plain, groups: new Map([...groups].map(([group, members]) => [group, [...members].sort((a, b) => a - b)])) }
  }

  /** Whose turn it is in the group, among these of its members. */
  next(tenant: number, group: string, members: readonly number[]): number | undefined {
    const turns = this.#tenants.get(tenant)?.turns.get(group)
    const member = members[(turns?.given ?? 0) % members.length]
    if (turns) turns.given += 1
    return member
  }
}

const isWild = (words: readonly string[]): boolean => words.includes('*') || words.includes('#')

/**
 * Does the topic fit the pattern? A `#` takes as few words as it can and one more whenever what follows does not fit, so the time is at
 * most the product of the lengths, however many there are.
 */
export function matches(pattern: readonly string[], words: readonly string[]): boolean {
  let at = 0
  let hash = -1
  let taken = 0
  for (let word = 0; word < words.length; ) {
    const part = pattern[at]
    if (part === '#') {
      hash = at
      taken = word
      at += 1
    } else if (part === '*' || (part !== undefined && part === words[word])) {
      at += 1
      word += 1
    } else if (hash >= 0) {
      at = hash + 1
      taken += 1
      word = taken
    } else return false
  }
  while (pattern[at] === '#') at += 1
  return at === pattern.length
}
