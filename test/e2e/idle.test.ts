/** Ten thousand connections that do nothing: held, small, pinged a few at a time, and each as near as if it were alone. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '../../server/src/testing.ts'
import { verifies } from '../verifies.ts'
import { type Running, launch } from './program.ts'

const full = process.env['CADRE_TEST_FULL'] === '1'
const connections = full ? 10_000 : 2_000
/** Resident, as the target has it, where there are enough of them to tell; otherwise what they hold on the heap. */
const [residentKib, heapKib] = [12, 6]
const spareFiles = 500

/** Runs in the server before it: collects garbage and tells what is left, when asked by a signal. */
const probe = `process.on('SIGUSR2', async () => {
  for (let round = 0; round < 4; round++) { gc(); await new Promise((done) => setTimeout(done, 50)) }
  process.stderr.write('memory ' + JSON.stringify(process.memoryUsage()) + '\\n')
})`

/** Why it cannot be tried here; undefined when it can. */
function obstacle(): string | undefined {
  if (!existsSync('/proc/self/limits')) return 'the system does not tell how many files may be open'
  const allowed = Number(
    /Max open files\s+\d+\s+(\d+)/.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? Number.POSITIVE_INFINITY,
  )
  return allowed < connections + spareFiles
    ? `a process may open ${allowed} files; ulimit -n ${connections + spareFiles} is needed`
    : undefined
}

/** Resolves with the first line that matches, of all that `read` has said by then; the deadline is that of the test. */
async function line(read: () => string, wanted: RegExp, signal: AbortSignal): Promise<RegExpExecArray> {
  for (;;) {
    const found = wanted.exec(read())
    if (found) return found
    signal.throwIfAborted()
    await new Promise((done) => setTimeout(done, 50))
  }
}

async function memoryOf(server: Running, signal: AbortSignal): Promise<NodeJS.MemoryUsage> {
  const before = server.said().length
  server.child.kill('SIGUSR2')
  const [, text] = await line(() => server.said().slice(before), /memory (\{.*\})\n/, signal)
  return JSON.parse(text as string) as NodeJS.MemoryUsage
}

interface Clients {
  child: ChildProcess
  said: () => string
}

function hold(port: number, count: number, name?: string): Clients {
  const child = spawn(
    process.execPath,
    [
      '--disable-warning=ExperimentalWarning',
      join(import.meta.dirname, 'idle-clients.ts'),
      String(port),
      String(count),
      ...(name === undefined ? [] : [name]),
    ],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  )
  let said = ''
  child.stdout.on('data', (chunk) => (said += String(chunk)))
  return { child, said: () => said }
}

async function end({ child }: Clients): Promise<void> {
  const exited = once(child, 'exit')
  child.stdin?.end()
  await exited
}

verifies(
  'WSE-15',
  `${connections} idle connections are held, small, pinged in turn, and a message reaches one of them`,
  async (t) => {
    const folder = temporaryFolder()
    t.after(() => folder.remove())
    const server = await launch({
      CADRE_DATA: folder.path,
      LOG_LEVEL: 'warn',
      NODE_OPTIONS: `--expose-gc --import=data:text/javascript,${encodeURIComponent(probe)}`,
    })
    t.after(() => server.end('SIGKILL'))
    // Code that was never run before would count as the first connections'.
    const warm = hold(server.port, 100)
    await line(warm.said, /^open 100$/m, t.signal)
    await end(warm)
    const count = async () => (await server.call('GET', '/api/v1/metrics'))['connections']
    while ((await count()) !== 0) await new Promise((done) => setTimeout(done, 20))
    const before = await memoryOf(server, t.signal)

    const half = connections / 2
    const clients = [hold(server.port, half, 'far'), hold(server.port, half)]
    t.after(() => clients.forEach(({ child }) => child.kill('SIGKILL')))
    for (const { said } of clients) await line(said, new RegExp(`^open ${half}$`, 'm'), t.signal)
    assert.equal(await count(), connections)
    const after = await memoryOf(server, t.signal)
    const each = (of: (usage: NodeJS.MemoryUsage) => number) => (of(after) - of(before)) / connections / 1024
    const [resident, heap] = [each(({ rss }) => rss), each(({ heapUsed, external }) => heapUsed + external)]
    t.diagnostic(`${connections} connections: ${resident.toFixed(1)} KiB resident each, ${heap.toFixed(1)} KiB on the heap`)
    assert.ok(heap <= heapKib, `${heap} KiB on the heap`)
    if (full) assert.ok(resident <= residentKib, `${resident} KiB resident`)

    await server.call('POST', '/messages', { to: 'far', content: 'are you there' })
    const [got] = await line(clients[0]?.said as () => string, /^got .*$/m, t.signal)
    assert.match(got, /are you there/)

    if (full) {
      // A turn of the wheel is fifteen seconds.
      for (const { child, said } of clients) {
        for (let total = 0; total < half; ) {
          await new Promise((done) => setTimeout(done, 500))
          const from = said().length
          child.stdin?.write('pings\n')
          const [, pings, most] = await line(() => said().slice(from), /^pings (\d+) (\d+)$/m, t.signal)
          total = Number(pings)
          assert.ok(Number(most) <= half / 8, `${most} pings in a tenth of a second`)
        }
      }
    }
    for (const { said } of clients) assert.doesNotMatch(said(), /error|closed/)
    for (const each of clients) await end(each)
    while ((await count()) !== 0) await new Promise((done) => setTimeout(done, 20))
    assert.doesNotMatch(server.said(), /"level":"error"|\berror\b/)
  },
  { timeout: 150_000, skip: obstacle() },
)
