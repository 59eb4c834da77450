import { useState } from 'react'
import { useAction } from '../use-action.ts'

interface Props {
  label: string
  /** The name of the control where the label alone says too little; begins with the label. */
  name?: string
  run: () => Promise<unknown>
  done?: () => void
  /** Asked before it is done; for what cannot be taken back. */
  confirm?: { question: string; yes: string; no: string }
}

const look =
  'inline-flex h-7 shrink-0 items-center rounded-md border px-2.5 text-xs font-medium disabled:opacity-60 border-line hover:border-line-strong'

/** Does one thing on the server, and says so when it is refused. */
export function ActionButton({ label, name = label, run, done, confirm }: Props) {
  const [asking, setAsking] = useState(false)
  const { busy, problem, act } = useAction()
  const start = async () => {
    setAsking(false)
    if (await act(run)) done?.()
  }
  return (
    <span className="inline-flex flex-wrap items-center justify-end gap-1.5">
      {problem !== null && (
        <span role="alert" className="text-xs text-bad">
          {problem}
        </span>
      )}
      {asking && confirm !== undefined ? (
        <span role="group" aria-label={confirm.question} className="inline-flex flex-wrap items-center justify-end gap-1.5">
          <span className="text-xs text-muted">{confirm.question}</span>
          <button type="button" onClick={start} className={`${look} border-bad text-bad hover:border-bad`}>
            {confirm.yes}
          </button>
          {/* The harmless answer has the focus. */}
          <button type="button" autoFocus onClick={() => setAsking(false)} className={look}>
            {confirm.no}
          </button>
        </span>
      ) : (
        <button
          type="button"
          aria-label={name}
          disabled={busy}
          onClick={confirm === undefined ? start : () => setAsking(true)}
          className={`${look} ${confirm === undefined ? 'text-accent' : 'text-muted hover:text-ink'}`}
        >
          {label}
        </button>
      )}
    </span>
  )
}
