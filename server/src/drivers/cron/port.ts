/** The cron port: which times a pattern names. */

export interface CronTimes {
  /** The first time after `after`, in milliseconds; null when none is left. */
  next(after: number): number | null
  /** The newest times up to `until`, itself included, the oldest first; `count` at most. */
  last(count: number, until: number): number[]
}

/**
 * Five fields (minute, hour, day of the month, month, day of the week) or six with seconds first, in an IANA time zone. A time that the
 * change of clocks leaves out comes right after it, and one that it repeats comes once. Throws `invalid_request`, at `/cron` or `/zone`.
 */
export type ReadCron = (cron: string, zone: string) => CronTimes
