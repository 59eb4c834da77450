/**
 * One process at a time: a file beside the outbox names who has it. It is held against living processes only, so nothing has to be
 * cleaned up after a `kill -9`: a process of this machine is looked up by its id and, on Linux, the time it was started, which tells a
 * restarted container's process 1 from the one before; of another machine or container the file's age speaks, renewed every 3 s.
 */
import { CadreClientError } from './errors.ts'

const renewal = 3_000
const staleAfter = 12_000
/** Two processes that find the same leftover both replace it; the later one wins, and the earlier one sees that after this. */
const contest = 60

interface Owner {
  pid: number
  started: string
  host: string
  token: string
}

export interface FileLock {
  /** Throws `outbox_locked` when somebody took it over: this process must have stood still for long. */
  check(): Promise<void>
  release(): Promise<void>
}

export async function lockFile(path: string): Promise<FileLock> {
  const { link, readFile, rename, rm, stat, utimes, writeFile } = await import('node:fs/promises')
  const { hostname } = await import('node:os')
  const token = globalThis.crypto.randomUUID()
  const started = async (pid: number) => {
    const text = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '')
    // The program's name, in parentheses, may hold spaces.
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? ''
  }
  const read = async (): Promise<Owner | undefined> => {
    try {
      return JSON.parse(await readFile(path, 'utf8')) as Owner
    } catch {
      return undefined
    }
  }
  const isHeld = async (owner: Owner): Promise<boolean> => {
    if (owner.host === hostname()) return isAlive(owner.pid) && (await started(owner.pid)) === owner.started
    const changed = await stat(path).catch(() => undefined)
    return changed !== undefined && Date.now() - changed.mtimeMs < staleAfter
  }
  const own: Owner = { pid: process.pid, started: await started(process.pid), host: hostname(), token }
  // Made aside and linked in whole, so that nobody ever reads half of it.
  const aside = `${path}.${token}`
  await writeFile(aside, JSON.stringify(own), { mode: 0o600, flag: 'wx' })
  try {
    const isFirst = await link(aside, path).then(
      () => true,
      (error: NodeJS.ErrnoException) => {
        if (error.code === 'EEXIST') return false
        throw error
      },
    )
    if (!isFirst) {
      const owner = await read()
      if (owner && (await isHeld(owner))) throw locked(path, owner)
      await rename(aside, path)
      await new Promise((resolve) => setTimeout(resolve, contest))
    }
  } finally {
    await rm(aside, { force: true })
  }
  const check = async () => {
    const owner = await read()
    if (owner?.token !== token) throw locked(path, owner)
  }
  await check()
  const timer = setInterval(() => void utimes(path, new Date(), new Date()).catch(() => {}), renewal)
  timer.unref()
  return {
    check,
    async release() {
      clearInterval(timer)
      if ((await read())?.token === token) await rm(path, { force: true })
    },
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

const locked = (path: string, owner: Owner | undefined): CadreClientError =>
  new CadreClientError(
    'outbox_locked',
    `The outbox is in use${owner ? ` by process ${owner.pid} on ${owner.host}` : ''}; give each process a file of its own, or remove ${path} if that one is gone.`,
    { retryable: true, parameters: { path, pid: owner?.pid, host: owner?.host } },
  )
