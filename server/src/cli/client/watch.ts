/** `cadre tasks watch`: a task or a run until it ends; a tree that redraws itself, or a line a change. */
import { Command } from 'commander'
import { type LogEntry, type Task, taskEvents } from '@cadre/contract'
import { Failure, exitCodes, usage } from './failure.ts'
import { markOf, paint, toneOf } from './look.ts'
import { planFor } from './plan.ts'
import { call } from './rest.ts'
import { type Settings, addSharedOptions, readSettings } from './settings.ts'
import { follow } from './socket.ts'
import { type Terminal, write } from './terminal.ts'
import { oneLine, printable } from './text.ts'
import { drawTree, inTreeOrder, isFinal } from './tree.ts'

const callMs = 30_000
const maxTasks = 10_000
// Descendants are asked for a task at a time; a larger run is one graph, whose tasks come in pages.
const maxLookups = 200
const drawMs = 250

interface Watched {
  id: string
  isRun: boolean
  title: string
  tasks: Map<string, Task>
}

export function watchCommand(terminal: Terminal): Command {
  const command = new Command('watch')
    .summary('Follow a task or a run until it has ended')
    .description(
      'Follows a task with its children, or all tasks of a run. On a terminal a tree with check marks; into a pipe a line a change. Ends with 0 when it completed, 1 when it did not.',
    )
    .argument('<id>', 'id of a task or of a run')
    .usage('<id> [options]')
    .addHelpText(
      'after',
      '\nExamples:\n  cadre tasks watch tsk_0123\n  cadre tasks watch run_0123 --jsonl\n  cadre tasks watch "$(cadre tasks create "Look into it" --agent-type researcher -q)"',
    )
  addSharedOptions(command)
  command.action(async (id: string) => {
    const settings = readSettings(command, terminal)
    const deadline = settings.timeoutMs === undefined ? undefined : AbortSignal.timeout(settings.timeoutMs)
    const signal = deadline ? AbortSignal.any([settings.connection.signal, deadline]) : settings.connection.signal
    try {
      await watch(id, { ...settings, connection: { ...settings.connection, signal } }, terminal)
    } catch (error) {
      if (deadline?.aborted && !terminal.signal.aborted)
        throw new Failure(exitCodes.timeout, `It did not end within ${(settings.timeoutMs ?? 0) / 1000} s; it goes on.`, {
          cause: error,
        })
      throw error
    }
  })
  return command
}

async function watch(id: string, settings: Settings, terminal: Terminal): Promise<void> {
  const { connection } = settings
  // The position is taken first: what changes while the tasks are read comes again and is told once.
  const { head } = (await request(settings, 'events.list', { after: Number.MAX_SAFE_INTEGER, limit: 1 })) as { head: number }
  const watched = await find(settings, id)
  const display =
    settings.json || settings.jsonl || settings.quiet
      ? undefined
      : terminal.stdoutIsTty
        ? liveDisplay(watched, terminal)
        : lineDisplay(terminal)
  const told = new Map<string, string>()
  const tell = async (task: Task, reason?: string | null) => {
    const state = `${task.state} ${task.attempt} ${task.progress} ${task.progress_note ?? ''} ${task.assigned_to ?? ''}`
    if (told.get(task.id) === state) return
    told.set(task.id, state)
    if (settings.jsonl) await write(terminal, `${JSON.stringify(change(task, terminal))}\n`)
    await display?.changed(task, reason ?? null)
  }
  for (const { task } of inTreeOrder(watched.tasks)) await tell(task)
  try {
    const log = follow(connection, { after: head, types: Object.values(taskEvents).map((event) => event.name) })
    if (!isOver(watched)) {
      for await (const entry of log) {
        const task = await take(settings, watched, entry)
        if (task) await tell(task, (entry.data as { reason?: string | null }).reason ?? null)
        if (task && isOver(watched)) break
      }
    }
  } finally {
    display?.close()
  }
  await conclude(settings, watched, terminal)
}

/** The final answer, and the exit code it stands for. */
async function conclude(settings: Settings, watched: Watched, terminal: Terminal): Promise<void> {
  const answer = watched.isRun
    ? { run_id: watched.id, tasks: [...watched.tasks.values()] }
    : await request(settings, 'tasks.get', { id: watched.id })
  if (settings.json || settings.jsonl) await write(terminal, `${JSON.stringify(answer)}\n`)
  const decisive = watched.isRun ? [...watched.tasks.values()] : [answer as Task]
  const bad = decisive.filter((task) => task.state !== 'completed')
  const [first] = bad.filter((task) => task.error !== null).concat(bad)
  if (first === undefined) {
    const result = decisive.length === 1 ? (decisive[0] as Task).result : undefined
    if (!settings.json && !settings.jsonl && !settings.quiet && result !== undefined && result !== null)
      await write(terminal, `${printable(typeof result === 'string' ? result : JSON.stringify(result, null, 2))}\n`)
    return
  }
  const count = bad.length > 1 ? ` (and ${bad.length - 1} more did not complete)` : ''
  throw new Failure(
    exitCodes.failed,
    `${first.title} was ${first.state}${first.error ? `: ${first.error.message}` : ''}${count}.`,
  )
}

const isOver = ({ id, isRun, tasks }: Watched): boolean => {
  const root = isRun ? undefined : tasks.get(id)
  return root ? isFinal(root) : [...tasks.values()].every(isFinal)
}

async function request(settings: Settings, name: string, input: Record<string, unknown>): Promise<unknown> {
  return (await call(settings.connection, planFor(name).operation, input, { timeoutMs: callMs })).body
}

async function find(settings: Settings, id: string): Promise<Watched> {
  const tasks = new Map<string, Task>()
  try {
    const root = (await request(settings, 'tasks.get', { id })) as Task
    tasks.set(root.id, root)
    await addChildren(settings, tasks, [root.id])
    return { id: root.id, isRun: false, title: root.title, tasks }
  } catch (error) {
    if (!(error instanceof Failure) || error.exitCode !== exitCodes.notFound) throw error
  }
  await addAll(settings, tasks, { run_id: id })
  if (tasks.size === 0)
    throw new Failure(exitCodes.notFound, `There is no task and no run ${id}.`, { hint: 'List them with `cadre tasks list`.' })
  await addChildren(settings, tasks, [...tasks.keys()])
  return { id, isRun: true, title: id, tasks }
}

async function addAll(settings: Settings, tasks: Map<string, Task>, filter: Record<string, unknown>): Promise<string[]> {
  const added: string[] = []
  let cursor: string | null = null
  do {
    const page = (await request(settings, 'tasks.list', { ...filter, limit: 500, ...(cursor !== null && { cursor }) })) as {
      items: Task[]
      next: string | null
    }
    for (const task of page.items) {
      if (!tasks.has(task.id)) added.push(task.id)
      tasks.set(task.id, task)
    }
    if (tasks.size > maxTasks) throw usage(`There are more than ${maxTasks} tasks; watch a part of them.`)
    cursor = page.next
  } while (cursor !== null)
  return added
}

async function addChildren(settings: Settings, tasks: Map<string, Task>, parents: readonly string[]): Promise<void> {
  let open = [...parents]
  for (let lookups = 0; open.length > 0 && lookups + open.length <= maxLookups; lookups += open.length) {
    const found: string[] = []
    for (const parent_id of open) found.push(...(await addAll(settings, tasks, { parent_id })))
    open = found
  }
}

interface Moved {
  task_id: string
  to: Task['state']
  status: Task['status']
  agent: string | null
  attempt: number
  reason: string | null
  progress?: number
  note?: string | null
}

/** Applies one entry of the log; answers the task where it is one of ours. */
async function take(settings: Settings, watched: Watched, { data, at }: LogEntry): Promise<Task | undefined> {
  const moved = data as Moved
  const known = watched.tasks.get(moved.task_id)
  if (!known || isFinal({ state: moved.to }) || moved.to === 'running') {
    // A new task may be a child; one that began or ended has times and a result worth reading.
    const current = await read(settings, moved.task_id)
    if (!current) return undefined
    const isOurs =
      known !== undefined ||
      (current.parent_id !== null && watched.tasks.has(current.parent_id)) ||
      (watched.isRun && current.run_id === watched.id)
    if (!isOurs) return undefined
    const { attempts: _, ...now } = current as Task & { attempts?: unknown }
    // The task may have moved on since this entry: what the entry says is told, then what comes after it.
    const task: Task = isFinal({ state: moved.to }) ? now : { ...now, ...told(moved, now) }
    watched.tasks.set(task.id, task)
    return task
  }
  const task: Task = { ...known, ...told(moved, known), updated_at: at }
  watched.tasks.set(task.id, task)
  return task
}

/** The fields of a task that an entry of the log speaks of. */
function told(moved: Moved, known: Task): Partial<Task> {
  return {
    state: moved.to,
    status: moved.status,
    attempt: moved.attempt,
    assigned_to: moved.agent ?? known.assigned_to,
    // Outside of an attempt there is no progress; what it waits for says more.
    progress: moved.progress ?? 0,
    progress_note: moved.note ?? (moved.to === 'scheduled' ? moved.reason : null),
  }
}

async function read(settings: Settings, id: string): Promise<Task | undefined> {
  try {
    return (await request(settings, 'tasks.get', { id })) as Task
  } catch (error) {
    if (error instanceof Failure && error.exitCode === exitCodes.notFound) return undefined
    throw error
  }
}

const change = (task: Task, terminal: Terminal) => ({
  t: new Date(terminal.now()).toISOString(),
  task: task.id,
  title: task.title,
  state: task.state,
  agent: task.assigned_to,
  attempt: task.attempt,
  progress: task.progress,
})

interface Display {
  changed(task: Task, reason: string | null): Promise<void> | void
  close(): void
}

function lineDisplay(terminal: Terminal): Display {
  const { colours } = terminal
  return {
    changed: (task, reason) => {
      const time = new Date(terminal.now()).toTimeString().slice(0, 8)
      const remark = [
        task.attempt > 1 ? `attempt ${task.attempt}/${task.max_retries + 1}` : '',
        task.progress > 0 && !isFinal(task) ? `${Math.round(task.progress * 100)} %` : '',
        task.error?.message ?? reason ?? '',
      ].filter((part) => part !== '')
      const state = paint(colours, toneOf(task.state), `${markOf(task.state)} ${task.state}`)
      return write(
        terminal,
        `${[time, state, oneLine(task.title), oneLine(task.assigned_to ?? '—'), ...remark.map(oneLine)].join('  ')}\n`,
      )
    },
    close: () => {},
  }
}

/** Redraws in place, at most four times a second, and once a second for the clocks. */
function liveDisplay(watched: Watched, terminal: Terminal): Display {
  let drawn = 0
  const draw = () => {
    const lines = drawTree(watched.title, watched.tasks, terminal)
    // Up to where the last picture began, and clear from there: a smaller picture leaves nothing behind.
    const back = drawn === 0 ? '' : `\u001b[${drawn}A\r\u001b[J`
    terminal.stdout.write(`${back}${lines.join('\n')}\n`)
    drawn = lines.length
  }
  draw()
  let dirty = false
  let quietFor = 0
  const timer = setInterval(() => {
    quietFor += drawMs
    if (!dirty && quietFor < 1_000) return
    dirty = false
    quietFor = 0
    draw()
  }, drawMs)
  return {
    changed: () => {
      dirty = true
    },
    close: () => {
      clearInterval(timer)
      draw()
    },
  }
}
