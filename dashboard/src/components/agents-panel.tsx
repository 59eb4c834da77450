import type { Agent } from '@cadre/contract'
import { memo, useState } from 'react'
import { api } from '../api.ts'
import { formatAgo, formatExact } from '../format.ts'
import { curl } from '../curl.ts'
import { agentLooks, lookOf } from '../states.ts'
import { useNow } from '../use-now.ts'
import { EmptyState } from './empty-state.tsx'
import { Mark } from './mark.tsx'
import { Panel } from './panel.tsx'

const presenceLooks = {
  online: { label: 'Online', dot: 'bg-good rounded-full' },
  suspect: { label: 'Suspect', dot: 'bg-wait rotate-45' },
  offline: { label: 'Offline', dot: 'border border-faint rounded-full' },
} as const

const rank = { online: 0, suspect: 1, offline: 2 } as const
const byPresence = (a: Agent, b: Agent) =>
  (rank[a.presence] ?? 3) - (rank[b.presence] ?? 3) || a.name.localeCompare(b.name, 'en', { numeric: true })

interface Props {
  agents: ReadonlyMap<string, Agent>
  openAgent: (id: string) => void
}

export function AgentsPanel({ agents, openAgent }: Props) {
  const [showsEnded, setShowsEnded] = useState(false)
  const now = useNow(agents.size > 0)
  const all = [...agents.values()]
  const ended = all.filter((agent) => agent.status === 'terminated')
  const shown = (showsEnded ? all : all.filter((agent) => agent.status !== 'terminated')).sort(byPresence)
  const online = shown.filter((agent) => agent.presence === 'online').length
  return (
    <Panel
      id="agents"
      title="Agents"
      note={all.length > 0 ? `${online} of ${shown.length} online` : undefined}
      className="xl:min-h-0"
    >
      {all.length === 0 ? (
        <EmptyState
          title="No agent has joined yet"
          action={{ label: 'Start a researcher', run: () => api.spawn('researcher-1', 'researcher') }}
          command={curl('POST', '/agents/spawn', { name: 'researcher-1', type: 'researcher' })}
        >
          Agents appear here the moment they connect, in any language. The server can also run one of its own.
        </EmptyState>
      ) : (
        <ul
          className="scroll-quiet relative min-h-0 flex-1 overflow-y-auto max-xl:grid max-xl:max-h-[32rem] max-xl:sm:grid-cols-2"
          tabIndex={0}
          aria-label="Agents"
        >
          {shown.map((agent) => (
            <AgentRow
              key={agent.id}
              agent={agent}
              open={openAgent}
              seen={agent.presence === 'online' ? 'now' : agent.last_seen === null ? 'never' : formatAgo(agent.last_seen, now)}
            />
          ))}
        </ul>
      )}
      {ended.length > 0 && (
        <button
          type="button"
          onClick={() => setShowsEnded(!showsEnded)}
          className="border-t border-line px-4 py-2 text-left text-xs text-muted hover:text-ink"
        >
          {showsEnded ? 'Hide' : 'Show'} {ended.length} ended
        </button>
      )}
    </Panel>
  )
}

const AgentRow = memo(function AgentRow({ agent, seen, open }: { agent: Agent; seen: string; open: (id: string) => void }) {
  const look = lookOf(agentLooks, agent.status)
  const presence = presenceLooks[agent.presence] ?? presenceLooks.offline
  const gone = agent.presence === 'offline'
  return (
    <li className="relative border-b border-line px-4 py-3 last:border-b-0 hover:bg-raised">
      <div className="flex items-center gap-2">
        {/* The whole row is the button's. */}
        <button
          type="button"
          aria-haspopup="dialog"
          onClick={() => open(agent.id)}
          className={`min-w-0 truncate text-left text-sm font-semibold after:absolute after:inset-0 ${gone ? 'text-muted' : ''}`}
          title={agent.description ?? agent.name}
        >
          {agent.name}
        </button>
        {agent.type !== agent.name && <span className="min-w-0 shrink truncate text-xs text-faint">{agent.type}</span>}
        <span className="ml-auto flex shrink-0 items-center gap-1.5 text-xs">
          <Mark name={look.mark} tone={look.tone} size={13} />
          {look.label}
        </span>
      </div>
      <div className="mt-1 flex items-center gap-x-3 text-xs text-muted tabular">
        <span
          className="flex items-center gap-1.5"
          title={agent.last_seen === null ? 'Never seen' : `Last seen ${formatExact(agent.last_seen)}`}
        >
          <span aria-hidden="true" className={`size-[7px] ${presence.dot}`} />
          {presence.label}
          {!(agent.presence === 'online') && <span className="text-faint">{seen}</span>}
        </span>
        <Load load={agent.load} concurrency={agent.concurrency} />
        {agent.inbox_depth > 0 && <span className="ml-auto">{agent.inbox_depth} in inbox</span>}
      </div>
      {agent.capabilities.length > 0 && (
        <ul aria-label="Capabilities" className="mt-2 flex flex-wrap gap-1">
          {agent.capabilities.slice(0, 6).map((capability) => (
            <li key={capability} className="max-w-40 truncate rounded border border-line bg-raised px-1.5 text-2xs text-muted">
              {capability}
            </li>
          ))}
          {agent.capabilities.length > 6 && (
            <li className="px-1 text-2xs text-faint" title={agent.capabilities.slice(6).join(', ')}>
              +{agent.capabilities.length - 6}
            </li>
          )}
        </ul>
      )}
    </li>
  )
})

/** One box per place, filled while taken; past six places only the numbers. */
function Load({ load, concurrency }: { load: number; concurrency: number }) {
  return (
    <span className="flex items-center gap-1.5">
      {concurrency <= 6 && (
        <span aria-hidden="true" className="flex gap-0.5">
          {Array.from({ length: Math.max(1, concurrency) }, (_, place) => (
            <span key={place} className={`h-[7px] w-2.5 rounded-[2px] ${place < load ? 'bg-accent' : 'bg-line'}`} />
          ))}
        </span>
      )}
      <span>
        <span className="sr-only">Load </span>
        {load}/{concurrency}
      </span>
    </span>
  )
}
