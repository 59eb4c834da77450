/** `cadre start`: the server in the foreground until SIGTERM or SIGINT. */
import { fileURLToPath } from 'node:url'
import { CadreError } from '@cadre/contract'
import { ConfigError, readConfig } from '../config.ts'
import { startServer } from '../server.ts'
import { version } from '../core/version.ts'

const drainMs = 30_000

/** Where the built pages lie, beside the bundle or in the checkout. */
export const assetsFolder = (): string =>
  fileURLToPath(new URL(import.meta.url.includes('/server/src/') ? '../../../dist' : bundleRoot(), import.meta.url))

// The bundle may have put this file into its chunks folder.
const bundleRoot = (): string => (new URL(import.meta.url).pathname.includes('/chunks/') ? '..' : '.')

/** This very program, as the start of a worker's command line. */
export const workerCommand = (): [string, ...string[]] => [
  process.execPath,
  '--disable-warning=ExperimentalWarning',
  process.argv[1] as string,
  'worker',
]

export async function start(): Promise<number> {
  let server: Awaited<ReturnType<typeof startServer>>
  try {
    const config = readConfig(process.env)
    server = await startServer({ config, workerCommand: workerCommand(), assets: assetsFolder() })
    const lines = [
      `Cadre ${version} is ready at ${server.url}`,
      `  control room  ${server.signInUrl()}  (signs one browser in, once; \`npx cadre link\` makes another)`,
      `  API           ${server.url}/api/v1   documentation ${server.url}/docs`,
      `  data          ${config.data}`,
      config.auth === 'local'
        ? '  access        programs on this machine need no key'
        : '  access        API keys only (CADRE_AUTH=required)',
      ...(server.adminKey === undefined ? [] : [`  admin key     ${server.adminKey}  (shown this once: keep it)`]),
    ]
    process.stdout.write(`${lines.join('\n')}\n`)
  } catch (error) {
    if (error instanceof ConfigError || error instanceof CadreError) {
      process.stderr.write(`${error.message}\n`)
      return error instanceof ConfigError ? 2 : 1
    }
    throw error
  }
  const signal = await stopSignal()
  process.stderr.write(`${signal}: finishing what runs, then stopping\n`)
  const overdue = setTimeout(() => process.exit(1), drainMs)
  overdue.unref()
  await server.close()
  clearTimeout(overdue)
  return 0
}

function stopSignal(): Promise<string> {
  return new Promise((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.once(name, () => resolve(name))
  })
}
