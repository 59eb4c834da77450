/**
 * LangGraph with its SQLite checkpointer: a graph of one node, of ten in a row, and of 100 side by side with one behind them. It opens its
 * store in WAL without a word about syncing, which is NORMAL in the SQLite it brings: async. Here it is told FULL and, with durability
 * `sync`, to write each checkpoint before the next step begins, so that it promises what the others do.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Annotation, END, START, Send, StateGraph } from '@langchain/langgraph'
import { SqliteSaver } from '@langchain/langgraph-checkpoint-sqlite'
import type { Durability, TaskDriver } from '../lib/drivers.ts'

const chainLength = 10
const classes: readonly Durability[] = ['none', 'async', 'sync', 'sync']
let folder: string | undefined
process.once('exit', () => folder !== undefined && rmSync(folder, { recursive: true, force: true }))

const State = Annotation.Root({
  name: Annotation<string>(),
  width: Annotation<number>(),
  done: Annotation<number>({ reducer: (sum, more) => sum + more, default: () => 0 }),
})

let report: (name: string) => void = () => {}

function build() {
  folder = mkdtempSync(join(tmpdir(), 'cadre-bench-langgraph-'))
  const saver = SqliteSaver.fromConnString(join(folder, 'checkpoints.db'))
  saver.db.pragma('journal_mode = WAL')
  saver.db.pragma('synchronous = FULL')
  const node = (suffix: string) => (state: typeof State.State) => {
    report(state.name + suffix)
    return { done: 1 }
  }
  const compiled = { checkpointer: saver }
  const task = new StateGraph(State).addNode('t', node('')).addEdge(START, 't').addEdge('t', END).compile(compiled)
  // Names of nodes are part of the builder's type, which a loop cannot follow.
  // biome-ignore lint/suspicious/noExplicitAny: see above
  const row = new StateGraph(State) as any
  for (let index = 0; index < chainLength; index++) row.addNode(`t${index}`, node(`/${index}`))
  row.addEdge(START, 't0')
  for (let index = 1; index < chainLength; index++) row.addEdge(`t${index - 1}`, `t${index}`)
  const chain = row.addEdge(`t${chainLength - 1}`, END).compile(compiled) as typeof task
  const fan = new StateGraph(State)
    .addNode('side', node(''))
    .addNode('join', node('/join'))
    .addConditionalEdges(
      START,
      ({ name, width }) => Array.from({ length: width }, (_, index) => new Send('side', { name: `${name}/${index}`, width })),
      ['side'],
    )
    .addEdge('side', 'join')
    .addEdge('join', END)
    .compile(compiled)
  return { saver, task, chain, fan }
}

let built: ReturnType<typeof build> | undefined

export const driver: TaskDriver = {
  openWorker: undefined,
  openSubmitter(_settings, ran) {
    report = ran
    const { task, chain, fan } = (built ??= build())
    const finish = async (graph: Pick<typeof task, 'invoke'>, name: string, width: number, expected: number) => {
      const settings = { configurable: { thread_id: name }, durability: 'sync' as const }
      const { done } = await graph.invoke({ name, width }, settings)
      if (done !== expected) throw new Error(`${name} ran ${done} of ${expected}`)
    }
    return Promise.resolve({
      task: (name: string) => finish(task, name, 1, 1),
      chain: (name: string, length: number) => finish(chain, name, 1, length),
      fan: (name: string, width: number) => finish(fan as unknown as typeof task, name, width, width + 1),
      close: () => Promise.resolve(),
    })
  },
  durability: () => Promise.resolve(classes[Number(built?.saver.db.pragma('synchronous', { simple: true }))] ?? 'none'),
}
