import type { Message } from '@cadre/contract'
import { memo, useMemo, useState } from 'react'
import { api } from '../api.ts'
import { curl } from '../curl.ts'
import { formatClock, formatExact, previewOf } from '../format.ts'
import { recipientOf } from '../recipient.ts'
import { lookOf, messageLooks } from '../states.ts'
import { useHeld } from '../use-held.ts'
import { EmptyState } from './empty-state.tsx'
import { NewRows, PauseButton } from './live-list.tsx'
import { Mark } from './mark.tsx'
import { MessageDetail } from './message-detail.tsx'
import { Panel } from './panel.tsx'

interface Props {
  messages: readonly Message[]
  changes: ReadonlyMap<string, number>
  link: string
  openTask: (id: string) => void
}

const statuses = ['stored', 'delivered', 'acknowledged', 'dead', 'expired', 'unroutable'] as const

function matches(message: Message, text: string, status: string): boolean {
  if (status !== '' && message.status !== status) return false
  if (text === '') return true
  const words = [
    message.sender,
    message.topic ?? '',
    message.type,
    message.kind,
    ...message.recipients,
    previewOf(message.content, 2000),
  ]
  return words.some((word) => word.toLowerCase().includes(text))
}

/** The live log of messages, newest first. It holds still while paused and while the pointer or the focus is on it. */
export function MessagesPanel({ messages, changes, link, openTask }: Props) {
  const [text, setText] = useState('')
  const [status, setStatus] = useState('')
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set())
  const held = useHeld(messages)
  const { rows, paused } = held
  const needle = text.trim().toLowerCase()
  const shown = useMemo(() => rows.filter((message) => matches(message, needle, status)), [rows, needle, status])

  const toggle = useMemo(
    () => (id: string) =>
      setOpen((now) => {
        const next = new Set(now)
        if (!next.delete(id)) next.add(id)
        return next
      }),
    [],
  )
  return (
    <Panel
      id="messages"
      title="Messages"
      note={messages.length > 0 ? held.note : undefined}
      className="xl:min-h-0"
      actions={messages.length > 0 && <PauseButton paused={paused} pause={held.pause} />}
    >
      {messages.length === 0 ? (
        <EmptyState
          title="No message yet"
          action={{ label: 'Say hello to everyone', run: () => api.broadcast('Hello from the control room.') }}
          command={curl('POST', '/messages', { content: 'Hello', broadcast: true })}
        >
          Every message between agents shows here with its delivery state: stored, delivered, acknowledged.
        </EmptyState>
      ) : (
        <>
          <div className="flex gap-2 border-b border-line px-4 py-2">
            <input
              type="search"
              value={text}
              onChange={(event) => setText(event.target.value)}
              aria-label="Filter messages by agent, topic, type or text"
              placeholder="Filter by agent, topic, type, text"
              className="h-8 min-w-0 flex-1 rounded-md border border-line bg-raised px-2.5 text-sm placeholder:text-faint hover:border-line-strong"
            />
            <select
              value={status}
              onChange={(event) => setStatus(event.target.value)}
              aria-label="Filter messages by delivery state"
              className="h-8 w-28 rounded-md border border-line bg-surface px-1.5 text-sm text-muted hover:border-line-strong"
            >
              <option value="">All states</option>
              {statuses.map((each) => (
                <option key={each} value={each}>
                  {messageLooks[each].label}
                </option>
              ))}
            </select>
          </div>
          <div
            ref={held.list}
            {...held.handlers}
            className="relative flex min-h-48 flex-1 flex-col overflow-hidden max-xl:max-h-[36rem]"
          >
            <NewRows waiting={held.waiting} show={held.catchUp} />
            <ul className="scroll-quiet relative min-h-0 flex-1 overflow-y-auto" tabIndex={0} aria-label="Messages, newest first">
              {shown.map((message) => (
                <MessageRow
                  key={message.id}
                  message={message}
                  expanded={open.has(message.id)}
                  change={`${link}.${changes.get(message.id) ?? 0}`}
                  toggle={toggle}
                  openTask={openTask}
                />
              ))}
              {shown.length === 0 && <li className="px-4 py-8 text-center text-sm text-muted">No message matches the filter.</li>}
            </ul>
          </div>
        </>
      )}
    </Panel>
  )
}

interface RowProps {
  message: Message
  expanded: boolean
  /** Another one whenever something happened to the message. */
  change: string
  toggle: (id: string) => void
  openTask: (id: string) => void
}

const MessageRow = memo(function MessageRow({ message, expanded, change, toggle, openTask }: RowProps) {
  const look = lookOf(messageLooks, message.status)
  return (
    <li className="border-b border-line last:border-b-0">
      <button
        type="button"
        aria-expanded={expanded}
        onClick={() => toggle(message.id)}
        className="block w-full px-4 py-2 text-left -outline-offset-2 hover:bg-raised"
      >
        <span className="flex items-center gap-2">
          <Mark name={look.mark} tone={look.tone} size={14} />
          <span className="min-w-0 truncate text-sm">
            <span className="font-medium">{message.sender}</span>
            <span className="px-1 text-faint" aria-hidden="true">
              →
            </span>
            <span className="sr-only"> to </span>
            <span className="font-medium">{recipientOf(message)}</span>
          </span>
          <span className={`ml-auto shrink-0 text-xs ${look.tone === 'bad' || look.tone === 'wait' ? '' : 'text-muted'}`}>
            {look.label}
          </span>
          <time
            dateTime={message.created_at}
            title={formatExact(message.created_at)}
            className="shrink-0 text-xs text-faint tabular"
          >
            {formatClock(message.created_at)}
          </time>
        </span>
        <span className="mt-0.5 flex items-center gap-2 pl-[22px]">
          <span className="max-w-32 shrink-0 truncate rounded border border-line px-1 text-2xs text-muted">{message.type}</span>
          <span className="min-w-0 truncate text-xs text-muted">{previewOf(message.content)}</span>
        </span>
      </button>
      {expanded && <MessageDetail message={message} change={change} openTask={openTask} />}
    </li>
  )
})
