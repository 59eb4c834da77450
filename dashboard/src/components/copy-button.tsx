import { useEffect, useState } from 'react'

/** Copies `text`; says so for two seconds. */
export function CopyButton({ text, label }: { text: string; label: string }) {
  const [state, setState] = useState<'idle' | 'done' | 'refused'>('idle')
  useEffect(() => {
    if (state === 'idle') return undefined
    const timer = setTimeout(() => setState('idle'), 2000)
    return () => clearTimeout(timer)
  }, [state])
  const copy = () => {
    // Outside a secure context there is no clipboard: the text stays selectable beside the button.
    const copied = navigator.clipboard?.writeText(text) ?? Promise.reject(new Error('no clipboard'))
    copied.then(
      () => setState('done'),
      () => setState('refused'),
    )
  }
  return (
    <button
      type="button"
      onClick={copy}
      aria-label={state === 'done' ? `${label}: copied` : label}
      className="inline-flex h-7 shrink-0 items-center gap-1.5 rounded-md border border-line bg-surface px-2 text-xs font-medium text-muted hover:border-line-strong hover:text-ink"
    >
      <svg viewBox="0 0 16 16" width="12" height="12" fill="none" stroke="currentColor" strokeWidth="1.5" aria-hidden="true">
        {state === 'done' ? (
          <path d="m3 8.500 3.250 3.250L13 4.500" />
        ) : (
          <path d="M5.500 5.500V3.250c0-.4.350-.75.750-.75h6.500c.400 0 .750.350.750.750v6.500c0 .400-.350.750-.750.750H10.500M3.250 5.500h6.500c.400 0 .750.350.750.750v6.500c0 .400-.350.750-.750.750h-6.500a.750.750 0 0 1-.750-.750v-6.500c0-.400.350-.750.750-.750Z" />
        )}
      </svg>
      <span aria-hidden="true">{state === 'done' ? 'Copied' : state === 'refused' ? 'Select it' : 'Copy'}</span>
    </button>
  )
}

/** A line to paste into a terminal. */
export function Command({ text, label = 'Copy the command' }: { text: string; label?: string }) {
  return (
    <div className="flex max-w-full items-center gap-2 rounded-lg border border-line bg-raised py-1 pr-1 pl-3 text-left">
      <code
        className="scroll-quiet min-w-0 flex-1 overflow-x-auto font-mono text-xs whitespace-nowrap text-ink"
        tabIndex={0}
        aria-label={`Command: ${text}`}
        role="group"
      >
        {text}
      </code>
      <CopyButton text={text} label={label} />
    </div>
  )
}
