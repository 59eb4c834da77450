import { api } from '../api.ts'
import { curl } from '../curl.ts'
import { formatDuration } from '../format.ts'
import { progressOf, type Run } from '../runs.ts'
import { isEnded } from '../states.ts'
import { useNow } from '../use-now.ts'
import { EmptyState } from './empty-state.tsx'
import { Panel } from './panel.tsx'
import { TaskGraph } from './task-graph.tsx'

const sample = [
  { key: 'gather', title: 'Gather the facts' },
  { key: 'weigh', title: 'Weigh them', depends_on: ['gather'] },
  { key: 'decide', title: 'Decide', depends_on: ['weigh'] },
]

export function TasksPanel({ run, openTask }: { run: Run | undefined; openTask: (id: string) => void }) {
  const moving = run?.tasks.some((task) => !isEnded(task.state)) ?? false
  const now = useNow(moving)
  const progress = progressOf(run?.tasks ?? [], now)
  const percent = Math.floor(progress.share * 100)
  const problems = progress.failed > 0 ? `, ${progress.failed} failed` : ''
  return (
    <Panel
      id="tasks"
      title="Tasks"
      note={
        run === undefined ? undefined : (
          <>
            {progress.completed} of {progress.total} completed{problems}
          </>
        )
      }
      actions={
        run === undefined ? undefined : (
          <div className="flex items-center gap-3 text-sm text-muted tabular">
            <div
              role="progressbar"
              aria-label="Progress of the run"
              aria-valuemin={0}
              aria-valuemax={100}
              aria-valuenow={percent}
              className="h-1.5 w-28 overflow-hidden rounded-full bg-line sm:w-56"
            >
              <div
                className={`h-full rounded-full transition-[width] duration-300 ${progress.failed > 0 ? 'bg-bad' : progress.completed === progress.total ? 'bg-good' : 'bg-accent'}`}
                style={{ width: `${percent}%` }}
              />
            </div>
            <span className="w-10 text-right">{percent}%</span>
            <span className="w-14 text-right text-faint">{formatDuration(progress.elapsed_ms)}</span>
          </div>
        )
      }
    >
      {run === undefined ? (
        <EmptyState
          title="No task yet"
          action={{ label: 'Submit a plan of three steps', run: () => api.submit('A first plan', sample) }}
          command={curl('POST', '/tasks/dag', { name: 'A first plan', tasks: sample })}
        >
          Submit a graph of tasks, or give the team a goal. Each step shows its state, its agent and its attempts as it runs.
        </EmptyState>
      ) : (
        <TaskGraph tasks={run.tasks} now={now} openTask={openTask} />
      )}
    </Panel>
  )
}
