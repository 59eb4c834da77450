import { useEffect, useState } from 'react'

/** The present in milliseconds, moving once a second while `moving` and the page is shown. */
export function useNow(moving: boolean): number {
  const [now, setNow] = useState(Date.now)
  useEffect(() => {
    if (!moving) return undefined
    setNow(Date.now())
    const timer = setInterval(() => {
      if (!document.hidden) setNow(Date.now())
    }, 1000)
    return () => clearInterval(timer)
  }, [moving])
  return now
}
