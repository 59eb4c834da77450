import { type ReactNode, useEffect, useRef } from 'react'

interface Props {
  /** Of what is shown; another one begins at the top. */
  id: string
  mark?: ReactNode
  title: string
  subtitle: ReactNode
  close: () => void
  children: ReactNode
}

/** One thing in full, over the page from the right. */
export function Drawer({ id, mark, title, subtitle, close, children }: Props) {
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => {
    dialog.current?.showModal()
  }, [])
  useEffect(() => {
    dialog.current?.scrollTo(0, 0)
  }, [id])
  return (
    <dialog
      ref={dialog}
      aria-labelledby="drawer-title"
      className="drawer scroll-quiet overflow-y-auto"
      onClose={close}
      onClick={(event) => event.target === dialog.current && dialog.current.close()}
    >
      <div className="min-h-full">
        <div className="sticky top-0 z-10 flex items-start gap-3 border-b border-line bg-surface px-5 py-4">
          {mark !== undefined && <span className="mt-1">{mark}</span>}
          <div className="min-w-0 flex-1">
            <h2 id="drawer-title" className="text-lg leading-snug font-semibold tracking-tight break-words">
              {title}
            </h2>
            <p className="text-sm text-muted tabular">{subtitle}</p>
          </div>
          <button
            type="button"
            onClick={() => dialog.current?.close()}
            aria-label="Close"
            className="grid size-8 place-items-center rounded-md text-muted hover:bg-raised hover:text-ink"
          >
            <svg
              viewBox="0 0 16 16"
              width="16"
              height="16"
              stroke="currentColor"
              strokeWidth="1.600"
              strokeLinecap="round"
              aria-hidden="true"
            >
              <path d="m4 4 8 8m0-8-8 8" />
            </svg>
          </button>
        </div>
        <div className="space-y-6 px-5 py-5">{children}</div>
      </div>
    </dialog>
  )
}

export function Section({ title, aside, children }: { title: string; aside?: ReactNode; children: ReactNode }) {
  return (
    <section>
      <div className="mb-2 flex items-center justify-between">
        <h3 className="text-sm font-semibold">{title}</h3>
        {aside}
      </div>
      {children}
    </section>
  )
}

export function Fact({ name, value, title }: { name: string; value: string; title?: string }) {
  return (
    <div className="min-w-0">
      <dt className="text-xs text-faint">{name}</dt>
      <dd className="truncate tabular" title={title ?? value}>
        {value}
      </dd>
    </div>
  )
}
