/** The tasks of a run as a tree with check marks: state, agent, time, and what a waiting task waits for. */
import { type Task, taskLifecycle } from '@cadre/contract'
import { duration, markOf, paint, toneOf } from './look.ts'
import type { Terminal } from './terminal.ts'
import { fit, oneLine, pad, widthOf } from './text.ts'

export const isFinal = (task: Pick<Task, 'state'>): boolean => taskLifecycle.terminal.includes(task.state)

/** Children follow their parent; within a level in order of creation, which for a graph is an order of its dependencies. */
export function inTreeOrder(tasks: ReadonlyMap<string, Task>): { task: Task; depth: number }[] {
  const children = new Map<string, Task[]>()
  for (const task of [...tasks.values()].toSorted((a, b) => (a.id < b.id ? -1 : 1))) {
    const parent = task.parent_id !== null && tasks.has(task.parent_id) ? task.parent_id : ''
    children.set(parent, [...(children.get(parent) ?? []), task])
  }
  const rows: { task: Task; depth: number }[] = []
  const walk = (parent: string, depth: number) => {
    for (const task of children.get(parent) ?? []) {
      rows.push({ task, depth })
      walk(task.id, depth + 1)
    }
  }
  walk('', 0)
  return rows
}

const barWidth = 30
const maxTitle = 40

/** Lines of at most `columns`; where there are more tasks than `rows`, those that ended longest ago give way. */
export function drawTree(title: string, tasks: ReadonlyMap<string, Task>, terminal: Terminal): string[] {
  const { colours } = terminal
  const now = terminal.now()
  const size = terminal.size() ?? { columns: 200, rows: Number.POSITIVE_INFINITY }
  const all = inTreeOrder(tasks)
  const done = all.filter(({ task }) => isFinal(task)).length
  const part = all.length === 0 ? 0 : done / all.length
  const filled = Math.round(part * barWidth)
  const began = Math.min(...all.map(({ task }) => Date.parse(task.created_at)))
  const ended = done === all.length ? Math.max(...all.map(({ task }) => Date.parse(task.completed_at ?? task.updated_at))) : now
  const bar = `${colours.green('━'.repeat(filled))}${colours.dim('─'.repeat(barWidth - filled))}`
  const counted = `${done}/${all.length}  ${Math.floor(part * 100)} %  ${duration(Math.max(0, ended - began))}`
  const label = fit(oneLine(title), Math.max(10, size.columns - barWidth - widthOf(counted) - 6))
  const head = `${colours.bold(label)}  ${bar}  ${counted}`

  const room = Math.max(3, size.rows - 3)
  const shown = all.length <= room ? all : choose(all, room - 1)
  const names = new Map([...tasks.values()].map((task) => [task.id, task.key ?? task.title]))
  const titleWidth = Math.min(maxTitle, Math.max(...shown.map(({ task, depth }) => depth * 2 + widthOf(oneLine(task.title)))))
  const agentWidth = Math.min(24, Math.max(1, ...shown.map(({ task }) => widthOf(oneLine(task.assigned_to ?? '—')))))
  const lines = shown.map(({ task, depth }) => {
    const tone = toneOf(task.state)
    const name = pad(fit(`${'  '.repeat(depth)}${oneLine(task.title)}`, titleWidth), titleWidth)
    const agent = pad(fit(oneLine(task.assigned_to ?? '—'), agentWidth), agentWidth)
    const time = pad(spent(task, now), 7, true)
    const start = ` ${markOf(task.state)} ${name}  ${agent}  ${time}`
    const remark = fit(oneLine(remarkOn(task, tasks, names)), Math.max(1, size.columns - widthOf(start) - 3))
    return ` ${paint(colours, tone, markOf(task.state))} ${tone === 'quiet' ? colours.dim(name) : name}  ${colours.dim(`${agent}  ${time}`)}  ${task.error ? colours.red(remark) : colours.dim(remark)}`.trimEnd()
  })
  const left = all.length - shown.length
  return [head, ...lines, ...(left > 0 ? [colours.dim(`   … and ${left} more, ${done} of all ${all.length} done`)] : [])]
}

/** What is under way, then what failed, then what comes next; in tree order. */
function choose(all: { task: Task; depth: number }[], room: number): { task: Task; depth: number }[] {
  const rank = ({ task }: { task: Task }) => {
    const tone = toneOf(task.state)
    return tone === 'active' || tone === 'wait' ? 0 : tone === 'bad' ? 1 : isFinal(task) ? 3 : 2
  }
  const kept = new Set(all.toSorted((a, b) => rank(a) - rank(b)).slice(0, room))
  return all.filter((row) => kept.has(row))
}

function spent(task: Task, now: number): string {
  if (task.started_at === null) return ''
  return duration(Math.max(0, (task.completed_at === null ? now : Date.parse(task.completed_at)) - Date.parse(task.started_at)))
}

function remarkOn(task: Task, tasks: ReadonlyMap<string, Task>, names: ReadonlyMap<string, string>): string {
  const parts: string[] = []
  if (task.attempt > 1) parts.push(`attempt ${task.attempt}/${task.max_retries + 1}`)
  if (task.error) parts.push(task.error.message)
  else if (!isFinal(task)) {
    const waiting = task.depends_on.filter((id) => {
      const other = tasks.get(id)
      return other ? other.state !== 'completed' : task.state === 'pending'
    })
    if (waiting.length > 0) parts.push(`waits for ${waiting.map((id) => names.get(id) ?? id).join(', ')}`)
    else if (task.state === 'ready' && task.assigned_to === null) parts.push('waits for an agent')
    if (task.progress > 0) parts.push(`${Math.round(task.progress * 100)} %`)
    if (task.progress_note !== null) parts.push(task.progress_note)
  }
  return parts.join('  ')
}
