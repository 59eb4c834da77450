/** What a benchmark may ask of a server process beside its work: to collect its garbage, and to record a profile of one sample. */
import type { ChildProcess } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { within } from './now.ts'

export interface HookOrder {
  id: number
  name: 'collect' | 'record' | 'stop'
  file?: string
}

export interface HookAnswer {
  id: number
  error?: string | undefined
}

/** Arguments for Node that load the other side of this. The process needs a channel (`ipc`) too. */
export const hookArguments = ['--expose-gc', '--import', fileURLToPath(new URL('server-hook.ts', import.meta.url))]

const answerMs = 20_000

export class ServerControl {
  readonly #child: ChildProcess
  readonly #profiles: string | undefined
  readonly #waiting = new Map<number, (answer: HookAnswer) => void>()
  #next = 1

  /** `profiles`: folder for the profiles; without it none are recorded. */
  constructor(child: ChildProcess, profiles: string | undefined) {
    this.#child = child
    this.#profiles = profiles
    child.on('message', (answer: HookAnswer) => this.#waiting.get(answer.id)?.(answer))
    child.once('exit', () => {
      for (const settle of this.#waiting.values()) settle({ id: 0, error: 'the server ended' })
    })
    if (profiles !== undefined) mkdirSync(profiles, { recursive: true })
  }

  collect(): Promise<void> {
    return this.#order('collect')
  }

  /** Runs `work`; with a folder for profiles, its share of the server's time is written there under the label and a number. */
  async record<T>(label: string, work: () => Promise<T>): Promise<T> {
    if (this.#profiles === undefined) return work()
    await this.#order('record')
    try {
      return await work()
    } finally {
      const slug = label.replaceAll(/[^\w]+/g, '-')
      await this.#order('stop', join(this.#profiles, `${slug}.${this.#next}.cpuprofile`))
    }
  }

  async #order(name: HookOrder['name'], file?: string): Promise<void> {
    const id = this.#next++
    const answered = new Promise<void>((resolve, reject) => {
      this.#waiting.set(id, ({ error }) => (error === undefined ? resolve() : reject(new Error(error))))
      this.#child.send({ id, name, ...(file !== undefined && { file }) } satisfies HookOrder, (error) => error && reject(error))
    })
    await within(answerMs, `the server's answer to ${name}`, answered).finally(() => this.#waiting.delete(id))
  }
}

/** Runs `work`, recorded where the server was started for that. */
export const recorded = <T>(
  server: { control?: ServerControl } | undefined,
  label: string,
  work: () => Promise<T>,
): Promise<T> => (server?.control ? server.control.record(label, work) : work())
