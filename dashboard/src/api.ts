/** The page's own small client: REST by fetch, the log by one WebSocket. Same origin, signed in by cookie. */
import type { Agent, InputOf, LogEntry, Message, OutputOf, Problem, Task } from '@cadre/contract'

/** A refusal or failure of the server; `status` 0 when it could not be reached. */
export class ApiError extends Error {
  readonly status: number
  readonly title: string

  constructor(status: number, title: string, detail: string, options?: ErrorOptions) {
    super(detail, options)
    this.name = 'ApiError'
    this.status = status
    this.title = title
  }
}

const patience = 15_000

async function call<T>(path: string, init: Omit<RequestInit, 'headers'> & { headers?: Record<string, string> } = {}): Promise<T> {
  const response = await fetch(`/api/v1${path}`, {
    credentials: 'same-origin',
    signal: AbortSignal.timeout(patience),
    ...init,
    headers: { accept: 'application/json', ...init.headers },
  }).catch((cause: unknown) => {
    throw new ApiError(0, 'The server does not answer', 'It may be stopped or starting.', { cause })
  })
  const body: unknown = await response.json().catch(() => null)
  if (response.ok) return body as T
  const problem = (body ?? {}) as Partial<Problem>
  throw new ApiError(
    response.status,
    problem.title ?? response.statusText,
    problem.detail ?? `The server answered ${response.status}.`,
  )
}

const post = <T>(path: string, body: unknown): Promise<T> =>
  call(path, { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } })

const remove = <T>(path: string): Promise<T> => call(path, { method: 'DELETE' })
const at = (id: string): string => encodeURIComponent(id)

export interface Page<T> {
  items: T[]
  next: string | null
}
export type TaskDetail = OutputOf<'tasks.get'>
export type Artifact = OutputOf<'artifacts.get'>
export type Inbox = OutputOf<'messages.inbox'>
export type Receipt = OutputOf<'messages.receipt'>
export type DeadLetter = OutputOf<'messages.dead_letters'>['items'][number]
export type Brake = OutputOf<'brakes.list'>['items'][number]
export type Rule = OutputOf<'rules.list'>['items'][number]
export type Connection = OutputOf<'system.connections'>['items'][number]
export type Subscription = OutputOf<'messages.subscriptions'>['items'][number]

export const api = {
  health: () => call<OutputOf<'system.health'>>('/health'),
  metrics: () => call<OutputOf<'system.metrics'>>('/metrics'),
  agents: () => call<Page<Agent>>('/agents?limit=500'),
  tasks: (limit: number) => call<Page<Task>>(`/tasks?limit=${limit}`),
  task: (id: string) => call<TaskDetail>(`/tasks/${at(id)}`),
  messages: (limit: number) => call<Page<Message>>(`/messages?limit=${limit}`),
  message: (id: string) => call<Message>(`/messages/${at(id)}`),
  artifact: (id: string) => call<Artifact>(`/artifacts/${at(id)}`),
  events: (after: number, limit: number) => call<OutputOf<'events.list'>>(`/events?after=${after}&limit=${limit}`),
  topics: () => call<OutputOf<'events.topics'>>('/events/topics'),
  inbox: (agent: string) => call<Inbox>(`/agents/${at(agent)}/inbox`),
  subscriptions: (agent: string) => call<Page<Subscription>>(`/subscriptions?agent=${at(agent)}&limit=100`),
  receipt: (id: string) => call<Receipt>(`/messages/${at(id)}/receipt`),
  deadLetters: () => call<Page<DeadLetter>>('/dead-letters?limit=100'),
  redrive: (id: string) => post(`/dead-letters/${at(id)}/redrive`, {}),
  purge: (id: string) => remove(`/dead-letters/${at(id)}`),
  brakes: () => call<Page<Brake>>('/brakes?held=true&limit=100'),
  resetBrake: (id: string) => post(`/brakes/${at(id)}/reset`, {}),
  rules: () => call<Page<Rule>>('/rules?limit=200'),
  addRule: (rule: InputOf<'rules.create'>) => post<Rule>('/rules', rule),
  removeRule: (id: string) => remove(`/rules/${at(id)}`),
  connections: () => call<Page<Connection>>('/connections?limit=200'),
  spawn: (name: string, type: string) => post<Agent>('/agents/spawn', { name, type }),
  submit: (name: string, tasks: readonly Record<string, unknown>[]) => post<OutputOf<'tasks.dag'>>('/tasks/dag', { name, tasks }),
  broadcast: (content: string) => post<Message>('/messages', { content, type: 'greeting', broadcast: true }),
}

export const artifactPath = (id: string): string => `/api/v1/artifacts/${encodeURIComponent(id)}/content`

/** The text of an artifact, at most `limit` bytes of it. */
export async function readArtifact(id: string, limit = 400_000): Promise<string> {
  const response = await fetch(artifactPath(id), {
    credentials: 'same-origin',
    signal: AbortSignal.timeout(patience),
    headers: { range: `bytes=0-${limit - 1}` },
  })
  if (!response.ok)
    throw new ApiError(response.status, response.statusText, `The artifact could not be read (${response.status}).`)
  return response.text()
}

export interface Feed {
  close(): void
}
export interface FeedEvents {
  /** The server follows the log from here on. */
  open(): void
  entries(entries: LogEntry[]): void
  /** The socket is alive: something came in. */
  pulse(): void
  /** Ended, once: by the server, the network or `resync`. `code` is the close code of the socket. */
  lost(code: number): void
}

const pingEvery = 20_000
/** A socket that says nothing for this long is taken for dead: a sleeping machine leaves half-open ones behind. */
const silenceLimit = 45_000

/** Follows the log after `seq`. */
export function watchLog(after: number, on: FeedEvents): Feed {
  const address = new URL('/ws', location.href)
  address.protocol = address.protocol === 'https:' ? 'wss:' : 'ws:'
  const socket = new WebSocket(address)
  let heard = Date.now()
  let over = false
  const end = (code: number) => {
    if (over) return
    over = true
    clearInterval(ping)
    socket.close()
    on.lost(code)
  }
  const ping = setInterval(() => {
    if (Date.now() - heard > silenceLimit) end(4408)
    else if (socket.readyState === WebSocket.OPEN) socket.send('{"type":"ping"}')
  }, pingEvery)
  socket.addEventListener('open', () => socket.send(JSON.stringify({ type: 'events.watch', id: '1', data: { after } })))
  socket.addEventListener('close', (event) => end(event.code))
  socket.addEventListener('error', () => end(1006))
  socket.addEventListener('message', ({ data }) => {
    if (over || typeof data !== 'string') return
    heard = Date.now()
    on.pulse()
    const parsed: unknown = JSON.parse(data)
    const entries: LogEntry[] = []
    for (const frame of (Array.isArray(parsed) ? parsed : [parsed]) as {
      type: string
      ref?: unknown
      ok?: boolean
      data?: unknown
    }[]) {
      if (frame.type === 'event') entries.push(frame.data as LogEntry)
      else if (frame.type === 'ack' && frame.ref === '1') {
        if (frame.ok === true) on.open()
        else end(4401)
      } else if (frame.type === 'resync') end(4008)
    }
    if (entries.length > 0) on.entries(entries)
  })
  return {
    close: () => {
      over = true
      clearInterval(ping)
      socket.close()
    },
  }
}
