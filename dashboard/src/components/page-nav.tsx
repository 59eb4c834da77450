import { useEffect, useRef } from 'react'
import { type PageId, pages } from '../pages.ts'
import { addressWith } from '../use-param.ts'

interface Props {
  page: PageId
  /** Beside the names of pages: what waits there for somebody. */
  counts: Partial<Record<PageId, string>>
  go: (page: PageId) => void
}

export function PageNav({ page, counts, go }: Props) {
  const list = useRef<HTMLUListElement>(null)
  useEffect(() => {
    // On narrow screens the row of names scrolls; the one that is shown must be in sight.
    list.current?.querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'nearest' })
  }, [page, counts['dead-letters'], counts.brakes])
  return (
    <nav aria-label="Pages" className="border-b border-line bg-surface">
      <ul ref={list} className="scroll-quiet mx-auto flex max-w-[1680px] overflow-x-auto px-1 sm:px-2 lg:px-4">
        {pages.map(({ id, label }) => (
          <li key={id}>
            <a
              href={addressWith('page', id === 'team' ? null : id)}
              aria-current={id === page ? 'page' : undefined}
              onClick={(event) => {
                // With a key held the browser opens it elsewhere.
                if (event.metaKey || event.ctrlKey || event.shiftKey) return
                event.preventDefault()
                go(id)
              }}
              className="flex h-10 items-center gap-1.5 border-b-2 border-transparent px-2.5 text-sm whitespace-nowrap text-muted -outline-offset-2 hover:text-ink aria-[current]:border-accent aria-[current]:font-medium aria-[current]:text-ink"
            >
              {label}
              {counts[id] !== undefined && (
                <span className="rounded-full bg-bad-soft px-1.5 text-2xs font-semibold text-bad tabular">{counts[id]}</span>
              )}
            </a>
          </li>
        ))}
      </ul>
    </nav>
  )
}
