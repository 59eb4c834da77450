/**
 * `npm run replay -- <graphs.jsonl[.gz]>`: plays recorded workflow graphs through a real server with agents in its process, on a clock
 * that moves from one end of a task to the next. Twice: once for the makespan, and once with agents that die of their tasks. The result
 * stands on stdout, progress on stderr; the exit status is 1 when a check fails.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { startServer } from 'cadre'
import { readConfig } from '../server/src/config.ts'
import { type Graph, listSchedule, lowerBound, readGraphs } from './replay/graphs.ts'
import { Player } from './replay/player.ts'
import { VirtualClock } from './replay/virtual-clock.ts'

const usage = `usage: npm run replay -- <graphs.jsonl[.gz]> [--agents N] [--order rank|plain] [--kills P] [--seed N] [--only regex] [--json]

  --agents N    agents that work, one task at a time each (8)
  --order rank  submit with priorities by upward rank, in nine classes of equal width; plain: none, in the order of the file (rank)
  --kills P     in the second pass an agent dies of a task with this likelihood (0.02); 0 leaves the second pass out
  --seed N      of what dies (1)
  --only regex  only graphs that are called so`

/** Recorded seconds pass as so many milliseconds on the server's clock. */
const msPerSecond = 1
/** How far the mean of makespan over lower bound may lie above that of the upward-rank schedule. */
const allowance = 0.05
const classes = 9

interface Settings {
  agents: number
  order: 'rank' | 'plain'
  kills: number
  seed: number
}

interface Pass {
  graphs: { name: string; tasks: number; overBound: number; byRank: number; killed: number; fenced: number; faults: string[] }[]
  tasks: number
  submitMs: number
  runMs: number
}

function readSettings(args: readonly string[]): { path: string; only: RegExp; json: boolean; settings: Settings } {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      agents: { type: 'string', default: '8' },
      order: { type: 'string', default: 'rank' },
      kills: { type: 'string', default: '0.02' },
      seed: { type: 'string', default: '1' },
      only: { type: 'string', default: '' },
      json: { type: 'boolean', default: false },
    },
  })
  const [path, ...more] = positionals
  const { order } = values
  const [agents, kills, seed] = [Number(values.agents), Number(values.kills), Number(values.seed)]
  const isOrder = (text: string): text is Settings['order'] => text === 'rank' || text === 'plain'
  if (path === undefined || more.length > 0 || !isOrder(order)) throw new Error(usage)
  if (!Number.isInteger(agents) || agents < 1 || agents > 1000) throw new Error('--agents takes a whole number from 1 to 1000')
  if (!(kills >= 0 && kills <= 0.5)) throw new Error('--kills takes a number from 0 to 0.5')
  if (!Number.isInteger(seed)) throw new Error('--seed takes a whole number')
  const file = resolve(process.env['INIT_CWD'] ?? '.', path)
  return { path: file, only: new RegExp(values.only), json: values.json, settings: { agents, order, kills, seed } }
}

async function playAll(graphs: readonly Graph[], { agents, order, kills, seed }: Settings): Promise<Pass> {
  const folder = mkdtempSync(join(tmpdir(), 'cadre-replay-'))
  const remove = () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  process.once('exit', remove)
  const clock = new VirtualClock(msPerSecond)
  const config = readConfig({ CADRE_DATA: folder, CADRE_PORT: '0', CADRE_HOST: '127.0.0.1', LOG_LEVEL: 'warn' })
  const lag = { p99: () => 0, close: () => {} }
  const server = await startServer({ config, clock, lag, workerCommand: [process.execPath, '-e', ''], assets: folder })
  const player = new Player(server, clock, msPerSecond)
  const pass: Pass = { graphs: [], tasks: 0, submitMs: 0, runMs: 0 }
  const random = randomFrom(seed)
  try {
    await player.open(agents)
    for (const [number, graph] of graphs.entries()) {
      const run = `${number + 1} ${graph.name}`
      const played = await player.play(graph, { run, ...submission(graph, order), kills, random })
      const bound = lowerBound(graph, agents)
      pass.graphs.push({
        name: graph.name,
        tasks: graph.nodes.length,
        overBound: played.makespan / bound,
        byRank: listSchedule(graph, agents, (a, b) => (graph.ranks[b] as number) - (graph.ranks[a] as number) || a - b) / bound,
        killed: played.killed,
        fenced: played.fenced,
        faults: [...played.faults, ...(await player.audit(graph, run, played.runId, kills))],
      })
      pass.tasks += graph.nodes.length
      pass.submitMs += played.submitMs
      pass.runMs += played.runMs
      if ((number + 1) % 20 === 0) process.stderr.write(`${number + 1} of ${graphs.length} graphs played, ${pass.tasks} tasks\n`)
    }
  } finally {
    player.close()
    await server.close()
    remove()
    process.off('exit', remove)
  }
  return pass
}

/** By rank: the longest way left runs first. The engine knows nine priorities and then age, so the order of submission counts too. */
function submission({ nodes, ranks }: Graph, order: Settings['order']): { priorities: number[] | undefined; order: number[] } {
  const plain = [...nodes.keys()]
  if (order === 'plain') return { priorities: undefined, order: plain }
  const longest = Math.max(...ranks)
  return {
    priorities: ranks.map((rank) => (longest === 0 ? 1 : Math.min(classes, 1 + Math.floor(classes * (1 - rank / longest))))),
    order: plain.toSorted((a, b) => (ranks[b] as number) - (ranks[a] as number) || a - b),
  }
}

/** A small generator of numbers from 0 to 1: the same seed, the same numbers. */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x9e3779b9) >>> 0
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad)
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97)
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32
  }
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
const digits = (value: number, count = 4) => Number(value.toFixed(count))

function toReport(path: string, settings: Settings, plain: Pass, deadly: Pass | undefined) {
  const overBound = mean(plain.graphs.map((graph) => graph.overBound))
  const byRank = mean(plain.graphs.map((graph) => graph.byRank))
  const worst = plain.graphs.reduce((a, b) => (b.overBound - b.byRank > a.overBound - a.byRank ? b : a))
  const faults = [...plain.graphs, ...(deadly?.graphs ?? [])].flatMap((graph) => graph.faults)
  return {
    file: path,
    ...settings,
    graphs: plain.graphs.length,
    tasks: plain.tasks,
    makespan_over_lower_bound: digits(overBound),
    upward_rank_over_lower_bound: digits(byRank),
    difference: digits(overBound - byRank),
    allowed_difference: allowance,
    met: overBound - byRank <= allowance,
    worst_graph: { name: worst.name, makespan_over_lower_bound: digits(worst.overBound), upward_rank: digits(worst.byRank) },
    submit_us_per_task: digits((1000 * plain.submitMs) / plain.tasks, 1),
    engine_us_per_task: digits((1000 * plain.runMs) / plain.tasks, 1),
    killed: deadly === undefined ? 0 : deadly.graphs.reduce((sum, graph) => sum + graph.killed, 0),
    late_completions_refused: deadly === undefined ? 0 : deadly.graphs.reduce((sum, graph) => sum + graph.fenced, 0),
    faults,
  }
}

function toText(report: ReturnType<typeof toReport>): string {
  const { worst_graph: worst } = report
  return [
    `${report.graphs} graphs, ${report.tasks} tasks, ${report.agents} agents, order ${report.order}`,
    `makespan over the lower bound, mean: ${report.makespan_over_lower_bound} (upward rank ${report.upward_rank_over_lower_bound}, difference ${report.difference}, allowed ${report.allowed_difference}: ${report.met ? 'met' : 'missed'})`,
    `furthest from upward rank: ${worst.name} with ${worst.makespan_over_lower_bound} against ${worst.upward_rank}`,
    `cost of the engine per task: ${report.submit_us_per_task} us to submit, ${report.engine_us_per_task} us from ready to completed`,
    `agents killed: ${report.killed}; completions after their lease, refused: ${report.late_completions_refused}`,
    report.faults.length === 0
      ? 'every task after its parents, and completed once'
      : `${report.faults.length} faults:\n${report.faults.slice(0, 20).join('\n')}`,
  ].join('\n')
}

async function main(): Promise<number> {
  let read: ReturnType<typeof readSettings>
  let graphs: Graph[]
  try {
    read = readSettings(process.argv.slice(2))
    const { path, only } = read
    graphs = readGraphs(path).filter(({ name }) => only.test(name))
    if (graphs.length === 0) throw new Error(`${path} holds no graph that is asked for`)
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    return 2
  }
  const { path, settings, json } = read
  const plain = await playAll(graphs, { ...settings, kills: 0 })
  const deadly = settings.kills > 0 ? await playAll(graphs, settings) : undefined
  const report = toReport(path, settings, plain, deadly)
  process.stdout.write(`${json ? JSON.stringify(report, null, 2) : toText(report)}\n`)
  return report.faults.length === 0 && report.met ? 0 : 1
}

// Leaving by exit() removes the store.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(130))
process.exitCode = await main()
