import type { Task } from '@cadre/contract'
import { memo, useEffect, useMemo, useRef, useState } from 'react'
import { formatDuration } from '../format.ts'
import { layOut } from '../layout.ts'
import { workTime } from '../runs.ts'
import { isHeld, lookOf, taskLooks } from '../states.ts'
import { Mark } from './mark.tsx'

/** Past this many, the newest are drawn and the rest counted. */
const drawLimit = 300
const nodeHeight = 78

interface Props {
  tasks: readonly Task[]
  now: number
  openTask: (id: string) => void
}

/** The tasks of a run as columns from left to right; without dependencies among them, as a plain grid. */
export function TaskGraph({ tasks, now, openTask }: Props) {
  const [frame, width] = useWidth()
  const drawn = useMemo(() => tasks.slice(-drawLimit), [tasks])
  // Positions change with the shape of the graph only, not with each step of its tasks.
  const shape = drawn.map((task) => `${task.id}<${task.depends_on.join()}`).join(';')
  const plan = useMemo(() => planOf(drawn, width), [shape, width])
  const states = new Map(drawn.map((task) => [task.id, task]))
  return (
    <div
      ref={frame}
      className="scroll-quiet max-h-[34rem] overflow-auto px-4 py-5 lg:px-5"
      tabIndex={0}
      role="group"
      aria-label="Task graph, scrollable"
    >
      {tasks.length > drawLimit && (
        <p className="pb-4 text-sm text-muted">
          The newest {drawLimit} of {tasks.length} tasks.
        </p>
      )}
      {plan === null ? (
        <ol className="grid grid-cols-[repeat(auto-fill,minmax(200px,1fr))] gap-3">
          {drawn.map((task) => (
            <li key={task.id} className="h-[78px]">
              <TaskNode task={task} worked={workTime(task, now)} openTask={openTask} />
            </li>
          ))}
        </ol>
      ) : (
        <div className="relative mx-auto" style={{ width: plan.layout.width, height: plan.layout.height }}>
          <svg
            width={plan.layout.width}
            height={plan.layout.height}
            fill="none"
            aria-hidden="true"
            className="absolute inset-0 overflow-visible"
          >
            <defs>
              {(['idle', 'active', 'good'] as const).map((kind) => (
                <marker
                  key={kind}
                  id={`arrow-${kind}`}
                  viewBox="0 0 8 8"
                  refX="7"
                  refY="4"
                  markerWidth="7"
                  markerHeight="7"
                  markerUnits="userSpaceOnUse"
                  orient="auto"
                >
                  <path d="M1 1 7 4 1 7Z" className={arrowFill[kind]} />
                </marker>
              ))}
            </defs>
            {plan.layout.edges.map((edge) => {
              const kind = edgeKind(states.get(edge.from), states.get(edge.to))
              return (
                <path
                  key={`${edge.from} ${edge.to}`}
                  d={edge.path}
                  className={edgeStroke[kind]}
                  markerEnd={`url(#arrow-${kind})`}
                />
              )
            })}
          </svg>
          <ol>
            {plan.order.map((id) => {
              const task = states.get(id)
              const place = plan.layout.places.get(id)
              if (task === undefined || place === undefined) return null
              return (
                <li
                  key={id}
                  className="absolute"
                  style={{ left: place.x, top: place.y, width: plan.nodeWidth, height: nodeHeight }}
                >
                  <TaskNode task={task} worked={workTime(task, now)} openTask={openTask} />
                </li>
              )
            })}
          </ol>
        </div>
      )}
    </div>
  )
}

const arrowFill = { idle: 'fill-line-strong', active: 'fill-accent', good: 'fill-good' } as const
const edgeStroke = {
  idle: 'stroke-line-strong [stroke-dasharray:4_4] [stroke-width:1.5]',
  active: 'stroke-accent [stroke-width:1.75]',
  good: 'stroke-good/60 [stroke-width:1.5]',
} as const

/** Active leads into work going on, good is a dependency that is met, idle one that is not. */
function edgeKind(from: Task | undefined, to: Task | undefined): keyof typeof edgeStroke {
  if (from?.state !== 'completed') return 'idle'
  return to !== undefined && isHeld(to.state) ? 'active' : 'good'
}

function planOf(tasks: readonly Task[], width: number) {
  const first = layOut(tasks, { width: 1, height: 1, gapX: 0, gapY: 0 })
  if (first.edges.length === 0) return null
  const layers = Math.max(1, first.width)
  // As wide as the frame allows, never narrower than two lines of a title need.
  const nodeWidth = Math.round(Math.min(252, Math.max(184, (width - (layers - 1) * 44) / layers)))
  const gapX = Math.round(Math.min(96, Math.max(44, (width - layers * nodeWidth) / Math.max(1, layers - 1))))
  const layout = layOut(tasks, { width: nodeWidth, height: nodeHeight, gapX, gapY: 18 })
  const at = (id: string) => layout.places.get(id) ?? { x: 0, y: 0 }
  const order = tasks.map((task) => task.id).sort((a, b) => at(a).x - at(b).x || at(a).y - at(b).y)
  return { layout, nodeWidth, order }
}

function useWidth() {
  const frame = useRef<HTMLDivElement>(null)
  const [width, setWidth] = useState(() => Math.min(1600, window.innerWidth - 90))
  useEffect(() => {
    const element = frame.current
    if (element === null) return undefined
    const observer = new ResizeObserver(() => {
      const style = getComputedStyle(element)
      const inner = element.clientWidth - Number.parseFloat(style.paddingLeft) - Number.parseFloat(style.paddingRight)
      // In steps, so that a scroll bar that comes and goes cannot make the drawing oscillate.
      setWidth(Math.floor(inner / 8) * 8)
    })
    observer.observe(element)
    return () => observer.disconnect()
  }, [])
  return [frame, width] as const
}

const nodeLook = {
  quiet: 'border-dashed border-line-strong',
  active: 'border-accent ring-3 ring-accent-soft',
  good: 'border-line',
  bad: 'border-bad',
  wait: 'border-wait',
} as const

const TaskNode = memo(function TaskNode({
  task,
  worked,
  openTask,
}: {
  task: Task
  worked: number | undefined
  openTask: (id: string) => void
}) {
  const look = lookOf(taskLooks, task.state)
  const duration = worked === undefined ? undefined : formatDuration(worked)
  const again = task.attempt > 1
  return (
    <button
      type="button"
      onClick={() => openTask(task.id)}
      title={task.title}
      className={`relative flex size-full flex-col overflow-hidden rounded-lg border bg-surface px-3 py-2 text-left shadow-card transition-colors hover:bg-raised ${nodeLook[look.tone]}`}
    >
      <span className="flex min-h-0 flex-1 items-start gap-2">
        <span className="mt-px">
          <Mark name={look.mark} tone={look.tone} size={17} />
        </span>
        <span className="sr-only">{look.label}: </span>
        <span
          className={`line-clamp-2 min-w-0 text-sm leading-[1.2rem] font-medium ${look.tone === 'quiet' ? 'text-muted' : ''}`}
        >
          {task.title}
        </span>
      </span>
      <span className="flex items-center gap-1.5 pl-[25px] text-xs text-muted tabular">
        <span className="min-w-0 truncate">
          {task.assigned_to !== null && <span className="sr-only">, agent </span>}
          {task.assigned_to ?? look.label}
        </span>
        {again && <Attempts attempt={task.attempt} total={task.max_retries + 1} bad={look.tone === 'bad'} />}
        <span className="ml-auto shrink-0 text-faint">{duration ?? (task.assigned_to === null ? '' : look.label)}</span>
      </span>
      {task.state === 'running' && (
        <span aria-hidden="true" className="absolute inset-x-0 bottom-0 h-[3px] bg-accent-soft">
          <span
            className="block h-full bg-accent transition-[width] duration-300"
            style={{ width: `${Math.round(task.progress * 100)}%` }}
          />
        </span>
      )}
    </button>
  )
})

function Attempts({ attempt, total, bad }: { attempt: number; total: number; bad: boolean }) {
  const places = Math.min(Math.max(attempt, total), 5)
  return (
    <span className="flex shrink-0 items-center gap-0.5" title={`Attempt ${attempt} of ${total}`}>
      <span className="sr-only">
        , attempt {attempt} of {total}
      </span>
      {Array.from({ length: places }, (_, place) => (
        <span
          key={place}
          className={`size-[5px] rounded-full ${place < attempt ? (bad ? 'bg-bad' : 'bg-wait') : 'border border-line-strong'}`}
        />
      ))}
    </span>
  )
}
