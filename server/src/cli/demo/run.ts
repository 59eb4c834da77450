/** The demo's way from a folder and a goal to a report: server, team, job, a kill in the middle, and everything closed again. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type FinalResult, type GoalInput, type LoadedDocument, readFolder } from '@cadre/agents'
import type { LogEntry } from '@cadre/contract'
import { CadreClientError, type Hub, connect } from '@cadre/sdk'
import pc from 'picocolors'
import { readConfig } from '../../config.ts'
import { type RunningServer, startServer } from '../../server.ts'
import { assetsFolder, workerCommand } from '../start.ts'
import { Board } from './board.ts'
import { DemoFailure } from './failure.ts'
import { Killer } from './kill.ts'
import type { DemoOptions } from './options.ts'
import { type Outcome, asJson, closingLine, collect, count, wrapped } from './outcome.ts'
import { gather, team } from './team.ts'

const leaseMs = 2_000
/** Longer than a lease, so that the colleague is seen to take over. */
const restartMs = 2_600
const paceMs = 450
const jobMs = 110_000
const settleMs = 15_000
const uploadsAtOnce = 8
const skippedShown = 10
/** Larger files are named in `skipped`: reading one of 50 MB into the index takes longer than a demo should. */
const limits = { file_bytes: 16 * 1024 * 1024, total_bytes: 48 * 1024 * 1024 }

export async function runDemo(options: DemoOptions): Promise<number> {
  const out = options.json ? process.stderr : process.stdout
  const { documents, skipped } = await readFolder(options.docs, limits)
  if (documents.length === 0) throw new DemoFailure(nothingToRead(options.docs, skipped))
  const startedAt = Date.now()
  const data = mkdtempSync(join(tmpdir(), 'cadre-demo-'))
  const closers: (() => unknown)[] = [() => (options.keep ? undefined : rmSync(data, { recursive: true, force: true }))]
  const interrupted = new AbortController()
  const interrupt = () => interrupted.abort(new DemoFailure('The demo was interrupted.'))
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, interrupt)
  try {
    const server = await startServer({
      config: readConfig({
        ...process.env,
        CADRE_HOST: '127.0.0.1',
        CADRE_PORT: '0',
        PORT: '',
        CADRE_DATA: data,
        CADRE_AUTH: 'local',
        CADRE_LEASE_MS: String(leaseMs),
        CADRE_WORKER_RESTART_MS: String(restartMs),
        LOG_LEVEL: process.env['LOG_LEVEL'] ?? 'silent',
      }),
      workerCommand: workerCommand(),
      assets: assetsFolder(),
    })
    closers.push(() => server.close())
    const hub = await connect(server.url)
    closers.push(() => hub.close())
    out.write(`${pc.bold('Cadre demo')}: ${count(documents.length, 'document')} from ${options.docs}\n`)
    out.write(`control room: ${server.signInUrl()}\n`)
    for (const { document, reason } of skipped.slice(0, skippedShown))
      out.write(`${pc.yellow('skipped')} ${document}: ${reason}\n`)
    if (skipped.length > skippedShown) out.write(`${pc.yellow('skipped')} ${skipped.length - skippedShown} more\n`)
    const outcome = await job(options, server, hub, documents, skipped, out, interrupted.signal)
    const seconds = (Date.now() - startedAt) / 1000
    if (options.json) await written(process.stdout, `${JSON.stringify(asJson(outcome, seconds))}\n`)
    else {
      const { markdown } = outcome.result.report
      out.write(`\n${out.isTTY ? wrapped(markdown, Math.min(110, out.columns - 1)) : markdown}\n`)
    }
    out.write(`${closingLine(outcome, seconds)}\n`)
    if (options.keep) out.write(`data kept in ${data}: look at it with CADRE_DATA=${data} npm start\n`)
    return 0
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.off(signal, interrupt)
    for (const close of closers.reverse()) await close()
  }
}

async function job(
  options: DemoOptions,
  server: RunningServer,
  hub: Hub,
  documents: readonly LoadedDocument[],
  skipped: GoalInput['skipped'],
  out: NodeJS.WriteStream,
  signal: AbortSignal,
): Promise<Outcome> {
  await gather(hub, signal)
  out.write(`team: ${team.flatMap(([, ...names]) => names).join(', ')}\n\n`)
  const board = new Board(options.goal, out)
  const killer = new Killer({
    team: new Map(team.map(([type, ...names]) => [type, names])),
    pidOf: (agent) => server.workerPid(agent),
    say: (text) => board.say(text),
  })
  let goalTask = ''
  const place = async (id: string) => {
    const task = await hub.call('tasks.get', { id }).catch(() => undefined)
    if (task) board.place(id, task.depends_on)
  }
  const stop = hub.events.watch((entry: LogEntry) => {
    if (entry.subject !== goalTask) board.apply(entry)
    if (entry.type === 'task.created') void place(entry.subject)
    tell(entry, board)
    if (options.kill) killer.apply(entry)
  })
  try {
    const input: GoalInput = {
      goal: options.goal,
      collection: 'documents',
      skipped,
      pace_ms: paceMs,
      lease_ms: leaseMs,
      documents: await upload(hub, documents),
    }
    const handle = await hub.task.create({
      title: 'Answer the goal',
      description: options.goal.slice(0, 2000),
      agent_type: 'coordinator',
      input,
      lease_ms: leaseMs,
    })
    goalTask = handle.id
    board.leaveOut(goalTask)
    const { run_id, ...result } = await handle.result<FinalResult & { run_id: string }>({ timeout: jobMs, signal })
    await settled(hub, killer, signal)
    return { goal: options.goal, documents, skipped, result, ...(await collect(hub, run_id)), kills: killer.kills }
  } catch (error) {
    throw error instanceof CadreClientError ? new DemoFailure(reasonOf(error), { cause: error }) : error
  } finally {
    stop()
    board.close()
  }
}

/** What shows that nothing is lost and nothing happens twice. */
function tell(entry: LogEntry, board: Board): void {
  if (entry.type === 'message.redelivered') {
    const { message_id, agent } = entry.data as { message_id: string; agent: string }
    board.say(`↻ message ${message_id} goes to ${agent} again, under the same id`)
  } else if (entry.type === 'tool.called' && (entry.data as { state: string }).state === 'recalled') {
    const { tool, executions } = entry.data as { tool: string; executions: number }
    board.say(`= ${tool} was asked for again and not run again (executions: ${executions})`)
  }
}

async function upload(hub: Hub, documents: readonly LoadedDocument[]): Promise<GoalInput['documents']> {
  const entries: GoalInput['documents'] = []
  for (let at = 0; at < documents.length; at += uploadsAtOnce) {
    const batch = documents.slice(at, at + uploadsAtOnce).map(async ({ document, kind, text }) => {
      const { id } = await hub.artifacts.upload(new TextEncoder().encode(text), {
        name: document,
        media_type: 'text/plain; charset=utf-8',
      })
      return { document, kind, artifact: id, characters: text.length }
    })
    entries.push(...(await Promise.all(batch)))
  }
  return entries
}

/** The killed worker comes back and finds its message: wait for that, so that the counts tell the whole story. */
async function settled(hub: Hub, killer: Killer, signal: AbortSignal): Promise<void> {
  const deadline = Date.now() + settleMs
  while (Date.now() < deadline) {
    signal.throwIfAborted()
    const { messages } = await hub.call('system.metrics', {})
    if (killer.settled && messages.waiting === 0 && messages.leased === 0) return
    await new Promise((done) => setTimeout(done, 50))
  }
}

/** Resolves when the other end of the pipe has it: a large document must not be cut off by the end of the process. */
function written(stream: NodeJS.WriteStream, text: string): Promise<void> {
  return new Promise((resolve, reject) => stream.write(text, (error) => (error ? reject(error) : resolve())))
}

const reasonOf = ({ message }: CadreClientError): string =>
  message.includes('server log')
    ? 'The server met an error of its own: run the demo with LOG_LEVEL=error to see it.'
    : `The team could not finish: ${message}`

function nothingToRead(folder: string, skipped: readonly { document: string; reason: string }[]): string {
  if (skipped.length === 0) return `The folder ${folder} holds no documents; put .md .txt .csv .json .html or .pdf files into it.`
  const reasons = skipped.slice(0, 5).map(({ document, reason }) => `${document}: ${reason}`)
  return `None of the files in ${folder} could be read. ${reasons.join(' ')}${skipped.length > 5 ? ` (${skipped.length - 5} more)` : ''}`
}
