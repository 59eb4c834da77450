/** Cron patterns through croner, which is asked for times only: nothing of it runs. */
import { CadreError } from '@cadre/contract'
import { Cron } from 'croner'
import type { CronTimes } from './port.ts'

export function readCron(cron: string, zone: string): CronTimes {
  const fields = cron.trim().split(/\s+/).length
  if (fields !== 5 && fields !== 6) throw refused('cron', 'Give five fields, or six with seconds first.')
  requireZone(zone)
  const times = parse(cron, zone)
  return {
    next: (after) => times.nextRun(new Date(after))?.getTime() ?? null,
    last: (count, until) =>
      times
        // It answers those before the time given.
        .previousRuns(count + 1, new Date(until + 1_000))
        .map((time) => time.getTime())
        .filter((time) => time <= until)
        .toSorted((a, b) => a - b)
        .slice(-count),
  }
}

function requireZone(zone: string): void {
  try {
    Intl.DateTimeFormat('en', { timeZone: zone })
  } catch (cause) {
    throw refused('zone', `${zone} is no IANA time zone.`, cause)
  }
}

function parse(cron: string, zone: string): Cron {
  try {
    return new Cron(cron, { timezone: zone, mode: '5-or-6-parts', paused: true })
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.replace(/^\w+: /, '') : 'it cannot be read'
    throw refused('cron', `It names no times: ${why}`, cause)
  }
}

const refused = (field: string, detail: string, cause?: unknown) =>
  new CadreError('invalid_request', {}, { fields: [{ pointer: `/${field}`, detail }], cause })
