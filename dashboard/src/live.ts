/**
 * The life of the page's one connection: read a snapshot, follow the log from its head, read again what entries leave out, and after a
 * loss begin anew with a snapshot. Panels see only `Store`, at most four times a second.
 */
import type { LogEntry } from '@cadre/contract'
import { ApiError, api, type Feed, watchLog } from './api.ts'
import { createPaintGate, pageTimers } from './paint-gate.ts'
import { applyEntries, emptyProjection, limits, nothingStale, type Projection, projectSnapshot, refresh } from './projection.ts'

export interface View {
  /** `loading` before the first snapshot, then `ready` for good; `refused` when the server wants a sign-in or forbids. */
  phase: 'loading' | 'ready' | 'refused' | 'unreachable'
  link: 'connecting' | 'live' | 'reconnecting'
  problem: ApiError | null
  projection: Projection
}
export interface Store {
  subscribe: (listener: () => void) => () => void
  get: () => View
  /** Tries again now instead of after the wait. */
  retry: () => void
  /** Reads a task that the view may not hold, such as one named by an old message. */
  want: (taskId: string) => void
}

const paintInterval = 250
const rereadWait = 200
const metricsInterval = 2000
const agentsInterval = 1000
const maxWait = 8000
/** More tasks than this are cheaper to read as a list than one by one. */
const singleReads = 12

export function createStore(): Store & { start(): () => void } {
  let view: View = { phase: 'loading', link: 'connecting', problem: null, projection: emptyProjection }
  let shown = view
  const listeners = new Set<() => void>()
  const gate = createPaintGate(
    () => {
      shown = view
      for (const listener of listeners) listener()
    },
    paintInterval,
    pageTimers,
  )
  const update = (changes: Partial<View>) => {
    view = { ...view, ...changes }
    gate.request()
  }

  let feed: Feed | undefined
  let stale = nothingStale()
  let failures = 0
  let timer: ReturnType<typeof setTimeout> | undefined
  let reread: ReturnType<typeof setTimeout> | undefined
  let trailing: ReturnType<typeof setTimeout> | undefined
  let measured = 0
  let listed = 0
  let generation = 0

  async function connect(): Promise<void> {
    const mine = ++generation
    clearTimeout(timer)
    feed?.close()
    stale = nothingStale()
    try {
      // The head is read before the rest, so that nothing falls between the snapshot and the first entry.
      const metrics = await api.metrics()
      const [health, agents, tasks, messages, entries] = await Promise.all([
        api.health(),
        api.agents(),
        api.tasks(limits.tasks),
        api.messages(limits.messages),
        api.events(Math.max(0, metrics.log_seq - limits.entries), limits.entries),
      ])
      if (mine !== generation) return
      const projection = projectSnapshot({
        seq: metrics.log_seq,
        agents: agents.items,
        tasks: tasks.items,
        messages: messages.items,
        // Those after the head come again by the socket.
        entries: entries.items.filter(({ seq }) => seq <= metrics.log_seq),
        metrics,
        health,
      })
      measured = Date.now()
      update({ phase: 'ready', problem: null, projection })
      feed = watchLog(projection.seq, {
        open() {
          failures = 0
          update({ link: 'live' })
        },
        entries: receive,
        pulse: () => schedule(false),
        lost(code) {
          if (mine !== generation) return
          update({ link: 'reconnecting' })
          again(code === 4401 ? 0 : undefined)
        },
      })
    } catch (error) {
      if (mine === generation) refuse(error)
    }
  }

  function refuse(error: unknown): void {
    const problem = error instanceof ApiError ? error : new ApiError(0, 'The page failed', String(error))
    if (problem.status === 401 || problem.status === 403) {
      update({ phase: 'refused', link: 'reconnecting', problem })
      return
    }
    update({ phase: view.phase === 'ready' ? 'ready' : 'unreachable', link: 'reconnecting', problem })
    again()
  }

  /** Doubling waits with a random part: a hundred open pages must not come back in one moment. */
  function again(wait = Math.min(maxWait, 400 * 2 ** failures) * (0.7 + Math.random() * 0.6)): void {
    failures++
    clearTimeout(timer)
    timer = setTimeout(() => void connect(), Math.max(wait, failures > 3 ? 1000 : 0))
  }

  function receive(entries: LogEntry[]): void {
    update({ projection: applyEntries(view.projection, entries, stale) })
    schedule(true)
  }

  /** What entries leave out is read in one go after they calm down; the counters at most every two seconds. */
  function schedule(changed: boolean): void {
    if (reread !== undefined || (!changed && Date.now() - measured < 15_000)) return
    reread = setTimeout(() => void readStale(), rereadWait)
  }

  async function readStale(): Promise<void> {
    const mine = generation
    const wanted = stale
    const asOf = view.projection.seq
    stale = nothingStale()
    try {
      const ids = [...wanted.tasks]
      const listsAgents = wanted.agents && Date.now() - listed >= agentsInterval
      if (listsAgents) listed = Date.now()
      else stale.agents ||= wanted.agents
      const due = metricsInterval - (Date.now() - measured)
      const [tasks, messages, agents, metrics, health] = await Promise.all([
        ids.length > singleReads ? api.tasks(limits.tasks).then((page) => page.items) : Promise.all(ids.map(api.task)),
        Promise.all([...wanted.messages].slice(0, singleReads).map(api.message)),
        listsAgents ? api.agents().then((page) => page.items) : undefined,
        due <= 0 ? api.metrics() : undefined,
        due <= 0 ? api.health() : undefined,
      ])
      if (mine !== generation) return
      if (metrics !== undefined) measured = Date.now()
      update({
        projection: refresh(
          view.projection,
          {
            tasks,
            messages,
            ...(agents !== undefined && { agents }),
            ...(metrics !== undefined && { metrics }),
            ...(health !== undefined && { health }),
          },
          asOf,
          stale,
        ),
      })
      clearTimeout(trailing)
      if (due > 0) trailing = setTimeout(() => schedule(true), due)
    } catch (error) {
      // A single read that fails (an entity gone meanwhile) is no reason to start over; a lost session or server is.
      if (mine === generation && error instanceof ApiError && (error.status === 401 || error.status === 0)) refuse(error)
    } finally {
      reread = undefined
      if (stale.tasks.size > 0 || stale.messages.size > 0 || stale.agents) schedule(true)
    }
  }

  const onVisibility = () => gate.setHidden(document.hidden)
  const onOnline = () => {
    if (view.link !== 'live') void connect()
  }
  return {
    subscribe(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    get: () => shown,
    retry() {
      failures = 0
      update({ phase: view.phase === 'ready' ? 'ready' : 'loading', problem: null })
      void connect()
    },
    want(taskId) {
      if (view.projection.tasks.has(taskId)) return
      stale.tasks.add(taskId)
      schedule(true)
    },
    start() {
      document.addEventListener('visibilitychange', onVisibility)
      addEventListener('online', onOnline)
      void connect()
      return () => {
        generation++
        clearTimeout(timer)
        clearTimeout(reread)
        clearTimeout(trailing)
        feed?.close()
        gate.close()
        document.removeEventListener('visibilitychange', onVisibility)
        removeEventListener('online', onOnline)
      }
    },
  }
}
