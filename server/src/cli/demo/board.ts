/** What the demo knows of the run, folded from the log; shown live on a terminal and as a line per change elsewhere. */
import type { LogEntry, TaskState } from '@cadre/contract'
import pc from 'picocolors'

export interface Card {
  id: string
  title: string
  state: TaskState
  agent: string | null
  attempt: number
  progress: number
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
  input_required: '✋',
  auth_required: '🔑',
  paused: '❚❚',
  completed: '✓',
  failed: '✗',
  cancelled: '⊘',
  rejected: '⃠',
  skipped: '⤼',
}
const redrawMs = 100
const barWidth = 32

export class Board {
  readonly cards = new Map<string, Card>()
  readonly #out: NodeJS.WriteStream
  readonly #live: boolean
  readonly #startedAt: number
  #lines = 0
  #timer: NodeJS.Timeout | undefined
  #title: string

  constructor(title: string, out: NodeJS.WriteStream) {
    this.#title = title.replaceAll(/\s+/g, ' ')
    this.#out = out
    this.#live = out.isTTY === true
    this.#startedAt = Date.now()
    if (this.#live) {
      this.#timer = setInterval(() => this.#draw(), redrawMs)
      this.#timer.unref()
    }
  }

  /** A line that stays: the kill, the recovery, what oversight struck. */
  say(text: string): void {
    this.#erase()
    this.#out.write(`${text}\n`)
    this.#draw()
  }

  expect(card: Card): void {
    this.cards.set(card.id, card)
  }

  apply(entry: LogEntry): void {
    if (!entry.type.startsWith('task.')) return
    const data = entry.data as {
      task_id: string
      to: TaskState
      agent: string | null
      attempt: number
      reason: string | null
      progress?: number
      note?: string | null
    }
    const card = this.cards.get(data.task_id)
    if (!card) return
    const before = { state: card.state, agent: card.agent }
    card.state = data.to
    card.agent = data.agent
    card.attempt = data.attempt
    if (entry.type === 'task.progress') {
      card.progress = data.progress ?? card.progress
      card.note = data.note ?? card.note
    }
    if (entry.type === 'task.started') card.startedAt ??= Date.parse(entry.at)
    if (isOver(data.to)) {
      card.endedAt = Date.parse(entry.at)
      card.progress = 1
      card.note = data.to === 'completed' ? null : data.reason
    }
    const changed = before.state !== card.state || before.agent !== card.agent
    if (!this.#live && changed && data.to !== 'ready') this.#out.write(`${plainLine(card)}\n`)
  }

  close(): void {
    clearInterval(this.#timer)
    this.#draw()
    this.#lines = 0
  }

  #erase(): void {
    if (this.#live && this.#lines > 0) this.#out.write(`\u001B[${this.#lines}A\u001B[0J`)
    this.#lines = 0
  }

  #draw(): void {
    if (!this.#live || this.cards.size === 0) return
    const width = Math.max(40, this.#out.columns ?? 80)
    const rows = [this.#header(), ...[...this.cards.values()].map(richLine)]
    this.#erase()
    this.#out.write(`${rows.map((row) => clip(row, width)).join('\n')}\n`)
    this.#lines = rows.length
  }

  #header(): string {
    const done = [...this.cards.values()].filter((card) => isOver(card.state)).length
    const share = this.cards.size === 0 ? 0 : done / this.cards.size
    const filled = Math.round(share * barWidth)
    const bar = pc.green('━'.repeat(filled)) + pc.dim('━'.repeat(barWidth - filled))
    const seconds = ((Date.now() - this.#startedAt) / 1000).toFixed(0).padStart(2, '0')
    const title = this.#title.length > 40 ? `${this.#title.slice(0, 39)}…` : this.#title
    return `${pc.bold(title)}  ${bar}  ${done}/${this.cards.size}  ${Math.round(share * 100)}%  ${seconds}s`
  }
}

const isOver = (state: TaskState): boolean => ['completed', 'failed', 'cancelled', 'rejected', 'skipped'].includes(state)

const seconds = (card: Card): string =>
  card.startedAt === null ? '—' : `${(((card.endedAt ?? Date.now()) - card.startedAt) / 1000).toFixed(1)}s`

function richLine(card: Card): string {
  const paint = card.state === 'completed' ? pc.green : card.state === 'running' ? pc.cyan : isOver(card.state) ? pc.red : pc.dim
  const attempt = card.attempt > 1 ? pc.yellow(` attempt ${card.attempt}`) : ''
  const note = card.note === null || card.note === '' ? '' : pc.dim(`  ${card.note}`)
  return ` ${paint(marks[card.state])} ${card.title.slice(0, 44).padEnd(44)} ${(card.agent ?? '—').padEnd(14)} ${seconds(card).padStart(6)}${attempt}${note}`
}

function plainLine(card: Card): string {
  const attempt = card.attempt > 1 ? `, attempt ${card.attempt}` : ''
  return `${marks[card.state]} ${card.title} — ${card.state}${card.agent === null ? '' : ` by ${card.agent}`}${attempt}${isOver(card.state) ? ` after ${seconds(card)}` : ''}`
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
