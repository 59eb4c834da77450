/**
 * The six named topics of the log. Every event belongs to one. Its key says which entries keep their order among each other: entries of
 * one key are in one partition, and a partition is in the order of the log.
 */
export interface EventTopicSpec {
  summary: string
  /** Fixed: another number would move keys to other partitions. */
  partitions: number
  /** The key of an entry is the first of these fields of its data that is a text, and its subject where there is none. */
  keys: readonly string[]
  /** Who reads it inside the server, at once and without a cursor. Outside readers are groups of their own. */
  inside: readonly string[]
}

const spec = <const S extends EventTopicSpec>(given: S): S => Object.freeze(given)

export const eventTopics = Object.freeze({
  'agent.lifecycle': spec({
    summary: 'Agents are registered, change their status and end',
    partitions: 3,
    keys: ['agent_id'],
    inside: [],
  }),
  'agent.tasks': spec({
    summary: 'Tasks are made, assigned, worked on and end',
    partitions: 6,
    keys: ['task_id', 'run_id', 'schedule_id'],
    inside: [],
  }),
  'agent.communication': spec({
    summary: 'Messages are stored and what becomes of them',
    partitions: 3,
    keys: ['conversation_id', 'agent_id'],
    inside: ['metrics: counts messages a minute', 'receipts: wakes who waits for the outcome of a message'],
  }),
  'agent.state': spec({
    summary: 'Agents come and go, and shared memory changes',
    partitions: 3,
    keys: ['agent_id', 'key'],
    inside: ['sockets: agent:joined and agent:left for every agent, memory:updated for plain clients'],
  }),
  'system.events': spec({
    summary: 'The server, its keys and rules, knowledge, tools and artifacts',
    partitions: 1,
    keys: [],
    inside: [],
  }),
  'dead.letter': spec({
    summary: 'Deliveries that died, and what was done about them',
    partitions: 1,
    keys: ['agent_id'],
    inside: [],
  }),
} as const satisfies Readonly<Record<string, EventTopicSpec>>)

export type EventTopic = keyof typeof eventTopics
export const eventTopicNames = Object.keys(eventTopics) as EventTopic[]
