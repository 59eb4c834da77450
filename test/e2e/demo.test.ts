/** The demo from outside: the program is started as a user starts it, and every promise of its JSON is checked by code of this file alone. */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { pdfOf } from '../../agents/src/documents/pdf-sample.ts'
import { verifies } from '../verifies.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const bundle = join(root, 'dist', 'cadre.mjs')
/** The built program, as users have it; the sources where it is not built, or where a developer asks for them. */
const program = process.env['CADRE_TEST_SOURCES'] !== '1' && existsSync(bundle) ? bundle : join(root, 'server', 'src', 'main.ts')
const runMs = 60_000

interface Citation {
  document: string
  chunk: number
  start: number
  end: number
  quote: string
}
interface Report {
  goal: string
  report: { markdown: string; claims: { text: string; citations: Citation[]; supported: boolean }[] }
  documents: { document: string; text?: string }[]
  skipped: { document: string; reason: string }[]
  tasks: {
    id: string
    title: string
    status: string
    agent: string | null
    attempts: number
    depends_on: string[]
    started_at: string
    completed_at: string
  }[]
  messages: { sent: number; delivered: number; acknowledged: number; redelivered: number; dead: number }
  kills: { worker: string; at: string; recovered_ms: number }[]
  tool_calls: { key: string; attempts: number; executions: number }[]
  seconds: number
}

const scratch = mkdtempSync(join(tmpdir(), 'cadre-demo-test-'))
after(() => rmSync(scratch, { recursive: true, force: true }))

function folderOf(name: string, files: Record<string, string | Uint8Array>): string {
  const folder = join(scratch, name)
  mkdirSync(folder)
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), content)
  }
  return folder
}

const months = Array.from({ length: 12 }, (_, month) => `2025-${String(month + 1).padStart(2, '0')}`)
const ferry = folderOf('ferry', {
  // A byte order mark and CRLF: both belong to the text that offsets count.
  'reports/incident.md':
    '\uFEFF# The ferry\r\n\r\n## Incident\r\n\r\nThe ferry stopped because its rudder chain broke on 3 June 2025. The repair took nine days.\r\n',
  'costs.txt': 'Costs\n\nThe repair of the rudder chain cost 48,200 euros. Öl 🚢 was refilled for 900 euros.\n',
  'passengers.csv': `month,passengers\n${months.map((month, at) => `${month},${4000 + at * 150 - (at === 5 ? 3000 : 0)}`).join('\n')}\n`,
  'board.html':
    '<html><head><title>Board</title></head><body><nav>Home</nav><h1>Board meeting</h1><p>The board decided to replace the rudder chain of the second ferry as well.</p></body></html>',
  'manual.pdf': pdfOf(['The rudder chain must be greased every 40 days.']),
  'old.txt': Buffer.from('Die F\xe4hre l\xe4uft seit 1998.', 'latin1'),
  'broken.pdf': '%PDF-1.4\nthis is no page',
})
const ferryGoal =
  'Why did the ferry stop, what did the repair of the rudder chain cost, how did passengers develop, and how often must the chain be greased?'

interface Run {
  code: number | null
  stdout: string
  stderr: string
}

function demo(...args: string[]): Promise<Run> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', program, 'demo', ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: runMs,
      env: offline(),
    })
    let [stdout, stderr] = ['', '']
    child.stdout.setEncoding('utf8').on('data', (piece: string) => (stdout += piece))
    child.stderr.setEncoding('utf8').on('data', (piece: string) => (stderr += piece))
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, stdout, stderr }))
  })
}

/** No model, no proxy and no setting of the machine that runs the test. */
function offline(): NodeJS.ProcessEnv {
  const kept = ['PATH', 'HOME', 'TMPDIR', 'SystemRoot', 'TEMP']
  return Object.fromEntries(kept.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])))
}

async function reportOf(...args: string[]): Promise<Report & { stderr: string }> {
  const { code, stdout, stderr } = await demo(...args, '--json')
  assert.equal(code, 0, stderr)
  assert.equal(stdout.trimEnd().split('\n').length, 1, 'stdout holds one line of JSON and nothing else')
  return { ...(JSON.parse(stdout) as Report), stderr }
}

const keysOf = (value: object): string[] => Object.keys(value).toSorted()
const sorted = (words: string): string[] => words.split(' ').toSorted()

function checkForm(report: Report, folder: string): void {
  assert.deepEqual(
    keysOf(report).filter((key) => key !== 'stderr'),
    sorted('goal report documents skipped tasks messages kills tool_calls seconds'),
  )
  assert.deepEqual(keysOf(report.report), ['claims', 'markdown'])
  for (const entry of report.documents) {
    assert.ok(existsSync(join(folder, entry.document)), entry.document)
    if (/\.(?:html|pdf)$/.test(entry.document)) assert.equal(typeof entry.text, 'string', entry.document)
  }
  for (const task of report.tasks) {
    assert.deepEqual(keysOf(task), sorted('id title status agent attempts depends_on started_at completed_at'))
    assert.ok(Date.parse(task.started_at) <= Date.parse(task.completed_at), task.title)
  }
  assert.deepEqual(keysOf(report.messages), sorted('sent delivered acknowledged redelivered dead'))
  for (const call of report.tool_calls) assert.deepEqual(keysOf(call), ['attempts', 'executions', 'key'])
  for (const kill of report.kills) assert.deepEqual(keysOf(kill), ['at', 'recovered_ms', 'worker'])
  assert.ok(report.seconds > 0 && report.seconds <= 60)
}

/** The text that offsets count, from the file's own bytes: byte order mark and CRLF stay. */
function textOf(report: Report, folder: string, document: string): string {
  const published = report.documents.find((entry) => entry.document === document)
  assert.ok(published, `${document} is cited and not listed`)
  if (/\.(?:html|pdf)$/.test(document)) return published.text as string
  return new TextDecoder('utf-8', { ignoreBOM: true, fatal: true }).decode(readFileSync(join(folder, document)))
}

function checkCitations(report: Report, folder: string): void {
  const { claims, markdown } = report.report
  for (const claim of claims) {
    assert.deepEqual(keysOf(claim), ['citations', 'supported', 'text'])
    assert.ok(markdown.includes(claim.text), `the report lacks: ${claim.text}`)
    assert.ok(claim.citations.length > 0, claim.text)
    for (const citation of claim.citations) {
      assert.deepEqual(keysOf(citation), sorted('document chunk start end quote'))
      assert.equal(textOf(report, folder, citation.document).slice(citation.start, citation.end), citation.quote)
      assert.ok(citation.quote.length > 0 && Number.isInteger(citation.chunk) && citation.chunk >= 0)
      assert.ok(markdown.includes(`\`${citation.document}\`, characters ${citation.start}–${citation.end}`))
    }
  }
}

/** Every task stands after all it depends on, so the graph has no circle. */
function checkGraph(report: Report): void {
  const ended = new Map(report.tasks.map((task) => [task.id, Date.parse(task.completed_at)]))
  assert.equal(ended.size, report.tasks.length)
  for (const task of report.tasks)
    for (const need of task.depends_on) {
      const before = ended.get(need)
      assert.ok(before !== undefined && before <= Date.parse(task.started_at), `${task.title} began before what it needs`)
    }
}

const answerOf = (report: Report, wanted: RegExp) =>
  report.report.claims.find((claim) => claim.supported && wanted.test(claim.text))

verifies(
  ['AGT-03', 'AGT-05', 'AGT-07', 'AGT-27', 'TSK-09', 'MSG-16'],
  'a team answers a goal over real documents; one worker is killed, its work moves on, and the report is the same as without',
  async () => {
    const report = await reportOf('--docs', ferry, '--goal', ferryGoal)
    checkForm(report, ferry)
    checkCitations(report, ferry)
    checkGraph(report)
    assert.equal(report.goal, ferryGoal)
    assert.deepEqual(
      report.documents.map((entry) => entry.document),
      ['board.html', 'costs.txt', 'manual.pdf', 'old.txt', 'passengers.csv', 'reports/incident.md'],
    )
    assert.deepEqual(
      report.skipped.map((entry) => entry.document),
      ['broken.pdf'],
    )

    const cause = answerOf(report, /stopped because its rudder chain broke/)
    assert.deepEqual(
      cause?.citations.map((citation) => citation.document),
      ['reports/incident.md'],
    )
    assert.equal(answerOf(report, /48,200 euros/)?.citations[0]?.document, 'costs.txt')
    assert.equal(answerOf(report, /Passengers rose from 4,000 in 2025-01/)?.citations[0]?.document, 'passengers.csv')
    assert.equal(answerOf(report, /every 40 days/)?.citations[0]?.document, 'manual.pdf')
    const asked = ['rudder chain broke', '48,200 euros', 'Passengers rose', 'every 40 days']
    const places = asked.map((words) => report.report.markdown.indexOf(words))
    assert.deepEqual(
      places,
      places.toSorted((a, b) => a - b),
      'the answers come in the order of the questions',
    )

    assert.ok(report.tasks.length >= 4 && report.tasks.length <= 8)
    assert.ok(report.tasks.every((task) => task.status === 'completed' && task.agent !== null))
    assert.ok(new Set(report.tasks.map((task) => task.agent)).size >= 4, 'the work is shared out')

    const [kill, ...more] = report.kills
    assert.ok(kill)
    assert.deepEqual(more, [])
    assert.ok(kill.recovered_ms > 0 && kill.recovered_ms < 20_000)
    const moved = report.tasks.filter((task) => task.attempts > 1)
    assert.equal(moved.length, 1)
    assert.equal(moved[0]?.attempts, 2)
    assert.notEqual(moved[0]?.agent, kill.worker)
    assert.match(String(moved[0]?.agent).replace(/-\d$/, ''), new RegExp(`^${kill.worker.replace(/-\d$/, '')}$`))

    assert.ok(report.tool_calls.every((call) => call.executions === 1))
    const repeated = report.tool_calls.filter((call) => call.attempts === 2)
    assert.equal(repeated.length, 1)
    assert.ok(repeated[0]?.key.startsWith(moved[0]?.id ?? 'no task moved'))

    const { sent, delivered, acknowledged, redelivered, dead } = report.messages
    assert.equal(redelivered, 1)
    assert.equal(dead, 0)
    assert.equal(acknowledged, sent)
    assert.equal(delivered, sent + redelivered)
    assert.match(report.stderr, new RegExp(`message msg_\\w+ goes to ${kill.worker} again`))

    const calm = await reportOf('--docs', ferry, '--goal', ferryGoal, '--no-kill')
    checkForm(calm, ferry)
    assert.deepEqual(calm.kills, [])
    assert.equal(calm.messages.redelivered, 0)
    assert.ok(calm.tasks.every((task) => task.attempts === 1))
    assert.deepEqual(calm.report, report.report)
  },
  { timeout: 2 * runMs },
)

const library = folderOf('library', { 'library.txt': 'The library opens at nine. It was founded in 1921 by Ada Brenner.\n' })

test('what the documents do not say is not made up, and a folder of one document still loses a worker', async () => {
  const report = await reportOf('--docs', library, '--goal', 'What is the melting point of tungsten?')
  checkForm(report, library)
  assert.deepEqual(report.report.claims, [])
  assert.match(report.report.markdown, /The documents do not say\./)
  assert.equal(report.kills.length, 1)
})

test('an interrupted demo leaves no process and no folder behind', { skip: process.platform === 'win32' }, async () => {
  const own = join(scratch, 'tmp')
  mkdirSync(own)
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', program, 'demo', '--docs', library, '--goal', 'Who founded it?'],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: runMs,
      detached: true,
      env: { ...offline(), TMPDIR: own },
    },
  )
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (piece: string) => (stderr += piece))
  const closed = new Promise<number | null>((resolve) => child.once('close', resolve))
  await new Promise<void>((resolve, reject) => {
    let stdout = ''
    child.stdout.setEncoding('utf8').on('data', (piece: string) => {
      stdout += piece
      if (stdout.includes('running by knowledge-1')) resolve()
    })
    child.once('close', () => reject(new Error(`it ended by itself: ${stdout}${stderr}`)))
  })
  process.kill(-(child.pid as number), 'SIGINT')
  assert.equal(await closed, 1)
  assert.match(stderr, /^The demo was interrupted\.$/m)
  assert.deepEqual(readdirSync(own), [])
  assert.throws(() => process.kill(-(child.pid as number), 0), { code: 'ESRCH' }, 'a process of the demo goes on')
})

const empty = folderOf('empty', {})
const corrupt = folderOf('corrupt', { 'a.pdf': '%PDF-1.7\nnothing', 'b.docx': 'PK' })
const refused: [string, string[], number, RegExp][] = [
  ['an empty folder', ['--docs', empty, '--goal', 'Why?'], 1, /holds no documents/],
  ['a missing folder', ['--docs', join(scratch, 'nowhere'), '--goal', 'Why?'], 1, /does not exist/],
  ['a file for a folder', ['--docs', join(library, 'library.txt'), '--goal', 'Why?'], 1, /is a file, not a folder/],
  ['nothing readable', ['--docs', corrupt, '--goal', 'Why?'], 1, /None of the files .* could be read\. a\.pdf: /],
  ['a wrong option', ['--dogs', library], 2, /Unknown option '--dogs'[\s\S]*Usage:/],
  ['no goal', ['--docs', library], 2, /--goal/],
  ['an empty goal', ['--docs', library, '--goal', '  '], 2, /The goal is empty/],
]
for (const [title, args, code, said] of refused) {
  test(`a clear sentence and no stack trace: ${title}`, () => {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', program, 'demo', ...args, '--json'],
      { encoding: 'utf8', timeout: runMs, env: offline() },
    )
    assert.equal(status, code, stderr)
    assert.equal(stdout, '')
    assert.match(stderr, said)
    assert.doesNotMatch(stderr, /\n\s+at /)
  })
}
