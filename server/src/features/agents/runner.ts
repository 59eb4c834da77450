/**
 * Worker processes of managed agents. The desired state is stored with the agent: a worker that dies is started again, with a growing
 * pause. A worker reads its assignment from its standard input and ends when that pipe closes, so none outlives the server.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import type { Access } from '../../core/access.ts'
import type { Clock } from '../../core/clock.ts'
import type { Context } from '../../core/context.ts'
import type { Directory } from '../../core/directory.ts'
import type { Logger } from '../../core/logger.ts'
import type { Database } from '../../drivers/database/port.ts'
import type { Agents, Known } from './service.ts'

export interface RunnerParts {
  database: Database
  directory: Directory
  access: Access
  clock: Clock
  agents: Agents
  logger: Logger
  engine: () => Context
  /** Program and arguments that start a worker. */
  command: readonly [string, ...string[]]
  /** Where workers reach this server; known once it listens. */
  url: () => string
  restartMs: number
}

interface Worker {
  process: ChildProcess | undefined
  wanted: boolean
  crashes: number
  cancelRestart: () => void
}

const maxRestartMs = 30_000
const stopMs = 10_000
const steadyMs = 60_000

export class Runner {
  readonly #parts: RunnerParts
  readonly #workers = new Map<number, Worker>()
  #closed = false

  constructor(parts: RunnerParts) {
    this.#parts = parts
    parts.agents.onDesired((agent, desired) => (desired === 'running' ? this.#start(agent) : void this.#stop(agent.id)))
  }

  /** Starts what was running when the last process ended. */
  resume(): void {
    for (const agent of this.#parts.agents.registry.all()) if (agent.managed && agent.desired === 'running') this.#start(agent)
  }

  get running(): number {
    return [...this.#workers.values()].filter((worker) => worker.process).length
  }

  pidOf(agent: number): number | undefined {
    return this.#workers.get(agent)?.process?.pid
  }

  async close(): Promise<void> {
    this.#closed = true
    await Promise.all([...this.#workers.keys()].map((id) => this.#stop(id)))
  }

  #start(agent: Known): void {
    const worker: Worker = this.#workers.get(agent.id) ?? {
      process: undefined,
      wanted: true,
      crashes: 0,
      cancelRestart: () => {},
    }
    this.#workers.set(agent.id, worker)
    worker.wanted = true
    if (!worker.process)
      this.#launch(agent, worker).catch((cause: unknown) =>
        this.#parts.logger.error('a worker could not be started', { agent: this.#name(agent.id), cause }),
      )
  }

  async #launch(agent: Known, worker: Worker): Promise<void> {
    const { database, directory, access, clock, logger, command, url } = this.#parts
    const principal = directory.byId(agent.id)
    const { token } = await database.transaction((tx) => access.issue(tx, principal, 'agent', principal.name))
    if (this.#closed || !worker.wanted || worker.process) return
    const [program, ...args] = command
    const child = spawn(program, args, { stdio: ['pipe', 'ignore', 'inherit'], env: workerEnvironment() })
    worker.process = child
    const startedAt = clock.now()
    child.stdin.on('error', () => {})
    // The token goes through the pipe: arguments and environment can be read by others on the machine.
    child.stdin.write(
      `${JSON.stringify({ url: url(), token, name: principal.name, type: agent.type_key, capabilities: agent.capabilities, concurrency: agent.concurrency, metadata: agent.metadata })}\n`,
    )
    const ended = (code: number | null, signal: NodeJS.Signals | null) => {
      if (worker.process !== child) return
      worker.process = undefined
      if (this.#closed || !worker.wanted || agent.desired !== 'running') return
      if (clock.now() - startedAt > steadyMs) worker.crashes = 0
      const wait = Math.min(this.#parts.restartMs * 2 ** worker.crashes, maxRestartMs)
      worker.crashes += 1
      const exit = signal ?? `code ${code}`
      logger.warn('a worker ended; it is started again', { agent: principal.name, exit, restart_in_ms: wait })
      this.#record(agent, child.pid ?? 0, exit, wait).catch((cause: unknown) =>
        logger.error('a worker exit could not be recorded', { cause }),
      )
      worker.cancelRestart = clock.after(wait, () => {
        if (agent.desired === 'running') this.#start(agent)
      })
    }
    child.on('exit', ended)
    child.on('error', (cause) => {
      logger.error('a worker could not be started', { agent: principal.name, cause })
      // A process that never came to be has no exit of its own.
      if (child.pid === undefined) ended(null, null)
    })
  }

  async #record(agent: Known, pid: number, exit: string, wait: number): Promise<void> {
    const principal = this.#parts.directory.byId(agent.id)
    await this.#parts.engine().write(async (tx) => {
      tx.emit({
        type: 'agent.worker_exited',
        subject: principal.publicId,
        data: { agent_id: principal.publicId, name: principal.name, pid, exit, restart_in: wait },
      })
      return {}
    })
  }

  /** Closes the pipe; a worker that does not end by itself is killed. */
  async #stop(id: number): Promise<void> {
    const worker = this.#workers.get(id)
    if (!worker) return
    worker.wanted = false
    worker.cancelRestart()
    const child = worker.process
    this.#workers.delete(id)
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    await new Promise<void>((resolve) => {
      const kill = setTimeout(() => child.kill('SIGKILL'), stopMs)
      child.once('exit', () => {
        clearTimeout(kill)
        resolve()
      })
      child.stdin?.end()
    })
  }

  #name(id: number): string {
    return this.#parts.directory.byId(id).name
  }
}

// Workers speak to the server only: keys of providers and stores are none of their business.
function workerEnvironment(): NodeJS.ProcessEnv {
  const kept = ['PATH', 'HOME', 'LANG', 'LC_ALL', 'TZ', 'TMPDIR', 'SystemRoot', 'NODE_EXTRA_CA_CERTS']
  return Object.fromEntries(kept.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])))
}
