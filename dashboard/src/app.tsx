import { useCallback, useMemo, useState, useSyncExternalStore } from 'react'
import { AgentsPanel } from './components/agents-panel.tsx'
import { Announcer } from './components/announcer.tsx'
import { Counters } from './components/counters.tsx'
import { Header } from './components/header.tsx'
import { MessagesPanel } from './components/messages-panel.tsx'
import { Refused } from './components/refused.tsx'
import { ReportPanel } from './components/report-panel.tsx'
import { TaskDrawer } from './components/task-drawer.tsx'
import { TasksPanel } from './components/tasks-panel.tsx'
import type { Store } from './live.ts'
import { chooseRun, groupRuns } from './runs.ts'

const sections = ['Tasks', 'Report', 'Agents', 'Messages'] as const

export function App({ store }: { store: Store }) {
  const view = useSyncExternalStore(store.subscribe, store.get)
  const [chosen, setChosen] = useState(() => new URLSearchParams(location.search).get('run'))
  const [opened, setOpened] = useState<string | null>(null)
  const { agents, tasks, messages, metrics } = view.projection
  const runs = useMemo(() => groupRuns(tasks), [tasks])
  const run = chooseRun(runs, chosen)
  const openTask = useCallback(
    (id: string) => {
      store.want(id)
      setOpened(id)
    },
    [store],
  )
  const choose = (id: string) => {
    setChosen(id)
    history.replaceState(null, '', `?run=${encodeURIComponent(id)}`)
  }
  if (view.phase === 'refused' || view.phase === 'unreachable') return <Refused problem={view.problem} retry={store.retry} />
  const loading = view.phase === 'loading'
  const task = opened === null ? undefined : tasks.get(opened)
  const panels = (
    <>
      <Counters metrics={metrics} />
      <TasksPanel run={run} openTask={openTask} />
      <div className="grid grid-cols-1 items-start gap-4 xl:grid-cols-[19rem_minmax(0,1fr)_26rem]">
        <div className="order-2 min-w-0 xl:sticky xl:top-[4.5rem] xl:order-1 xl:flex xl:max-h-[calc(100dvh-5.5rem)] xl:flex-col">
          <AgentsPanel agents={agents} />
        </div>
        <div className="order-1 min-w-0 xl:order-2">
          <ReportPanel run={run} openTask={openTask} />
        </div>
        <div className="order-3 min-w-0 xl:sticky xl:top-[4.5rem] xl:flex xl:max-h-[calc(100dvh-5.5rem)] xl:flex-col">
          <MessagesPanel messages={messages} openTask={openTask} />
        </div>
      </div>
    </>
  )
  return (
    <>
      <a
        href="#main"
        className="sr-only z-30 rounded-md bg-accent px-3 py-2 text-sm text-on-accent focus:not-sr-only focus:fixed focus:top-3 focus:left-3"
      >
        Skip to the content
      </a>
      <Header view={view} runs={runs} run={run} choose={choose} retry={store.retry} />
      <nav aria-label="Sections" className="border-b border-line bg-surface xl:hidden">
        <ul className="flex gap-1 overflow-x-auto px-2">
          {sections.map((name) => (
            <li key={name}>
              <a href={`#${name.toLowerCase()}`} className="block px-2.5 py-2.5 text-sm text-muted hover:text-ink">
                {name}
              </a>
            </li>
          ))}
        </ul>
      </nav>
      <main
        id="main"
        tabIndex={-1}
        aria-busy={loading}
        className="mx-auto max-w-[1680px] space-y-4 px-3 py-4 outline-none sm:px-4 lg:px-6"
      >
        {/* Nothing before the first snapshot: panels that fill up later would make the page jump. */}
        {loading ? <p className="sr-only">Reading the state of the server</p> : panels}
      </main>
      {task !== undefined && (
        <TaskDrawer task={task} tasks={tasks} messages={messages} openTask={openTask} close={() => setOpened(null)} />
      )}
      <Announcer tasks={run?.tasks ?? []} link={view.link} />
    </>
  )
}
