/** What the demo knows of the run, folded from the log; shown live on a terminal and as a line per change elsewhere. */
import type { LogEntry, TaskState } from '@cadre/contract'
import pc from 'picocolors'

export interface Card {
  id: string
  title: string
  /** Tasks on the longest way to it: how far it is indented. */
  depth: number
  state: TaskState
  agent: string | null
  attempt: number
  note: string | null
  startedAt: number | null
  endedAt: number | null
}

const marks: Readonly<Record<TaskState, string>> = {
  pending: '○',
  scheduled: '◷',
  ready: '○',
  assigned: '◔',
  running: '◐',
  input_required: '?',
  auth_required: '?',
  paused: '=',
  completed: '✓',
  failed: '✗',
  cancelled: '⊘',
  rejected: '✗',
  skipped: '⤼',
}
const redrawMs = 100
const barWidth = 32
const indent = 2

export class Board {
  readonly #cards = new Map<string, Card>()
  readonly #needs = new Map<string, readonly string[]>()
  readonly #hidden = new Set<string>()
  readonly #out: NodeJS.WriteStream
  readonly #live: boolean
  readonly #startedAt: number
  readonly #title: string
  #lines = 0
  #timer: NodeJS.Timeout | undefined

  constructor(title: string, out: NodeJS.WriteStream) {
    this.#title = title.replaceAll(/\s+/g, ' ').trim()
    this.#out = out
    this.#live = out.isTTY && process.env['TERM'] !== 'dumb'
    this.#startedAt = Date.now()
    if (this.#live) {
      this.#timer = setInterval(() => this.#draw(), redrawMs)
      this.#timer.unref()
    }
  }

  /** A line that stays: the kill, the recovery, what came again. */
  say(text: string): void {
    this.#draw(`${text}\u001B[K\n`)
  }

  /** The task that frames all others is not shown among them. */
  leaveOut(id: string): void {
    this.#hidden.add(id)
    this.#cards.delete(id)
  }

  /** What a task waits for, as soon as it is known. */
  place(id: string, needs: readonly string[]): void {
    this.#needs.set(id, needs)
    for (const card of this.#cards.values()) card.depth = this.#depthOf(card.id)
  }

  apply(entry: LogEntry): void {
    if (!entry.type.startsWith('task.') || this.#hidden.has(entry.subject)) return
    const data = entry.data as {
      task_id: string
      title: string
      to: TaskState
      agent: string | null
      attempt: number
      reason: string | null
      progress?: number
      note?: string | null
    }
    if (entry.type === 'task.created' && !this.#cards.has(data.task_id))
      this.#cards.set(data.task_id, newCard(data.task_id, data.title))
    const card = this.#cards.get(data.task_id)
    if (!card) return
    const before = { state: card.state, agent: card.agent }
    card.state = data.to
    card.agent = data.agent
    card.attempt = data.attempt
    if (entry.type === 'task.progress') card.note = data.note ?? card.note
    if (entry.type === 'task.started') card.startedAt ??= Date.parse(entry.at)
    if (isOver(data.to)) {
      card.endedAt = Date.parse(entry.at)
      card.note = data.to === 'completed' ? null : data.reason
    }
    const changed = before.state !== card.state || before.agent !== card.agent
    const worthALine = !['pending', 'ready', 'assigned'].includes(data.to)
    if (!this.#live && changed && worthALine) this.#out.write(`${plainLine(card)}\n`)
  }

  close(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#draw()
    this.#lines = 0
  }

  /** One write a frame, each line replaced in its place: nothing flickers. `above` is put on top of the picture and stays. */
  #draw(above = ''): void {
    if (!this.#live) {
      // oxlint-disable-next-line no-control-regex
      if (above !== '') this.#out.write(above.replaceAll(/\u001B\[K/g, ''))
      return
    }
    const width = Math.max(40, this.#out.columns ?? 80)
    const cards = [...this.#cards.values()]
    const rows = cards.length === 0 ? [] : [pc.bold(this.#title), this.#bar(cards), ...cards.map((card) => richLine(card, width))]
    // A picture taller than the screen cannot be drawn in place: its upper part is left out.
    const shown = rows.slice(-Math.max(3, (this.#out.rows ?? 24) - 1))
    const back = this.#lines > 0 ? `\u001B[${this.#lines}A` : ''
    this.#out.write(`${back}${above}${shown.map((row) => `${clip(row, width)}\u001B[K\n`).join('')}\u001B[J`)
    this.#lines = shown.length
  }

  #bar(cards: readonly Card[]): string {
    const done = cards.filter((card) => isOver(card.state)).length
    const share = cards.length === 0 ? 0 : done / cards.length
    const filled = Math.round(share * barWidth)
    const bar = pc.green('━'.repeat(filled)) + pc.dim('━'.repeat(barWidth - filled))
    const elapsed = ((Date.now() - this.#startedAt) / 1000).toFixed(0)
    return `${bar}  ${done}/${cards.length}  ${Math.round(share * 100)}%  ${elapsed} s`
  }

  #depthOf(id: string, seen: readonly string[] = []): number {
    const needs = (this.#needs.get(id) ?? []).filter((need) => this.#cards.has(need) && !seen.includes(need))
    return needs.length === 0 ? 0 : 1 + Math.max(...needs.map((need) => this.#depthOf(need, [...seen, id])))
  }
}

const newCard = (id: string, title: string): Card => ({
  id,
  title: title.replaceAll(/\s+/g, ' '),
  depth: 0,
  state: 'pending',
  agent: null,
  attempt: 0,
  note: null,
  startedAt: null,
  endedAt: null,
})

const isOver = (state: TaskState): boolean => ['completed', 'failed', 'cancelled', 'rejected', 'skipped'].includes(state)

const seconds = (card: Card): string =>
  card.startedAt === null ? '' : `${(((card.endedAt ?? Date.now()) - card.startedAt) / 1000).toFixed(1)}s`

/** Mark, title under what it waits for, agent, duration, then what there is room for. */
function richLine(card: Card, width: number): string {
  const paint = card.state === 'completed' ? pc.green : card.state === 'running' ? pc.cyan : isOver(card.state) ? pc.red : pc.dim
  const room = Math.min(60, Math.max(20, width - 34))
  const title = shortened(`${' '.repeat(card.depth * indent)}${marks[card.state]} ${card.title}`, room)
  const attempt = card.attempt > 1 ? pc.yellow(`  attempt ${card.attempt}`) : ''
  const note = card.note === null || card.note === '' ? '' : pc.dim(`  ${card.note}`)
  return ` ${paint(title.padEnd(room))} ${(card.agent ?? '').padEnd(13)} ${seconds(card).padStart(6)}${attempt}${note}`
}

const shortened = (text: string, room: number): string => (text.length <= room ? text : `${text.slice(0, room - 1)}…`)

function plainLine(card: Card): string {
  const attempt = card.attempt > 1 ? `, attempt ${card.attempt}` : ''
  return `${marks[card.state]} ${card.title} — ${card.state}${card.agent === null ? '' : ` by ${card.agent}`}${attempt}${isOver(card.state) && card.startedAt !== null ? ` after ${seconds(card)}` : ''}`
}

/** Cuts to the width of the terminal without cutting into colour codes. */
function clip(line: string, width: number): string {
  let visible = 0
  let text = ''
  // oxlint-disable-next-line no-control-regex
  for (const part of line.split(/(\u001B\[[0-9;]*m)/)) {
    if (part.startsWith('\u001B')) text += part
    else {
      const room = Math.max(0, width - 1 - visible)
      text += part.slice(0, room)
      visible += part.length
    }
  }
  return text
}
