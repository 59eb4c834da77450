/** What agents hand each other, and how a task's input is read: from a team's structured job, or from a plain description. */
import type { Assignment } from '@cadre/contract'
import type { Hub, TaskContext } from '@cadre/sdk'
import type { Message } from '../prompts/message.ts'
import type { Corpus } from './corpus.ts'

export interface Job {
  goal: string
  corpus: Corpus
  /** All questions of the plan; each leans on the ones before it. */
  questions: string[]
  /** The questions of this task. */
  own: string[]
  skipped: { document: string; reason: string }[]
  /** Milliseconds between the steps of a task, for people who watch. */
  pace_ms: number
}

/** The structured job of a team, or undefined when the task is a plain description. */
export function jobOf(task: Pick<Assignment, 'input'>): Job | undefined {
  const input = task.input as Partial<Job> | null
  return typeof input === 'object' && input !== null && typeof input.goal === 'string' && typeof input.corpus === 'object'
    ? (input as Job)
    : undefined
}

export const wordsOf = (task: Pick<Assignment, 'title' | 'description'>): string =>
  task.description.trim() === '' ? task.title : task.description

/** Text of a message: a string, or the field of an object that carries it. */
export function textOf(content: unknown, ...fields: string[]): string {
  if (typeof content === 'string') return content
  if (typeof content !== 'object' || content === null) return content === undefined ? '' : String(content)
  for (const field of [...fields, 'question', 'goal', 'text', 'query', 'description', 'content']) {
    const value = (content as Record<string, unknown>)[field]
    if (typeof value === 'string') return value
  }
  return ''
}

/** Results of the tasks this one depends on, by key. */
export async function resultsOf(hub: Hub, task: Assignment): Promise<Map<string, unknown>> {
  const results = new Map<string, unknown>()
  for (const id of task.depends_on) {
    const dependency = await hub.call('tasks.get', { id })
    results.set(dependency.key ?? id, dependency.result)
  }
  return results
}

/** A pause between steps; ends early when the task does. */
export async function pause(context: TaskContext, ms: number): Promise<void> {
  if (ms <= 0) return
  await new Promise<void>((resolve) => {
    const done = () => {
      clearTimeout(timer)
      context.signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    context.signal.addEventListener('abort', done, { once: true })
  })
}

/** Text of a model, or undefined when none is configured or it failed: then the rules alone decide. */
export async function generate(
  hub: Hub,
  messages: readonly Message[],
  proof?: TaskContext['proof'],
): Promise<string | undefined> {
  const { offline } = await hub.call('models.info', {})
  if (offline) return undefined
  try {
    const { text } = await hub.models.generate({ messages: [...messages], temperature: 0, ...proof })
    return text
  } catch {
    return undefined
  }
}
