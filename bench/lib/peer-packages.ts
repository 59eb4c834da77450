/** The packages of the peers have a folder and a lockfile of their own; they are installed when first needed. */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const folder = fileURLToPath(new URL('../peers/', import.meta.url))
const limitMs = 180_000

/** Undefined when they are there, otherwise why not. */
export async function installPeers(tell: (line: string) => void): Promise<string | undefined> {
  if (existsSync(join(folder, 'node_modules', '.package-lock.json'))) return undefined
  tell('installing the packages of the peers into bench/peers')
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  const child = spawn('npm', args, { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'], timeout: limitMs })
  const code = await new Promise((resolve) => {
    child.once('exit', resolve)
    child.once('error', resolve)
  })
  return code === 0 ? undefined : 'the packages of the peers could not be installed (npm ci in bench/peers)'
}
