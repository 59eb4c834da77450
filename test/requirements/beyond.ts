import type { Row } from './row.ts'

export const beyond = [
  [
    'BYD-01',
    'Truthful receipts',
    'Random kills under 10,000 messages leave every one either acknowledged or dead for a stated cause, and senders are told which.',
  ],
  [
    'BYD-02',
    'Clients of every kind together',
    'Clients in TypeScript and Python, plain curl and MCP jointly complete one graph.',
  ],
  [
    'BYD-03',
    'Crash-proof as delivered',
    'After kill -9 at an arbitrary moment and a restart the run reaches its end, with no option set.',
  ],
  ['BYD-04', 'Fenced leases', 'A worker waking after its lease ran out is refused, and the result of its successor stays.'],
  [
    'BYD-05',
    'Effects once only',
    'Dying after a tool ran but before that was noted repeats no effect; outcome_unknown puts the question to a person.',
  ],
  ['BYD-06', 'Firm budgets', 'Fifty agents at once on a budget of one dollar are booked for no more than one dollar.'],
  [
    'BYD-07',
    'One governor of model calls',
    'With 512 agents on a provider that has quotas none starves to death and all finish fairly.',
  ],
  ['BYD-08', 'Loop brakes', 'Two agents that answer everything are halted by a rule, and the timeline names it.'],
  [
    'BYD-09',
    'Compact journal',
    'A hundred tool calls over 200k tokens leave a journal smaller than three times the conversation.',
  ],
  ['BYD-10', 'Control room included', 'Cut off from the network, the page served by the same process keeps all its functions.'],
  ['BYD-11', 'Replay and fork of a run', 'Replaying yields the identical event hash, and forking points to where the runs part.'],
  [
    'BYD-12',
    'Shared memory under contention',
    'Of two writers to one key the second gets a conflict showing both values, and no version is lost.',
  ],
  [
    'BYD-13',
    'Tenants, roles and keys for all',
    'Operations, topics, metrics and searches are all tried across tenants to prove the separation, free of charge.',
  ],
  ['BYD-14', 'Audit that shows tampering', 'With one byte altered the offline verifier names the row concerned.'],
  [
    'BYD-15',
    'A stop that holds',
    'Once acknowledged, nothing below it runs or spends, even over a restart; resuming goes on from there.',
  ],
  [
    'BYD-16',
    'Approvals',
    'A request approved days and deployments later continues its run, with exactly the arguments approved.',
  ],
  [
    'BYD-17',
    'Laptop to cluster',
    'One variable makes the change, one suite passes on every combination, and a live system can be moved.',
  ],
  ['BYD-18', 'Webhook outbox', 'An hour of receiver outage and a server crash still yield every event once by its id.'],
  [
    'BYD-19',
    'Oversight with evidence',
    'A planted falsehood is blocked for want of a passage, and the measured precision and recall are made public.',
  ],
  [
    'BYD-20',
    'Learning one can audit',
    'In a benchmark anyone can rerun, routing from measured outcomes outdoes round-robin; it can be turned off.',
  ],
] as const satisfies readonly Row[]
