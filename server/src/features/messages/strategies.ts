/** Which of several agents gets a message. */
import { type Strategy, canonical } from '@cadre/contract'

/** An agent as a choice sees it. */
export interface Candidate {
  id: number
  name: string
  /** In the form in which types and capabilities are compared. */
  type: string
  capabilities: ReadonlySet<string>
  /** It works and has no task. */
  idle: boolean
  online: boolean
  /** Tasks assigned or running. */
  load: number
}

/** What an agent has to be. */
export interface Wanted {
  agent_type?: string | undefined
  capabilities?: readonly string[] | undefined
}

export interface Choice {
  chosen: readonly Candidate[]
  /** How they were found, as a part of a sentence. */
  how: string
}

export interface Chooser {
  /** One of the candidates, or all of them; nobody of nobody. Connected ones come before those that are away. */
  choose(strategy: Strategy, candidates: readonly Candidate[]): Choice
}

export function makeChooser(parts: { random: () => number; depth: (agent: number) => number }): Chooser {
  /** When an agent was last chosen, for fair turns among equals. As many entries as there are agents. */
  const lastChosen = new Map<number, number>()
  let choices = 0

  const turn = ({ id }: Candidate) => lastChosen.get(id) ?? 0
  // Waiting messages are work too, but a task weighs more than any number of them.
  const work = ({ id, load }: Candidate) => [load, parts.depth(id)]

  function first(candidates: readonly Candidate[], rank: (candidate: Candidate) => readonly number[]): Candidate {
    return candidates.reduce((best, candidate) => (less(rank(candidate), rank(best)) ? candidate : best))
  }

  function one(strategy: Exclude<Strategy, 'all'>, pool: readonly Candidate[]): { candidate: Candidate; how: string } {
    switch (strategy) {
      case 'random':
        return { candidate: pool[Math.floor(parts.random() * pool.length)] as Candidate, how: 'one at random' }
      case 'least_busy':
        return { candidate: first(pool, (each) => [...work(each), turn(each)]), how: 'the least busy' }
      case 'idle': {
        const idle = pool.filter((each) => each.idle && parts.depth(each.id) === 0)
        return idle.length > 0
          ? { candidate: first(idle, (each) => [turn(each)]), how: 'an idle one' }
          : { candidate: first(pool, (each) => [...work(each), turn(each)]), how: 'none is idle: the least busy' }
      }
      default:
        return { candidate: first(pool, (each) => [turn(each)]), how: 'the next' }
    }
  }

  return {
    choose(strategy, candidates) {
      if (candidates.length === 0) return { chosen: [], how: 'nobody' }
      if (strategy === 'all') return { chosen: candidates, how: `all ${counted(candidates, '')}` }
      const online = candidates.filter((each) => each.online)
      const pool = online.length > 0 ? online : candidates
      const { candidate, how } = one(strategy, pool)
      choices += 1
      lastChosen.set(candidate.id, choices)
      return { chosen: [candidate], how: `${how} of ${counted(pool, online.length > 0 ? 'online ' : 'offline ')}` }
    },
  }
}

const counted = (agents: readonly Candidate[], state: string): string =>
  `${agents.length} ${state}${agents.length === 1 ? 'agent' : 'agents'}`

export function fits(candidate: Candidate, { agent_type, capabilities }: Wanted): boolean {
  return (
    (agent_type === undefined || candidate.type === canonical(agent_type)) &&
    (capabilities ?? []).every((capability) => candidate.capabilities.has(canonical(capability)))
  )
}

function less(a: readonly number[], b: readonly number[]): boolean {
  for (const [index, value] of a.entries()) {
    const difference = value - (b[index] as number)
    if (difference !== 0) return difference < 0
  }
  return false
}
