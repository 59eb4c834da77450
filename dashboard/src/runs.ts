import type { Task } from '@cadre/contract'
import { isEnded } from './states.ts'

/** Tasks that were submitted together. `id` is `loose` for those that were created one by one. */
export interface Run {
  id: string
  label: string
  created_at: string
  tasks: readonly Task[]
}

export const looseRun = 'loose'

/** Newest first; the tasks of a run in order of creation. */
export function groupRuns(all: ReadonlyMap<string, Task>): Run[] {
  const groups = new Map<string, Task[]>()
  for (const task of all.values()) {
    const id = task.run_id ?? looseRun
    const group = groups.get(id)
    if (group === undefined) groups.set(id, [task])
    else group.push(task)
  }
  const runs = [...groups].map(([id, group]) => {
    const ordered = group.toSorted((a, b) => a.created_at.localeCompare(b.created_at) || a.id.localeCompare(b.id))
    return { id, label: labelOf(id, ordered, all), created_at: ordered[0]?.created_at ?? '', tasks: ordered }
  })
  return runs.sort((a, b) => b.created_at.localeCompare(a.created_at))
}

/** The goal, where its tasks or the task above them carry one; else the task that nothing in the run waits for: what it is all about. */
function labelOf(id: string, tasks: readonly Task[], all: ReadonlyMap<string, Task>): string {
  if (id === looseRun) return 'Single tasks'
  for (const task of tasks) {
    const goal = task.run_name ?? textIn(task.metadata, 'goal') ?? textIn(task.metadata, 'run_name') ?? textIn(task.input, 'goal')
    if (goal !== undefined) return goal
  }
  const parent = all.get(tasks.find((task) => task.parent_id !== null)?.parent_id ?? '')
  if (parent !== undefined) return parent.title
  const needed = new Set(tasks.flatMap((task) => task.depends_on))
  return tasks.findLast((task) => !needed.has(task.id))?.title ?? tasks[0]?.title ?? id
}

function textIn(value: unknown, name: string): string | undefined {
  const text = typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined
  return typeof text === 'string' && text.trim() !== '' ? text.trim() : undefined
}

/** The chosen run, if it is there; otherwise the newest, runs before single tasks. */
export function chooseRun(runs: readonly Run[], chosen: string | null): Run | undefined {
  return runs.find((run) => run.id === chosen) ?? runs.find((run) => run.id !== looseRun) ?? runs[0]
}

export interface Progress {
  total: number
  completed: number
  running: number
  failed: number
  ended: number
  /** 0 to 1: ended tasks count whole, running ones by what they report. */
  share: number
  /** From the first creation to the last end, or to `now` while any is open; milliseconds. */
  elapsed_ms: number
}

export function progressOf(tasks: readonly Task[], now: number): Progress {
  const ended = tasks.filter((task) => isEnded(task.state))
  const share = tasks.reduce((sum, task) => sum + (isEnded(task.state) ? 1 : task.state === 'running' ? task.progress : 0), 0)
  const began = Math.min(...tasks.map((task) => Date.parse(task.created_at)))
  const over = ended.length === tasks.length
  const last = Math.max(...ended.map((task) => Date.parse(task.completed_at ?? task.updated_at)))
  return {
    total: tasks.length,
    completed: tasks.filter((task) => task.state === 'completed').length,
    running: tasks.filter((task) => task.state === 'running').length,
    failed: tasks.filter((task) => task.state === 'failed' || task.state === 'rejected').length,
    ended: ended.length,
    share: tasks.length === 0 ? 0 : share / tasks.length,
    elapsed_ms: tasks.length === 0 ? 0 : Math.max(0, (over ? last : now) - began),
  }
}

/** Time at work: from the start to the end, or to `now`; undefined before the start. */
export function workTime(task: Task, now: number): number | undefined {
  if (task.started_at === null) return undefined
  const until = task.completed_at === null ? now : Date.parse(task.completed_at)
  return isEnded(task.state) || task.state === 'running' ? Math.max(0, until - Date.parse(task.started_at)) : undefined
}
