/** One choice among agents that are able: scores, the winner, and the card that says why. */
import { type Card, makeCard } from './cards.ts'
import { type Able, type Ask, type Standing, type Strategy, health, skill } from './strategies.ts'

export interface Chosen<A extends Able> {
  agent: A
  reason: string
  card: Card
}

/** `candidates` is not empty. One that held the task last gets it again only when there is no other. `brief` where many wait. */
export function choose<A extends Able>(
  strategy: Strategy,
  candidates: readonly A[],
  ask: Ask,
  standing: Standing,
  lastHolder: number | null,
  random: () => number,
  brief = false,
): Chosen<A> {
  const scores = candidates.map((agent) => clean(strategy.score(agent, ask, standing)))
  const isAlone = candidates.length === 1
  const mayHave = (agent: A) => isAlone || agent.id !== lastHolder
  const winner = strategy.by === 'draw' ? draw(candidates, scores, mayHave, random) : best(candidates, scores, mayHave, standing)
  const agent = candidates[winner] as A
  const bound = strategy.only !== undefined && strategy.only(ask, standing) === agent.id
  const reason = bound
    ? `goes where ${ask.affinity} went before`
    : `${strategy.why} of ${candidates.length} able ${candidates.length === 1 ? 'agent' : 'agents'}`
  const card = makeCard(strategy.name, brief, candidates, scores, winner, (each) => ({
    skill: skill(each, ask),
    load: standing.load(each),
    health: health(each, standing.measured(each, ask)),
  }))
  return { agent, reason, card }
}

/** Highest score, then least loaded, then longest without work. */
function best<A extends Able>(
  candidates: readonly A[],
  scores: readonly number[],
  mayHave: (agent: A) => boolean,
  standing: Standing,
): number {
  let winner = -1
  // Counted loops: with a thousand agents this runs a thousand times for each task.
  for (let index = 0; index < candidates.length; index++) {
    const agent = candidates[index] as A
    if (!mayHave(agent)) continue
    if (winner < 0) {
      winner = index
      continue
    }
    const lead = (scores[index] as number) - (scores[winner] as number)
    if (lead < 0) continue
    const leader = candidates[winner] as A
    if (lead > 0 || (standing.load(leader) - standing.load(agent) || standing.turns(agent) - standing.turns(leader)) > 0)
      winner = index
  }
  return winner
}

function draw<A extends Able>(
  candidates: readonly A[],
  scores: readonly number[],
  mayHave: (agent: A) => boolean,
  random: () => number,
): number {
  const pool = [...candidates.keys()].filter((index) => mayHave(candidates[index] as A))
  const total = pool.reduce((sum, index) => sum + (scores[index] as number), 0)
  if (total <= 0) return pool[Math.floor(random() * pool.length)] as number
  let left = random() * total
  for (const index of pool) {
    left -= scores[index] as number
    if (left < 0) return index
  }
  return pool.at(-1) as number
}

/** A composed strategy may answer anything. */
const clean = (score: number): number => (Number.isFinite(score) && score > 0 ? score : 0)
