import { useCallback, useEffect, useRef, useState } from 'react'
import { ApiError } from './api.ts'
import { createPaintGate, type PaintGate, pageTimers } from './paint-gate.ts'

export interface Reading<T> {
  value: T | undefined
  /** When it was read, in milliseconds. */
  at: number
  /** Why the last attempt failed; the value before it stays. */
  problem: string | null
  again: () => void
}

const pause = 500

/**
 * Something the log only says the change of: read at once, again when `key` changes, at most twice a second, and every `interval`
 * milliseconds where the log does not say it either. A hidden page reads nothing.
 */
export function useReading<T>(read: () => Promise<T>, key: string, interval?: number): Reading<T> {
  const [reading, setReading] = useState<Omit<Reading<T>, 'again'>>({ value: undefined, at: 0, problem: null })
  const latest = useRef(read)
  latest.current = read
  const gate = useRef<PaintGate>(undefined)
  useEffect(() => {
    let over = false
    let started = 0
    let applied = 0
    const load = async () => {
      const mine = ++started
      const answer = await latest.current().then(
        (value) => ({ value, at: Date.now(), problem: null }),
        (error: unknown) => ({ problem: error instanceof ApiError ? `${error.title}. ${error.message}` : String(error) }),
      )
      // An answer that was overtaken is older than what is shown.
      if (over || mine < applied) return
      applied = mine
      setReading((before) => ({ ...before, ...answer }))
    }
    const own = createPaintGate(() => void load(), pause, pageTimers)
    gate.current = own
    const onVisibility = () => own.setHidden(document.hidden)
    onVisibility()
    document.addEventListener('visibilitychange', onVisibility)
    const ticking = interval === undefined ? undefined : setInterval(() => own.request(), interval)
    return () => {
      over = true
      clearInterval(ticking)
      document.removeEventListener('visibilitychange', onVisibility)
      own.close()
    }
  }, [interval])
  useEffect(() => gate.current?.request(), [key, interval])
  const again = useCallback(() => gate.current?.request(), [])
  return { ...reading, again }
}
