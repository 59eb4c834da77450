import { type KeyboardEvent, type ReactNode, useMemo, useRef, useState } from 'react'
import { type Cite, type Inline, parseMarkdown } from '../markdown.ts'
import { type Citation, type Claim, type Evidence, linkReport, type Report } from '../report.ts'
import { MarkdownView } from './markdown-view.tsx'

interface Card {
  cite: Cite
  number: number
  evidence: readonly Evidence[]
  left: number
  top: number
  width: number
  pinned: boolean
}

const cardWidth = 380
/** Long enough to move the pointer from the mark into the card. */
const leaveWait = 180

/** A report with its evidence: each mark shows what it rests on, struck sentences stay readable with their reason. */
export function ReportView({ report }: { report: Report }) {
  const blocks = useMemo(() => parseMarkdown(report.markdown), [report])
  const links = useMemo(() => linkReport(blocks, report.claims), [blocks, report])
  const frame = useRef<HTMLDivElement>(null)
  const leaving = useRef<ReturnType<typeof setTimeout>>(undefined)
  const [card, setCard] = useState<Card | null>(null)

  const show = (cite: Cite, number: number, mark: HTMLElement, pinned: boolean) => {
    clearTimeout(leaving.current)
    const outer = frame.current?.getBoundingClientRect()
    if (outer === undefined) return
    const inner = mark.getBoundingClientRect()
    const width = Math.min(cardWidth, outer.width)
    const left = Math.max(0, Math.min(inner.left - outer.left - 24, outer.width - width))
    const evidence = (links.cites.get(cite) ?? []).filter((each) => each.number === number)
    setCard({ cite, number, evidence, left, top: inner.bottom - outer.top + 6, width, pinned })
  }
  const leave = () => {
    clearTimeout(leaving.current)
    leaving.current = setTimeout(() => setCard((now) => (now?.pinned === true ? now : null)), leaveWait)
  }
  const onKey = (event: KeyboardEvent) => {
    if (event.key === 'Escape' && card !== null) {
      event.stopPropagation()
      setCard(null)
    }
  }

  const drawCite = (node: Cite, key: number) => (
    <span key={key} className="whitespace-nowrap">
      {node.numbers.map((number) => {
        const on = card?.cite === node && card.number === number
        return (
          <button
            key={number}
            type="button"
            className="cite"
            aria-label={`Citation ${number}`}
            aria-expanded={on}
            aria-describedby={on ? 'citation-card' : undefined}
            onPointerEnter={(event) =>
              event.pointerType === 'mouse' && card?.pinned !== true && show(node, number, event.currentTarget, false)
            }
            onPointerLeave={leave}
            onFocus={(event) => event.currentTarget.matches(':focus-visible') && show(node, number, event.currentTarget, false)}
            onBlur={leave}
            onClick={(event) => (on && card.pinned ? setCard(null) : show(node, number, event.currentTarget, true))}
          >
            {number}
          </button>
        )
      })}
    </span>
  )
  const drawStrike = (node: Inline, children: ReactNode, key: number) => {
    const claim = links.strikes.get(node)
    return (
      <span key={key}>
        <del>{children}</del>
        {claim !== undefined && <Reason claim={claim} />}
      </span>
    )
  }
  return (
    <div ref={frame} className="relative" onKeyDown={onKey}>
      <MarkdownView blocks={blocks} renderers={{ cite: drawCite, strike: drawStrike }} />
      {card !== null && (
        <div
          id="citation-card"
          role="tooltip"
          onPointerEnter={() => clearTimeout(leaving.current)}
          onPointerLeave={leave}
          style={{ left: card.left, top: card.top, width: card.width }}
          className="scroll-quiet absolute z-10 max-h-80 overflow-y-auto rounded-lg border border-line bg-surface p-3 shadow-float"
        >
          {card.evidence.length === 0 && <p className="text-sm text-muted">The report names no source for this mark.</p>}
          {card.evidence.slice(0, 6).map((each, index) => (
            <div key={index} className={index > 0 ? 'mt-3 border-t border-line pt-3' : ''}>
              <Source number={each.number} citation={each.citation} />
            </div>
          ))}
        </div>
      )}
      {links.removed.length > 0 && <Removed claims={links.removed} />}
      {links.evidence.length > 0 && (
        <details className="group mt-6 max-w-[70ch] border-t border-line pt-3">
          <summary className="cursor-pointer text-sm font-medium text-muted hover:text-ink">
            Evidence: {links.evidence.length} {links.evidence.length === 1 ? 'passage' : 'passages'}
          </summary>
          <ol className="mt-3 space-y-4">
            {links.evidence.slice(0, 300).map((each, index) => (
              <li key={index}>
                <Source number={each.number} citation={each.citation} />
              </li>
            ))}
          </ol>
        </details>
      )}
    </div>
  )
}

const reasonOf = (claim: Claim): string =>
  claim.reason ?? (claim.citations.length === 0 ? 'no source is given' : 'its source does not say so')

function Reason({ claim }: { claim: Claim }) {
  return (
    <>
      {' '}
      <span className="rounded bg-bad-soft box-decoration-clone px-1.5 py-0.5 text-xs text-bad">
        <span className="font-semibold">Struck:</span> {reasonOf(claim)}
      </span>
    </>
  )
}

function Removed({ claims }: { claims: readonly Claim[] }) {
  return (
    <section aria-label="Struck sentences" className="mt-6 max-w-[70ch] rounded-lg border border-line bg-raised p-4">
      <h3 className="text-sm font-semibold">Struck by oversight</h3>
      <ul className="mt-2 space-y-3">
        {claims.slice(0, 100).map((claim, index) => (
          <li key={index} className="text-sm">
            <del className="text-muted decoration-bad">{claim.text}</del>
            <Reason claim={claim} />
          </li>
        ))}
      </ul>
    </section>
  )
}

function Source({ number, citation }: { number: number; citation: Citation }) {
  const range =
    Number.isFinite(citation.start) && Number.isFinite(citation.end) ? `characters ${citation.start}–${citation.end}` : null
  return (
    <div className="text-sm">
      <p className="flex flex-wrap items-baseline gap-x-2">
        <span className="font-semibold text-accent tabular">{number}</span>
        <span className="min-w-0 font-medium break-all">{citation.document}</span>
      </p>
      <p className="text-xs text-faint tabular">
        {citation.chunk !== '' && `chunk ${citation.chunk}`}
        {citation.chunk !== '' && range !== null && ' · '}
        {range}
      </p>
      {citation.quote !== '' && (
        <blockquote className="mt-1.5 border-l-2 border-accent pl-2.5 leading-relaxed whitespace-pre-line text-muted">
          {citation.quote}
        </blockquote>
      )}
    </div>
  )
}
