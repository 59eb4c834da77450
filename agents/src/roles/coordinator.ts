/** Takes a goal, has it planned, submits the graph, keeps the team informed, and answers the checked report. */
import { type Hub, Reject, type TaskContext } from '@cadre/sdk'
import { type Plan, decomposeGoal, validatePlan } from '../plan/decompose.ts'
import type { Corpus, CorpusDocument } from './corpus.ts'
import { type Job, textOf, wordsOf } from './job.ts'
import { answerFromKnowledge } from './researcher.ts'
import type { FinalResult } from './writer.ts'

export interface GoalInput {
  goal: string
  collection: string
  documents: CorpusDocument[]
  skipped: { document: string; reason: string }[]
  pace_ms?: number
  /** Milliseconds of one lease of the team's tasks. */
  lease_ms?: number
}

const planTimeout = 60_000

export function coordinator(hub: Hub): void {
  async function planFor(input: GoalInput): Promise<Plan> {
    const { items } = await hub.agents.list({ type: 'decomposer', limit: 10 })
    const planner = items.find((agent) => agent.presence === 'online')
    if (!planner)
      return decomposeGoal(
        input.goal,
        input.documents.map((entry) => ({ ...entry, tables: [] })),
      )
    const reply = await hub.ask(
      planner.name,
      { goal: input.goal, documents: input.documents },
      { timeout: planTimeout, type: 'plan' },
    )
    return validatePlan(reply.content as Plan)
  }

  async function run(input: GoalInput, context: TaskContext): Promise<FinalResult & { run_id: string }> {
    await context.progress(0.05, 'planning')
    const plan = await planFor(input)
    const corpus: Corpus = { collection: input.collection, documents: input.documents }
    const base = { goal: input.goal, corpus, questions: plan.questions, skipped: input.skipped, pace_ms: input.pace_ms ?? 0 }
    const graph = await hub.dag(
      plan.title,
      plan.tasks.map((task) => ({
        key: task.key,
        title: task.title,
        description: task.description,
        agent_type: task.role,
        depends_on: task.depends_on,
        input: { ...base, own: task.questions } satisfies Job,
        ...(input.lease_ms !== undefined && { lease_ms: input.lease_ms }),
      })),
      { parent_id: context.task.id, idempotencyKey: context.effectKey('graph') },
    )
    let completed = 0
    const failures: string[] = []
    const followed = graph.submitted.tasks.map(async ({ id, key }) => {
      const handle = graph.task(key ?? id)
      let told: string | undefined
      for await (const task of handle.events()) {
        // A quick agent may have begun before we hear that it was chosen.
        const held = task.state === 'assigned' || task.state === 'running'
        if (held && task.assigned_to !== null && task.assigned_to !== told) {
          told = task.assigned_to
          // A note, not an order: the task itself is in the hands of the engine.
          await hub.send(told, { goal: input.goal, task: task.title }, { type: 'task.note', task_id: task.id })
        }
        // Everything after it is skipped, and a second try of the whole would meet the same.
        if (task.state === 'failed') failures.push(`“${task.title}” failed: ${task.error?.message ?? 'no reason was given'}`)
        if (task.state === 'completed') {
          completed += 1
          void context.progress(0.1 + (0.85 * completed) / plan.tasks.length, task.title)
        }
      }
    })
    await Promise.allSettled(followed)
    if (failures.length > 0) throw new Reject(failures.join(' '))
    const result = await graph.task('final').result<FinalResult>()
    return { ...result, run_id: graph.run_id }
  }

  hub.onTask((task, context) => {
    const input = task.input as Partial<GoalInput> | null
    if (typeof input?.goal === 'string' && Array.isArray(input.documents)) return run(input as GoalInput, context)
    return answerFromKnowledge(hub, wordsOf(task))
  })
  hub.onMessage((message) => answerFromKnowledge(hub, textOf(message.content)))
}
