// Makes dist/: the program as one bundle with lazy chunks, the API page's assets, the control room, and a note of what was built.
// Built aside and put in place by renaming, so that a build that fails or is cut short leaves the last good one standing.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, rmSync } from 'node:fs'
import { cp, mkdir, readdir, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { build as bundle } from 'esbuild'

const root = join(import.meta.dirname, '..')
const dist = join(root, 'dist')
const dashboard = join(root, 'dashboard')
// Within an ignored folder on the same file system: renaming out of it is one step, and no tool sees a half-made tree.
const workshop = join(root, '.runtime')
const fresh = join(workshop, `dist-${process.pid}`)
const previous = join(workshop, `previous-${process.pid}`)

/** CommonJS dependencies expect these three; esbuild fills them in only in CommonJS output. */
const banner = `import { createRequire as __createRequire } from 'node:module'
const require = __createRequire(import.meta.url)
const __bundleFile = import.meta.filename
const __bundleFolder = import.meta.dirname`

async function buildProgram(): Promise<void> {
  await bundle({
    absWorkingDir: root,
    entryPoints: { cadre: 'server/src/main.ts' },
    outdir: fresh,
    outExtension: { '.js': '.mjs' },
    chunkNames: 'chunks/[name]-[hash]',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node22',
    sourcemap: 'external',
    legalComments: 'none',
    logLevel: 'warning',
    banner: { js: banner },
    define: { __filename: '__bundleFile', __dirname: '__bundleFolder' },
    // Native accelerators that their owners try to load and do without.
    external: ['bufferutil', 'utf-8-validate', '@napi-rs/canvas'],
  })
}

async function copyApiPage(): Promise<void> {
  await cp(join(root, 'node_modules/@fastify/swagger-ui/static'), join(fresh, 'docs'), { recursive: true })
}

let vite: ChildProcess | undefined

/** A process of its own: it uses the second core while the program is bundled, and its plugins look around in their own folder. */
async function buildDashboard(): Promise<void> {
  const program = join(root, 'node_modules/vite/bin/vite.js')
  const args = [program, 'build', '--outDir', join(fresh, 'dashboard'), '--emptyOutDir', '--logLevel', 'warn']
  vite = spawn(process.execPath, args, { cwd: dashboard, stdio: ['ignore', process.stderr, process.stderr] })
  const [code] = await once(vite, 'close')
  if (code !== 0) throw new Error('vite could not build the control room')
}

/** The note's time stamp is that of the beginning: a source edited during the build is then newer than the build. */
async function writeNote(began: Date): Promise<void> {
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
  const note = { version, built_at: began.toISOString(), node: process.version }
  await writeFile(join(fresh, 'build.json'), `${JSON.stringify(note)}\n`)
  await utimes(join(fresh, 'build.json'), began, began)
}

async function putInPlace(): Promise<void> {
  if (existsSync(dist)) await rename(dist, previous)
  await rename(fresh, dist)
  await rm(previous, { recursive: true, force: true })
}

/** Folders of builds that were killed; a process id that answers belongs to one still at work. */
async function removeLeftovers(): Promise<void> {
  for (const name of await readdir(workshop)) {
    const pid = /^(?:dist|previous)-(\d+)$/.exec(name)?.[1]
    if (pid !== undefined && !isAlive(Number(pid))) await rm(join(workshop, name), { recursive: true, force: true })
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

async function timed(step: string, work: () => Promise<void>): Promise<void> {
  const since = performance.now()
  await work()
  process.stderr.write(`cadre: ${step} in ${((performance.now() - since) / 1000).toFixed(1)} s\n`)
}

/** Ended early, by a signal or a failure: nothing of this build stays behind, neither its folder nor its process. */
function leaveNothingBehind(): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1))
  process.once('exit', () => {
    vite?.kill()
    rmSync(fresh, { recursive: true, force: true })
  })
}

async function main(): Promise<void> {
  const began = new Date()
  await mkdir(workshop, { recursive: true })
  await removeLeftovers()
  leaveNothingBehind()
  await mkdir(fresh)
  const steps = [timed('built the program', buildProgram), copyApiPage()]
  if (existsSync(join(dashboard, 'vite.config.ts'))) steps.push(timed('built the control room', buildDashboard))
  await Promise.all(steps)
  await writeNote(began)
  await putInPlace()
}

await main().catch((error: unknown) => {
  // esbuild and vite have printed their own findings with file and line; the first line of the reason is enough here.
  process.stderr.write(`cadre: build failed: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}\n`)
  process.exit(1)
})
