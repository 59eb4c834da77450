/** The card of a decision: who could have got a task, with which scores. Stored compact, a few dozen bytes for each candidate. */
import type { Decision } from '@cadre/contract'
import type { Directory } from '../../core/directory.ts'
import { type Able, defaultStrategy } from './strategies.ts'

type Line = readonly [agent: number, score: number, skill: number, load: number, health: number]

export interface Card {
  strategy: string
  considered: number
  candidates: readonly Line[]
}

const maxCandidates = 20
const maxByDefault = 8
/** When many tasks wait for the default strategy: the card of each then costs half as much. */
const maxInBrief = 3

export function makeCard<A extends Able>(
  strategy: string,
  brief: boolean,
  candidates: readonly A[],
  scores: readonly number[],
  winner: number,
  parts: (agent: A) => { skill: number; load: number; health: number },
): Card {
  const limit = strategy !== defaultStrategy ? maxCandidates : brief ? maxInBrief : maxByDefault
  const kept = highest(scores, winner, limit)
  return {
    strategy,
    considered: candidates.length,
    candidates: kept.map((index) => {
      const agent = candidates[index] as A
      const { skill, load, health } = parts(agent)
      return [agent.id, round(scores[index] as number), round(skill), round(load), round(health)]
    }),
  }
}

/** Indexes of the highest scores, highest first, `winner` among them. One pass: a full sort of 10,000 agents for each task would show. */
function highest(scores: readonly number[], winner: number, limit: number): number[] {
  const kept = [winner]
  for (let index = 0; index < scores.length; index++) {
    const score = scores[index] as number
    if (index === winner) continue
    if (kept.length >= limit && score <= (scores[kept[kept.length - 1] as number] as number)) continue
    let at = kept.length
    while (at > 0 && score > (scores[kept[at - 1] as number] as number)) at -= 1
    kept.splice(at, 0, index)
    if (kept.length > limit) kept.splice(kept[limit] === winner ? limit - 1 : limit, 1)
  }
  return kept
}

const round = (value: number): number => Math.round(value * 1_000) / 1_000

export const encodeCard = ({ strategy, considered, candidates }: Card): string =>
  JSON.stringify([strategy, considered, candidates])

export function decodeCard(text: string): Card {
  const [strategy, considered, candidates] = JSON.parse(text) as [string, number, Line[]]
  return { strategy, considered, candidates }
}

export function viewCard({ strategy, considered, candidates }: Card, directory: Directory): Decision {
  return {
    strategy,
    considered,
    candidates: candidates.map(([agent, score, skill, load, health]) => {
      const { publicId, name } = directory.byId(agent)
      return { agent_id: publicId, agent: name, score, skill, load, health }
    }),
  }
}
