import { type RefObject, useMemo, useRef, useState } from 'react'
import { heldRows } from './held-rows.ts'

export interface Held<T> {
  rows: readonly T[]
  waiting: number
  paused: boolean
  /** Beside the title: whether the list moves. */
  note: string
  pause: () => void
  catchUp: () => void
  list: RefObject<HTMLDivElement | null>
  /** For the element around the list, with `list` as its ref. */
  handlers: { onPointerEnter: () => void; onPointerLeave: () => void; onFocus: () => void; onBlur: () => void }
}

/** A live list that holds still while paused and while the pointer or the focus is on it. */
export function useHeld<T extends { id: string }>(current: readonly T[]): Held<T> {
  const [paused, setPaused] = useState(false)
  const [held, setHeld] = useState<readonly T[] | null>(null)
  const list = useRef<HTMLDivElement>(null)
  const { rows, waiting } = useMemo(() => heldRows(held, current), [held, current])
  const hold = () => setHeld((now) => now ?? current)
  const release = () => {
    const inside = list.current?.matches(':hover') === true || list.current?.contains(document.activeElement) === true
    if (!paused && !inside) setHeld(null)
  }
  return {
    rows,
    waiting,
    paused,
    note: paused ? 'paused' : held === null ? 'newest first' : 'holding still',
    pause: () => {
      setPaused(!paused)
      setHeld(paused ? null : current)
    },
    catchUp: () => setHeld(current),
    list,
    handlers: { onPointerEnter: hold, onPointerLeave: release, onFocus: hold, onBlur: () => setTimeout(release) },
  }
}
