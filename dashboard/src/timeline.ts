/** Entries of the log in words. */
import type { LogEntry, Message, TaskState } from '@cadre/contract'
import { previewOf } from './format.ts'
import { recipientOf } from './recipient.ts'
import { type Look, lookOf, taskLooks } from './states.ts'

export interface Line {
  mark: Look['mark']
  tone: Look['tone']
  text: string
  /** The reason, or what it is about; empty when the text says it all. */
  detail: string
}

export const brakeNames: Readonly<Record<string, string>> = {
  hops: 'too many hops',
  ping_pong: 'ping-pong',
  burst: 'burst',
  repeated_call: 'repeated call',
}

/** `ada`, `ada and bob`, `ada, bob and eve`. */
export const joinNames = (names: readonly string[]): string =>
  names.length < 2 ? (names[0] ?? 'nobody') : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`

type Data = Readonly<Record<string, unknown>>
const text = (value: unknown): string => (value === null || value === undefined ? '' : String(value))
const names = (value: unknown): string => (Array.isArray(value) ? joinNames(value.map(String)) : text(value))
const plain = (value: string, detail: unknown = '', mark: Line['mark'] = 'dot', tone: Line['tone'] = 'quiet'): Line => ({
  mark,
  tone,
  text: value,
  detail: text(detail),
})
const times = (count: unknown): string => (count === 1 ? '1 attempt' : `${text(count)} attempts`)

const words: Readonly<Record<string, (data: Data, entry: LogEntry) => Line>> = {
  'message.sent': (data) => {
    const message = data as Message
    return plain(`${message.sender} → ${recipientOf(message)}`, previewOf(message.content), 'circle')
  },
  'message.dead': (data) =>
    plain(`A message to ${text(data.agent)} died after ${times(data.attempts)}`, data.reason, 'cross', 'bad'),
  'message.expired': (data) =>
    plain(
      `A message to ${text(data.agent)} expired`,
      data.attempts === 0 ? 'it was never taken' : `after ${times(data.attempts)}`,
      'clock',
      'wait',
    ),
  'message.redelivered': (data) =>
    plain(`A message to ${text(data.agent)} comes again, attempt ${text(data.attempt)}`, data.reason, 'half', 'wait'),
  'message.purged': (data) => plain(`A dead letter of ${text(data.agent)} was purged`, '', 'slash'),
  'message.replayed': (data) => {
    const count = Array.isArray(data.message_ids) ? data.message_ids.length : 0
    return plain(`${count} old ${count === 1 ? 'message' : 'messages'} put into the inbox of ${text(data.agent)} again`)
  },
  'message.replay_dropped': (data) =>
    plain(`A replayed message to ${text(data.agent)} was given up after ${times(data.attempts)}`, data.reason, 'cross', 'wait'),
  'brake.tripped': (data) => {
    const call = data.tool === null || data.tool === undefined ? '' : `, tool ${text(data.tool)}`
    const rule = brakeNames[text(data.rule)] ?? text(data.rule)
    return plain(`Loop brake holds ${names(data.parties)}: ${rule}${call}`, data.reason, 'pause', 'bad')
  },
  'brake.reset': (data, entry) =>
    plain(`${names(data.parties)} may go on`, `loop brake reset by ${entry.actor}`, 'check', 'good'),
  'conversation.exempted': (data) =>
    plain(`A conversation is ${data.exempt === true ? 'out of' : 'back in'} the loop brakes`, data.conversation_id),
  'rule.created': (data, entry) => plain(`Rule ${text(data.name)} was added`, `by ${entry.actor}`),
  'rule.updated': (data, entry) => plain(`Rule ${text(data.name)} was changed`, `by ${entry.actor}`),
  'rule.deleted': (data, entry) => plain(`Rule ${text(data.name)} was deleted`, `by ${entry.actor}`),
  'topic.subscribed': (data) =>
    plain(
      `${text(data.agent)} subscribed to #${text(data.topic)}`,
      typeof data.group === 'string' ? `in the group ${data.group}` : '',
    ),
  'topic.unsubscribed': (data) => plain(`${text(data.agent)} left #${text(data.topic)}`),
  'agent.registered': (data) => plain(`${text(data.name)} registered`, data.type),
  'agent.status_changed': (data) => plain(`${text(data.name)}: ${text(data.from)} → ${text(data.to)}`, data.reason),
  'agent.joined': (data) => plain(`${text(data.name)} connected`, data.type, 'dot', 'good'),
  'agent.left': (data) => plain(`${text(data.name)} left`, data.reason, 'circle', 'quiet'),
  'agent.worker_exited': (data) => plain(`The process of ${text(data.name)} ended`, data.exit, 'cross', 'bad'),
  'memory.updated': (data) =>
    plain(`Memory ${text(data.key)} ${data.deleted === true ? 'deleted' : `version ${text(data.version)}`}`, data.updated_by),
  'artifact.stored': (data) => plain(`Artifact ${text(data.name) || text(data.artifact_id).slice(0, 12)} stored`),
  'tool.called': (data) =>
    plain(
      `${text(data.caller)} called ${text(data.tool)}: ${text(data.state)}`,
      '',
      data.state === 'failed' || data.state === 'refused' ? 'cross' : 'dot',
      data.state === 'failed' || data.state === 'refused' ? 'bad' : 'quiet',
    ),
  'consumer.created': (data) => plain(`Group ${text(data.group)} reads ${names(data.topics)}`),
  'consumer.moved': (data) => plain(`Group ${text(data.group)} was set to position ${text(data.after)}`),
  'consumer.deleted': (data) => plain(`Group ${text(data.group)} was deleted`),
  'retention.compacted': (data) => plain(`${text(data.removed)} old messages were removed`),
  'system.started': (data) => plain('The server started', data.version),
  'access.denied': (data) =>
    plain(`${text(data.agent) || 'A caller'} was refused ${text(data.operation)}`, data.reason, 'lock', 'wait'),
}

/** `summaries` says what entries of other types are, by type; one that is unknown shows its type and data. */
export function describe(entry: LogEntry, summaries: ReadonlyMap<string, string> = new Map()): Line {
  const data = (typeof entry.data === 'object' && entry.data !== null ? entry.data : {}) as Data
  const word = words[entry.type]
  if (word !== undefined) return word(data, entry)
  if (entry.type.startsWith('task.') && typeof data.title === 'string') {
    const look = lookOf(taskLooks, data.to as TaskState)
    const who = data.agent === null || data.agent === undefined ? '' : `, ${text(data.agent)}`
    return plain(`${data.title}: ${look.label}${who}`, data.note ?? data.reason, look.mark, look.tone)
  }
  return plain(summaries.get(entry.type) ?? entry.type, previewOf(entry.data))
}
