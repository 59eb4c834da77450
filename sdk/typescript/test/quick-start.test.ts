/** What a user writes first: it compiles, for Node and for browsers, and it runs. */
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { build } from 'esbuild'
import { verifies } from '../../../test/verifies.ts'
import { openHouse } from './house.ts'
import { gate } from './scripted-server.ts'

const root = join(import.meta.dirname, '../../..')
const programs = join(import.meta.dirname, 'programs')

async function compile(name: string, files: Record<string, string>, options: Record<string, unknown>): Promise<void> {
  // Within the checkout, where the packages are found as a user's program finds them.
  const place = join(root, '.runtime', `${name}-${process.pid}`)
  await mkdir(place, { recursive: true })
  try {
    for (const [file, text] of Object.entries(files)) await writeFile(join(place, file), text)
    const config = { extends: '../../tsconfig.base.json', compilerOptions: options, include: ['*.mts'] }
    await writeFile(join(place, 'tsconfig.json'), JSON.stringify(config))
    const tsc = join(root, 'node_modules/typescript/bin/tsc')
    const { stdout } = await promisify(execFile)(process.execPath, [tsc, '-p', place]).catch((error: { stdout?: string }) => ({
      stdout: error.stdout ?? String(error),
    }))
    assert.equal(stdout, '')
  } finally {
    await rm(place, { recursive: true, force: true })
  }
}

verifies('SDK-09', 'the quick starts compile, for Node and for browsers', async () => {
  const guide = await readFile(join(root, 'docs/getting-started.md'), 'utf8')
  const blocks = [...guide.matchAll(/^```ts run\n([\s\S]*?)^```$/gm)].map(([, text]) => text ?? '')
  assert.ok(blocks.length > 0)
  const node = {
    'plan.mts': await readFile(join(programs, 'channel-plan.ts'), 'utf8'),
    ...Object.fromEntries(blocks.map((text, index) => [`guide-${index}.mts`, text])),
  }
  const browser = { 'page.mts': await readFile(join(programs, 'browser-start.ts'), 'utf8') }
  await Promise.all([
    compile('quick-start-node', node, {}),
    compile('quick-start-browser', browser, { lib: ['es2024', 'dom', 'dom.iterable'], types: [] }),
  ])
  // Nothing of Node is left over in what a page loads.
  const { metafile } = await build({
    entryPoints: [join(programs, 'browser-start.ts')],
    bundle: true,
    format: 'esm',
    platform: 'browser',
    write: false,
    metafile: true,
    logLevel: 'silent',
  })
  const imports = Object.values(metafile.outputs).flatMap((output) => output.imports)
  assert.deepEqual(imports, [])
})

verifies(
  ['SDK-01', 'SDK-02', 'SDK-03', 'SDK-04', 'SDK-05', 'SDK-06', 'SDK-07', 'SDK-08'],
  'the example of the channel plan runs as it stands',
  async (t) => {
    const { url, join: enter } = await openHouse(t)
    const analysis = await enter('analysis_agent', { type: 'llm' })
    const heard = gate<unknown>()
    const assigned = gate<string>()
    analysis.onMessage((message) => heard.open([message.sender, message.content]))
    analysis.onTask((task) => {
      assigned.open(`${task.title}: ${task.description} (${task.priority})`)
      return 'analysed'
    })
    const program = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', join(programs, 'channel-plan.ts'), url], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    t.after(() => program.kill('SIGKILL'))
    const lines = createInterface({ input: program.stdout })[Symbol.asyncIterator]()
    const created = String((await lines.next()).value).replace('created ', '')
    assert.deepEqual(await heard.opened, ['research_agent', 'Starting research task...'])
    assert.equal(await assigned.opened, 'Analyze data: Process the dataset (1)')
    assert.equal(await analysis.task.handle(created).result({ timeout: 10_000 }), 'analysed')
    assert.deepEqual((await analysis.memory.get('research_results'))?.value, { findings: '...' })
    const sent = await analysis.send('research_agent', 'thanks')
    assert.equal((await lines.next()).value, 'Received: thanks')
    assert.equal((await sent.acknowledged({ timeout: 10_000 })).status, 'acknowledged')
    const back = await analysis.task.create({ title: 'Look again', assign_to: 'research_agent' })
    assert.deepEqual(await back.result({ timeout: 10_000 }), { done: 'Look again' })
    const { items } = await analysis.agents.list({ presence: 'online' })
    assert.deepEqual(items.find(({ name }) => name === 'research_agent')?.type, 'llm')
    const ended = once(program, 'exit')
    program.kill('SIGTERM')
    await ended
  },
  { timeout: 60_000 },
)

test('the outboxes are modules of their own, without anything of the other world', async () => {
  const bundle = async (entry: string, platform: 'browser' | 'node') => {
    const { metafile, outputFiles } = await build({
      entryPoints: [join(import.meta.dirname, '../src', entry)],
      bundle: true,
      minify: true,
      format: 'esm',
      platform,
      write: false,
      metafile: true,
    })
    const imports = Object.values(metafile.outputs).flatMap((output) => output.imports.map(({ path }) => path))
    return { inputs: Object.keys(metafile.inputs), imports, text: outputFiles[0]?.text ?? '' }
  }
  const main = await bundle('index.ts', 'browser')
  assert.equal(
    main.inputs.some((path) => path.includes('outbox-file') || path.includes('durable-outbox')),
    false,
  )
  assert.deepEqual((await bundle('outbox-indexeddb.ts', 'browser')).imports, [])
  const file = await bundle('outbox-file.ts', 'node')
  assert.equal(
    file.imports.every((path) => path.startsWith('node:')),
    true,
  )
  const { exports } = JSON.parse(await readFile(join(import.meta.dirname, '../package.json'), 'utf8'))
  assert.deepEqual(Object.keys(exports), ['.', './outbox-file', './outbox-indexeddb'])
})
