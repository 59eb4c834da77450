/**
 * Run after a change of dependencies where `npm ci` then refuses the lockfile with "Missing: ... from lock file": npm leaves out optional
 * packages of other platforms that its registry does not carry, and afterwards insists on them. This writes them down by version, as npm
 * does where it finds them; on the platforms that use them npm fetches them as usual. `node scripts/complete-lock.ts [folder]`.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

interface Entry {
  version?: string
  dev?: boolean
  optional?: boolean
  os?: string[]
  cpu?: string[]
  libc?: string[]
  optionalDependencies?: Record<string, string>
}

const systems = ['android', 'darwin', 'freebsd', 'linux', 'openharmony', 'win32']
const path = join(process.argv[2] ?? '.', 'package-lock.json')
const lock = JSON.parse(readFileSync(path, 'utf8')) as { packages: Record<string, Entry> }
let added = 0
for (const [parentPath, parent] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(parent.optionalDependencies ?? {})) {
    if (lock.packages[`node_modules/${name}`] || lock.packages[`${parentPath}/node_modules/${name}`]) continue
    // The name says the platform: @scope/tool-linux-x64-musl.
    const words = (name.split('/').at(-1) ?? '').split('-')
    const os = systems.find((system) => words.includes(system))
    const cpu = os === undefined ? undefined : words[words.indexOf(os) + 1]
    if (os === undefined || cpu === undefined) continue
    const musl = words.some((word) => word.startsWith('musl'))
    const libc = os !== 'linux' ? undefined : musl ? 'musl' : words.some((word) => word.startsWith('gnu')) ? 'glibc' : undefined
    lock.packages[`node_modules/${name}`] = {
      version,
      cpu: [cpu],
      ...(parent.dev === true && { dev: true }),
      ...(libc !== undefined && { libc: [libc] }),
      optional: true,
      os: [os],
    }
    added += 1
  }
}
lock.packages = Object.fromEntries(Object.entries(lock.packages).toSorted(([a], [b]) => a.localeCompare(b, 'en')))
writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`)
process.stderr.write(`added ${added} optional packages of other platforms\n`)
