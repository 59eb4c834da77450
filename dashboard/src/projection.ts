/**
 * The one view of the server that every panel draws from: a snapshot read by REST, moved on by log entries in order.
 * Pure: each step answers a new value and leaves the old one alone, so that unchanged entities keep their identity and are not drawn again.
 */
import type { Agent, LogEntry, Message, OutputOf, Task, TaskState } from '@cadre/contract'
import { isEnded } from './states.ts'

export type Metrics = OutputOf<'system.metrics'>
export type Health = OutputOf<'system.health'>

/** Newest of each kind that are kept. */
export const limits = { tasks: 500, messages: 300, agents: 500 } as const

export interface Projection {
  seq: number
  agents: ReadonlyMap<string, Agent>
  tasks: ReadonlyMap<string, Task>
  /** Newest first. */
  messages: readonly Message[]
  /** Copies of a message acknowledged since it appeared here, by message id: a broadcast is acknowledged when all are. */
  receipts: ReadonlyMap<string, ReadonlySet<string>>
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
    moves: new Map(),
    metrics: snapshot.metrics,
    health: snapshot.health,
  }
}

/** Applies entries in order; those the view has seen are skipped. `seq` 0 marks entries that are not durable. Adds to `stale`. */
export function applyEntries(projection: Projection, entries: readonly LogEntry[], stale: Stale): Projection {
  let next = projection
  for (const entry of entries) {
    if (entry.seq !== 0 && entry.seq <= next.seq) continue
    next = applyEntry(next, entry, stale)
    if (entry.seq !== 0) next = { ...next, seq: entry.seq }
  }
  return next
}

function applyEntry(projection: Projection, entry: LogEntry, stale: Stale): Projection {
  if (typeof entry.data !== 'object' || entry.data === null) return projection
  const data = entry.data as Record<string, unknown>
  // Messages change how deep inboxes are.
  stale.agents ||= entry.type.startsWith('message.')
  if (entry.type === 'message.sent') return addMessage(projection, data as Message)
  if (entry.type === 'message.settled') return settle(projection, data, stale)
  if (entry.type === 'message.dead') return setMessageStatus(projection, new Set([String(data.message_id)]), 'dead')
  if (entry.type === 'message.redelivered') return setMessageStatus(projection, new Set([String(data.message_id)]), 'stored')
  if (entry.type.startsWith('task.')) return moveTask(projection, entry, data, stale)
  if (entry.type.startsWith('agent.')) return moveAgent(projection, entry, data, stale)
  return projection
}

function addMessage(projection: Projection, message: Message): Projection {
  if (projection.messages.some((known) => known.id === message.id)) return projection
  const messages = [message, ...projection.messages].slice(0, limits.messages)
  const dropped = projection.messages.length === limits.messages ? projection.messages.at(-1) : undefined
  const receipts = new Map(projection.receipts)
  if (dropped !== undefined) receipts.delete(dropped.id)
  if (message.recipient_count > 1) receipts.set(message.id, new Set())
  return { ...projection, messages, receipts }
}

const statusOfDelivery: Readonly<Record<string, Message['status']>> = {
  ready: 'stored',
  leased: 'delivered',
  acknowledged: 'acknowledged',
  dead: 'dead',
  expired: 'expired',
}

function settle(projection: Projection, data: Record<string, unknown>, stale: Stale): Projection {
  const ids = new Set(Array.isArray(data.message_ids) ? data.message_ids.map(String) : [])
  const status = statusOfDelivery[String(data.state)]
  if (status === undefined || ids.size === 0) return projection
  const agent = String(data.agent_id)
  const receipts = new Map(projection.receipts)
  const messages = projection.messages.map((message) => {
    if (!ids.has(message.id)) return message
    if (message.recipient_count <= 1) return withStatus(message, status)
    const acknowledged = receipts.get(message.id)
    // Read with the snapshot: which copies were acknowledged before is not known here.
    if (acknowledged === undefined) {
      stale.messages.add(message.id)
      return message
    }
    if (status !== 'acknowledged') return message.status === 'stored' ? withStatus(message, status) : message
    const all = new Set(acknowledged).add(agent)
    receipts.set(message.id, all)
    return withStatus(message, all.size >= message.recipient_count ? 'acknowledged' : 'delivered')
  })
  return { ...projection, messages, receipts }
}

const setMessageStatus = (projection: Projection, ids: ReadonlySet<string>, status: Message['status']): Projection => ({
  ...projection,
  messages: projection.messages.map((message) => (ids.has(message.id) ? withStatus(message, status) : message)),
})

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
