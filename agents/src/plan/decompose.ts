/** From a goal and what lies in the folder to a graph of tasks, by rules. */
import type { DocumentKind } from '../documents/document.ts'
import { readQuestion } from '../text/question.ts'
import { meansSame } from '../text/thesaurus.ts'
import { contentStems } from '../text/tokens.ts'
import { readGoal } from './goal.ts'

export type Role = 'researcher' | 'analyst' | 'knowledge' | 'writer' | 'oversight'

/** `questions` is what a research task has to answer; the analysis gets all of them. */
export type PlannedTask = {
  key: string
  title: string
  description: string
  role: Role
  depends_on: string[]
  questions: string[]
}

export type Plan = { goal: string; title: string; questions: string[]; tasks: PlannedTask[] }

/** What the folder holds: one entry per document, with the columns of the tables in it. */
export type InventoryEntry = {
  document: string
  kind: DocumentKind
  characters: number
  tables: { columns: string[]; rows: number }[]
}

const maxTasks = 8

/** Four to eight tasks: read the documents, research each question side by side, compute, write, check, publish. */
export function decomposeGoal(raw: string, inventory: InventoryEntry[]): Plan {
  const goal = readGoal(raw)
  const questions = goal.questions.length > 0 ? goal.questions : [goal.title === '' ? 'What do the documents say?' : goal.title]
  const analysis = needsAnalysis(questions, inventory)
  const prose = inventory.length === 0 || inventory.some((entry) => entry.kind !== 'csv' && entry.kind !== 'tsv')
  const slots = prose ? Math.min(questions.length, maxTasks - 4 - (analysis ? 1 : 0)) : 0
  const groups = shareOut(questions, slots)
  const tasks: PlannedTask[] = [
    {
      key: 'knowledge',
      title: `Read ${inventory.length} document${inventory.length === 1 ? '' : 's'}`,
      description: 'Load the documents, cut them into passages and make them searchable.',
      role: 'knowledge',
      depends_on: [],
      questions: [],
    },
  ]
  for (const [index, group] of groups.entries()) {
    const key = groups.length === 1 ? 'research' : `research-${index + 1}`
    tasks.push({
      key,
      title: `Research: ${short(group[0] ?? goal.title)}`,
      description: group.map((question) => `Find what the documents say: ${question}`).join('\n'),
      role: 'researcher',
      depends_on: ['knowledge'],
      questions: group,
    })
  }
  if (analysis || groups.length === 0) {
    const count = inventory.reduce((sum, entry) => sum + entry.tables.length, 0)
    tasks.push({
      key: 'analysis',
      title: `Compute statistics of ${count} table${count === 1 ? '' : 's'}`,
      description: 'Describe the columns, test for trends and outliers, compare groups, look up the rows that the goal names.',
      role: 'analyst',
      depends_on: ['knowledge'],
      questions,
    })
  }
  const sources = tasks.filter((task) => task.key !== 'knowledge').map((task) => task.key)
  tasks.push({
    key: 'draft',
    title: 'Write the report',
    description: 'Answer each question from the evidence, every sentence with its source.',
    role: 'writer',
    depends_on: sources,
    questions,
  })
  tasks.push({
    key: 'oversight',
    title: 'Check every sentence against its source',
    description: 'Strike out what the cited passage does not support.',
    role: 'oversight',
    depends_on: ['draft'],
    questions: [],
  })
  tasks.push({
    key: 'final',
    title: 'Publish the checked report',
    description: 'Put the verdicts into the report.',
    role: 'writer',
    depends_on: ['oversight'],
    questions: [],
  })
  return validatePlan({ goal: goal.text, title: goal.title, questions, tasks })
}

const quantitative =
  /\b(?:how (?:much|many|did|has|have|does|often)|trend|develop\w*|statistic\w*|average|mean|median|total|sum|count|number|percent\w*|share|rate|growth|grew|increase\w*|decrease\w*|decline\w*|revenue|sales|cost|price|budget|profit|outlier\w*|stands? out|correlat\w*|highest|lowest|most|least|top|best|worst|compare|distribution|data|table|figures|numbers|analy[sz]\w*|insight\w*|umsatz|kosten|entwickl\w*|anzahl|durchschnitt\w*|wie ?viele?|zahlen)\b/i

function needsAnalysis(questions: string[], inventory: InventoryEntry[]): boolean {
  const columns = inventory.flatMap((entry) => entry.tables.flatMap((table) => table.columns))
  if (columns.length === 0) return false
  if (questions.some((question) => quantitative.test(question) || asksForRow(question))) return true
  // A folder of tables alone can only be answered from them.
  if (inventory.every((entry) => entry.tables.length > 0 && entry.kind !== 'markdown' && entry.kind !== 'html')) return true
  const wanted = questions.flatMap((question) => contentStems(question))
  return columns
    .slice(0, 400)
    .some((name) => contentStems(name.replace(/[_-]+/g, ' ')).some((stem) => wanted.some((word) => meansSame(stem, word))))
}

/** A name may be that of a row, and an overview is one of the tables as well. */
function asksForRow(question: string): boolean {
  const { overview, terms } = readQuestion(question)
  return overview || terms.some((term) => term.named)
}

/** Neighbouring questions share a task when there are more questions than tasks. */
function shareOut(questions: string[], slots: number): string[][] {
  if (slots <= 0) return []
  const groups: string[][] = Array.from({ length: slots }, () => [])
  for (const [index, question] of questions.entries()) groups[Math.floor((index * slots) / questions.length)]?.push(question)
  return groups.filter((group) => group.length > 0)
}

function short(text: string): string {
  if (text.length <= 70) return text
  const cut = text.lastIndexOf(' ', 68)
  return `${text.slice(0, cut > 30 ? cut : 68)} …`
}

const roles: ReadonlySet<string> = new Set(['researcher', 'analyst', 'knowledge', 'writer', 'oversight'])

/** The plan breaks a rule; the message names the task and what is wrong. */
export class PlanError extends Error {
  override name = 'PlanError'
}

/** Answers the plan when it holds: 1 to 24 tasks, unique keys, known roles and dependencies, no cycle, a writer whose work oversight checks. */
export function validatePlan(plan: Plan): Plan {
  const { tasks } = plan
  if (tasks.length === 0 || tasks.length > 24) throw new PlanError(`A plan has 1 to 24 tasks, this one has ${tasks.length}.`)
  const byKey = new Map<string, PlannedTask>()
  for (const task of tasks) {
    if (!/^[a-z0-9][a-z0-9-]{0,63}$/.test(task.key))
      throw new PlanError(`"${task.key}" is no key: small letters, digits and dashes, at most 64.`)
    if (byKey.has(task.key)) throw new PlanError(`Two tasks have the key "${task.key}".`)
    if (!roles.has(task.role)) throw new PlanError(`The task "${task.key}" wants the unknown role "${task.role}".`)
    if (task.title.trim() === '' || task.title.length > 200)
      throw new PlanError(`The task "${task.key}" needs a title of at most 200 characters.`)
    byKey.set(task.key, task)
  }
  for (const task of tasks) {
    for (const need of task.depends_on)
      if (!byKey.has(need)) throw new PlanError(`The task "${task.key}" depends on "${need}", which does not exist.`)
  }
  const order = topologicalOrder(tasks)
  if (order.length < tasks.length)
    throw new PlanError(
      `The tasks ${tasks
        .filter((task) => !order.includes(task.key))
        .map((task) => `"${task.key}"`)
        .join(', ')} depend on each other in a circle.`,
    )
  const checks = tasks.find((task) => task.role === 'oversight')
  if (!tasks.some((task) => task.role === 'writer') || checks === undefined)
    throw new PlanError('A plan needs a writer and an oversight task.')
  if (!checks.depends_on.some((need) => byKey.get(need)?.role === 'writer'))
    throw new PlanError('Oversight must depend on the writer whose report it checks.')
  return plan
}

function topologicalOrder(tasks: PlannedTask[]): string[] {
  const left = new Map(tasks.map((task) => [task.key, new Set(task.depends_on)]))
  const order: string[] = []
  for (;;) {
    const ready = [...left].filter(([, needs]) => needs.size === 0).map(([key]) => key)
    if (ready.length === 0) return order
    for (const key of ready) {
      left.delete(key)
      order.push(key)
    }
    for (const needs of left.values()) for (const key of ready) needs.delete(key)
  }
}
