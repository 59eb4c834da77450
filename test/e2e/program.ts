/** The real program in a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { type Http, makeHttp } from '../../server/src/testing.ts'

const root = join(import.meta.dirname, '../..')

/** The built program when it is newer than its sources, otherwise the sources themselves. */
export const program = isBuilt() ? join(root, 'dist/cadre.mjs') : join(root, 'server/src/main.ts')

function isBuilt(): boolean {
  const note = join(root, 'dist/build.json')
  if (!existsSync(note)) return false
  const built = statSync(note).mtimeMs
  const newest = ['contract/src', 'server/src', 'agents/src', 'sdk/typescript/src'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith('.ts') && !/\.(test|suite)\.ts$/.test(entry.name))
      .map((entry) => statSync(join(entry.parentPath, entry.name)).mtimeMs),
  )
  return newest.every((changed) => changed <= built)
}

export interface Running extends Http {
  child: ChildProcess
  port: number
  /** Address of the socket. */
  socketUrl: string
  /** Milliseconds from the start of the process to the line that says it is ready. */
  readyMs: number
  /** What it printed so far, both streams. */
  said(): string
  /** Sends the signal and answers the exit code, or the signal that ended it. */
  end(signal: NodeJS.Signals): Promise<number | NodeJS.Signals>
}

/** Starts `cadre start`; rejects with what it printed when it ends before it is ready. */
export async function launch(settings: Record<string, string>): Promise<Running> {
  const said: string[] = []
  const since = performance.now()
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', program, 'start'], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], CADRE_PORT: '0', ...settings },
  })
  const exit = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>
  child.stderr.on('data', (chunk) => said.push(String(chunk)))
  const port = await new Promise<number>((resolve, reject) => {
    child.stdout.on('data', (chunk) => {
      said.push(String(chunk))
      const found = /ready at http:\/\/localhost:(\d+)/.exec(said.join(''))
      if (found) resolve(Number(found[1]))
    })
    void exit.then(() => reject(new Error(`The server ended: ${said.join('')}`)))
  })
  return {
    ...makeHttp(`http://127.0.0.1:${port}`),
    child,
    port,
    socketUrl: `ws://127.0.0.1:${port}/ws`,
    readyMs: performance.now() - since,
    said: () => said.join(''),
    async end(signal) {
      child.kill(signal)
      const [code, killedBy] = await exit
      return code ?? killedBy ?? 'SIGKILL'
    },
  }
}

/** Resident memory in MB, where the system tells. */
export function residentMb(pid: number): number | undefined {
  try {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024
  } catch {
    return undefined
  }
}
