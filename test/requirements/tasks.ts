import type { Row } from './row.ts'

export const tasks = [
  [
    'TSK-01',
    'Submitting a task',
    'Title, description, priority, type, requirements, due date and metadata are taken, an id returns at once and the task is pending.',
  ],
  [
    'TSK-02',
    'Following a task',
    'Status, progress and result can be read while it goes from pending over assigned and running to completed, live on the page.',
  ],
  [
    'TSK-03',
    'Dependencies',
    'Analysis waits for research and data, synthesis for analysis, report for synthesis; a circle is refused with its members named.',
  ],
  ['TSK-04', 'Parallel work', 'The timeline shows two tasks without mutual dependency running during the same period.'],
  ['TSK-05', 'Priority order', 'A task of priority 1 starts ahead of one of priority 5 submitted earlier.'],
  ['TSK-06', 'Assigning by hand', 'Assigning a task to an agent sends that agent task:assigned.'],
  [
    'TSK-07',
    'Reasoned assignment',
    'Each automatic choice lists the candidates, their scores for skill, load and health, and why the winner won.',
  ],
  [
    'TSK-08',
    'Load counting',
    'The count of an agent rises with an assignment and falls when that work ends, well or badly; the least loaded is preferred.',
  ],
  ['TSK-09', 'Work moves on', 'The task of a killed worker is given to another with nobody stepping in.'],
  [
    'TSK-10',
    'Retries',
    'Three retries wait 1, 2 and 4 seconds, each attempt is on record, and exhaustion ends in max_retries_exceeded.',
  ],
  ['TSK-11', 'Failure as a result', 'When the stand-in fails as well, the task ends with an error in machine-readable parts.'],
  ['TSK-12', 'Planner', 'From goal and constraints comes a plan that one may change and approve before any of it runs.'],
  ['TSK-13', 'Checked decomposition', 'A proposed set of tasks is held against a schema; a faulty one is mended or turned down.'],
  ['TSK-14', 'Joining child results', 'A parent task presents the combined outcome and leads to each child.'],
  ['TSK-15', 'Conversation of a task', 'Messages that name a task are listed with it.'],
  [
    'TSK-16',
    'Completion and its mark',
    'Completing stores the result and puts a check mark on the board, in the list and in the graph.',
  ],
  ['TSK-17', 'Listing and changing tasks', 'List, detail and update answer, and status, agent and priority narrow the list.'],
  ['TSK-18', 'Assignments as records', 'The history of a task says which agent held it and between which times.'],
  ['TSK-19', 'Cancelling', 'A cancelled task takes its children with it and sets their agents free.'],
  ['TSK-20', 'Task board', 'Tasks stand in columns by status, and dragging one onto an agent assigns it.'],
  ['TSK-21', 'Task events', 'One subscriber sees task.created, task.progress and task.completed, in this order.'],
] as const satisfies readonly Row[]
