/** Graphs of tasks, submitted whole or not at all. */
import type { InputOf, OutputOf } from '@cadre/contract'
import type { Call, CallOptions } from './calls.ts'
import type { TaskHandle } from './tasks.ts'

export type GraphTask = InputOf<'tasks.dag'>['tasks'][number]

export class GraphBuilder {
  readonly tasks: GraphTask[] = []

  /** Adds a task under a key of the graph; `dependsOn` names keys of it, or ids of tasks that exist. */
  task(key: string, fields: Omit<GraphTask, 'key' | 'depends_on'> = {}, dependsOn: string | readonly string[] = []): this {
    this.tasks.push({ ...fields, key, depends_on: typeof dependsOn === 'string' ? [dependsOn] : [...dependsOn] })
    return this
  }
}

export interface Graph {
  readonly run_id: string
  readonly name: string
  /** The answer of the server, with every task. */
  readonly submitted: OutputOf<'tasks.dag'>
  task(key: string): TaskHandle
  /** Every result under its key; rejects with the error of the first task that did not complete. */
  results(options?: CallOptions): Promise<Record<string, unknown>>
}

export type GraphSource = readonly GraphTask[] | GraphBuilder | ((graph: GraphBuilder) => unknown)

export async function submitGraph(
  call: Call,
  handle: (id: string) => TaskHandle,
  name: string,
  source: GraphSource,
  given: CallOptions & { parent_id?: string } = {},
): Promise<Graph> {
  const { parent_id, ...options } = given
  const tasks = typeof source === 'function' ? build(source) : source instanceof GraphBuilder ? source.tasks : [...source]
  const submitted = await call('tasks.dag', { name, tasks, parent_id }, options)
  const handles = new Map(submitted.tasks.map((task) => [task.key ?? task.id, handle(task.id)]))
  return {
    run_id: submitted.run_id,
    name: submitted.name,
    submitted,
    task(key) {
      const found = handles.get(key)
      if (!found) throw new RangeError(`The graph ${name} has no task ${key}; it has ${[...handles.keys()].join(', ')}.`)
      return found
    },
    async results(waiting) {
      const keys = [...handles.keys()]
      const values = await Promise.all([...handles.values()].map((each) => each.result(waiting)))
      return Object.fromEntries(keys.map((key, index) => [key, values[index]]))
    },
  }
}

function build(source: (graph: GraphBuilder) => unknown): GraphTask[] {
  const builder = new GraphBuilder()
  source(builder)
  return builder.tasks
}
