import type { Row } from './row.ts'

export const collaboration = [
  [
    'COL-01',
    'Hierarchical team',
    'The manager splits the goal, hands parts to roles, runs what is ready at once and merges it; the hierarchy is drawn.',
  ],
  [
    'COL-02',
    'Discussion team',
    'Members talk in rounds over shared context until they agree or ten turns have passed, and a summary closes it.',
  ],
  [
    'COL-03',
    'Pipeline',
    'Research, outline, write, edit and format follow one another; output failing its check halts the run under the name of that stage.',
  ],
  [
    'COL-04',
    'Crew',
    'One crew file with roles, goals, backstories and linked tasks runs as it is, sequentially and under a manager.',
  ],
  [
    'COL-05',
    'Conversing pair',
    'An assistant and a user proxy with shared tools go through a code review, and the transcript is kept.',
  ],
  ['COL-06', 'Agreement rule', 'What counts as consensus can be set, and each discussion shows how it was reached.'],
  [
    'COL-07',
    'Run with a time limit',
    'A run answers with role, memory and message count of each agent, also when its limit (60 s) ends it.',
  ],
  ['COL-08', 'Capacity added during a run', 'Two more workers joining a live system bring waiting time down to half.'],
  [
    'COL-09',
    'Partial results',
    'With one of three sources out of order the answer is marked partial_failure and names the attempts and errors.',
  ],
  [
    'COL-10',
    'Programs of the guide',
    'Each of its roughly sixteen programs has a counterpart in examples/ that asserts what it produced.',
  ],
] as const satisfies readonly Row[]
