/** How values look to a person: marks for states, relative times, short numbers. */
import type { Colours } from './terminal.ts'

export type Tone = 'plain' | 'quiet' | 'active' | 'good' | 'bad' | 'wait'

/** A state is a shape and a word; its colour only helps. */
const marks: Readonly<Record<string, readonly [mark: string, tone: Tone]>> = {
  pending: ['○', 'quiet'],
  scheduled: ['◷', 'quiet'],
  ready: ['○', 'plain'],
  assigned: ['◔', 'active'],
  running: ['◐', 'active'],
  input_required: ['◑', 'wait'],
  auth_required: ['◑', 'wait'],
  paused: ['◫', 'wait'],
  completed: ['✓', 'good'],
  failed: ['✗', 'bad'],
  cancelled: ['⊘', 'quiet'],
  rejected: ['✗', 'bad'],
  skipped: ['⤼', 'quiet'],
  starting: ['◔', 'active'],
  idle: ['○', 'plain'],
  busy: ['◐', 'active'],
  stopping: ['◷', 'wait'],
  terminated: ['⊘', 'quiet'],
  online: ['✓', 'good'],
  suspect: ['◷', 'wait'],
  offline: ['⊘', 'quiet'],
  stored: ['○', 'plain'],
  leased: ['◐', 'active'],
  delivered: ['◐', 'active'],
  acknowledged: ['✓', 'good'],
  dead: ['✗', 'bad'],
  expired: ['◷', 'wait'],
  unroutable: ['⊘', 'wait'],
  open: ['◐', 'active'],
  lease_expired: ['◷', 'wait'],
  released: ['○', 'quiet'],
  reassigned: ['○', 'quiet'],
  started: ['◐', 'active'],
  succeeded: ['✓', 'good'],
  unknown: ['◑', 'wait'],
  ok: ['✓', 'good'],
  degraded: ['◷', 'wait'],
  down: ['✗', 'bad'],
}

export const markOf = (state: string): string => marks[state]?.[0] ?? '·'
export const toneOf = (state: string): Tone => marks[state]?.[1] ?? 'plain'

export function paint(colours: Colours, tone: Tone, text: string): string {
  switch (tone) {
    case 'plain':
      return text
    case 'quiet':
      return colours.dim(text)
    case 'active':
      return colours.cyan(text)
    case 'good':
      return colours.green(text)
    case 'bad':
      return colours.red(text)
    default:
      return colours.yellow(text)
  }
}

const units: readonly (readonly [ms: number, name: string])[] = [
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'min'],
  [1_000, 's'],
]

/** `850 ms`, `4.2 s`, `12 min`, `3 h`, `5 d`. */
export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`
  if (ms < 9_950) return `${(ms / 1_000).toFixed(1)} s`
  for (const [size, name] of units) if (ms >= size) return `${Math.floor(ms / size)} ${name}`
  return `${Math.round(ms / 1_000)} s`
}

/** `5 s ago`, `in 3 min`, `now`; over thirty days the date. */
export function relative(time: string, now: number): string {
  const at = Date.parse(time)
  if (Number.isNaN(at)) return time
  const distance = now - at
  if (Math.abs(distance) > 30 * 86_400_000) return time.slice(0, 10)
  if (Math.abs(distance) < 1_000) return 'now'
  const size = units.find(([ms]) => Math.abs(distance) >= ms) ?? [1_000, 's']
  const amount = `${Math.floor(Math.abs(distance) / size[0])} ${size[1]}`
  return distance > 0 ? `${amount} ago` : `in ${amount}`
}

export function bytes(count: number): string {
  if (count < 1_000) return `${count} B`
  const power = Math.min(4, Math.floor(Math.log10(count) / 3))
  const scaled = count / 1_000 ** power
  return `${scaled < 10 ? scaled.toFixed(1) : Math.round(scaled)} ${['B', 'kB', 'MB', 'GB', 'TB'][power]}`
}

export interface Cell {
  text: string
  tone: Tone
}

const stateFields = new Set(['state', 'status', 'presence', 'outcome', 'from', 'to'])
const priorities = ['critical', 'high', 'normal', 'low']
const isTime = (value: unknown): value is string => typeof value === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d/.test(value)

export const isEmpty = (value: unknown): boolean =>
  value === null ||
  value === undefined ||
  value === '' ||
  (Array.isArray(value) && value.length === 0) ||
  (typeof value === 'object' && !Array.isArray(value) && Object.keys(value).length === 0)

/** One value of one field; the name of the field decides what a bare number or word means. */
export function cell(field: string, value: unknown, now: number): Cell {
  if (isEmpty(value)) return { text: '—', tone: 'quiet' }
  if (typeof value === 'string') {
    if (stateFields.has(field) && marks[value]) return { text: `${markOf(value)} ${value}`, tone: toneOf(value) }
    if (isTime(value) && field !== 'value' && field !== 'content') return { text: relative(value, now), tone: 'quiet' }
    return { text: value, tone: 'plain' }
  }
  if (typeof value === 'number') return { text: quantity(field, value), tone: 'plain' }
  if (typeof value === 'boolean') return { text: value ? 'yes' : 'no', tone: 'plain' }
  if (Array.isArray(value) && value.every((each) => typeof each !== 'object'))
    return { text: value.map(String).join(', '), tone: 'plain' }
  const { message } = value as { message?: unknown }
  if (field === 'error' && typeof message === 'string') return { text: message, tone: 'bad' }
  return { text: JSON.stringify(value), tone: 'plain' }
}

function quantity(field: string, value: number): string {
  if (field === 'progress') return `${Math.round(value * 100)} %`
  if (field === 'priority') return priorities[value - 1] ?? String(value)
  if (field.endsWith('_bytes') || field === 'size') return bytes(value)
  if (field.endsWith('_ms')) return duration(value)
  if (field === 'uptime_s') return duration(value * 1_000)
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(4)))
}
