import { api, type DeadLetter, type Page } from '../api.ts'
import { curl } from '../curl.ts'
import { formatAgo, formatClock, formatExact, prettyOf, previewOf } from '../format.ts'
import { useNow } from '../use-now.ts'
import type { Reading } from '../use-reading.ts'
import { ActionButton } from './action-button.tsx'
import { EmptyState } from './empty-state.tsx'
import { Mark } from './mark.tsx'
import { Panel } from './panel.tsx'

/** Deliveries that were given up, each with the error of every attempt; what to do about them. */
export function DeadLettersPanel({ letters }: { letters: Reading<Page<DeadLetter>> }) {
  const items = letters.value?.items ?? []
  const now = useNow(items.length > 0)
  return (
    <Panel
      id="dead-letters"
      title="Dead letters"
      note={
        <>
          topic <span className="font-mono text-xs">dead.letter</span>
          {items.length > 0 && ` · ${items.length}${letters.value?.next === null ? '' : ' newest'}`}
        </>
      }
    >
      {letters.problem !== null && (
        <p role="alert" className="px-4 py-2 text-sm text-bad">
          {letters.problem}
        </p>
      )}
      {letters.value !== undefined && items.length === 0 ? (
        <EmptyState title="No dead letters" command={curl('GET', '/dead-letters')}>
          A message whose agent fails it five times, or gives it up, is kept here with the error of every attempt. Once the cause
          is mended, redrive it.
        </EmptyState>
      ) : (
        <ul>
          {items.map((letter) => (
            <Letter key={letter.id} letter={letter} now={now} done={letters.again} />
          ))}
        </ul>
      )}
    </Panel>
  )
}

function Letter({ letter, now, done }: { letter: DeadLetter; now: number; done: () => void }) {
  const { message } = letter
  return (
    <li aria-label={`Dead letter of ${letter.agent}`} className="border-b border-line px-4 py-3 last:border-b-0">
      <div className="flex flex-wrap items-center gap-x-2 gap-y-2">
        <Mark name="cross" tone="bad" size={15} />
        <p className="min-w-0 truncate text-sm">
          <span className="font-medium">{message.sender}</span>
          <span className="px-1 text-faint" aria-hidden="true">
            →
          </span>
          <span className="sr-only"> to </span>
          <span className="font-medium">{letter.agent}</span>
        </p>
        <span className="max-w-40 truncate rounded border border-line px-1 text-2xs text-muted">{message.type}</span>
        <time dateTime={letter.dead_at} title={formatExact(letter.dead_at)} className="text-xs text-faint tabular">
          {formatAgo(letter.dead_at, now)}
        </time>
        <span className="ml-auto flex flex-wrap justify-end gap-1.5">
          <ActionButton label="Redrive" name={`Redrive to ${letter.agent}`} run={() => api.redrive(letter.id)} done={done} />
          <ActionButton
            label="Purge"
            name={`Purge the letter of ${letter.agent}`}
            run={() => api.purge(letter.id)}
            done={done}
            confirm={{ question: 'Remove it for good?', yes: 'Yes, purge', no: 'Keep' }}
          />
        </span>
      </div>
      <div className="mt-1.5 space-y-1.5 sm:pl-[23px]">
        <p className="text-sm break-words text-bad">{letter.reason}</p>
        <ol aria-label="Attempts" className="space-y-0.5 text-xs">
          {letter.errors.map((error, index) => (
            <li key={index} className="flex items-baseline gap-2">
              <span className="shrink-0 text-faint tabular">{formatClock(error.at)}</span>
              <span className="shrink-0 text-muted tabular">attempt {error.attempt}</span>
              <span className="min-w-0 break-words">{error.error}</span>
            </li>
          ))}
        </ol>
        <details className="text-xs text-muted">
          <summary className="truncate rounded py-0.5 hover:text-ink">{previewOf(message.content) || 'No content'}</summary>
          <pre
            className="scroll-quiet mt-1 max-h-72 overflow-auto rounded-md border border-line bg-raised p-2.5 font-mono text-xs leading-relaxed break-words whitespace-pre-wrap"
            tabIndex={0}
            aria-label="Payload"
            role="group"
          >
            {prettyOf(message.content)}
          </pre>
          <p className="mt-1 font-mono break-all text-faint">{message.id}</p>
        </details>
      </div>
    </li>
  )
}
