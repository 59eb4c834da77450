/**
 * Which of the agents that are able gets a task. A strategy gives each a score and no more: the assignment itself is the engine's one
 * conditional update, whatever was chosen. Others are composed in beside the ones here (`ServerOptions.strategies`).
 */
import { CadreError, canonical } from '@cadre/contract'

/** What is asked of an agent. */
export interface Ask {
  tenant: number
  /** Type of the task. */
  type: string
  /** Canonical capabilities it needs. */
  capabilities: readonly string[]
  affinity: string | null
}

/** An agent as a strategy sees it: able to do the task, and with room for it. */
export interface Able {
  readonly id: number
  readonly type_key: string
  readonly capabilityKeys: ReadonlySet<string>
  readonly connected: boolean
  /** Tasks it takes at once, and has now. */
  readonly concurrency: number
  readonly load: number
}

/** How an agent did at tasks of one type, the recent counting more. */
export interface Measured {
  successes: number
  failures: number
  /** Mean time of its successes over the mean of everybody's, 1 while unknown. */
  slowness: number
}

/** What is known of the agents at the moment of a choice. */
export interface Standing {
  /** 0 to 1: the share of its room that is taken. */
  load(agent: Able): number
  /** Assignments to anybody since its last one. */
  turns(agent: Able): number
  /** Undefined while nothing is known. */
  measured(agent: Able, ask: Ask): Measured | undefined
  /** The agent that the affinity key of the task is bound to. */
  bound(ask: Ask): number | undefined
}

export interface Strategy {
  readonly name: string
  /** `best`: the highest score, by fair turns among equals. `draw`: by chance, in proportion to the scores. */
  readonly by: 'best' | 'draw'
  /** How the chosen one was found, in front of "of 3 able agents". */
  readonly why: string
  /** It asks for what was measured, which then is read from the store first. */
  readonly measures?: boolean
  /** 0 or more. Called once for each agent and choice, so it must be cheap. */
  score(agent: Able, ask: Ask, standing: Standing): number
  /** The only agent that is to get the task: while it is there and has no room, the task waits for it. */
  only?(ask: Ask, standing: Standing): number | undefined
}

export const defaultStrategy = 'least_busy'

/** Half for a live line, half for room. */
const room = (agent: Able, standing: Standing): number => (agent.connected ? 0.5 : 0) + (1 - standing.load(agent)) / 2

/** How closely its skills fit: 1 when it has what the task asks for and nothing else. */
export function skill(agent: Able, ask: Ask): number {
  const type = canonical(ask.type)
  const named = agent.type_key === type || agent.capabilityKeys.has(type) ? 1 : 0
  return (ask.capabilities.length + named + 1) / (Math.max(agent.capabilityKeys.size, ask.capabilities.length) + 2)
}

/** Measured success, 1 while nothing is known; two successes are taken for granted, so that one bad start ends nobody. */
function success(measured: Measured | undefined): number {
  return measured === undefined ? 1 : (measured.successes + 2) / (measured.successes + measured.failures + 2)
}

export const health = (agent: Able, measured: Measured | undefined): number => (agent.connected ? 1 : 0.8) * success(measured)

const builtIn: readonly Strategy[] = [
  { name: defaultStrategy, by: 'best', why: 'least busy', score: (agent, _ask, standing) => room(agent, standing) },
  { name: 'round_robin', by: 'best', why: 'next in turn', score: (agent, _ask, standing) => standing.turns(agent) },
  { name: 'random', by: 'draw', why: 'drawn at random', score: () => 1 },
  { name: 'capability', by: 'best', why: 'best match', score: skill },
  {
    name: 'weighted',
    by: 'draw',
    why: 'drawn by measured success',
    measures: true,
    score(agent, ask, standing) {
      const measured = standing.measured(agent, ask)
      const speed = 1 / Math.min(4, Math.max(0.25, measured?.slowness ?? 1))
      // Squared: an agent that fails half of its tasks gets a quarter of the work, and is tried still.
      return health(agent, measured) * success(measured) * speed * (1 - standing.load(agent) / 2)
    },
  },
  {
    name: 'sticky',
    by: 'best',
    why: 'least busy',
    score: (agent, ask, standing) => (standing.bound(ask) === agent.id ? 1 : room(agent, standing)),
    only: (ask, standing) => standing.bound(ask),
  },
]

export type Strategies = ReadonlyMap<string, Strategy>

/** Throws when a composed strategy takes the name of another. */
export function makeStrategies(more: readonly Strategy[] = []): Strategies {
  const all = new Map<string, Strategy>()
  for (const strategy of [...builtIn, ...more]) {
    if (all.has(strategy.name)) throw new Error(`There are two strategies named ${strategy.name}.`)
    all.set(strategy.name, strategy)
  }
  return all
}

/** Refuses a name that none of them has. */
export function requireStrategy(strategies: Strategies, name: string): void {
  if (strategies.has(name)) return
  const detail = `There is no strategy ${name}; choose one of ${[...strategies.keys()].join(', ')}.`
  throw new CadreError('invalid_request', {}, { fields: [{ pointer: '/strategy', detail }] })
}
