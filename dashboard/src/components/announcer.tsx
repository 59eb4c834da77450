import type { Task } from '@cadre/contract'
import { useEffect, useRef, useState } from 'react'
import type { View } from '../live.ts'
import { isEnded, lookOf, taskLooks } from '../states.ts'

const spacing = 2000

/** Tells a screen reader what changed, politely and at most every two seconds; what comes faster is summed up. */
export function Announcer({ tasks, link }: { tasks: readonly Task[]; link: View['link'] }) {
  const [text, setText] = useState('')
  const seen = useRef(new Map<string, string>())
  const heard = useRef<View['link']>(link)
  const waiting = useRef<string[]>([])
  const last = useRef(0)
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined)
  useEffect(() => {
    if (link !== heard.current && heard.current !== 'connecting')
      waiting.current.push(link === 'live' ? 'Connected.' : 'Connection lost, reconnecting.')
    heard.current = link
    const ended = tasks.filter((task) => isEnded(task.state)).length
    for (const task of tasks) {
      const before = seen.current.get(task.id)
      if (before !== undefined && before !== task.state && isEnded(task.state))
        waiting.current.push(`${task.title}: ${lookOf(taskLooks, task.state).label}. ${ended} of ${tasks.length} ended.`)
    }
    seen.current = new Map(tasks.map((task) => [task.id, task.state]))
    if (waiting.current.length === 0 || timer.current !== undefined) return
    timer.current = setTimeout(
      () => {
        timer.current = undefined
        last.current = Date.now()
        const latest = waiting.current.splice(0)
        setText(latest.length > 3 ? `${latest.length} changes. ${latest.at(-1)}` : latest.join(' '))
      },
      Math.max(0, last.current + spacing - Date.now()),
    )
  }, [tasks, link])
  return (
    <div role="status" aria-live="polite" className="sr-only">
      {text}
    </div>
  )
}
