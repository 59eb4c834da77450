/** Kills one worker in the middle of its task, after its once-only tool has run, and sees how the team recovers. */
import type { LogEntry } from '@cadre/contract'

export interface Kill {
  worker: string
  at: string
  recovered_ms: number | null
}

export interface KillerParts {
  /** Names of the team by agent type. */
  team: ReadonlyMap<string, readonly string[]>
  pidOf: (agent: string) => number | undefined
  say: (text: string) => void
}

interface Victim {
  agent: string
  taskId: string
  title: string
  killedAt: number
}

export class Killer {
  readonly kills: Kill[] = []
  readonly #parts: KillerParts
  /** Task -> who works on it, while it runs. */
  readonly #running = new Map<string, { agent: string; title: string }>()
  readonly #called = new Set<string>()
  readonly #noted = new Set<string>()
  #victim: Victim | undefined

  constructor(parts: KillerParts) {
    this.#parts = parts
  }

  /** True once the killed worker's task is in other hands, or when nobody was killed. */
  get settled(): boolean {
    return this.#victim === undefined || this.kills.every((kill) => kill.recovered_ms !== null)
  }

  apply(entry: LogEntry): void {
    const data = entry.data as Record<string, unknown>
    const taskId = String(data['task_id'] ?? '')
    if (entry.type === 'task.started') {
      const agent = String(data['agent'])
      this.#running.set(taskId, { agent, title: String(data['title']) })
      this.#recovered(taskId, agent, entry)
    } else if (entry.type === 'task.completed') this.#running.delete(taskId)
    else if (entry.type === 'tool.called' && data['state'] === 'succeeded') this.#called.add(taskId)
    else if (entry.type === 'message.sent' && data['type'] === 'task.note') this.#noted.add(taskId)
    else return
    this.#consider()
  }

  #consider(): void {
    if (this.#victim) return
    for (const [taskId, { agent, title }] of this.#running) {
      // Only where a colleague can take over, and only in the very middle: effect done, note received, result not yet.
      const colleagues = [...this.#parts.team.values()].find((names) => names.includes(agent)) ?? []
      if (colleagues.length < 2 || !this.#called.has(taskId) || !this.#noted.has(taskId)) continue
      const pid = this.#parts.pidOf(agent)
      if (pid === undefined) continue
      process.kill(pid, 'SIGKILL')
      const killedAt = Date.now()
      this.#victim = { agent, taskId, title, killedAt }
      this.kills.push({ worker: agent, at: new Date(killedAt).toISOString(), recovered_ms: null })
      this.#parts.say(`✗ kill -9 ${pid}: ${agent} dies in the middle of "${title}"`)
      return
    }
  }

  #recovered(taskId: string, agent: string, entry: LogEntry): void {
    const victim = this.#victim
    const kill = this.kills[0]
    if (!victim || !kill || kill.recovered_ms !== null || victim.taskId !== taskId || agent === victim.agent) return
    kill.recovered_ms = Math.max(0, Date.parse(entry.at) - victim.killedAt)
    this.#parts.say(`✓ its lease ran out; ${agent} took "${victim.title}" over after ${(kill.recovered_ms / 1000).toFixed(1)} s`)
  }
}
