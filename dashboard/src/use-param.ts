import { useCallback, useEffect, useState } from 'react'

const read = (name: string): string | null => new URLSearchParams(location.search).get(name)

/** A part of the page's state that is in its address: `?name=value`. Setting it is a step of the history, so that going back undoes it. */
export function useParam(name: string): [string | null, (value: string | null) => void] {
  const [value, setValue] = useState(() => read(name))
  useEffect(() => {
    const follow = () => setValue(read(name))
    addEventListener('popstate', follow)
    return () => removeEventListener('popstate', follow)
  }, [name])
  const set = useCallback(
    (next: string | null) => {
      setValue(next)
      if (next === read(name)) return
      history.pushState(null, '', addressWith(name, next))
    },
    [name],
  )
  return [value, set]
}

/** This page's address with one parameter changed. */
export function addressWith(name: string, value: string | null): string {
  const params = new URLSearchParams(location.search)
  if (value === null) params.delete(name)
  else params.set(name, value)
  const query = params.toString()
  return query === '' ? location.pathname : `${location.pathname}?${query}`
}
