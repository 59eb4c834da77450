import type { AgentStatus, DeliveryFate, Message, TaskState } from '@cadre/contract'

/** A tone is a colour of the palette; it never stands alone: each state also has a shape and a word. */
export type Tone = 'quiet' | 'active' | 'good' | 'bad' | 'wait'
export type MarkName =
  | 'circle'
  | 'clock'
  | 'dot'
  | 'quarter'
  | 'half'
  | 'hand'
  | 'lock'
  | 'pause'
  | 'check'
  | 'cross'
  | 'slash'
  | 'skip'

export interface Look {
  mark: MarkName
  tone: Tone
  label: string
}

export const taskLooks: Readonly<Record<TaskState, Look>> = {
  pending: { mark: 'circle', tone: 'quiet', label: 'Waiting' },
  scheduled: { mark: 'clock', tone: 'quiet', label: 'Scheduled' },
  ready: { mark: 'dot', tone: 'quiet', label: 'Ready' },
  assigned: { mark: 'quarter', tone: 'active', label: 'Assigned' },
  running: { mark: 'half', tone: 'active', label: 'Running' },
  input_required: { mark: 'hand', tone: 'wait', label: 'Needs input' },
  auth_required: { mark: 'lock', tone: 'wait', label: 'Needs access' },
  paused: { mark: 'pause', tone: 'wait', label: 'Paused' },
  completed: { mark: 'check', tone: 'good', label: 'Completed' },
  failed: { mark: 'cross', tone: 'bad', label: 'Failed' },
  cancelled: { mark: 'slash', tone: 'quiet', label: 'Cancelled' },
  rejected: { mark: 'cross', tone: 'bad', label: 'Rejected' },
  skipped: { mark: 'skip', tone: 'quiet', label: 'Skipped' },
}

export const agentLooks: Readonly<Record<AgentStatus, Look>> = {
  starting: { mark: 'quarter', tone: 'active', label: 'Starting' },
  idle: { mark: 'circle', tone: 'quiet', label: 'Idle' },
  busy: { mark: 'half', tone: 'active', label: 'Busy' },
  failed: { mark: 'cross', tone: 'bad', label: 'Failed' },
  stopping: { mark: 'pause', tone: 'wait', label: 'Stopping' },
  terminated: { mark: 'slash', tone: 'quiet', label: 'Ended' },
}

export const messageLooks: Readonly<Record<Message['status'], Look>> = {
  stored: { mark: 'circle', tone: 'quiet', label: 'Stored' },
  delivered: { mark: 'half', tone: 'active', label: 'Delivered' },
  acknowledged: { mark: 'check', tone: 'good', label: 'Acknowledged' },
  dead: { mark: 'cross', tone: 'bad', label: 'Dead' },
  expired: { mark: 'clock', tone: 'wait', label: 'Expired' },
  unroutable: { mark: 'slash', tone: 'wait', label: 'No recipient' },
}

/** Of one recipient's copy. */
export const deliveryLooks: Readonly<Record<DeliveryFate['state'], Look>> = {
  ready: messageLooks.stored,
  leased: messageLooks.delivered,
  acknowledged: messageLooks.acknowledged,
  dead: messageLooks.dead,
  expired: messageLooks.expired,
}

const unknown: Look = { mark: 'circle', tone: 'quiet', label: 'Unknown' }

/** A newer server may know states this page does not. */
export const lookOf = <S extends string>(looks: Readonly<Record<S, Look>>, state: S): Look =>
  looks[state] ?? { ...unknown, label: state }

const endings: ReadonlySet<TaskState> = new Set<TaskState>(['completed', 'failed', 'cancelled', 'rejected', 'skipped'])
export const isEnded = (state: TaskState): boolean => endings.has(state)
const holdings: ReadonlySet<TaskState> = new Set<TaskState>(['assigned', 'running', 'input_required', 'auth_required'])
/** An agent holds the task now. */
export const isHeld = (state: TaskState): boolean => holdings.has(state)
