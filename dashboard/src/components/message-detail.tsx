import type { Message } from '@cadre/contract'
import { api, type Receipt } from '../api.ts'
import { formatClock, formatExact, prettyOf } from '../format.ts'
import { deliveryLooks, lookOf } from '../states.ts'
import { useReading } from '../use-reading.ts'
import { CopyButton } from './copy-button.tsx'
import { Mark, toneText } from './mark.tsx'

interface Props {
  message: Message
  change: string
  openTask: (id: string) => void
}

/** What became of a message at each recipient, why it went there, and what it holds. */
export function MessageDetail({ message, change, openTask }: Props) {
  const receipt = useReading(() => api.receipt(message.id), `${message.id} ${message.status} ${change}`)
  const facts: [string, string][] = [
    ['Id', message.id],
    ['Kind', message.kind],
    ['Conversation', message.conversation_id],
    ['Sent', formatExact(message.created_at)],
  ]
  if (message.intent !== undefined) facts.push(['Intent', message.intent])
  if (message.expires_at !== null) facts.push(['Expires', formatExact(message.expires_at)])
  if (message.reply_to !== null) facts.push(['Reply to', message.reply_to])
  const payload = prettyOf(message.content)
  return (
    <div className="space-y-3 px-4 pb-3 pl-[38px]">
      <p className="text-xs break-words text-muted">
        <span className="mr-2 rounded border border-line bg-raised px-1.5 py-px text-2xs font-medium text-ink">
          {routeLabels[message.route.by] ?? message.route.by}
        </span>
        {message.route.reason}
      </p>
      {receipt.value !== undefined && <Deliveries receipt={receipt.value} />}
      {receipt.problem !== null && <p className="text-xs text-bad">{receipt.problem}</p>}
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

const routeLabels: Readonly<Record<Message['route']['by'], string>> = {
  direct: 'Direct',
  list: 'By list',
  broadcast: 'Broadcast',
  topic: 'By topic',
  group: 'By group',
  rule: 'By rule',
  type: 'By agent type',
  capability: 'By capability',
  reply: 'Reply',
  escalation: 'Escalated',
}

const most = 20

function Deliveries({ receipt }: { receipt: Receipt }) {
  const shown = receipt.deliveries.slice(0, most)
  const counts = Object.entries(receipt.counts)
    .filter(([, count]) => count > 0)
    .map(([state, count]) => `${count} ${lookOf(deliveryLooks, state as keyof Receipt['counts']).label.toLowerCase()}`)
  if (shown.length === 0) return <p className="text-xs text-muted">Nobody to deliver it to.</p>
  return (
    <div>
      {receipt.recipient_count > 1 && <p className="mb-1 text-xs text-muted tabular">{counts.join(', ')}</p>}
      <ul aria-label="Recipients" className="space-y-1 text-xs">
        {shown.map((delivery) => {
          const look = lookOf(deliveryLooks, delivery.state)
          return (
            <li key={delivery.agent_id}>
              <p className="flex items-center gap-1.5">
                <Mark name={look.mark} tone={look.tone} size={13} />
                <span className="min-w-0 truncate font-medium">{delivery.agent}</span>
                <span className={toneText[look.tone]}>{look.label}</span>
                {delivery.attempt !== null && delivery.attempt > 0 && (
                  <span className="text-faint tabular">attempt {delivery.attempt}</span>
                )}
                {delivery.at !== null && <span className="ml-auto text-faint tabular">{formatClock(delivery.at)}</span>}
              </p>
              {delivery.reason !== null && <p className="pl-[19px] break-words text-muted">{delivery.reason}</p>}
            </li>
          )
        })}
      </ul>
      {receipt.recipient_count > shown.length && (
        <p className="mt-1 text-xs text-faint tabular">and {receipt.recipient_count - shown.length} more</p>
      )}
    </div>
  )
}
