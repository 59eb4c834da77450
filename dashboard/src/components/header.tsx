import type { View } from '../live.ts'
import type { Run } from '../runs.ts'
import { formatAgo } from '../format.ts'
import { ThemeSwitch } from './theme-switch.tsx'

interface Props {
  view: View
  runs: readonly Run[]
  run: Run | undefined
  choose: (id: string) => void
  retry: () => void
}

const linkLooks = {
  connecting: { label: 'Connecting', className: 'text-muted', dot: 'bg-faint breathing' },
  live: { label: 'Live', className: 'text-good', dot: 'bg-good' },
  reconnecting: { label: 'Reconnecting', className: 'text-wait', dot: 'bg-wait breathing rounded-none rotate-45' },
} as const
const healthLooks = {
  ok: { label: 'Healthy', className: 'text-muted' },
  degraded: { label: 'Degraded', className: 'text-wait' },
  down: { label: 'Down', className: 'text-bad' },
} as const

export function Header({ view, runs, run, choose, retry }: Props) {
  const link = linkLooks[view.link]
  const health = view.projection.health
  return (
    <header className="sticky top-0 z-20 border-b border-line bg-surface/95 backdrop-blur-sm">
      <div className="mx-auto flex min-h-14 max-w-[1680px] flex-wrap items-center gap-x-4 gap-y-2 px-4 py-2 lg:px-6">
        <a href="/" className="flex items-center gap-2.5">
          <Logo />
          <h1 className="text-base font-semibold tracking-tight">
            Cadre<span className="font-normal text-muted max-sm:sr-only"> control room</span>
          </h1>
        </a>
        {run !== undefined && <RunPicker runs={runs} run={run} choose={choose} />}
        <div className="ml-auto flex items-center gap-3 max-sm:order-2">
          {health !== null && (
            <span
              className={`text-sm max-lg:hidden ${healthLooks[health.status].className}`}
              title={health.components.map((part) => `${part.name}: ${part.detail ?? part.status}`).join('\n')}
            >
              {healthLooks[health.status].label} <span className="text-faint tabular">v{health.version}</span>
            </span>
          )}
          <span className={`flex items-center gap-2 text-sm font-medium ${link.className}`}>
            <span aria-hidden="true" className={`size-2 rounded-full ${link.dot}`} />
            {link.label}
          </span>
          {view.link === 'reconnecting' && (
            <button type="button" onClick={retry} className="text-sm text-accent underline underline-offset-2">
              Try now
            </button>
          )}
          <ThemeSwitch />
        </div>
      </div>
    </header>
  )
}

function RunPicker({ runs, run, choose }: { runs: readonly Run[]; run: Run; choose: (id: string) => void }) {
  if (runs.length === 1)
    return (
      <p
        className="min-w-0 truncate text-sm text-muted max-sm:order-3 max-sm:w-full sm:flex-1 sm:basis-0 sm:border-l sm:border-line sm:pl-4"
        title={run.label}
      >
        {run.label}
      </p>
    )
  const now = Date.now()
  return (
    <div className="flex min-w-0 items-center gap-2 max-sm:order-3 max-sm:w-full sm:max-w-[36rem] sm:flex-1 sm:basis-0 sm:border-l sm:border-line sm:pl-4">
      <label htmlFor="run" className="text-sm text-muted">
        Run
      </label>
      <select
        id="run"
        value={run.id}
        onChange={(event) => choose(event.target.value)}
        className="h-8 min-w-0 flex-1 truncate rounded-md border border-line bg-surface px-2 text-sm hover:border-line-strong"
      >
        {runs.map((each) => (
          <option key={each.id} value={each.id}>
            {`${each.label.length > 70 ? `${each.label.slice(0, 69)}…` : each.label} · ${each.tasks.length} ${each.tasks.length === 1 ? 'task' : 'tasks'} · ${formatAgo(each.created_at, now)}`}
          </option>
        ))}
      </select>
    </div>
  )
}

export function Logo({ size = 26 }: { size?: number }) {
  return (
    <svg viewBox="0 0 32 32" width={size} height={size} fill="none" aria-hidden="true" className="shrink-0">
      <rect width="32" height="32" rx="8" className="fill-ink" />
      <path
        d="M12.500 8H10a2 2 0 0 0-2 2v12a2 2 0 0 0 2 2h2.500M19.500 8H22a2 2 0 0 1 2 2v12a2 2 0 0 1-2 2h-2.500"
        className="stroke-surface"
        strokeWidth="2.400"
        strokeLinecap="round"
      />
      <circle cx="16" cy="16" r="3" className="fill-surface" />
    </svg>
  )
}
