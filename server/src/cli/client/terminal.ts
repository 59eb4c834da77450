/** The surroundings of a command: streams, colours, size, interruption. A parameter, so that commands run in tests too. */
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import picocolors from 'picocolors'
import { Failure, exitCodes } from './failure.ts'

export type Colours = ReturnType<typeof picocolors.createColors>

export interface Terminal {
  stdin: Readable
  stdout: Writable
  stderr: Writable
  env: Readonly<Record<string, string | undefined>>
  /** A person looks at standard output. */
  stdoutIsTty: boolean
  /** A person can be asked. */
  canAsk: boolean
  /** Columns and rows of the window, read anew each time; undefined into a pipe: nothing is cut. */
  size: () => { columns: number; rows: number } | undefined
  colours: Colours
  errorColours: Colours
  now: () => number
  /** Aborted by Ctrl-C, or when whoever reads the output has gone (`cadre tasks list | head -1`). */
  signal: AbortSignal
}

export const interrupted = 'interrupted'
export const readerGone = 'reader gone'

interface Stream {
  isTTY?: boolean
}

const isTerminal = (stream: Stream): boolean => stream.isTTY === true

const wantsColour = (stream: Stream, env: Terminal['env']): boolean =>
  isTerminal(stream) && !env['NO_COLOR'] && env['TERM'] !== 'dumb'

/** The terminal of this process; `close` takes its listeners off again. */
export function processTerminal(): Terminal & { close(): void } {
  const abort = new AbortController()
  const onInterrupt = () => {
    // A second Ctrl-C ends the process at once.
    process.removeListener('SIGINT', onInterrupt)
    abort.abort(interrupted)
  }
  const onOutputError = (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE' || error.code === 'ERR_STREAM_DESTROYED') abort.abort(readerGone)
    else throw error
  }
  process.on('SIGINT', onInterrupt)
  process.stdout.on('error', onOutputError)
  process.stderr.on('error', onOutputError)
  return {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    stdoutIsTty: isTerminal(process.stdout),
    canAsk: isTerminal(process.stdin) && isTerminal(process.stderr),
    size: () =>
      isTerminal(process.stdout) ? { columns: process.stdout.columns || 80, rows: process.stdout.rows || 24 } : undefined,
    colours: picocolors.createColors(wantsColour(process.stdout, process.env)),
    errorColours: picocolors.createColors(wantsColour(process.stderr, process.env)),
    now: () => Date.now(),
    signal: abort.signal,
    close: () => process.removeListener('SIGINT', onInterrupt),
  }
}

/** Waits where the reader is slower than we are. */
export async function write(terminal: Terminal, text: string): Promise<void> {
  if (terminal.signal.aborted || terminal.stdout.write(text)) return
  await new Promise<void>((resolve) => {
    const done = () => {
      terminal.stdout.off('drain', done).off('close', done).off('error', done)
      terminal.signal.removeEventListener('abort', done)
      resolve()
    }
    terminal.stdout.on('drain', done).on('close', done).on('error', done)
    terminal.signal.addEventListener('abort', done)
  })
}

/** Asks on standard error; anything but yes ends the command with nothing done. */
export async function confirm(terminal: Terminal, question: string): Promise<void> {
  const lines = createInterface({ input: terminal.stdin, output: terminal.stderr, terminal: false })
  terminal.stderr.write(`${question} [y/N] `)
  const answer = await new Promise<string>((resolve) => {
    const stop = () => resolve('')
    lines.once('line', resolve).once('close', stop)
    terminal.signal.addEventListener('abort', stop, { once: true })
  })
  lines.close()
  if (terminal.signal.aborted) throw new Failure(exitCodes.interrupted, 'Interrupted.')
  if (!/^y(?:es)?$/i.test(answer.trim())) throw new Failure(exitCodes.failed, 'Nothing was done.')
}
