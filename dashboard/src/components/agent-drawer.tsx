import type { Agent, Message } from '@cadre/contract'
import { api, type Inbox } from '../api.ts'
import { curl } from '../curl.ts'
import { formatAgo, formatClock, formatCount, formatDuration, formatExact, previewOf } from '../format.ts'
import { recipientOf } from '../recipient.ts'
import { agentLooks, lookOf, messageLooks } from '../states.ts'
import { useNow } from '../use-now.ts'
import { type Reading, useReading } from '../use-reading.ts'
import { CopyButton } from './copy-button.tsx'
import { Drawer, Fact, Section } from './drawer.tsx'
import { Mark, toneText } from './mark.tsx'

interface Props {
  agent: Agent
  messages: readonly Message[]
  /** Another one whenever an inbox may have changed. */
  touched: string
  close: () => void
}

/** Everything about one agent: who it is, what waits in its queue, what it said and heard last. */
export function AgentDrawer({ agent, messages, touched, close }: Props) {
  const inbox = useReading(() => api.inbox(agent.id), touched)
  const subscriptions = useReading(() => api.subscriptions(agent.id), touched).value?.items ?? []
  const now = useNow(true)
  const look = lookOf(agentLooks, agent.status)
  const own = messages.filter((message) => message.sender_id === agent.id || message.recipients.includes(agent.name)).slice(0, 20)
  return (
    <Drawer
      id={agent.id}
      mark={<Mark name={look.mark} tone={look.tone} size={20} />}
      title={agent.name}
      subtitle={
        <>
          <span className={`font-medium ${toneText[look.tone]}`}>{look.label}</span>
          {` · ${agent.presence}`}
          {agent.presence !== 'online' && agent.last_seen !== null && `, seen ${formatAgo(agent.last_seen, now)}`}
        </>
      }
      close={close}
    >
      {agent.description !== null && <p className="text-sm break-words whitespace-pre-line text-muted">{agent.description}</p>}
      <Queue inbox={inbox} now={now} />
      <dl className="grid grid-cols-2 gap-x-4 gap-y-3 text-sm sm:grid-cols-3">
        <Fact name="Type" value={agent.type} />
        <Fact name="Tasks now" value={`${agent.load} of ${agent.concurrency}`} />
        <Fact name="Runs" value={agent.managed ? 'on this server' : 'elsewhere'} />
        <Fact name="Since" value={formatClock(agent.created_at)} title={formatExact(agent.created_at)} />
        {agent.capabilities.length > 0 && <Fact name="Capabilities" value={agent.capabilities.join(', ')} />}
      </dl>
      {subscriptions.length > 0 && (
        <Section title="Subscriptions">
          <ul className="flex flex-wrap gap-1.5">
            {subscriptions.map(({ topic, group }) => (
              <li key={topic} className="rounded border border-line bg-raised px-1.5 font-mono text-xs text-muted">
                {topic}
                {group !== null && ` (group ${group})`}
              </li>
            ))}
          </ul>
        </Section>
      )}
      <Section title="Last messages">
        {own.length === 0 ? (
          <p className="text-sm text-muted">None among the newest. Send it one with the command below.</p>
        ) : (
          <ul className="space-y-1.5">
            {own.map((message) => {
              const fate = lookOf(messageLooks, message.status)
              return (
                <li key={message.id} className="flex items-center gap-2 text-xs">
                  <Mark name={fate.mark} tone={fate.tone} size={13} />
                  <span className="sr-only">{fate.label}</span>
                  <span className="shrink-0 text-faint tabular">{formatClock(message.created_at)}</span>
                  <span className="max-w-1/2 shrink-0 truncate font-medium">
                    {message.sender_id === agent.id ? `to ${recipientOf(message)}` : `from ${message.sender}`}
                  </span>
                  <span className="min-w-0 truncate text-muted">{previewOf(message.content)}</span>
                </li>
              )
            })}
          </ul>
        )}
      </Section>
      <div className="flex flex-wrap items-center gap-x-4 gap-y-2 border-t border-line pt-4 text-xs text-faint">
        <span className="flex min-w-0 items-center gap-2">
          <span className="truncate font-mono">{agent.id}</span>
          <CopyButton text={agent.id} label="Copy the id" />
        </span>
        <span className="flex items-center gap-2">
          Send as curl
          <CopyButton text={curl('POST', '/messages', { to: agent.name, content: 'Hello' })} label="Copy as curl" />
        </span>
      </div>
    </Drawer>
  )
}

const places = [
  ['ready', 'Ready', 'Waits to be taken'],
  ['leased', 'Leased', 'Taken by the agent and not acknowledged yet'],
  ['behind', 'Behind', 'Waits for an earlier message of its sender in its conversation'],
  ['delayed', 'Delayed', 'Comes again when its back-off is over'],
  ['dead', 'Dead', 'Given up; see the dead letters'],
] as const

function Queue({ inbox, now }: { inbox: Reading<Inbox>; now: number }) {
  const queue = inbox.value
  // The age goes on by this machine's clock only from the moment it was read, since the server's may differ.
  const age = queue?.oldest_age_ms == null ? null : queue.oldest_age_ms + Math.max(0, now - inbox.at)
  return (
    <section aria-label="Queue" className="rounded-lg border border-line bg-raised">
      <div className="flex items-baseline justify-between gap-4 px-4 pt-3">
        <h3 className="text-sm font-semibold">Queue</h3>
        {inbox.problem !== null && <p className="text-xs text-bad">{inbox.problem}</p>}
      </div>
      <dl className="grid grid-cols-2 gap-x-4 px-4 pt-2 pb-3">
        <div>
          <dt className="text-xs text-muted">Depth</dt>
          <dd className="text-xl font-semibold tracking-tight tabular">{queue === undefined ? '–' : formatCount(queue.depth)}</dd>
        </div>
        <div>
          <dt className="text-xs text-muted">Oldest waits for</dt>
          <dd className="text-xl font-semibold tracking-tight tabular">{age === null ? '–' : formatDuration(age)}</dd>
        </div>
      </dl>
      <dl className="grid grid-cols-3 gap-x-4 gap-y-2 border-t border-line px-4 py-3 sm:grid-cols-5">
        {places.map(([name, label, meaning]) => (
          <div key={name} title={meaning}>
            <dt className="text-xs text-faint">{label}</dt>
            <dd className={`text-sm tabular ${name === 'dead' && (queue?.dead ?? 0) > 0 ? 'font-medium text-bad' : ''}`}>
              {queue === undefined ? '–' : formatCount(queue[name])}
            </dd>
          </div>
        ))}
      </dl>
    </section>
  )
}
