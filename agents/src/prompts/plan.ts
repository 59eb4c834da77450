/** Asking a model for a plan, and taking its answer only when it holds. */
import { decomposeGoal, type InventoryEntry, type Plan, type PlannedTask, type Role, validatePlan } from '../plan/decompose.ts'
import { fenced, type Message, untrustedRule } from './message.ts'
import { readJsonAnswer } from './json-answer.ts'

const maxGoalShown = 12_000
const maxListed = 60

export function planMessages(goal: string, inventory: InventoryEntry[]): Message[] {
  const listed = inventory
    .slice(0, maxListed)
    .map(
      (entry) =>
        `- ${entry.document} (${entry.kind}, ${entry.characters} characters${entry.tables.length > 0 ? `, tables with columns ${entry.tables[0]?.columns.slice(0, 12).join(', ')}` : ''})`,
    )
  return [
    {
      role: 'system',
      content: [
        'You split a goal into questions that can be researched in a set of documents side by side.',
        untrustedRule,
        'Answer with one JSON object and nothing else: {"questions": ["..."], "analysis": true or false}.',
        'Two to three questions are usual, one is enough for a simple goal, six is the limit. Each question must be understandable on its own and stay within the goal.',
        'Set "analysis" to true when numbers in tables help to answer.',
      ].join('\n'),
    },
    { role: 'user', content: `${fenced({ kind: 'documents' }, listed.join('\n'))}\n\nThe goal:\n${goal.slice(0, maxGoalShown)}` },
  ]
}

/** The model's questions in our own frame of tasks; undefined when the answer is no such plan, so that the caller falls back to the rules. */
export function parsePlan(answer: string, goal: string, inventory: InventoryEntry[]): Plan | undefined {
  const value = readJsonAnswer(answer)
  if (typeof value !== 'object' || value === null || !('questions' in value) || !Array.isArray(value.questions)) return undefined
  const questions = value.questions
    .filter(
      (question): question is string => typeof question === 'string' && question.trim().length > 3 && question.length <= 400,
    )
    .slice(0, 6)
  if (questions.length === 0) return undefined
  const ruled = decomposeGoal(goal, inventory)
  const wantsTables = 'analysis' in value && value.analysis === true && inventory.some((entry) => entry.tables.length > 0)
  const research = questions.slice(0, 3).map((question, index): PlannedTask => {
    const group = index === 2 ? questions.slice(2) : [question]
    return task(
      questions.length === 1 ? 'research' : `research-${index + 1}`,
      `Research: ${question.slice(0, 70)}`,
      group.map((entry) => `Find what the documents say: ${entry}`).join('\n'),
      'researcher',
      ['knowledge'],
      group,
    )
  })
  const ruledAnalysis = ruled.tasks.find((entry) => entry.role === 'analyst')
  const analysis =
    ruledAnalysis ??
    (wantsTables
      ? task(
          'analysis',
          'Compute statistics of the tables',
          'Describe the columns, test for trends and outliers, compare groups.',
          'analyst',
          ['knowledge'],
          questions,
        )
      : undefined)
  const sources = [...research, ...(analysis === undefined ? [] : [analysis])]
  const frame = ruled.tasks.filter((entry) => entry.role !== 'researcher' && entry.role !== 'analyst')
  const tasks = frame.flatMap((entry) => {
    if (entry.key === 'knowledge') return [entry, ...sources]
    return entry.key === 'draft' ? [{ ...entry, depends_on: sources.map((source) => source.key), questions }] : [entry]
  })
  return validatePlan({ ...ruled, questions, tasks })
}

function task(
  key: string,
  title: string,
  description: string,
  role: Role,
  dependsOn: string[],
  questions: string[],
): PlannedTask {
  return { key, title, description, role, depends_on: dependsOn, questions }
}
