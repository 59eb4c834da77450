/** A terminal and a server for the tests of the command line. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable, Writable } from 'node:stream'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import picocolors from 'picocolors'
import { readConfig } from '../../config.ts'
import { type RunningServer, startServer } from '../../server.ts'
import { runProgram } from './program.ts'
import type { Terminal } from './terminal.ts'

export const mainFile = fileURLToPath(new URL('../../main.ts', import.meta.url))
export const nodeFlags = ['--disable-warning=ExperimentalWarning']

export interface Probe {
  terminal: Terminal
  stdout: () => string
  stderr: () => string
  interrupt: () => void
  /** Resolves when the text stands on standard output. */
  shows: (text: string) => Promise<void>
}

interface ProbeOptions {
  env?: Record<string, string>
  stdin?: string
  size?: { columns: number; rows: number }
  canAsk?: boolean
  colour?: boolean
}

export function makeProbe(options: ProbeOptions = {}): Probe {
  const abort = new AbortController()
  const waiting = new Set<() => void>()
  const collect = () => {
    const chunks: Buffer[] = []
    const stream = new Writable({
      write(chunk: Buffer, _encoding, done) {
        chunks.push(chunk)
        for (const check of waiting) check()
        done()
      },
    })
    return { stream, text: () => Buffer.concat(chunks).toString() }
  }
  const out = collect()
  const err = collect()
  const colours = picocolors.createColors(options.colour ?? false)
  return {
    terminal: {
      stdin: Readable.from(options.stdin === undefined ? [] : [Buffer.from(options.stdin)]),
      stdout: out.stream,
      stderr: err.stream,
      env: options.env ?? {},
      stdoutIsTty: options.size !== undefined,
      canAsk: options.canAsk ?? false,
      size: () => options.size,
      colours,
      errorColours: colours,
      now: () => Date.now(),
      signal: abort.signal,
    },
    stdout: out.text,
    stderr: err.text,
    interrupt: () => abort.abort('interrupted'),
    shows: (text) =>
      new Promise((resolve) => {
        const check = () => {
          if (!out.text().includes(text)) return
          waiting.delete(check)
          resolve()
        }
        waiting.add(check)
        check()
      }),
  }
}

export interface House {
  server: RunningServer
  folder: string
  /** Runs one command against the server. */
  cadre: (args: readonly string[], options?: ProbeOptions) => Promise<{ code: number; stdout: string; stderr: string }>
  /** The same with JSON: the parsed answer of a command that has to succeed. */
  json: (...args: string[]) => Promise<Record<string, unknown>>
}

export const startHouse = (data: string, env: Record<string, string>): Promise<RunningServer> =>
  startServer({
    config: readConfig({ CADRE_DATA: data, CADRE_PORT: '0', LOG_LEVEL: 'silent', ...env }),
    workerCommand: [process.execPath, ...nodeFlags, mainFile, 'worker'],
    assets: data,
    validateOutput: true,
  })

export async function openHouse(t: TestContext, env: Record<string, string> = {}): Promise<House> {
  const folder = await mkdtemp(join(tmpdir(), 'cadre-cli-'))
  const server = await startHouse(join(folder, 'data'), env)
  t.after(async () => {
    await server.close()
    await rm(folder, { recursive: true, force: true })
  })
  const cadre: House['cadre'] = async (args, options = {}) => {
    const probe = makeProbe({ ...options, env: { CADRE_URL: server.url, ...options.env } })
    const code = await runProgram(args, probe.terminal)
    return { code, stdout: probe.stdout(), stderr: probe.stderr() }
  }
  return {
    server,
    folder,
    cadre,
    json: async (...args) => {
      const { code, stdout, stderr } = await cadre([...args, '--json'])
      if (code !== 0) throw new Error(`cadre ${args.join(' ')} ended with ${code}: ${stderr}`)
      return JSON.parse(stdout) as Record<string, unknown>
    },
  }
}
