export function PauseButton({ paused, pause }: { paused: boolean; pause: () => void }) {
  return (
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

/** Over a list that holds still: how many rows wait. */
export function NewRows({ waiting, show }: { waiting: number; show: () => void }) {
  if (waiting === 0) return null
  return (
    <button
      type="button"
      onClick={show}
      className="absolute top-2 left-1/2 z-10 -translate-x-1/2 rounded-full bg-accent px-3 py-1 text-xs font-medium text-on-accent shadow-float tabular"
    >
      {waiting} new
    </button>
  )
}
