// Docs are executed. Of a fenced block, the words after its language say how:
//
//   bash run                     run by bash; `http://localhost:8000` is a fresh server, the same for all blocks of a page
//   ts run                       compiled, then run by Node against that server
//   ts background file=<path>    the text of that file, started before the blocks that follow and stopped at the end of the page
//
// A line `# => text` (`// => text` in TypeScript) says what the output holds, in that order.
import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { after, before, test } from 'node:test'
import { generateDocs } from '../scripts/gen-docs.ts'
import { type TestServer, startTestServer } from '../server/src/testing.ts'
import { verifies } from './verifies.ts'

const root = join(import.meta.dirname, '..')
// An ignored folder inside the checkout, so that the blocks find the packages as a user's program does.
const workshop = join(root, '.runtime', `docs-${process.pid}`)
const blockLimit = 20_000

type Block = {
  readonly language: string
  /** How it is executed, the empty word for not at all. */
  readonly how: string
  readonly file: string | undefined
  readonly line: number
  readonly text: string
}
type Page = { readonly path: string; readonly text: string; readonly blocks: readonly Block[] }

function markdownFiles(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return entry.name === 'results' ? [] : markdownFiles(path)
    return entry.name.endsWith('.md') ? [path] : []
  })
}

function readBlocks(text: string): Block[] {
  return [...text.matchAll(/^```(\w+)([^\n]*)\n([\s\S]*?)^```$/gm)].map((match) => {
    const words = (match[2] ?? '').trim().split(/\s+/)
    return {
      language: match[1] ?? '',
      how: words.find((word) => word === 'run' || word === 'background') ?? '',
      file: words.find((word) => word.startsWith('file='))?.slice('file='.length),
      line: text.slice(0, match.index).split('\n').length,
      text: match[3] ?? '',
    }
  })
}

const topFiles = readdirSync(root).filter((name) => name.endsWith('.md'))
const pages: readonly Page[] = [...topFiles, ...markdownFiles('docs')].sort().map((path) => {
  const text = readFileSync(join(root, path), 'utf8')
  return { path, text, blocks: readBlocks(text) }
})
const pageAt = (path: string): Page => {
  const page = pages.find((each) => each.path === path)
  assert.ok(page, `${path} is missing`)
  return page
}

// ---------------------------------------------------------------------------------------------------------------- execution

type Output = { code: number | null; text: string }

const environmentOf = (server: TestServer): NodeJS.ProcessEnv => ({
  PATH: process.env['PATH'],
  HOME: workshop,
  CADRE_URL: `http://127.0.0.1:${server.port}`,
  NO_PROXY: '*',
})

function start(
  program: string,
  args: readonly string[],
  server: TestServer,
): { child: ChildProcess; output: string[]; ended: Promise<Output> } {
  const child = spawn(program, args, { cwd: root, env: environmentOf(server), stdio: ['ignore', 'pipe', 'pipe'] })
  const output: string[] = []
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => output.push(text))
  const limit = setTimeout(() => child.kill('SIGKILL'), blockLimit)
  const ended = once(child, 'close').then(([code]): Output => {
    clearTimeout(limit)
    return { code: code as number | null, text: output.join('') }
  })
  return { child, output, ended }
}

const nodeArgs = (file: string) => ['--disable-warning=ExperimentalWarning', file]
/** `curl` as in the text, but an HTTP error is a failure and nothing waits for ever. */
const strict = 'set -euo pipefail\ncurl() { command curl --fail-with-body --no-progress-meter --max-time 15 "$@"; echo; }\n'

const blockFile = (page: Page, block: Block) => join(workshop, `${page.path.replaceAll(/[^\w]/g, '-')}-${block.line}.mts`)

async function execute(page: Page, block: Block, server: TestServer): Promise<void> {
  const script = strict + block.text.replaceAll('http://localhost:8000', `http://127.0.0.1:${server.port}`)
  const running =
    block.language === 'bash'
      ? start('bash', ['-c', script], server)
      : start(process.execPath, nodeArgs(blockFile(page, block)), server)
  const { code, text } = await running.ended
  const place = `${page.path}:${block.line}`
  assert.equal(code, 0, `${place} ended with ${code}:\n${text}`)
  let from = 0
  for (const [, wanted = ''] of block.text.matchAll(/^\s*(?:#|\/\/) => (.+)$/gm)) {
    const at = text.indexOf(wanted.trim(), from)
    assert.ok(at >= 0, `${place} promises "${wanted.trim()}", and says:\n${text}`)
    from = at + 1
  }
}

/** Starts what the page shows running; resolves once it has said that it is there. */
async function startBackground(page: Page, block: Block, server: TestServer): Promise<() => Promise<void>> {
  assert.ok(block.file, `${page.path}:${block.line} names no file`)
  assert.equal(block.text, readFileSync(join(root, block.file), 'utf8'), `${page.path}:${block.line} is not ${block.file}`)
  const { child, output, ended } = start(process.execPath, nodeArgs(join(root, block.file)), server)
  const said = child.stdout && once(child.stdout, 'data')
  const first = await Promise.race([ended, said])
  assert.ok(Array.isArray(first), `${block.file} ended at once:\n${output.join('')}`)
  return async () => {
    child.kill('SIGINT')
    const { code, text } = await ended
    assert.equal(code, 0, `${block.file} did not end well:\n${text}`)
  }
}

async function executePage(page: Page): Promise<void> {
  const server = await startTestServer()
  const stops: (() => Promise<void>)[] = []
  try {
    for (const block of page.blocks) {
      if (block.how === 'background') stops.push(await startBackground(page, block, server))
      if (block.how === 'run') await execute(page, block, server)
    }
    for (const stop of stops.splice(0)) await stop()
  } finally {
    await Promise.allSettled(stops.map((stop) => stop()))
    await server.close()
  }
}

const noCurl = spawnSync('curl', ['--version']).status === 0 ? undefined : 'curl is not installed'
const usesCurl = (page: Page) => page.blocks.some(({ how, language }) => how === 'run' && language === 'bash')
const executed = (page: Page) => page.blocks.filter(({ how }) => how !== '')

before(() => {
  mkdirSync(workshop, { recursive: true })
  for (const page of pages) {
    for (const block of page.blocks) {
      if (block.language === 'ts' && block.how === 'run') writeFileSync(blockFile(page, block), block.text)
    }
  }
})
after(() => rmSync(workshop, { recursive: true, force: true }))

test('every TypeScript block is executed, and so is every block that calls curl', () => {
  const idle = pages.flatMap((page) =>
    page.blocks
      .filter(({ language, how, text }) => how === '' && (language === 'ts' || (language === 'bash' && /^\s*curl /m.test(text))))
      .map(({ line }) => `${page.path}:${line}`),
  )
  assert.deepEqual(idle, [])
})

test('the TypeScript blocks compile', () => {
  writeFileSync(join(workshop, 'tsconfig.json'), JSON.stringify({ extends: '../../tsconfig.base.json', include: ['*.mts'] }))
  try {
    execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', workshop], {
      cwd: root,
      encoding: 'utf8',
    })
  } catch (error) {
    assert.fail((error as { stdout?: string }).stdout ?? String(error))
  }
})

const named = new Set(['docs/api.md', 'docs/sdk-guide.md', 'docs/deployment.md'])
for (const page of pages) {
  if (executed(page).length > 0 && !named.has(page.path))
    test(
      `${page.path} does as it says`,
      { timeout: 90_000, skip: usesCurl(page) && !process.env['CI'] ? (noCurl ?? false) : false },
      () => executePage(page),
    )
}

verifies(
  'OPS-14',
  'the API, SDK and deployment guides are there, and what they show works',
  async () => {
    for (const path of named) {
      const page = pageAt(path)
      assert.ok(executed(page).length > 0, `${path} shows nothing that can be tried`)
      await executePage(page)
    }
  },
  { timeout: 120_000, needs: 'curl', skip: noCurl },
)

// ------------------------------------------------------------------------------------------------------------------ agreement

test('the reference pages are those the contract yields', () => {
  for (const [path, text] of generateDocs()) {
    // Not `equal`: it would print both pages.
    assert.ok(readFileSync(join(root, path), 'utf8') === text, `${path} is old: run node scripts/gen-docs.ts`)
  }
})

/** The headings of a page as links name them. */
function anchors(text: string): Set<string> {
  const slugs = [...text.matchAll(/^#{1,6} (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .trim()
      .replaceAll(' ', '-'),
  )
  return new Set([...slugs, ...[...text.matchAll(/<a id="([^"]+)">/g)].map(([, id = '']) => id)])
}

test('every link within the repository leads somewhere', () => {
  const broken = pages.flatMap(({ path, text }) =>
    [...text.replaceAll(/^```[\s\S]*?^```$/gm, '').matchAll(/\]\(([^)\s]+)\)/g)]
      .map(([, target = '']) => target)
      .filter((target) => !/^(?:https?|mailto):/.test(target))
      .filter((target) => {
        const [file = '', anchor] = target.split('#')
        const full = file === '' ? join(root, path) : join(root, dirname(path), file)
        if (!existsSync(full)) return true
        return anchor !== undefined && !anchors(readFileSync(full, 'utf8')).has(anchor)
      })
      .map((target) => `${path}: ${target}`),
  )
  assert.deepEqual(broken, [])
})

/** `a/{b,c}.ts` -> `a/b.ts`, `a/c.ts`. */
function expand(path: string): string[] {
  const match = /^(.*?)\{([^{}]+)\}(.*)$/.exec(path)
  return match ? (match[2] ?? '').split(',').flatMap((part) => expand(`${match[1]}${part}${match[3]}`)) : [path]
}

const repositoryPath = /^(?:contract|server|sdk|agents|dashboard|test|bench|examples|docs|scripts)\/[\w.{},/-]*$/

test('every path that is named exists', () => {
  const missing = pages.flatMap(({ path, text }) =>
    [...text.matchAll(/`([^`\n]+)`/g)]
      .map(([, name = '']) => name)
      .filter((name) => repositoryPath.test(name) && !/NNNN|NN-/.test(name))
      .flatMap(expand)
      .filter((name) => !existsSync(join(root, name)))
      .map((name) => `${path}: ${name}`),
  )
  assert.deepEqual(missing, [])
})

test('every npm script that is named exists', () => {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: Record<string, string> }
  const unknown = pages.flatMap(({ path, text }) =>
    [...text.matchAll(/\bnpm run ([\w:-]+)/g)]
      .filter(([, name = '']) => !(name in scripts))
      .map(([found]) => `${path}: ${found}`),
  )
  assert.deepEqual(unknown, [])
})

test('the README lists every setting that is read, and no other', () => {
  const source = readFileSync(join(root, 'server/src/config.ts'), 'utf8')
  const schema = source.slice(source.indexOf('z.object({'), source.indexOf('\n})'))
  const read = [...schema.matchAll(/^ {2}([A-Z_]+): /gm)].map(([, name = '']) => name)
  const listed = [...pageAt('README.md').text.matchAll(/^\| `([A-Z_]+)` \|/gm)].map(([, name = '']) => name)
  assert.ok(read.includes('CADRE_PORT'), 'the settings were found')
  assert.deepEqual(listed.toSorted(), read.toSorted())
})

verifies('OPS-16', 'an MIT licence and a guide for contributors are in the repository', () => {
  assert.match(readFileSync(join(root, 'LICENSE'), 'utf8'), /^MIT License\b[\s\S]*without restriction/)
  assert.match(pageAt('CONTRIBUTING.md').text, /npm run check/)
  assert.match(pageAt('README.md').text, /\]\(CONTRIBUTING\.md\)[\s\S]*\]\(LICENSE\)/)
})

/** Rows of the map in ARCHITECTURE.md: what a source document names, and where it is here. */
function mapRows(): { documented: string; here: string }[] {
  const text = pageAt('ARCHITECTURE.md').text
  const section = text.slice(text.indexOf('## Where the documented folders are'))
  return [...section.matchAll(/^\| `([^`]+)` \| (.+?) \|$/gm)].map(([, documented = '', here = '']) => ({ documented, here }))
}

test('every folder and file the source documents draw has a row in the map', () => {
  const rows = new Set(mapRows().map(({ documented }) => documented))
  assert.deepEqual(
    documentedPaths.filter((path) => !rows.has(path)),
    [],
  )
})

verifies(
  'OPS-17',
  'every folder and file of the source documents is mapped to a path that exists',
  () => {
    const without = mapRows().filter(({ here }) => {
      const paths = [...here.matchAll(/`([^`]+)`/g)].flatMap(([, path = '']) => expand(path))
      return paths.length === 0 || !paths.every((path) => existsSync(join(root, path)))
    })
    assert.deepEqual(
      without.map(({ documented }) => documented),
      [],
    )
  },
  { knownFailure: 'containers, Kubernetes, Prometheus, Grafana and the Python SDK are not part of this release' },
)

test('the picture is small enough to load at once', () => {
  const { size } = statSync(join(root, 'docs/images/control-room.png'))
  assert.ok(size < 400_000, `${relative(root, 'docs/images/control-room.png')} has ${size} bytes`)
})

/** The trees of the orchestration platform (`services/` and so on) and of the communication channel (`backend/` and so on). */
const documentedPaths: readonly string[] = `
services/orchestrator/ services/orchestrator/api/ services/orchestrator/core/ services/orchestrator/core/agent_manager.py
services/orchestrator/core/task_scheduler.py services/orchestrator/core/state_coordinator.py services/orchestrator/config.py
services/orchestrator/main.py services/agent-worker/ services/agent-worker/agents/ services/agent-worker/agents/base_agent.py
services/agent-worker/agents/research_agent.py services/agent-worker/agents/analysis_agent.py services/agent-worker/execution/
services/agent-worker/execution/task_executor.py services/agent-worker/execution/memory_manager.py services/agent-worker/main.py
shared/database/ shared/events/ shared/models/ shared/observability/ infrastructure/postgres/ infrastructure/prometheus/
infrastructure/grafana/ kubernetes/ tests/unit/ tests/integration/ docker-compose.yml README.md
backend/app/api/agents.py backend/app/api/messages.py backend/app/api/tasks.py backend/app/api/memory.py backend/app/core/config.py
backend/app/core/database.py backend/app/core/security.py backend/app/models/agent.py backend/app/models/message.py
backend/app/models/task.py backend/app/models/memory.py backend/app/services/agent_service.py backend/app/services/message_service.py
backend/app/services/task_service.py backend/app/services/memory_service.py backend/app/websocket/connection_manager.py
backend/app/websocket/events.py backend/app/main.py backend/requirements.txt backend/alembic/ frontend/src/components/
frontend/src/pages/ frontend/src/hooks/ frontend/src/lib/ frontend/package.json frontend/vite.config.ts
agent-sdk/agent_sdk/__init__.py agent-sdk/agent_sdk/client.py agent-sdk/agent_sdk/models.py agent-sdk/setup.py
agent-sdk/requirements.txt docs/api.md docs/sdk-guide.md docs/deployment.md
`
  .trim()
  .split(/\s+/)
