import { api, type Brake, type Page } from '../api.ts'
import { curl } from '../curl.ts'
import { formatAgo, formatDuration, formatExact } from '../format.ts'
import { brakeNames, joinNames } from '../timeline.ts'
import { useNow } from '../use-now.ts'
import type { Reading } from '../use-reading.ts'
import { ActionButton } from './action-button.tsx'
import { EmptyState } from './empty-state.tsx'
import { Mark } from './mark.tsx'
import { Panel } from './panel.tsx'

/** Exchanges and calls that went round in circles and are held. */
export function BrakesPanel({ brakes }: { brakes: Reading<Page<Brake>> }) {
  const items = brakes.value?.items ?? []
  const now = useNow(items.length > 0)
  return (
    <Panel id="brakes" title="Loop brakes" note={items.length > 0 ? `${items.length} held` : undefined}>
      {brakes.problem !== null && (
        <p role="alert" className="px-4 py-2 text-sm text-bad">
          {brakes.problem}
        </p>
      )}
      {brakes.value !== undefined && items.length === 0 ? (
        <EmptyState title="Nothing is held" command={curl('GET', '/brakes/settings')}>
          Agents that answer each other without end, or make the same call over and over, are stopped and listed here with the
          reason. The command reads the limits.
        </EmptyState>
      ) : (
        <ul>
          {items.map((brake) => (
            <li
              key={brake.id}
              aria-label={`Held: ${joinNames(brake.parties)}`}
              className="border-b border-line px-4 py-3 last:border-b-0"
            >
              <div className="flex flex-wrap items-center gap-x-2 gap-y-2">
                <Mark name="pause" tone="wait" size={15} />
                <span className="text-sm font-medium">{joinNames(brake.parties)}</span>
                <span className="rounded border border-line px-1 text-2xs text-muted">
                  {brakeNames[brake.rule] ?? brake.rule}
                </span>
                <time dateTime={brake.tripped_at} title={formatExact(brake.tripped_at)} className="text-xs text-faint tabular">
                  {formatAgo(brake.tripped_at, now)}
                </time>
                <span className="ml-auto">
                  <ActionButton
                    label="Reset"
                    name={`Reset: let ${joinNames(brake.parties)} go on`}
                    run={() => api.resetBrake(brake.id)}
                    done={brakes.again}
                  />
                </span>
              </div>
              <p className="mt-1.5 text-sm break-words sm:pl-[23px]">{brake.reason}</p>
              <p className="mt-0.5 text-xs break-words text-faint tabular sm:pl-[23px]">
                Held for another {formatDuration(Math.max(0, Date.parse(brake.held_until) - now))}
                {brake.tool !== null && ` · tool ${brake.tool}`}
                {brake.conversation_id !== null && ` · conversation ${brake.conversation_id}`}
              </p>
            </li>
          ))}
        </ul>
      )}
    </Panel>
  )
}
