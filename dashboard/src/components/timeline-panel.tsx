import type { LogEntry } from '@cadre/contract'
import { memo, useMemo, useState } from 'react'
import { api } from '../api.ts'
import { curl } from '../curl.ts'
import { formatClock, formatExact, prettyOf } from '../format.ts'
import { describe } from '../timeline.ts'
import { useHeld } from '../use-held.ts'
import { useReading } from '../use-reading.ts'
import { EmptyState } from './empty-state.tsx'
import { NewRows, PauseButton } from './live-list.tsx'
import { Mark } from './mark.tsx'
import { Panel } from './panel.tsx'

interface Row extends LogEntry {
  id: string
}
const noSummaries: ReadonlyMap<string, string> = new Map()

/** The log as it grows, in words, newest first. */
export function TimelinePanel({ entries, link }: { entries: readonly LogEntry[]; link: string }) {
  const topics = useReading(api.topics, link).value
  const [topic, setTopic] = useState('')
  const [needle, setNeedle] = useState('')
  const summaries = useMemo(
    () =>
      topics === undefined
        ? noSummaries
        : new Map(topics.items.flatMap(({ events }) => events.map(({ type, summary }) => [type, summary] as const))),
    [topics],
  )
  const current = useMemo(() => entries.map((entry): Row => ({ ...entry, id: String(entry.seq) })), [entries])
  const held = useHeld(current)
  const wanted = needle.trim().toLowerCase()
  const shown = held.rows.filter((entry) => {
    if (topic !== '' && entry.topic !== topic) return false
    if (wanted === '') return true
    const line = describe(entry, summaries)
    return [entry.type, entry.actor, line.text, line.detail].some((word) => word.toLowerCase().includes(wanted))
  })
  return (
    <Panel
      id="timeline"
      title="Timeline"
      note={entries.length > 0 ? held.note : undefined}
      actions={entries.length > 0 && <PauseButton paused={held.paused} pause={held.pause} />}
    >
      {entries.length === 0 ? (
        <EmptyState
          title="Nothing has happened yet"
          action={{ label: 'Say hello to everyone', run: () => api.broadcast('Hello from the control room.') }}
          command={curl('GET', '/events')}
        >
          Every event of the server shows here in words, with the reason where it has one.
        </EmptyState>
      ) : (
        <>
          <div className="flex flex-wrap gap-2 border-b border-line px-4 py-2">
            <input
              type="search"
              value={needle}
              onChange={(event) => setNeedle(event.target.value)}
              aria-label="Filter the timeline by agent, type or text"
              placeholder="Filter by agent, type, text"
              className="h-8 min-w-0 flex-1 rounded-md border border-line bg-raised px-2.5 text-sm placeholder:text-faint hover:border-line-strong"
            />
            <select
              value={topic}
              onChange={(event) => setTopic(event.target.value)}
              aria-label="Filter the timeline by topic"
              title={topics?.items.find(({ name }) => name === topic)?.summary}
              className="h-8 w-32 rounded-md border border-line bg-surface px-1.5 text-sm text-muted hover:border-line-strong sm:w-44"
            >
              <option value="">All topics</option>
              {topics?.items.map(({ name }) => (
                <option key={name} value={name}>
                  {name}
                </option>
              ))}
            </select>
          </div>
          <div ref={held.list} {...held.handlers} className="relative">
            <NewRows waiting={held.waiting} show={held.catchUp} />
            <ul
              className="scroll-quiet relative max-h-[calc(100dvh-14rem)] min-h-48 overflow-y-auto"
              tabIndex={0}
              aria-label="Events, newest first"
            >
              {shown.map((entry) => (
                <EntryRow key={entry.id} entry={entry} summaries={summaries} />
              ))}
              {shown.length === 0 && <li className="px-4 py-8 text-center text-sm text-muted">No event matches the filter.</li>}
            </ul>
          </div>
        </>
      )}
    </Panel>
  )
}

const EntryRow = memo(
  function EntryRow({ entry, summaries }: { entry: LogEntry; summaries: ReadonlyMap<string, string> }) {
    const [open, setOpen] = useState(false)
    const line = describe(entry, summaries)
    return (
      <li className="border-b border-line last:border-b-0">
        <button
          type="button"
          aria-expanded={open}
          onClick={() => setOpen(!open)}
          className="flex w-full items-baseline gap-2.5 px-4 py-1.5 text-left -outline-offset-2 hover:bg-raised"
        >
          <time dateTime={entry.at} title={formatExact(entry.at)} className="shrink-0 text-xs text-faint tabular">
            {formatClock(entry.at)}
          </time>
          <span className="shrink-0 self-start pt-1">
            <Mark name={line.mark} tone={line.tone} size={13} />
          </span>
          <span className="min-w-0 flex-1 text-sm">
            <span className={line.tone === 'bad' ? 'font-medium' : ''}>{line.text}</span>
            {line.detail !== '' && <span className="ml-2 text-xs break-words text-muted">{line.detail}</span>}
          </span>
          <span className="shrink-0 text-2xs text-faint max-sm:hidden">{entry.type}</span>
        </button>
        {open && (
          <pre
            className="scroll-quiet mx-4 mb-2 max-h-72 overflow-auto rounded-md border border-line bg-raised p-2.5 font-mono text-xs leading-relaxed break-words whitespace-pre-wrap"
            tabIndex={0}
            aria-label="Data of the event"
            role="group"
          >
            {prettyOf({ seq: entry.seq, type: entry.type, topic: entry.topic, actor: entry.actor, data: entry.data })}
          </pre>
        )}
      </li>
    )
  },
  // Entries never change, but the rows are made anew with every paint.
  (before, after) => before.entry.seq === after.entry.seq && before.summaries === after.summaries,
)
