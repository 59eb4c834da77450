/** Recorded workflow graphs: read, checked, and what can be said about their makespan before they run. */
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'

export interface Node {
  seconds: number
  /** Indices into the graph. */
  parents: readonly number[]
}

export interface Graph {
  name: string
  nodes: readonly Node[]
  /** Seconds from the start of a task to the end of the graph, along the longest way: its upward rank. */
  ranks: readonly number[]
  /** What the file says about eight agents: the lower bound in seconds, and the upward-rank schedule over it. */
  reference: { lowerBound: number; byRank: number } | undefined
}

interface Line {
  instance: string
  tasks: [kind: number, seconds: number, parents: number[]][]
  ref?: { lb8?: number; blevel8?: number }
}

/** One graph a line, plain or gzipped. Throws a sentence that names the line. */
export function readGraphs(path: string): Graph[] {
  const bytes = readFileSync(path)
  const text = (bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes).toString('utf8')
  return text.split('\n').flatMap((line, index) => {
    if (line.trim() === '') return []
    try {
      return [toGraph(JSON.parse(line) as Line)]
    } catch (cause) {
      throw new Error(`Line ${index + 1} of ${path} is no graph: ${(cause as Error).message}`, { cause })
    }
  })
}

export function toGraph({ instance, tasks, ref }: Line): Graph {
  const nodes = tasks.map(([, seconds, parents]): Node => ({ seconds, parents: [...new Set(parents)] }))
  for (const [index, { seconds, parents }] of nodes.entries()) {
    if (!(seconds >= 0 && Number.isFinite(seconds))) throw new Error(`task ${index} takes ${seconds} s`)
    if (parents.some((parent) => nodes[parent] === undefined)) throw new Error(`task ${index} names a parent that is not there`)
  }
  const reference = ref?.lb8 === undefined || ref.blevel8 === undefined ? undefined : { lowerBound: ref.lb8, byRank: ref.blevel8 }
  return { name: instance, nodes, ranks: upwardRanks(nodes), reference }
}

export function childrenOf(nodes: readonly Node[]): number[][] {
  const children: number[][] = nodes.map(() => [])
  for (const [index, { parents }] of nodes.entries()) for (const parent of parents) children[parent]?.push(index)
  return children
}

function upwardRanks(nodes: readonly Node[]): number[] {
  const ranks = nodes.map((node) => node.seconds)
  const open = childrenOf(nodes).map((children) => children.length)
  const settled = [...nodes.keys()].filter((index) => open[index] === 0)
  for (const index of settled) {
    for (const parent of nodes[index]?.parents ?? []) {
      ranks[parent] = Math.max(ranks[parent] as number, (nodes[parent] as Node).seconds + (ranks[index] as number))
      open[parent] = (open[parent] as number) - 1
      if (open[parent] === 0) settled.push(parent)
    }
  }
  if (settled.length < nodes.length) throw new Error('it has a cycle')
  return ranks
}

/** Seconds that no schedule on so many agents can undercut: the work shared out, or the longest way. */
export function lowerBound({ nodes, ranks }: Graph, agents: number): number {
  const work = nodes.reduce((sum, { seconds }) => sum + seconds, 0)
  return Math.max(work / agents, ...ranks)
}

/** Makespan in seconds when an agent that is free always takes the ready task that stands first by `before`. */
export function listSchedule({ nodes }: Graph, agents: number, before: (a: number, b: number) => number): number {
  const children = childrenOf(nodes)
  const open = nodes.map(({ parents }) => parents.length)
  const ready = [...nodes.keys()].filter((index) => open[index] === 0)
  const running: { index: number; end: number }[] = []
  let now = 0
  for (;;) {
    ready.sort(before)
    for (const index of ready.splice(0, agents - running.length))
      running.push({ index, end: now + (nodes[index] as Node).seconds })
    if (running.length === 0) return now
    now = Math.min(...running.map(({ end }) => end))
    for (const { index } of running.filter(({ end }) => end <= now)) {
      for (const child of children[index] ?? []) {
        open[child] = (open[child] as number) - 1
        if (open[child] === 0) ready.push(child)
      }
    }
    running.splice(0, running.length, ...running.filter(({ end }) => end > now))
  }
}
