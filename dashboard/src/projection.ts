/**
 * The one view of the server that every panel draws from: a snapshot read by REST, moved on by log entries in order.
 * Pure: each step answers a new value and leaves the old one alone, so that unchanged entities keep their identity and are not drawn again.
 */
import type { Agent, LogEntry, Message, OutputOf, Task, TaskState } from '@cadre/contract'
import { isEnded } from './states.ts'

export type Metrics = OutputOf<'system.metrics'>
export type Health = OutputOf<'system.health'>

/** Newest of each kind that are kept. */
export const limits = { tasks: 500, messages: 300, agents: 500, entries: 200 } as const

/** Lists that are read whole; each is read again when its number here has changed. */
export interface Touched {
  deadLetters: number
  brakes: number
  rules: number
  connections: number
  inboxes: number
}
type Copies = ReadonlyMap<string, CopyState>
type CopyState = 'ready' | 'leased' | 'acknowledged' | 'dead' | 'expired'

export interface Projection {
  seq: number
  agents: ReadonlyMap<string, Agent>
  tasks: ReadonlyMap<string, Task>
  /** Newest first. */
  messages: readonly Message[]
  /** Of messages to several that appeared here: what became of each copy, by message id and agent id. */
  receipts: ReadonlyMap<string, Copies>
  /** How often something happened to a message that is shown, by message id. */
  changes: ReadonlyMap<string, number>
  /** Newest durable entries of the log, newest first. */
  entries: readonly LogEntry[]
  touched: Touched
  /** The seq of the last entry that moved a task, by task id. */
  moves: ReadonlyMap<string, number>
  metrics: Metrics | null
  health: Health | null
}

/** What a log entry does not carry and has to be read again. */
export interface Stale {
  tasks: Set<string>
  messages: Set<string>
  agents: boolean
}

export const emptyProjection: Projection = {
  seq: 0,
  agents: new Map(),
  tasks: new Map(),
  messages: [],
  receipts: new Map(),
  changes: new Map(),
  entries: [],
  touched: { deadLetters: 0, brakes: 0, rules: 0, connections: 0, inboxes: 0 },
  moves: new Map(),
  metrics: null,
  health: null,
}
export const nothingStale = (): Stale => ({ tasks: new Set(), messages: new Set(), agents: false })

export interface Snapshot {
  seq: number
  agents: readonly Agent[]
  tasks: readonly Task[]
  messages: readonly Message[]
  /** Oldest first. */
  entries: readonly LogEntry[]
  metrics: Metrics
  health: Health
}

export function projectSnapshot(snapshot: Snapshot): Projection {
  return {
    seq: snapshot.seq,
    agents: new Map(snapshot.agents.map((agent) => [agent.id, agent])),
    tasks: new Map(snapshot.tasks.map((task) => [task.id, task])),
    messages: snapshot.messages.slice(0, limits.messages),
    receipts: new Map(),
    changes: new Map(),
    entries: snapshot.entries.slice(-limits.entries).toReversed(),
    touched: emptyProjection.touched,
    moves: new Map(),
    metrics: snapshot.metrics,
    health: snapshot.health,
  }
}

/** Applies entries in order; those the view has seen are skipped. `seq` 0 marks entries that are not durable. Adds to `stale`. */
export function applyEntries(projection: Projection, entries: readonly LogEntry[], stale: Stale): Projection {
  let next = projection
  const fresh: LogEntry[] = []
  const touched = { ...projection.touched }
  for (const entry of entries) {
    if (entry.seq !== 0 && entry.seq <= next.seq) continue
    next = applyEntry(next, entry, stale)
    touch(touched, entry)
    if (entry.seq === 0) continue
    next = { ...next, seq: entry.seq }
    fresh.push(entry)
  }
  if (fresh.length === 0) return { ...next, touched }
  return { ...next, touched, entries: [...fresh.toReversed(), ...next.entries].slice(0, limits.entries) }
}

const deadLetterEntries: ReadonlySet<string> = new Set(['message.dead', 'message.redelivered', 'message.purged'])

function touch(touched: Touched, { type }: LogEntry): void {
  if (deadLetterEntries.has(type)) touched.deadLetters += 1
  if (type.startsWith('brake.')) touched.brakes += 1
  if (type.startsWith('rule.')) touched.rules += 1
  if (type.startsWith('message.') || type.startsWith('topic.')) touched.inboxes += 1
  if (type === 'agent.joined' || type === 'agent.left') touched.connections += 1
}

function applyEntry(projection: Projection, entry: LogEntry, stale: Stale): Projection {
  if (typeof entry.data !== 'object' || entry.data === null) return projection
  const data = entry.data as Record<string, unknown>
  // Messages change how deep inboxes are.
  stale.agents ||= entry.type.startsWith('message.')
  if (entry.type === 'message.sent') return addMessage(projection, data as Message)
  if (entry.type === 'message.settled') return settle(projection, data, stale)
  const fate = fates[entry.type]
  if (fate !== undefined) return moveCopies(projection, new Set([String(data.message_id)]), String(data.agent_id), fate, stale)
  if (entry.type.startsWith('task.')) return moveTask(projection, entry, data, stale)
  if (entry.type.startsWith('agent.')) return moveAgent(projection, entry, data, stale)
  return projection
}

function addMessage(projection: Projection, message: Message): Projection {
  if (projection.messages.some((known) => known.id === message.id)) return projection
  const messages = [message, ...projection.messages].slice(0, limits.messages)
  const dropped = projection.messages.length === limits.messages ? projection.messages.at(-1) : undefined
  const receipts = new Map(projection.receipts)
  if (message.recipient_count > 1) receipts.set(message.id, new Map())
  if (dropped === undefined) return { ...projection, messages, receipts }
  const changes = new Map(projection.changes)
  receipts.delete(dropped.id)
  changes.delete(dropped.id)
  return { ...projection, messages, receipts, changes }
}

const fates: Readonly<Record<string, CopyState>> = {
  'message.dead': 'dead',
  'message.expired': 'expired',
  'message.redelivered': 'ready',
}
const statusOfCopy: Readonly<Record<CopyState, Message['status']>> = {
  ready: 'stored',
  leased: 'delivered',
  acknowledged: 'acknowledged',
  dead: 'dead',
  expired: 'expired',
}

function settle(projection: Projection, data: Record<string, unknown>, stale: Stale): Projection {
  const ids = new Set(Array.isArray(data.message_ids) ? data.message_ids.map(String) : [])
  const state = String(data.state)
  if (!(state in statusOfCopy) || ids.size === 0) return projection
  return moveCopies(projection, ids, String(data.agent_id), state as CopyState, stale)
}

/** Something became of the copy that one agent has of these messages. */
function moveCopies(projection: Projection, ids: ReadonlySet<string>, agent: string, state: CopyState, stale: Stale): Projection {
  const receipts = new Map(projection.receipts)
  const changes = new Map(projection.changes)
  const messages = projection.messages.map((message) => {
    if (!ids.has(message.id)) return message
    changes.set(message.id, (changes.get(message.id) ?? 0) + 1)
    if (message.recipient_count <= 1) return withStatus(message, statusOfCopy[state])
    const known = receipts.get(message.id)
    // Read with the snapshot: what became of the other copies before is not known here.
    if (known === undefined) {
      stale.messages.add(message.id)
      return message
    }
    if (known.get(agent) === 'acknowledged' && state === 'leased') return message
    const copies = new Map(known).set(agent, state)
    receipts.set(message.id, copies)
    return withStatus(message, statusOfCopies(copies, message.recipient_count))
  })
  return { ...projection, messages, receipts, changes }
}

/** As the server puts it together: stored while one copy waits, then delivered while one is with its agent. */
function statusOfCopies(copies: Copies, count: number): Message['status'] {
  const states = new Set(copies.values())
  if (copies.size < count || states.has('ready')) return 'stored'
  if (states.has('leased')) return 'delivered'
  if (states.has('dead')) return 'dead'
  return states.has('expired') ? 'expired' : 'acknowledged'
}

/** An acknowledged message stays so: the entry of its delivery may come after. */
const withStatus = (message: Message, status: Message['status']): Message =>
  message.status === status || (message.status === 'acknowledged' && status === 'delivered') ? message : { ...message, status }

function moveTask(projection: Projection, entry: LogEntry, data: Record<string, unknown>, stale: Stale): Projection {
  const id = String(data.task_id)
  const task = projection.tasks.get(id)
  stale.agents ||= typeof data.agent === 'string'
  if (task === undefined) {
    stale.tasks.add(id)
    return projection
  }
  // Entries between the head and the rest of the snapshot are already in it; going back through them would flicker.
  if (entry.at < task.updated_at) return projection
  const state = data.to as TaskState
  if (entry.type === 'task.updated' || isEnded(state)) stale.tasks.add(id)
  const moved: Task = {
    ...task,
    state,
    status: data.status as Task['status'],
    title: typeof data.title === 'string' ? data.title : task.title,
    assigned_to: typeof data.agent === 'string' ? data.agent : task.assigned_to,
    attempt: typeof data.attempt === 'number' ? data.attempt : task.attempt,
    updated_at: entry.at,
    ...(entry.type === 'task.started' && { started_at: entry.at, progress: 0, progress_note: null }),
    ...(entry.type === 'task.progress' && {
      progress: Number(data.progress),
      progress_note: typeof data.note === 'string' ? data.note : null,
    }),
    ...(isEnded(state) && { completed_at: task.completed_at ?? entry.at }),
    ...(state === 'completed' && { progress: 1 }),
  }
  return {
    ...projection,
    tasks: new Map(projection.tasks).set(id, moved),
    moves: new Map(projection.moves).set(id, entry.seq),
  }
}

function moveAgent(projection: Projection, entry: LogEntry, data: Record<string, unknown>, stale: Stale): Projection {
  stale.agents = true
  const agent = projection.agents.get(String(data.agent_id))
  if (agent === undefined) return projection
  const changes: Partial<Agent> =
    entry.type === 'agent.status_changed'
      ? { status: data.to as Agent['status'] }
      : entry.type === 'agent.joined'
        ? { presence: 'online' }
        : entry.type === 'agent.left' || entry.type === 'agent.worker_exited'
          ? { presence: 'offline' }
          : {}
  return { ...projection, agents: new Map(projection.agents).set(agent.id, { ...agent, ...changes, last_seen: entry.at }) }
}

/**
 * Puts in what was read again; `asOf` is the view's seq when the reading began. A task that an entry moved in the meantime may be older
 * in the answer than here: it stays, and is wanted again. Times do not tell: an entry's is a little later than its task's.
 */
export function refresh(
  projection: Projection,
  read: { tasks?: readonly Task[]; messages?: readonly Message[]; agents?: readonly Agent[]; metrics?: Metrics; health?: Health },
  asOf: number,
  stale: Stale,
): Projection {
  let next = projection
  if (read.tasks !== undefined && read.tasks.length > 0) {
    const tasks = new Map(projection.tasks)
    for (const task of read.tasks) {
      if (tasks.has(task.id) && (projection.moves.get(task.id) ?? 0) > asOf) stale.tasks.add(task.id)
      else tasks.set(task.id, task)
    }
    const kept = newest(tasks)
    const moves = kept === tasks ? next.moves : new Map([...next.moves].filter(([id]) => kept.has(id)))
    next = { ...next, tasks: kept, moves }
  }
  if (read.messages !== undefined && read.messages.length > 0) {
    const byId = new Map(read.messages.map((message) => [message.id, message]))
    next = { ...next, messages: next.messages.map((message) => byId.get(message.id) ?? message) }
  }
  if (read.agents !== undefined) next = { ...next, agents: new Map(read.agents.map((agent) => [agent.id, agent])) }
  if (read.metrics !== undefined) next = { ...next, metrics: read.metrics }
  if (read.health !== undefined) next = { ...next, health: read.health }
  return next
}

function newest(tasks: Map<string, Task>): ReadonlyMap<string, Task> {
  if (tasks.size <= limits.tasks) return tasks
  const kept = [...tasks.values()].sort((a, b) => b.created_at.localeCompare(a.created_at)).slice(0, limits.tasks)
  return new Map(kept.map((task) => [task.id, task]))
}
