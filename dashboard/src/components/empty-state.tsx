import type { ReactNode } from 'react'
import { useAction } from '../use-action.ts'
import { Command } from './copy-button.tsx'

interface Props {
  title: string
  children: ReactNode
  /** Left out where there is nothing to press. */
  action?: { label: string; run: () => Promise<unknown> }
  command: string
}

/** What a panel shows before there is anything: why, one thing to press, one thing to paste. */
export function EmptyState({ title, children, action, command }: Props) {
  const { busy, problem, act } = useAction()
  return (
    <div className="mx-auto flex w-full max-w-md flex-col items-stretch gap-3 px-4 py-8 text-center">
      <p className="text-base font-medium">{title}</p>
      <p className="text-sm text-balance text-muted">{children}</p>
      {action !== undefined && (
        <>
          <button
            type="button"
            onClick={() => act(action.run)}
            disabled={busy}
            className="mx-auto mt-1 inline-flex h-8 items-center rounded-md bg-accent px-3 text-sm font-medium text-on-accent hover:opacity-90 disabled:opacity-60"
          >
            {busy ? 'One moment…' : action.label}
          </button>
          <p className="text-xs text-faint">or in a terminal</p>
        </>
      )}
      <Command text={command} />
      {problem !== null && (
        <p role="alert" className="rounded-md bg-bad-soft px-3 py-2 text-sm text-bad">
          {problem}
        </p>
      )}
    </div>
  )
}
