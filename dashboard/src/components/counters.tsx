import { formatCount } from '../format.ts'
import type { Metrics } from '../projection.ts'

interface Counter {
  name: string
  value: string
  note: string
  alarm?: boolean
}

function countersOf(metrics: Metrics): Counter[] {
  const { agents, tasks, messages, knowledge } = metrics
  const states = tasks.by_state
  const failed = (states.failed ?? 0) + (states.rejected ?? 0)
  return [
    { name: 'Agents online', value: formatCount(agents.online), note: `of ${formatCount(agents.total)}` },
    {
      name: 'Tasks done',
      value: formatCount(states.completed ?? 0),
      note: `of ${formatCount(tasks.total)}${failed > 0 ? `, ${formatCount(failed)} failed` : ''}`,
    },
    { name: 'Messages', value: formatCount(messages.total), note: `${formatCount(Math.round(messages.per_minute))}/min` },
    {
      name: 'In flight',
      value: formatCount(messages.waiting + messages.leased),
      note: `${formatCount(messages.waiting)} waiting`,
    },
    {
      name: 'Dead letters',
      value: formatCount(messages.dead),
      note: messages.redelivered > 0 ? `${formatCount(messages.redelivered)} redelivered` : 'none',
      alarm: messages.dead > 0,
    },
    { name: 'Documents', value: formatCount(knowledge.documents), note: `${formatCount(knowledge.chunks)} chunks` },
    { name: 'Memory keys', value: formatCount(metrics.memory_keys), note: 'shared' },
  ]
}

/** The counts of the whole server, in one strip. */
export function Counters({ metrics }: { metrics: Metrics | null }) {
  return (
    <section aria-label="Counters" className="overflow-hidden rounded-xl border border-line bg-surface shadow-card">
      <dl className="-mr-px -mb-px grid min-h-16 grid-cols-3 sm:grid-cols-4 lg:grid-cols-7">
        {metrics !== null &&
          countersOf(metrics).map((counter) => (
            <div
              key={counter.name}
              className="flex flex-col border-r border-b border-line px-3 py-2.5 last:max-sm:col-span-3 sm:px-4 sm:last:max-lg:col-span-2"
            >
              <dt className="text-xs text-muted">{counter.name}</dt>
              <dd className="flex flex-wrap items-baseline gap-x-1.5">
                <span className={`text-lg font-semibold tracking-tight tabular ${counter.alarm === true ? 'text-bad' : ''}`}>
                  {counter.value}
                </span>
                <span className="text-xs text-faint tabular">{counter.note}</span>
              </dd>
            </div>
          ))}
      </dl>
    </section>
  )
}
