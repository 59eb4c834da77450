/** Text forms of times, sizes and values. Everything takes the present as a parameter, in milliseconds. */

const second = 1000
const minute = 60 * second
const hour = 60 * minute
const day = 24 * hour

/** `0.4s`, `12.3s`, `4m 05s`, `2h 07m`, `3d 4h`. */
export function formatDuration(ms: number): string {
  if (!Number.isFinite(ms) || ms < 0) return '0.0s'
  if (ms < minute - 50) return `${(ms / second).toFixed(1)}s`
  const rounded = Math.round(ms / second) * second
  if (rounded < hour) return `${Math.floor(rounded / minute)}m ${pad((rounded % minute) / second)}s`
  if (rounded < day) return `${Math.floor(rounded / hour)}h ${pad(Math.floor((rounded % hour) / minute))}m`
  return `${Math.floor(rounded / day)}d ${Math.floor((rounded % day) / hour)}h`
}

const pad = (value: number): string => String(value).padStart(2, '0')

/** `now`, `12s ago`, `5m ago`, `3h ago`, `2d ago`; a clock that runs behind the server's reads `now`. */
export function formatAgo(at: string, now: number): string {
  const ms = now - Date.parse(at)
  if (Number.isNaN(ms)) return ''
  if (ms < 5 * second) return 'now'
  if (ms < minute) return `${Math.floor(ms / second)}s ago`
  if (ms < hour) return `${Math.floor(ms / minute)}m ago`
  if (ms < day) return `${Math.floor(ms / hour)}h ago`
  return `${Math.floor(ms / day)}d ago`
}

export const formatExact = (at: string): string => {
  const date = new Date(at)
  return Number.isNaN(date.getTime()) ? at : date.toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' })
}

/** Hours, minutes, seconds of the day, in local time. */
export const formatClock = (at: string): string => {
  const date = new Date(at)
  if (Number.isNaN(date.getTime())) return ''
  return [date.getHours(), date.getMinutes(), date.getSeconds()].map(pad).join(':')
}

export const formatCount = (value: number): string =>
  value < 10_000
    ? value.toLocaleString('en')
    : new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 }).format(value)

/** `0 B`, `512 B`, `1.5 kB`, `3.2 MB`. */
export function formatBytes(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`
  return bytes < 1_000_000 ? `${(bytes / 1000).toFixed(1)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`
}

/** One line of at most `length` characters that says what a value holds; a text's line breaks become spaces. */
export function previewOf(value: unknown, length = 140): string {
  const text = (typeof value === 'string' ? value : readable(value)).replaceAll(/\s+/g, ' ').trim()
  return text.length > length ? `${text.slice(0, length - 1).trimEnd()}…` : text
}

/** Of an object with a speaking text field, that field; anything else as JSON. */
function readable(value: unknown): string {
  if (value === undefined || value === null) return ''
  if (typeof value === 'object' && !Array.isArray(value)) {
    const fields = value as Record<string, unknown>
    for (const name of ['text', 'message', 'summary', 'body', 'question', 'goal', 'title', 'reason']) {
      if (typeof fields[name] === 'string' && fields[name] !== '') return fields[name]
    }
  }
  return JSON.stringify(value) ?? ''
}

/** Indented JSON, cut at `limit` characters so that one payload cannot freeze the page. */
export function prettyOf(value: unknown, limit = 40_000): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value, null, 2) ?? 'null')
  return text.length > limit ? `${text.slice(0, limit)}\n… ${text.length - limit} more characters` : text
}
