/** A client in a process of its own, called over the channel that `fork` gives. */
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { within } from './now.ts'
import type { Scope } from './scope.ts'

const entry = fileURLToPath(new URL('../client.ts', import.meta.url))

export interface Question {
  id: number
  name: string
  input: unknown
}

export interface Answer {
  id: number
  value?: unknown
  error?: string
}

export class ClientProcess {
  readonly #child: ChildProcess
  readonly #label: string
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>()
  #next = 1

  private constructor(child: ChildProcess, label: string) {
    this.#child = child
    this.#label = label
    child.on('message', (answer: Answer) => {
      const waiting = this.#waiting.get(answer.id)
      this.#waiting.delete(answer.id)
      if (answer.error === undefined) waiting?.resolve(answer.value)
      else waiting?.reject(new Error(`${label}: ${answer.error}`))
    })
    child.once('exit', (code, signal) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`${label} ended (${signal ?? code})`))
      this.#waiting.clear()
    })
  }

  /** `kind` chooses what the process serves, `driver` names a module. Output of the process goes to our stderr. */
  static start(scope: Scope, kind: string, driver: URL, label: string): ClientProcess {
    const child = fork(entry, [kind, driver.href], {
      execArgv: ['--disable-warning=ExperimentalWarning'],
      stdio: ['ignore', process.stderr, process.stderr, 'ipc'],
    })
    return new ClientProcess(scope.adopt(child), label)
  }

  get pid(): number {
    return this.#child.pid as number
  }

  call<T>(name: string, input: unknown, ms = 30_000): Promise<T> {
    const id = this.#next++
    const answer = new Promise<unknown>((resolve, reject) => {
      if (!this.#child.connected) return reject(new Error(`${this.#label} has ended`))
      this.#waiting.set(id, { resolve, reject })
      this.#child.send({ id, name, input } satisfies Question)
    })
    return within(ms, `${this.#label} ${name}`, answer).finally(() => this.#waiting.delete(id)) as Promise<T>
  }
}
