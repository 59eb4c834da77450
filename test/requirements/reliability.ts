import type { Row } from './row.ts'

export const reliability = [
  ['REL-01', 'Fault tolerance', 'Whichever single process is killed, work that was accepted survives.'],
  [
    'REL-02',
    'Retry and time limits',
    'Attempts are bounded in time, repeated after growing waits and finally given up with a typed error.',
  ],
  ['REL-03', 'Degrading gracefully', 'Stand-ins are tried in order, and what could not be had is reported as a partial failure.'],
  ['REL-04', 'Working offline', 'A client or agent carries on while the server cannot be reached.'],
  [
    'REL-05',
    'Reconciling after offline',
    'Operations queued meanwhile are merged; every conflict is displayed and none vanishes.',
  ],
  [
    'REL-06',
    'Doing without a service',
    'A missing broker is replaced by memory until it is back, and the state is shown as degraded.',
  ],
  ['REL-07', 'Caches', 'Model, embedding and query results are cached, and the hit rates can be read.'],
  ['REL-08', 'Pools', 'Pooled resources are bounded, callers queue for them, and leaks are detected.'],
  ['REL-09', 'Query plans', 'Queries run over indexes, and slow ones are logged.'],
  ['REL-10', 'Concurrent processing', 'Callers are answered promptly while long work continues alongside.'],
  ['REL-11', 'Backups', 'They are taken on schedule, and restoring one is tested.'],
  ['REL-12', 'Evidence of reliability', 'The results of crash tests and soak runs are published.'],
  [
    'REL-13',
    'Bounded heap',
    'Over a soak of two hours the heap stays bounded, and its growth per million messages is published.',
  ],
] as const satisfies readonly Row[]
