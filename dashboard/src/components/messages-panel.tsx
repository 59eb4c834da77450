import type { Message } from '@cadre/contract'
import { memo, useMemo, useRef, useState } from 'react'
import { api } from '../api.ts'
import { curl } from '../curl.ts'
import { formatClock, formatExact, prettyOf, previewOf } from '../format.ts'
import { heldRows } from '../held-rows.ts'
import { lookOf, messageLooks } from '../states.ts'
import { CopyButton } from './copy-button.tsx'
import { EmptyState } from './empty-state.tsx'
import { Mark } from './mark.tsx'
import { Panel } from './panel.tsx'

interface Props {
  messages: readonly Message[]
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
export function MessagesPanel({ messages, openTask }: Props) {
  const [text, setText] = useState('')
  const [status, setStatus] = useState('')
  const [paused, setPaused] = useState(false)
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set())
  const [held, setHeld] = useState<readonly Message[] | null>(null)
  const list = useRef<HTMLDivElement>(null)
  const { rows, waiting } = useMemo(() => heldRows(held, messages), [held, messages])
  const needle = text.trim().toLowerCase()
  const shown = useMemo(() => rows.filter((message) => matches(message, needle, status)), [rows, needle, status])

  const hold = () => setHeld((now) => now ?? messages)
  const release = () => {
    const inside = list.current?.matches(':hover') === true || list.current?.contains(document.activeElement) === true
    if (!paused && !inside) setHeld(null)
  }
  const pause = () => {
    setPaused(!paused)
    setHeld(paused ? null : messages)
  }
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
      note={messages.length > 0 ? (paused ? 'paused' : held === null ? 'newest first' : 'holding still') : undefined}
      className="xl:max-h-full"
      actions={
        messages.length > 0 && (
          <button
            type="button"
            onClick={pause}
            aria-pressed={paused}
            className="inline-flex h-7 items-center gap-1.5 rounded-md border border-line px-2.5 text-xs font-medium text-muted hover:border-line-strong hover:text-ink aria-pressed:border-wait aria-pressed:bg-wait-soft aria-pressed:text-wait"
          >
            {paused ? 'Resume' : 'Pause'}
          </button>
        )
      }
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
            ref={list}
            onPointerEnter={hold}
            onPointerLeave={release}
            onFocus={hold}
            onBlur={() => setTimeout(release)}
            className="relative flex min-h-48 flex-1 flex-col overflow-hidden max-xl:max-h-[36rem]"
          >
            {waiting > 0 && (
              <button
                type="button"
                onClick={() => setHeld(messages)}
                className="absolute top-2 left-1/2 z-10 -translate-x-1/2 rounded-full bg-accent px-3 py-1 text-xs font-medium text-on-accent shadow-float tabular"
              >
                {waiting} new
              </button>
            )}
            <ul className="scroll-quiet min-h-0 flex-1 overflow-y-auto" tabIndex={0} aria-label="Messages, newest first">
              {shown.map((message) => (
                <MessageRow
                  key={message.id}
                  message={message}
                  expanded={open.has(message.id)}
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

export function recipientOf(message: Message): string {
  if (message.topic !== null) return `#${message.topic}`
  const [first] = message.recipients
  if (message.kind === 'broadcast') return `everyone (${message.recipient_count})`
  if (message.recipient_count > 1) return `${first ?? 'several'} and ${message.recipient_count - 1} more`
  return first ?? 'nobody'
}

interface RowProps {
  message: Message
  expanded: boolean
  toggle: (id: string) => void
  openTask: (id: string) => void
}

const MessageRow = memo(function MessageRow({ message, expanded, toggle, openTask }: RowProps) {
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
      {expanded && <Payload message={message} openTask={openTask} />}
    </li>
  )
})

function Payload({ message, openTask }: { message: Message; openTask: (id: string) => void }) {
  const facts: [string, string][] = [
    ['Id', message.id],
    ['Kind', message.kind],
    ['Conversation', message.conversation_id],
    ['Sent', formatExact(message.created_at)],
  ]
  if (message.recipient_count > 1) facts.push(['Recipients', message.recipients.join(', ')])
  if (message.reply_to !== null) facts.push(['Reply to', message.reply_to])
  const payload = prettyOf(message.content)
  return (
    <div className="space-y-2 px-4 pb-3 pl-[38px]">
      <pre
        className="scroll-quiet max-h-72 overflow-auto rounded-md border border-line bg-raised p-2.5 font-mono text-xs leading-relaxed break-words whitespace-pre-wrap"
        tabIndex={0}
        aria-label="Payload"
        role="group"
      >
        {payload}
      </pre>
      <dl className="grid grid-cols-[auto_1fr] gap-x-3 text-xs">
        {facts.map(([name, value]) => (
          <div key={name} className="contents">
            <dt className="text-faint">{name}</dt>
            <dd className="truncate font-mono text-muted" title={value}>
              {value}
            </dd>
          </div>
        ))}
      </dl>
      <div className="flex gap-2">
        <CopyButton text={payload} label="Copy the payload" />
        {message.task_id !== null && (
          <button
            type="button"
            onClick={() => openTask(message.task_id!)}
            className="h-7 rounded-md border border-line px-2 text-xs font-medium text-accent hover:border-line-strong"
          >
            Open its task
          </button>
        )}
      </div>
    </div>
  )
}
