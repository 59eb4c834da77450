import type { ReactNode } from 'react'

interface Props {
  id: string
  title: string
  /** Beside the title: a count or a name. */
  note?: ReactNode
  actions?: ReactNode
  className?: string
  children: ReactNode
}

/** A titled region of the page. */
export function Panel({ id, title, note, actions, className = '', children }: Props) {
  return (
    <section
      id={id}
      aria-labelledby={`${id}-title`}
      className={`flex min-w-0 flex-col rounded-xl border border-line bg-surface shadow-card ${className}`}
    >
      <div className="flex min-h-12 flex-wrap items-center gap-x-3 gap-y-2 border-b border-line px-4 py-2">
        <h2 id={`${id}-title`} className="text-base font-semibold tracking-tight">
          {title}
        </h2>
        {note !== undefined && <div className="min-w-0 truncate text-sm text-muted tabular">{note}</div>}
        {actions !== undefined && actions !== false && <div className="ml-auto flex items-center gap-1.5">{actions}</div>}
      </div>
      {children}
    </section>
  )
}
