import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decomposeGoal, type InventoryEntry, type Plan, PlanError, validatePlan } from './decompose.ts'
import { readGoal } from './goal.ts'

const prose: InventoryEntry = { document: 'a.md', kind: 'markdown', characters: 100, tables: [] }
const table: InventoryEntry = {
  document: 's.csv',
  kind: 'csv',
  characters: 100,
  tables: [{ columns: ['month', 'net_revenue'], rows: 12 }],
}

const splits: [string, string[]][] = [
  ['What caused the outage and what did it cost?', ['What caused the outage?', 'What did it cost?']],
  ['Compare the Basic plan and the Pro plan', ['Compare the Basic plan and the Pro plan']],
  ['How did revenue develop and what stands out?', ['How did revenue develop?', 'What stands out?']],
  ['Who decided it? When? Why?', ['Who decided it?']],
  [
    'Answer these:\n1. What is the budget?\n2. Who leads the project?\n3. When does it end?',
    ['What is the budget?', 'Who leads the project?', 'When does it end?'],
  ],
  ['Summarise the findings on heat pumps', ['Summarise the findings on heat pumps']],
  ['Was kostete die Presse und warum fiel sie aus?', ['Was kostete die Presse?', 'Warum fiel sie aus?']],
]
for (const [goal, questions] of splits)
  test(`questions of: ${goal.replaceAll('\n', ' ')}`, () => assert.deepEqual(readGoal(goal).questions, questions))

test('a plan reads, researches side by side, writes, checks and publishes', () => {
  const plan = decomposeGoal('What caused the outage and what did it cost?', [prose])
  assert.deepEqual(
    plan.tasks.map((task) => [task.key, task.role, task.depends_on]),
    [
      ['knowledge', 'knowledge', []],
      ['research-1', 'researcher', ['knowledge']],
      ['research-2', 'researcher', ['knowledge']],
      ['draft', 'writer', ['research-1', 'research-2']],
      ['oversight', 'oversight', ['draft']],
      ['final', 'writer', ['oversight']],
    ],
  )
})

test('analysis is planned when the goal asks for numbers or names a column, and there is a table', () => {
  const has = (goal: string, inventory: InventoryEntry[]) =>
    decomposeGoal(goal, inventory).tasks.some((task) => task.role === 'analyst')
  assert.equal(has('How did revenue develop?', [prose, table]), true)
  assert.equal(has('How did revenue develop?', [prose]), false)
  assert.equal(has('Tell the story of the revenue', [prose, table]), true)
  assert.equal(has('Why was the bridge closed?', [prose, table]), false)
  assert.equal(has('Why was the bridge closed?', [table]), true)
})

test('any goal gives a valid plan of four to eight tasks', () => {
  const goals = [
    '',
    '???',
    'x',
    'What? '.repeat(2000),
    'Why is the sky blue and how high is it? '.repeat(250),
    'word '.repeat(2000),
    Array.from({ length: 30 }, (_, index) => `${index + 1}. What is item ${index} about?`).join('\n'),
  ]
  for (const goal of goals) {
    for (const inventory of [[], [prose], [table], [prose, table]]) {
      const plan = decomposeGoal(goal, inventory)
      assert.ok(plan.tasks.length >= 4 && plan.tasks.length <= 8, `${plan.tasks.length}`)
      assert.ok(plan.title.length <= 130 && plan.questions.every((question) => question.length <= 402))
    }
  }
})

test('a plan that breaks a rule is refused with a sentence that names the task', () => {
  const good = decomposeGoal('Why?', [prose])
  const change = (edit: (plan: Plan) => void) => {
    const copy = structuredClone(good)
    edit(copy)
    return () => validatePlan(copy)
  }
  const first = (plan: Plan) => plan.tasks[0] ?? assert.fail()
  const refusals: [() => Plan, RegExp][] = [
    [change((plan) => void (first(plan).depends_on = ['final'])), /"knowledge".*circle/],
    [change((plan) => void (first(plan).depends_on = ['nobody'])), /"nobody", which does not exist/],
    [change((plan) => void (first(plan).key = 'draft')), /Two tasks/],
    [change((plan) => void (first(plan).key = 'No Key')), /is no key/],
    [change((plan) => Object.assign(first(plan), { role: 'king' })), /unknown role "king"/],
    [change((plan) => void (plan.tasks = [])), /1 to 24/],
    [change((plan) => void (plan.tasks = plan.tasks.slice(0, 3).filter((task) => task.role !== 'writer'))), /needs a writer/],
  ]
  for (const [act, message] of refusals) assert.throws(act, (error) => error instanceof PlanError && message.test(error.message))
})
