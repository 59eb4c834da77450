/** Subscriptions of one process, matched in memory. `*` stands for one word of a dotted topic, `#` for the rest. */
export class Subscriptions {
  readonly #byTenant = new Map<number, Map<string, Set<number>>>()

  add(tenant: number, agent: number, pattern: string): void {
    let patterns = this.#byTenant.get(tenant)
    if (!patterns) this.#byTenant.set(tenant, (patterns = new Map()))
    let agents = patterns.get(pattern)
    if (!agents) patterns.set(pattern, (agents = new Set()))
    agents.add(agent)
  }

  remove(tenant: number, agent: number, pattern: string): void {
    const patterns = this.#byTenant.get(tenant)
    const agents = patterns?.get(pattern)
    agents?.delete(agent)
    if (agents?.size === 0) patterns?.delete(pattern)
  }

  /** Agents with a matching subscription, each once. */
  matching(tenant: number, topic: string): number[] {
    const found = new Set<number>()
    const words = topic.split('.')
    for (const [pattern, agents] of this.#byTenant.get(tenant) ?? []) {
      if (pattern === topic || matches(pattern.split('.'), words)) for (const agent of agents) found.add(agent)
    }
    return [...found]
  }
}

function matches(pattern: readonly string[], words: readonly string[]): boolean {
  for (const [index, part] of pattern.entries()) {
    if (part === '#') return true
    if (index >= words.length || (part !== '*' && part !== words[index])) return false
  }
  return pattern.length === words.length
}
