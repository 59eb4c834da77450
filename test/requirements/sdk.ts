import type { Row } from './row.ts'

export const sdk = [
  ['SDK-01', 'AgentClient', 'A client is constructed from name, type and server URL.'],
  ['SDK-02', 'connect', 'Once connected the agent is registered and shown as online.'],
  ['SDK-03', 'sendMessage', 'Content sent to a list of recipients reaches them.'],
  ['SDK-04', 'createTask', 'A task created with an assignee ends up with that agent.'],
  ['SDK-05', 'setMemory and getMemory', 'One client reads back what another has set.'],
  ['SDK-06', 'onMessage', 'The handler runs a single time for each message.'],
  ['SDK-07', 'onTaskAssigned', 'The handler runs for an assigned task, and its return value may serve as the result.'],
  ['SDK-08', 'completeTask', 'The task is completed with the given result.'],
  ['SDK-09', 'TypeScript SDK', 'The quick start compiles with its types and runs in Node and in a browser.'],
  [
    'SDK-10',
    'Python SDK',
    "The channel plan's Python example, wrapped in a coroutine and given process_task, runs with its import line as printed.",
  ],
  ['SDK-11', 'Command line', 'Spawning, submitting, sending, tailing and checking health all work in a terminal.'],
  ['SDK-12', 'Equal ways in', 'REST, socket and command line demand the same credentials and give the same results.'],
] as const satisfies readonly Row[]
