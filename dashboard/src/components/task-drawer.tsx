import type { Message, Task } from '@cadre/contract'
import { useEffect, useState } from 'react'
import { api, artifactPath, type TaskDetail } from '../api.ts'
import { curl } from '../curl.ts'
import { formatClock, formatDuration, formatExact, prettyOf, previewOf } from '../format.ts'
import { parseMarkdown } from '../markdown.ts'
import { recipientOf } from '../recipient.ts'
import { readReport } from '../report.ts'
import { workTime } from '../runs.ts'
import { isEnded, lookOf, taskLooks } from '../states.ts'
import { useNow } from '../use-now.ts'
import { CopyButton } from './copy-button.tsx'
import { Drawer, Fact, Section } from './drawer.tsx'
import { Mark, toneText } from './mark.tsx'
import { MarkdownView } from './markdown-view.tsx'

interface Props {
  task: Task
  tasks: ReadonlyMap<string, Task>
  messages: readonly Message[]
  openTask: (id: string) => void
  close: () => void
}

/** Everything about one task, from the same projection as the graph; only the attempts are read when it opens and when it moves. */
export function TaskDrawer({ task, tasks, messages, openTask, close }: Props) {
  const detail = useDetail(task)
  const now = useNow(!isEnded(task.state))
  const look = lookOf(taskLooks, task.state)
  const worked = workTime(task, now)
  const queued = (task.started_at === null ? (isEnded(task.state) ? undefined : now) : Date.parse(task.started_at)) ?? undefined
  const dependants = [...tasks.values()].filter((each) => each.depends_on.includes(task.id))
  const own = messages.filter((message) => message.task_id === task.id).slice(0, 20)
  return (
    <Drawer
      id={task.id}
      mark={<Mark name={look.mark} tone={look.tone} size={20} />}
      title={task.title}
      subtitle={
        <>
          <span className={`font-medium ${toneText[look.tone]}`}>{look.label}</span>
          {task.assigned_to !== null && ` · ${task.assigned_to}`}
          {worked !== undefined && ` · ${formatDuration(worked)}`}
          {task.state === 'running' && ` · ${Math.round(task.progress * 100)}%`}
        </>
      }
      close={close}
    >
      {task.progress_note !== null && !isEnded(task.state) && (
        <p className="rounded-md bg-accent-soft px-3 py-2 text-sm text-accent">{task.progress_note}</p>
      )}
      {task.error !== null && (
        <div className="rounded-md bg-bad-soft px-3 py-2 text-sm text-bad">
          <p className="font-medium">{task.error.code}</p>
          <p className="break-words">{task.error.message}</p>
        </div>
      )}
      {task.description !== '' && <p className="text-sm break-words whitespace-pre-line text-muted">{task.description}</p>}
      <dl className="grid grid-cols-2 gap-x-4 gap-y-3 text-sm sm:grid-cols-3">
        <Fact name="Type" value={task.type} />
        <Fact name="Priority" value={['', 'Critical', 'High', 'Normal', 'Low'][task.priority] ?? String(task.priority)} />
        <Fact name="Attempts" value={`${task.attempt} of ${task.max_retries + 1}`} />
        <Fact name="Waited" value={queued === undefined ? '–' : formatDuration(queued - Date.parse(task.created_at))} />
        <Fact name="Worked" value={worked === undefined ? '–' : formatDuration(worked)} />
        <Fact name="Created" value={formatClock(task.created_at)} title={formatExact(task.created_at)} />
        <Fact name="By" value={task.creator} />
        {task.agent_type !== null && <Fact name="For type" value={task.agent_type} />}
        {task.capabilities.length > 0 && <Fact name="Needs" value={task.capabilities.join(', ')} />}
      </dl>
      <Attempts detail={detail} now={now} />
      <Result task={task} />
      <Json title="Input" value={task.input} />
      {task.artifacts.length > 0 && (
        <Section title="Artifacts">
          <ul className="space-y-1 text-sm">
            {task.artifacts.map((id) => (
              <li key={id}>
                <a href={artifactPath(id)} download className="font-mono text-xs text-accent underline underline-offset-2">
                  {id.slice(0, 16)}…
                </a>
              </li>
            ))}
          </ul>
        </Section>
      )}
      <Links title="Depends on" ids={task.depends_on} tasks={tasks} openTask={openTask} />
      <Links title="Needed by" ids={dependants.map((each) => each.id)} tasks={tasks} openTask={openTask} />
      {own.length > 0 && (
        <Section title="Messages">
          <ul className="space-y-1.5">
            {own.map((message) => (
              <li key={message.id} className="flex items-baseline gap-2 text-xs">
                <span className="shrink-0 text-faint tabular">{formatClock(message.created_at)}</span>
                <span className="shrink-0 font-medium">
                  {message.sender} → {recipientOf(message)}
                </span>
                <span className="min-w-0 truncate text-muted">{previewOf(message.content)}</span>
              </li>
            ))}
          </ul>
        </Section>
      )}
      <div className="flex flex-wrap items-center gap-x-4 gap-y-2 border-t border-line pt-4 text-xs text-faint">
        <span className="flex min-w-0 items-center gap-2">
          <span className="truncate font-mono">{task.id}</span>
          <CopyButton text={task.id} label="Copy the id" />
        </span>
        <span className="flex items-center gap-2">
          As curl
          <CopyButton text={curl('GET', `/tasks/${task.id}`)} label="Copy as curl" />
        </span>
      </div>
    </Drawer>
  )
}

/** Read again when the task moves to another state or attempt. */
function useDetail(task: Task): TaskDetail | undefined {
  const [detail, setDetail] = useState<TaskDetail>()
  useEffect(() => {
    let over = false
    api.task(task.id).then(
      (read) => over || setDetail(read),
      // Gone or unreachable: the projection's fields still stand.
      () => undefined,
    )
    return () => {
      over = true
    }
  }, [task.id, task.state, task.attempt])
  return detail?.id === task.id ? detail : undefined
}

const outcomes = {
  open: { mark: 'half', tone: 'active', label: 'Working' },
  completed: { mark: 'check', tone: 'good', label: 'Completed' },
  failed: { mark: 'cross', tone: 'bad', label: 'Failed' },
  lease_expired: { mark: 'clock', tone: 'wait', label: 'Lease ran out' },
  released: { mark: 'skip', tone: 'quiet', label: 'Given back' },
  cancelled: { mark: 'slash', tone: 'quiet', label: 'Cancelled' },
  reassigned: { mark: 'skip', tone: 'quiet', label: 'Reassigned' },
} as const

function Attempts({ detail, now }: { detail: TaskDetail | undefined; now: number }) {
  if (detail === undefined || detail.attempts.length === 0) return null
  return (
    <Section title="Attempts">
      <ol className="space-y-2.5">
        {detail.attempts.map((attempt, index) => {
          const look = lookOf(outcomes, attempt.outcome)
          const until = attempt.ended_at === null ? now : Date.parse(attempt.ended_at)
          return (
            <li key={index} className="flex gap-2.5 text-sm">
              <span className="mt-0.5">
                <Mark name={look.mark} tone={look.tone} size={15} />
              </span>
              <div className="min-w-0 flex-1">
                <p className="flex items-baseline gap-2">
                  <span className="font-medium">{attempt.agent}</span>
                  <span className="text-muted">{look.label}</span>
                  <span className="ml-auto text-xs text-faint tabular">
                    {formatClock(attempt.assigned_at)} ·{' '}
                    {formatDuration(until - Date.parse(attempt.started_at ?? attempt.assigned_at))}
                  </span>
                </p>
                {attempt.error !== null && <p className="text-xs break-words text-muted">{attempt.error}</p>}
              </div>
            </li>
          )
        })}
      </ol>
    </Section>
  )
}

function Result({ task }: { task: Task }) {
  if (task.result === null || task.result === undefined) return null
  const report = readReport(task.result)
  const text = typeof task.result === 'string' ? task.result : report?.markdown
  return (
    <Section title="Result" aside={<CopyButton text={prettyOf(task.result, 2_000_000)} label="Copy the result" />}>
      {text === undefined ? (
        <Pre text={prettyOf(task.result)} />
      ) : (
        <div
          className="scroll-quiet max-h-96 overflow-y-auto rounded-md border border-line p-3"
          tabIndex={0}
          role="group"
          aria-label="Result"
        >
          <MarkdownView blocks={parseMarkdown(text)} />
        </div>
      )}
    </Section>
  )
}

function Json({ title, value }: { title: string; value: unknown }) {
  if (value === null || value === undefined) return null
  return (
    <Section title={title}>
      <Pre text={prettyOf(value)} />
    </Section>
  )
}

const Pre = ({ text }: { text: string }) => (
  <pre
    className="scroll-quiet max-h-72 overflow-auto rounded-md border border-line bg-raised p-3 font-mono text-xs leading-relaxed break-words whitespace-pre-wrap"
    tabIndex={0}
  >
    {text}
  </pre>
)

function Links({
  title,
  ids,
  tasks,
  openTask,
}: {
  title: string
  ids: readonly string[]
  tasks: ReadonlyMap<string, Task>
  openTask: (id: string) => void
}) {
  if (ids.length === 0) return null
  return (
    <Section title={title}>
      <ul className="flex flex-wrap gap-1.5">
        {ids.slice(0, 50).map((id) => {
          const other = tasks.get(id)
          const look = other === undefined ? undefined : lookOf(taskLooks, other.state)
          return (
            <li key={id} className="max-w-full">
              <button
                type="button"
                disabled={other === undefined}
                onClick={() => openTask(id)}
                className="flex h-7 max-w-full items-center gap-1.5 rounded-md border border-line px-2 text-xs hover:border-line-strong"
              >
                {look !== undefined && (
                  <>
                    <Mark name={look.mark} tone={look.tone} size={13} />
                    <span className="sr-only">{look.label}: </span>
                  </>
                )}
                <span className="truncate">{other?.title ?? id}</span>
              </button>
            </li>
          )
        })}
      </ul>
    </Section>
  )
}
