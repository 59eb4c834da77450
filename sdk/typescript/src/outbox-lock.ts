/**
 * One process at a time. Whoever has the outbox is named in a file beside it, `<path>-1`, `<path>-2`, ...: the highest number counts, and
 * taking over from one that is gone means to create the next number, which succeeds for one process alone. So nothing has to be cleaned
 * up after a `kill -9`: a process of this machine is looked up by its id and, on Linux, the time it was started, which tells a restarted
 * container's process 1 from the one before. Of another machine or container the file's age speaks, renewed every 3 s.
 */
import { CadreClientError } from './errors.ts'

const renewal = 3_000
const staleAfter = 12_000

interface Owner {
  pid: number
  started: string
  host: string
  /** It was given back; the file stays, because numbers only rise. */
  free?: boolean
}

export interface FileLock {
  /** Throws `outbox_locked` when somebody took it over: this process must have stood still for long. */
  check(): Promise<void>
  release(): Promise<void>
}

export async function lockFile(path: string): Promise<FileLock> {
  const { readFile, readdir, rm, stat, utimes, writeFile } = await import('node:fs/promises')
  const { hostname } = await import('node:os')
  const names = await import('node:path')
  const place = (number: number) => `${path}-${number}`
  const numbers = async () => {
    const prefix = `${names.basename(path)}-`
    const found = (await readdir(names.dirname(path))).filter((name) => name.startsWith(prefix))
    return found.map((name) => Number(name.slice(prefix.length))).filter((number) => Number.isSafeInteger(number))
  }
  const started = async (pid: number) => {
    const text = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '')
    // The program's name, in parentheses, may hold spaces.
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? ''
  }
  const holder = async (number: number): Promise<Owner | undefined> => {
    const owner = await readFile(place(number), 'utf8')
      .then((text) => JSON.parse(text) as Owner)
      .catch(() => undefined)
    if (owner?.free) return undefined
    if (owner?.host === hostname()) return isAlive(owner.pid) && (await started(owner.pid)) === owner.started ? owner : undefined
    // Of another machine, or not written out yet.
    const changed = await stat(place(number)).catch(() => undefined)
    return changed && Date.now() - changed.mtimeMs < staleAfter ? (owner ?? { pid: 0, started: '', host: '' }) : undefined
  }
  const highest = Math.max(0, ...(await numbers()))
  const former = highest > 0 ? await holder(highest) : undefined
  if (former) throw locked(path, former)
  const own = highest + 1
  const self: Owner = { pid: process.pid, started: await started(process.pid), host: hostname() }
  await writeFile(place(own), JSON.stringify(self), { mode: 0o600, flag: 'wx' }).catch((error: NodeJS.ErrnoException) => {
    throw error.code === 'EEXIST' ? locked(path, undefined) : error
  })
  for (const number of await numbers()) {
    if (number > own) {
      await rm(place(own), { force: true })
      throw locked(path, undefined)
    }
    if (number < own) await rm(place(number), { force: true })
  }
  const exists = (number: number) => stat(place(number)).then(Boolean, () => false)
  // Who takes over creates the next number and removes this one.
  const isOurs = async () => (await exists(own)) && !(await exists(own + 1))
  const timer = setInterval(() => void utimes(place(own), new Date(), new Date()).catch(() => {}), renewal)
  timer.unref()
  return {
    async check() {
      if (!(await isOurs())) throw locked(path, await holder(own + 1))
    },
    async release() {
      clearInterval(timer)
      if (await isOurs()) await writeFile(place(own), JSON.stringify({ ...self, free: true }))
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
    `The outbox is in use by ${owner ? `process ${owner.pid} on ${owner.host}` : 'another process'}; give each process a file of its own, or remove the files ${path}-* if that one is gone.`,
    { retryable: true, parameters: { path, pid: owner?.pid, host: owner?.host } },
  )
