import type { Row } from './row.ts'

export const analytics = [
  ['ANL-01', 'Own time series', 'Thirty days of measurements can be queried with no Prometheus present.'],
  ['ANL-02', 'Agent scores', 'A score comes with the formula and the inputs that made it.'],
  ['ANL-03', 'Findings in words', 'Observations are written in plain language and name the series they rest on.'],
  ['ANL-04', 'Usage', 'Use is broken down by tenant, by agent and by tool.'],
  ['ANL-05', 'Report export', 'Reports leave the system as CSV, JSON or HTML.'],
  ['ANL-06', 'Runs as a data set', 'Past runs and how they ended can be gathered for learning.'],
  [
    'ANL-07',
    'Fine-tuning',
    'Consented, redacted chats are exported as JSONL; a small model trained on them is versioned, judged on unseen runs, then promoted or refused.',
  ],
  ['ANL-08', 'Trying improvements', 'A change is given part of the traffic and stays only when the measurements favour it.'],
  [
    'ANL-09',
    'Learned routing',
    'Unless switched on it does nothing; switched on, routing follows past outcomes and gives its reasons.',
  ],
  ['ANL-10', 'External models', 'A TensorFlow or PyTorch model is reachable as a tool or adapter.'],
] as const satisfies readonly Row[]
