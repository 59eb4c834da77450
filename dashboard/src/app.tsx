import { useCallback, useMemo, useState, useSyncExternalStore } from 'react'
import { api, type Page } from './api.ts'
import { AgentDrawer } from './components/agent-drawer.tsx'
import { AgentsPanel } from './components/agents-panel.tsx'
import { Announcer } from './components/announcer.tsx'
import { BrakesPanel } from './components/brakes-panel.tsx'
import { ConnectionsPanel } from './components/connections-panel.tsx'
import { Counters } from './components/counters.tsx'
import { DeadLettersPanel } from './components/dead-letters-panel.tsx'
import { Header } from './components/header.tsx'
import { MessagesPanel } from './components/messages-panel.tsx'
import { PageNav } from './components/page-nav.tsx'
import { Refused } from './components/refused.tsx'
import { ReportPanel } from './components/report-panel.tsx'
import { RulesPanel } from './components/rules-panel.tsx'
import { TaskDrawer } from './components/task-drawer.tsx'
import { TasksPanel } from './components/tasks-panel.tsx'
import { TimelinePanel } from './components/timeline-panel.tsx'
import type { Store, View } from './live.ts'
import { pageOf } from './pages.ts'
import { chooseRun, groupRuns } from './runs.ts'
import { useParam } from './use-param.ts'
import { useReading } from './use-reading.ts'

const sections = ['Tasks', 'Report', 'Agents', 'Messages'] as const

export function App({ store }: { store: Store }) {
  const view = useSyncExternalStore(store.subscribe, store.get)
  if (view.phase === 'refused' || view.phase === 'unreachable') return <Refused problem={view.problem} retry={store.retry} />
  // Nothing before the first snapshot: panels that fill up later would make the page jump.
  if (view.phase === 'loading') return <Loading view={view} retry={store.retry} />
  return <Room store={store} view={view} />
}

function Loading({ view, retry }: { view: View; retry: () => void }) {
  return (
    <>
      <Header view={view} runs={[]} run={undefined} choose={() => undefined} retry={retry} />
      <main aria-busy="true">
        <p className="sr-only">Reading the state of the server</p>
      </main>
    </>
  )
}

function Room({ store, view }: { store: Store; view: View }) {
  const [pageParam, setPage] = useParam('page')
  const [chosen, choose] = useParam('run')
  const [agentId, openAgent] = useParam('agent')
  const [opened, setOpened] = useState<string | null>(null)
  const { agents, tasks, messages, metrics, touched } = view.projection
  // After a lost connection everything is read again.
  const keyOf = (list: keyof typeof touched) => `${view.link}.${touched[list]}`
  const letters = useReading(api.deadLetters, keyOf('deadLetters'))
  const brakes = useReading(api.brakes, keyOf('brakes'))
  const runs = useMemo(() => groupRuns(tasks), [tasks])
  const run = chooseRun(runs, chosen)
  const page = pageOf(pageParam)
  const openTask = useCallback(
    (id: string) => {
      store.want(id)
      setOpened(id)
    },
    [store],
  )
  const closeAgent = useCallback(() => openAgent(null), [openAgent])
  const task = opened === null ? undefined : tasks.get(opened)
  const agent = agentId === null ? undefined : agents.get(agentId)
  return (
    <>
      <a
        href="#main"
        className="sr-only z-30 rounded-md bg-accent px-3 py-2 text-sm text-on-accent focus:not-sr-only focus:fixed focus:top-3 focus:left-3"
      >
        Skip to the content
      </a>
      <Header
        view={view}
        runs={page === 'team' ? runs : []}
        run={page === 'team' ? run : undefined}
        choose={choose}
        retry={store.retry}
      />
      <PageNav
        page={page}
        counts={{ ...countOf('dead-letters', letters.value), ...countOf('brakes', brakes.value) }}
        go={(id) => setPage(id === 'team' ? null : id)}
      />
      {page === 'team' && <SectionNav />}
      <main
        id="main"
        tabIndex={-1}
        className={`mx-auto space-y-4 px-3 py-4 outline-none sm:px-4 lg:px-6 ${page === 'team' ? 'max-w-[1680px]' : 'max-w-5xl'}`}
      >
        {page === 'team' && (
          <>
            <Counters metrics={metrics} />
            <TasksPanel run={run} openTask={openTask} />
            <div className="grid grid-cols-1 items-start gap-4 xl:grid-cols-[19rem_minmax(0,1fr)_26rem]">
              <div className="order-2 min-w-0 xl:sticky xl:top-[4.5rem] xl:order-1 xl:flex xl:max-h-[calc(100dvh-5.5rem)] xl:flex-col">
                <AgentsPanel agents={agents} openAgent={openAgent} />
              </div>
              <div className="order-1 min-w-0 xl:order-2">
                <ReportPanel run={run} openTask={openTask} />
              </div>
              <div className="order-3 min-w-0 xl:sticky xl:top-[4.5rem] xl:flex xl:max-h-[calc(100dvh-5.5rem)] xl:flex-col">
                <MessagesPanel messages={messages} changes={view.projection.changes} link={view.link} openTask={openTask} />
              </div>
            </div>
          </>
        )}
        {page === 'timeline' && <TimelinePanel entries={view.projection.entries} link={view.link} />}
        {page === 'dead-letters' && <DeadLettersPanel letters={letters} />}
        {page === 'brakes' && <BrakesPanel brakes={brakes} />}
        {page === 'rules' && <RulesPanel touched={keyOf('rules')} />}
        {page === 'connections' && <ConnectionsPanel touched={keyOf('connections')} openAgent={openAgent} />}
      </main>
      {task !== undefined && (
        <TaskDrawer task={task} tasks={tasks} messages={messages} openTask={openTask} close={() => setOpened(null)} />
      )}
      {agent !== undefined && (
        <AgentDrawer key={agent.id} agent={agent} messages={messages} touched={keyOf('inboxes')} close={closeAgent} />
      )}
      <Announcer tasks={run?.tasks ?? []} link={view.link} />
    </>
  )
}

function countOf(id: 'dead-letters' | 'brakes', page: Page<unknown> | undefined): Partial<Record<typeof id, string>> {
  if (page === undefined || page.items.length === 0) return {}
  return { [id]: `${page.items.length}${page.next === null ? '' : '+'}` }
}

/** On narrow screens the panels of the team stand below each other. */
function SectionNav() {
  return (
    <nav aria-label="Sections" className="border-b border-line bg-surface xl:hidden">
      <ul className="flex overflow-x-auto px-1 sm:px-2">
        {sections.map((name) => (
          <li key={name}>
            <a href={`#${name.toLowerCase()}`} className="block px-2.5 py-2 text-xs text-muted hover:text-ink">
              {name}
            </a>
          </li>
        ))}
      </ul>
    </nav>
  )
}
