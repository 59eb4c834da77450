// `npm run check`: format, types, lint, unused code and the import rules. A line per step; of a failing one, all it said.
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')

/** Arguments to Node, run from the root. */
type Check = { readonly name: string; readonly args: readonly string[] }
type Outcome = { readonly code: number; readonly output: string }

function listChecks(): Check[] {
  const tsc = 'node_modules/typescript/bin/tsc'
  const dashboard = join(root, 'dashboard', 'src')
  const hasDashboard = existsSync(dashboard) && readdirSync(dashboard).length > 0
  return [
    { name: 'lint', args: ['node_modules/oxlint/bin/oxlint', '--type-aware'] },
    { name: 'types', args: [tsc, '-p', '.'] },
    ...(hasDashboard ? [{ name: 'types of the dashboard', args: [tsc, '-p', 'dashboard'] }] : []),
    { name: 'unused code', args: ['node_modules/knip/bin/knip.js', '--no-progress', '--no-config-hints'] },
    { name: 'format', args: ['node_modules/@biomejs/biome/bin/biome', 'format', '.'] },
    // Dots, because the counts that close `npm test` must be the only ones in its output.
    { name: 'import rules', args: ['--test', '--test-reporter=dot', 'test/architecture.test.ts'] },
  ]
}

// Variables of the caller's that make tools and tests behave otherwise than on a clean machine.
const foreignNames = new Set(['NODE_OPTIONS', 'NODE_TEST_CONTEXT', 'PORT', 'LOG_LEVEL', 'DATABASE_URL', 'REDIS_URL', 'NATS_URL'])
const foreignFamilies = /^(?:CADRE_(?!TEST_)|OTEL_|KAFKA_|JAEGER_)|_(?:API_KEY|BASE_URL)$/

function cleanEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !foreignNames.has(name) && !foreignFamilies.test(name)),
  )
}

const children = new Set<ChildProcess>()
let stoppedBy: NodeJS.Signals | undefined

function stop(signal: NodeJS.Signals): void {
  stoppedBy = signal
  for (const child of children) child.kill(signal)
}

function isStopped(): boolean {
  return stoppedBy !== undefined
}

/**
 * Runs Node with `args` from the root, in a clean environment; resolves to its exit code (128 + n for a signal) and, if captured,
 * what it printed. Signals to this process go to it and nothing starts after them; past `limit_ms` it is killed.
 */
export function runNode(args: readonly string[], options: { capture: boolean; limit_ms: number }): Promise<Outcome> {
  if (stoppedBy !== undefined) return Promise.resolve({ code: 128 + constants.signals[stoppedBy], output: '' })
  if (process.listenerCount('SIGTERM') === 0)
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop)
  return new Promise((resolve, reject) => {
    const output: string[] = []
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', ...args], {
      cwd: root,
      env: cleanEnvironment(),
      stdio: options.capture ? ['ignore', 'pipe', 'pipe'] : 'inherit',
    })
    children.add(child)
    const limit = setTimeout(() => child.kill('SIGKILL'), options.limit_ms)
    for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', (text: string) => output.push(text))
    child.once('error', reject)
    child.once('close', (code, signal) => {
      clearTimeout(limit)
      children.delete(child)
      if (signal !== null) output.push(`ended by ${signal}\n`)
      resolve({ code: code ?? 128 + constants.signals[signal ?? 'SIGKILL'], output: output.join('') })
    })
  })
}

async function runCheck(check: Check): Promise<number> {
  const since = performance.now()
  const { code, output } = await runNode(check.args, { capture: true, limit_ms: 5 * 60_000 })
  const seconds = ((performance.now() - since) / 1000).toFixed(1)
  process.stdout.write(`${code === 0 ? '✔' : '✖'} ${check.name} (${seconds} s)\n${code === 0 ? '' : output}`)
  return code
}

/** Runs every check and prints a line for each; true when all passed. */
export async function runChecks(): Promise<boolean> {
  const waiting = listChecks()
  const codes: number[] = []
  const work = async () => {
    for (let next = waiting.shift(); next !== undefined && !isStopped(); next = waiting.shift()) codes.push(await runCheck(next))
  }
  // Two at a time: lint and types use every core they find, more of them would only wait for one another.
  await Promise.all([work(), work()])
  return !isStopped() && codes.every((code) => code === 0)
}

if (import.meta.main) process.exitCode = (await runChecks()) ? 0 : 1
