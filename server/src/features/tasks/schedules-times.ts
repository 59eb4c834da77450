/** Which of the times of a schedule are to be fired. */
import type { CatchUp } from '@cadre/contract'
import type { CronTimes } from '../../drivers/cron/port.ts'

const maxMadeUp = 100
/** Times walked through after a long silence: one a second for an hour. */
const maxWalked = 3_600
const punctualMs = 60_000

export interface Due {
  /** To be made up for now, the oldest first. */
  times: number[]
  /** Passed, and not made up for; of a long silence only those that were walked through are counted. */
  leftOut: number
  next: number | null
}

/** What of the times from `first` up to `now` is to be fired, and the first time after. */
export function dueTimes(cron: CronTimes, rule: CatchUp, first: number, now: number): Due {
  const passed: number[] = []
  let next: number | null = first
  while (next !== null && next <= now && passed.length < maxWalked) {
    passed.push(next)
    next = cron.next(next)
  }
  // Months of silence would take long to walk through: the newest times are found from their end.
  if (next !== null && next <= now) {
    const walked = passed.at(-1) as number
    passed.push(...cron.last(maxMadeUp, now).filter((time) => time > walked))
    next = cron.next(now)
  }
  const wanted = rule === 'all' ? passed.slice(-maxMadeUp) : passed.slice(-1)
  const times = rule === 'none' ? wanted.filter((time) => now - time <= punctualMs) : wanted
  return { times, leftOut: passed.length - times.length, next }
}
