import type { Row } from './row.ts'

export const agents = [
  [
    'AGT-01',
    'Common base for agents',
    'Fewer than fifteen lines make an agent that replies to messages and whose state is on the dashboard.',
  ],
  [
    'AGT-02',
    'Agent from a description',
    'Role, description, system prompt and tools, given as a form or JSON, are enough to start a running agent.',
  ],
  [
    'AGT-03',
    'Researcher',
    'It gathers from knowledge, web and files and reports with sources; each statement leads back to the passage or page behind it.',
  ],
  [
    'AGT-04',
    'Analyst',
    'Fed a CSV, it answers in one fixed schema with statistics, the direction of the trend and what it recommends.',
  ],
  ['AGT-05', 'Coordinator', 'A goal turns into a plan one can look at, work handed to others, and a single combined outcome.'],
  ['AGT-06', 'Knowledge agent', 'Asked what is known about a subject, it returns the stored items with how well each matches.'],
  [
    'AGT-07',
    'Decomposer',
    'A goal becomes four to eight tasks with roles and prerequisites, displayed as a graph ahead of execution.',
  ],
  ['AGT-08', 'Retrieval-augmented agent', 'Beside its answer stand the passages it used and those left out for want of room.'],
  [
    'AGT-09',
    'Execution agent',
    'It carries out a permitted command inside the sandbox; one that is not permitted is refused and noted in the audit.',
  ],
  ['AGT-10', 'Oversight agent', 'A statement its cited source does not bear out is marked, and the task is sent to review.'],
  [
    'AGT-11',
    'Learning agent',
    'Twenty tasks on, it suggests an adjustment to routing or prompt together with the figures that led to it.',
  ],
  [
    'AGT-12',
    'Ready-made roles',
    'Every further role has a checked job: QA spots a seeded bug, alerting fires at anomaly 0.95, formatted output parses, and so on.',
  ],
  ['AGT-13', 'Written role definitions', 'Duties, permitted and forbidden acts stand on the role card and reach the prompt.'],
  ['AGT-14', 'Declared capabilities', 'An agent that declares web_search is considered for tasks asking for it.'],
  [
    'AGT-15',
    'Starting and ending agents at run time',
    'Spawn leads through starting to idle inside one second; delete leads through stopping to absence.',
  ],
  ['AGT-16', 'Joining from outside', 'An agent run elsewhere registers, is listed, changes its status and leaves.'],
  [
    'AGT-17',
    'Agent lifecycle',
    'Moves outside the table of starting, idle, busy, failed, stopping and terminated are refused; each legal one is on the timeline.',
  ],
  [
    'AGT-18',
    'Heartbeats and progress',
    'An agent that falls silent is declared lost within the set time; a busy one shows how far it has come.',
  ],
  ['AGT-19', 'Presence', 'The list tells who is online, who is idle and when each was last heard from.'],
  ['AGT-20', 'Discovery across nodes', 'A search by capability at one node turns up a fitting agent attached to another.'],
  [
    'AGT-21',
    'Loss of a node',
    'When a node is killed its agents are marked lost, their leases end and others take over their work.',
  ],
  [
    'AGT-22',
    'Balancing strategies',
    'Over 300 tasks the spread agrees with the strategy in force: round-robin, least-busy or random.',
  ],
  ['AGT-23', 'Choice by type, status and skill', 'Work goes to idle agents of a fitting type only.'],
  ['AGT-24', 'Fallback agent', 'When an agent is out of retries its declared stand-in finishes, and both efforts are on view.'],
  ['AGT-25', 'Conversation memory', 'For any answer one can see which of the last ten remembered items the agent had before it.'],
  [
    'AGT-26',
    'Interchangeable model providers',
    'One setting moves an unchanged agent among OpenAI, Anthropic, Google and a local model.',
  ],
  ['AGT-27', 'Offline provider', 'Without key or network the demo and the tests run, and running twice gives identical results.'],
  ['AGT-28', 'Tool calls asked for by a model', 'The request, the permission check and the outcome of the call can all be seen.'],
  [
    'AGT-29',
    'Agents of other frameworks',
    'AutoGen, CrewAI, LangChain or LangGraph, AI SDK and OpenAI agents complete one graph together, though one is killed on the way.',
  ],
  ['AGT-30', 'A person as agent', 'A human takes part through an inbox, and automatic replies end a chat at the tenth.'],
  ['AGT-31', 'Permission to delegate', 'An agent barred from delegating has its delegate intent refused.'],
  ['AGT-32', 'Plugins', 'A folder placed among the plugins is listed, and the agent type inside can be spawned.'],
  ['AGT-33', 'Agent catalogue', 'A package installed from a catalogue adds an agent type that can be spawned.'],
  ['AGT-34', 'Orderly shutdown', 'On SIGTERM no work is taken on, what is under way is checkpointed and the exit code is 0.'],
] as const satisfies readonly Row[]
