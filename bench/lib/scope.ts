/**
 * Everything a benchmark starts, so that it ends whatever happens: each is closed in reverse order, processes by their id. When this
 * process leaves in a hurry, the processes are killed on its way out.
 */
import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const politeMs = 5_000

export class Scope {
  readonly #closers: (() => unknown)[] = []
  readonly #processes = new Set<ChildProcess>()
  readonly #folders = new Set<string>()
  readonly #onExit = () => this.#abandon()
  #closing: Promise<void> | undefined

  constructor() {
    process.once('exit', this.#onExit)
  }

  /** A scope that ends with this one, or before it. */
  within(): Scope {
    const inner = new Scope()
    this.defer(() => inner.close())
    return inner
  }

  /** Runs when the scope closes; the last added runs first. */
  defer(close: () => unknown): void {
    this.#closers.push(close)
  }

  /** A folder of its own, removed at the end. */
  folder(name: string): string {
    if (this.#closing) throw new Error('the benchmark is ending')
    const path = mkdtempSync(join(tmpdir(), `cadre-bench-${name}-`))
    this.#folders.add(path)
    this.defer(() => this.#remove(path))
    return path
  }

  /** Takes charge of a process: it is asked to end by `signal`, and made to after five seconds. */
  adopt<P extends ChildProcess>(child: P, signal: NodeJS.Signals = 'SIGTERM'): P {
    this.#processes.add(child)
    if (this.#closing) child.kill('SIGKILL')
    child.once('exit', () => this.#processes.delete(child))
    this.defer(() => end(child, signal))
    return child
  }

  /** Closes everything; safe to call again. Failures to close are told, never thrown: the rest must be closed too. */
  close(): Promise<void> {
    this.#closing ??= (async () => {
      for (let closer = this.#closers.pop(); closer; closer = this.#closers.pop()) {
        try {
          await closer()
        } catch (error) {
          process.stderr.write(`bench: could not close: ${error instanceof Error ? error.message : String(error)}\n`)
        }
      }
      process.off('exit', this.#onExit)
    })()
    return this.#closing
  }

  #remove(path: string): void {
    rmSync(path, { recursive: true, force: true, maxRetries: 5 })
    this.#folders.delete(path)
  }

  #abandon(): void {
    for (const child of this.#processes) child.kill('SIGKILL')
    for (const path of this.#folders) rmSync(path, { recursive: true, force: true, maxRetries: 5 })
  }
}

export async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  child.kill(signal)
  const force = setTimeout(() => child.kill('SIGKILL'), politeMs)
  await gone
  clearTimeout(force)
}
