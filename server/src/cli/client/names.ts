/** The only lists written by hand: other names of commands, and what to show in examples. Everything else comes from the contract. */

/** Positionals beside what is required: one value that nearly every call gives. */
export const positionalExtras: Readonly<Record<string, readonly string[]>> = {
  'tasks.create': ['title'],
  'knowledge.add': ['content'],
  'messages.ask': ['to'],
}

/** Further nouns. The singular of each noun is taken too. */
export const nounSummaries: Readonly<Record<string, string>> = {
  agents: 'Agents: start, register, list, stop',
  messages: 'Messages: send, ask, publish, inboxes, dead letters',
  retention: 'How long messages are kept',
  rules: 'Routing rules: where messages go that name nobody',
  brakes: 'Loop brakes: what was stopped, limits, exemptions',
  tasks: 'Tasks: create, graphs, claim, complete, watch',
  runs: 'Runs of graphs: results, wait, pause, resume, cancel',
  schedules: 'Tasks and graphs made at the times of a cron pattern',
  memory: 'Shared memory: versioned keys',
  knowledge: 'Documents: add and search',
  tools: 'Tools: offer, grant, call',
  artifacts: 'Files: upload and download',
  models: 'The configured language model',
  system: 'The server itself',
  events: 'The log of everything that happened',
  consumers: 'Groups that read the log at their own pace',
  keys: 'API keys',
}

/** Verbs with the same meaning everywhere. */
export const verbAliases: Readonly<Record<string, readonly string[]>> = {
  list: ['ls'],
  delete: ['rm'],
}

/** Other names of single operations, within their noun. */
export const operationAliases: Readonly<Record<string, readonly string[]>> = {
  'agents.terminate': ['rm', 'stop'],
  'keys.revoke': ['rm'],
  'tasks.create': ['submit'],
  'messages.acknowledge': ['ack'],
  'messages.dead_letters': ['dlq'],
}

interface Shortcut {
  operation: string
  positionals: readonly string[]
  /** Words after the last positional belong to it, so that a text needs no quotes. */
  joinsWords: boolean
  examples: readonly string[]
}

/** Top-level commands that are one operation each. */
export const shortcuts: Readonly<Record<string, Shortcut>> = {
  send: {
    operation: 'messages.send',
    positionals: ['to', 'content'],
    joinsWords: true,
    examples: [
      'cadre send researcher "Look into tidal power"',
      `cadre send ada,bob '{"step": 2}'`,
      'cadre send writer @notes.md',
    ],
  },
  ask: {
    operation: 'messages.ask',
    positionals: ['to', 'content'],
    joinsWords: true,
    examples: ['cadre ask analyst "How many rows are in the table?"', 'cadre ask analyst --timeout 120 @question.txt'],
  },
  pub: {
    operation: 'messages.publish',
    positionals: ['topic', 'content'],
    joinsWords: false,
    examples: [`cadre pub market.prices '{"copper": 9120}'`, 'date | cadre pub clock.tick -'],
  },
  link: { operation: 'system.link', positionals: [], joinsWords: false, examples: ['cadre link', 'open "$(cadre link)"'] },
}

/** Examples of commands for which samples of their fields would make no sensible call. */
export const operationExamples: Readonly<Record<string, readonly string[]>> = {
  'messages.send': [
    'cadre messages send "Good morning" --to researcher',
    'cadre messages send "Draw the chart" --capabilities charts',
  ],
  'messages.receive': ['cadre messages receive researcher', 'cadre messages receive operator --wait-ms 10000'],
  'messages.redrive': ['cadre messages dead-letters', 'cadre messages redrive msg_0123.agt_0123'],
  'messages.purge': ['cadre messages dead-letters', 'cadre messages purge msg_0123.agt_0123'],
  'messages.replay': [
    'cadre messages replay --conversation-id msg_0123',
    'cadre messages replay --since 2026-01-31T08:00:00Z --agent researcher --deliver',
  ],
  'rules.create': [`cadre rules create sums '{"type": "analysis.*"}' '{"agent_type": "analyst", "strategy": "idle"}'`],
  'rules.update': ['cadre rules update rul_0123 --priority 10', 'cadre rules update rul_0123 --no-enabled'],
  'retention.set': ['cadre retention set --messages-days 30', 'cadre retention set --messages-days null'],
  'brakes.get': ['cadre brakes get brk_0123'],
  'brakes.reset': ['cadre brakes list --held', 'cadre brakes reset brk_0123'],
  'brakes.configure': ['cadre brakes configure --hop-limit 64 --ping-pong-turns 40'],
  'brakes.exempt': ['cadre brakes exempt chess-7', 'cadre brakes exempt chess-7 --no-exempt'],
  'consumers.create': ['cadre consumers create billing agent.tasks --from start'],
  'consumers.read': ['cadre consumers read billing --limit 10 --json'],
  'consumers.commit': ['cadre consumers read billing --json   # its cursor', 'cadre consumers commit billing CURSOR'],
  'consumers.seek': ['cadre consumers seek billing start'],
  'consumers.delete': ['cadre consumers delete billing'],
}

/** What stands for a value in an example, by entity or field; anything else is made from its type. */
export const samples: Readonly<Record<string, string>> = {
  agent: 'researcher',
  task: 'tsk_0123',
  message: 'msg_0123',
  memory: 'report/draft',
  collection: 'handbook',
  document: 'doc_0123',
  tool: 'web.fetch',
  artifact: '5e8f…',
  key: 'key_0123',
  title: '"Collect the figures"',
  query: '"tidal power"',
  topic: 'market.prices',
  name: 'my-name',
  type: 'analyst',
  value: `'{"done": true}'`,
  content: '"Good morning"',
  receipts: 'rcp_0123',
  receipt: 'rcp_0123',
  error: '"the source is gone"',
  tasks: '@graph.json',
  messages: `'[{"role":"user","content":"Hello"}]'`,
}
