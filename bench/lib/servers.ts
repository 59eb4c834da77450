/** Servers in processes of their own, each on a free port with a temporary folder, ended by process id. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { accessSync, chownSync, constants, existsSync, statSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createConnection, createServer } from 'node:net'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { sleep, within } from './now.ts'
import type { Scope } from './scope.ts'
import { ServerControl, hookArguments } from './server-control.ts'

const run = promisify(execFile)
const startMs = 20_000
const root = fileURLToPath(new URL('../../', import.meta.url))

export interface Server {
  url: string
  pid: number
  /** Where it was started with the hook. */
  control?: ServerControl
}

export interface Hooked {
  /** Loads the hook, for what `ServerControl` can ask. */
  hook?: boolean
  /** Folder for profiles; the sources run then, so that they name their lines. */
  profile?: string | undefined
}

/** A reason why something could not be measured; it is printed as absent. */
export class Absent extends Error {}

/** The built server where there is one, otherwise the sources. */
export function startCadre(scope: Scope, hooked: Hooked = {}): Promise<Server> {
  const built = join(root, 'dist', 'cadre.mjs')
  const program = existsSync(built) && hooked.profile === undefined ? built : join(root, 'server', 'src', 'main.ts')
  return startNode(scope, [program, 'start'], hooked, {
    CADRE_DATA: scope.folder('cadre'),
    CADRE_PORT: '0',
    CADRE_HOST: '127.0.0.1',
    LOG_LEVEL: 'warn',
  })
}

/** A server of `ws` and nothing else. */
export const startBareSockets = (scope: Scope, hooked: Hooked = {}): Promise<Server> =>
  startNode(scope, [join(root, 'bench', 'peers', 'ws-server.ts')], hooked, {})

/** A program that prints `ready at http://<host>:<port>`. */
async function startNode(
  scope: Scope,
  program: readonly string[],
  { hook, profile }: Hooked,
  settings: Record<string, string>,
): Promise<Server> {
  const isHooked = hook === true || profile !== undefined
  const flags = ['--disable-warning=ExperimentalWarning', ...(isHooked ? hookArguments : [])]
  const child = scope.adopt(
    spawn(process.execPath, [...flags, ...program], {
      env: { ...process.env, ...settings },
      stdio: ['ignore', 'pipe', 'inherit', ...(isHooked ? ['ipc' as const] : [])],
    }),
  )
  let told = ''
  const port = await within(
    startMs,
    'starting the server',
    new Promise<string>((resolve, reject) => {
      child.stdout?.setEncoding('utf8').on('data', (text: string) => {
        told += text
        const match = /ready at http:\/\/\S+:(\d+)/.exec(told)
        if (match) resolve(match[1] as string)
      })
      child.once('exit', (code) => reject(new Error(`the server ended with ${code} before it was ready`)))
    }),
  )
  const server = { url: `http://127.0.0.1:${port}`, pid: child.pid as number }
  return isHooked ? { ...server, control: new ServerControl(child, profile) } : server
}

/**
 * NATS with JetStream on files. By itself it answers before it syncs and syncs every two minutes; `always` syncs before it answers, which
 * nats-server knows since 2.10.
 */
export async function startNats(scope: Scope, sync: 'default' | 'always'): Promise<Server> {
  const program = find('nats-server', ['/usr/sbin', '/usr/local/bin', ...(process.env['PATH'] ?? '').split(delimiter)])
  const [port, monitor] = [await freePort(), await freePort()]
  const folder = scope.folder('nats')
  const settings = join(folder, 'nats.conf')
  writeFileSync(
    settings,
    [
      `listen: "127.0.0.1:${port}"`,
      `http: "127.0.0.1:${monitor}"`,
      `jetstream { store_dir: ${JSON.stringify(join(folder, 'store'))}${sync === 'always' ? ', sync_interval: always' : ''} }`,
    ].join('\n'),
  )
  if (sync === 'always') {
    const { stdout } = await run(program, ['--version'])
    const [major = 0, minor = 0] = (/(\d+)\.(\d+)/.exec(stdout) ?? []).slice(1).map(Number)
    if (major < 2 || (major === 2 && minor < 10))
      throw new Absent(`${stdout.trim()} has no sync_interval: it cannot sync before it answers; 2.10 can`)
  }
  const child = scope.adopt(spawn(program, ['-c', settings], { stdio: 'ignore' }))
  await accepting(child, port, 'NATS')
  await accepting(child, monitor, 'the monitor of NATS')
  return { url: `nats://127.0.0.1:${port}?monitor=${monitor}`, pid: child.pid as number }
}

/** Redis that syncs its append-only file before it answers. */
export async function startRedis(scope: Scope): Promise<Server> {
  const program = find('redis-server', (process.env['PATH'] ?? '').split(delimiter))
  const port = await freePort()
  const settings = [
    '--appendonly yes',
    '--appendfsync always',
    '--auto-aof-rewrite-percentage 0',
    '--maxmemory-policy noeviction',
  ]
  const child = scope.adopt(
    spawn(
      program,
      [
        '--port',
        String(port),
        '--bind',
        '127.0.0.1',
        '--dir',
        scope.folder('redis'),
        '--save',
        '',
        ...settings.flatMap((setting) => setting.split(' ')),
      ],
      { stdio: 'ignore' },
    ),
  )
  await accepting(child, port, 'Redis')
  return { url: `redis://127.0.0.1:${port}`, pid: child.pid as number }
}

/** PostgreSQL that syncs its log before it answers. It refuses to run as root and then runs as the user postgres. */
export async function startPostgres(scope: Scope): Promise<Server> {
  const places = [17, 16, 15, 14].map((version) => `/usr/lib/postgresql/${version}/bin`)
  const program = find('postgres', [...places, ...(process.env['PATH'] ?? '').split(delimiter)])
  const initialise = join(program, '..', 'initdb')
  const owner = process.getuid?.() === 0 ? await userIds('postgres') : {}
  const folder = scope.folder('postgres')
  if (owner.uid !== undefined && owner.gid !== undefined) chownSync(folder, owner.uid, owner.gid)
  const data = join(folder, 'data')
  const place = { cwd: folder, env: { PATH: process.env['PATH'], LC_ALL: 'C' }, ...owner }
  const initialising = scope.adopt(
    spawn(initialise, ['-D', data, '-A', 'trust', '-U', 'postgres', '-E', 'UTF8'], { ...place, stdio: 'ignore' }),
  )
  const code = await new Promise((resolve) => initialising.once('exit', resolve))
  if (code !== 0) throw new Error(`initdb ended with ${String(code)}`)
  const port = await freePort()
  const settings = {
    listen_addresses: '127.0.0.1',
    fsync: 'on',
    synchronous_commit: 'on',
    max_connections: '200',
    shared_buffers: '256MB',
    max_wal_size: '4GB',
    logging_collector: 'off',
  }
  const child = scope.adopt(
    spawn(
      program,
      [
        '-D',
        data,
        '-p',
        String(port),
        '-k',
        folder,
        ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
      ],
      { ...place, stdio: 'ignore' },
    ),
    // Fast shutdown: ends sessions instead of waiting for them.
    'SIGINT',
  )
  await accepting(child, port, 'PostgreSQL')
  return { url: `postgres://postgres@127.0.0.1:${port}/postgres`, pid: child.pid as number }
}

function find(name: string, folders: readonly string[]): string {
  for (const folder of folders) {
    const path = join(folder, name)
    try {
      accessSync(path, constants.X_OK)
      if (statSync(path).isFile()) return path
    } catch {
      // Not here.
    }
  }
  throw new Absent(`${name} is not installed`)
}

async function userIds(user: string): Promise<{ uid?: number; gid?: number }> {
  try {
    const [uid, gid] = await Promise.all(['-u', '-g'].map(async (flag) => Number((await run('id', [flag, user])).stdout)))
    return { uid: uid as number, gid: gid as number }
  } catch {
    throw new Absent(`there is no user ${user} to run it as`)
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  await new Promise((done) => server.close(done))
  return port
}

async function accepting(child: ChildProcess, port: number, name: string): Promise<void> {
  let ended = false
  child.once('error', () => (ended = true))
  child.once('exit', () => (ended = true))
  for (const until = Date.now() + startMs; Date.now() < until && !ended; await sleep(20)) {
    const accepts = await new Promise<boolean>((resolve) => {
      const socket = createConnection(port, '127.0.0.1')
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
      socket.once('connect', () => socket.destroy())
    })
    if (accepts) return
  }
  throw new Error(ended ? `${name} ended while it started` : `${name} did not accept connections within ${startMs} ms`)
}
