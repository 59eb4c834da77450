import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type FinalResult, type GoalInput, type LoadedDocument, readFolder } from '@cadre/agents'
import type { LogEntry, OutputOf } from '@cadre/contract'
import { type Hub, connect } from '@cadre/sdk'
import pc from 'picocolors'
import { readConfig } from '../../config.ts'
import { type RunningServer, startServer } from '../../server.ts'
import { assetsFolder, workerCommand } from '../start.ts'
import { Board } from './board.ts'
import { type Kill, Killer } from './kill.ts'
import type { DemoOptions } from './options.ts'

/** The demo cannot give an answer; its message is one sentence. */
export class DemoFailure extends Error {}

const leaseMs = 2_000
/** Longer than a lease, so that the colleague is seen to take over. */
const restartMs = 2_600
const paceMs = 450
const teamMs = 30_000
const jobMs = 110_000
const settleMs = 15_000
/** Larger files are named in `skipped`: reading one of 50 MB into the index takes longer than a demo should. */
const limits = { file_bytes: 16 * 1024 * 1024, total_bytes: 48 * 1024 * 1024 }

/** Two of those whose work can be taken over by a colleague. */
const team: readonly (readonly [type: string, ...names: string[]])[] = [
  ['coordinator', 'coordinator-1'],
  ['decomposer', 'decomposer-1'],
  ['knowledge', 'knowledge-1'],
  ['researcher', 'researcher-1', 'researcher-2'],
  ['analyst', 'analyst-1', 'analyst-2'],
  ['writer', 'writer-1'],
  ['oversight', 'oversight-1'],
]

export async function runDemo(options: DemoOptions): Promise<number> {
  const out = options.json ? process.stderr : process.stdout
  const { documents, skipped } = await readFolder(options.docs, limits)
  if (documents.length === 0) throw new DemoFailure(nothingToRead(options.docs, skipped))
  const startedAt = Date.now()
  const data = mkdtempSync(join(tmpdir(), 'cadre-demo-'))
  const closers: (() => unknown)[] = [() => (options.keep ? undefined : rmSync(data, { recursive: true, force: true }))]
  const interrupted = new AbortController()
  const interrupt = () => interrupted.abort(new DemoFailure('The demo was interrupted.'))
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, interrupt)
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
        LOG_LEVEL: 'silent',
      }),
      workerCommand: workerCommand(),
      assets: assetsFolder(),
    })
    closers.push(() => server.close())
    const hub = await connect(server.url)
    closers.push(() => hub.close())
    out.write(`${pc.bold('Cadre demo')}: ${documents.length} document${documents.length === 1 ? '' : 's'} from ${options.docs}\n`)
    out.write(`control room: ${server.signInUrl()}\n`)
    for (const { document, reason } of skipped) out.write(`${pc.yellow('skipped')} ${document}: ${reason}\n`)
    const outcome = await Promise.race([job(options, server, hub, documents, skipped, out), aborted(interrupted.signal)])
    const seconds = (Date.now() - startedAt) / 1000
    report(options, outcome, documents, skipped, seconds, out)
    if (options.keep) out.write(`data kept in ${data}: look at it with CADRE_DATA=${data} npm start\n`)
    return 0
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, interrupt)
    for (const close of closers.reverse()) await close()
  }
}

interface Outcome {
  result: FinalResult
  tasks: { task: OutputOf<'tasks.list'>['items'][number]; attempts: number }[]
  metrics: OutputOf<'system.metrics'>
  calls: OutputOf<'tools.calls'>['items']
  kills: Kill[]
}

async function job(
  options: DemoOptions,
  server: RunningServer,
  hub: Hub,
  documents: readonly LoadedDocument[],
  skipped: GoalInput['skipped'],
  out: NodeJS.WriteStream,
): Promise<Outcome> {
  await gather(hub)
  out.write(`team: ${team.flatMap(([, ...names]) => names).join(', ')}\n\n`)
  const board = new Board(options.goal, out)
  const killer = new Killer({
    team: new Map(team.map(([type, ...names]) => [type, names])),
    pidOf: (agent) => server.workerPid(agent),
    say: (text) => board.say(text),
  })
  const stop = hub.events.watch((entry: LogEntry) => {
    if (entry.type === 'task.created' && !board.cards.has(entry.subject)) {
      const { task_id: id, title } = entry.data as { task_id: string; title: string }
      if (id !== goalTask)
        board.expect({
          id,
          title,
          state: 'pending',
          agent: null,
          attempt: 0,
          progress: 0,
          note: null,
          startedAt: null,
          endedAt: null,
        })
    }
    board.apply(entry)
    if (entry.type === 'message.redelivered') {
      const { message_id, agent } = entry.data as { message_id: string; agent: string }
      board.say(`↻ message ${message_id} goes to ${agent} again`)
    }
    if (entry.type === 'tool.called' && (entry.data as { state: string }).state === 'recalled') {
      const { tool, executions } = entry.data as { tool: string; executions: number }
      board.say(`= ${tool} was asked for again and not run again (executions: ${executions})`)
    }
    if (options.kill) killer.apply(entry)
  })
  let goalTask = ''
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
    const { run_id, ...result } = await handle.result<FinalResult & { run_id: string }>({ timeout: jobMs })
    await settled(hub, killer)
    return { result, ...(await collect(hub, run_id)), kills: killer.kills }
  } finally {
    stop()
    board.close()
  }
}

/** Starts the team and waits until everybody is there. */
async function gather(hub: Hub): Promise<void> {
  const names = team.flatMap(([type, ...members]) => members.map((name) => ({ type, name })))
  await Promise.all(names.map(({ type, name }) => hub.call('agents.spawn', { type, name, capabilities: [type] })))
  const deadline = Date.now() + teamMs
  for (;;) {
    const { items } = await hub.agents.list({ limit: 100 })
    const { items: tools } = await hub.tools.list()
    if (items.filter((agent) => agent.status === 'idle').length === names.length && tools.length > 0) return
    if (Date.now() > deadline)
      throw new DemoFailure(
        `Only ${items.filter((agent) => agent.status === 'idle').length} of ${names.length} agents came up within ${teamMs / 1000} s.`,
      )
    await new Promise((done) => setTimeout(done, 50))
  }
}

async function upload(hub: Hub, documents: readonly LoadedDocument[]): Promise<GoalInput['documents']> {
  const entries: GoalInput['documents'] = []
  for (const { document, kind, text } of documents) {
    const { id } = await hub.artifacts.upload(new TextEncoder().encode(text), {
      name: document,
      media_type: 'text/plain; charset=utf-8',
    })
    entries.push({ document, kind, artifact: id, characters: text.length })
  }
  return entries
}

/** The killed worker comes back and finds its message: wait for that, so that the counts tell the whole story. */
async function settled(hub: Hub, killer: Killer): Promise<void> {
  const deadline = Date.now() + settleMs
  while (Date.now() < deadline) {
    const { messages } = await hub.call('system.metrics', {})
    if (killer.settled && messages.waiting === 0 && messages.leased === 0) return
    await new Promise((done) => setTimeout(done, 50))
  }
}

async function collect(hub: Hub, runId: string): Promise<Pick<Outcome, 'tasks' | 'metrics' | 'calls'>> {
  const { items } = await hub.call('tasks.list', { run_id: runId, limit: 500 })
  const tasks = await Promise.all(
    items.reverse().map(async (task) => ({ task, attempts: (await hub.call('tasks.get', { id: task.id })).attempts.length })),
  )
  const { items: calls } = await hub.tools.calls({ limit: 500 })
  return { tasks, calls, metrics: await hub.call('system.metrics', {}) }
}

function report(
  options: DemoOptions,
  { result, tasks, metrics, calls, kills }: Outcome,
  documents: readonly LoadedDocument[],
  skipped: GoalInput['skipped'],
  seconds: number,
  out: NodeJS.WriteStream,
): void {
  const { sent, ...counts } = {
    sent: metrics.messages.total,
    delivered: metrics.messages.delivered,
    acknowledged: metrics.messages.acknowledged,
    redelivered: metrics.messages.redelivered,
    dead: metrics.messages.dead,
  }
  const claims = result.answered ? result.report.claims : []
  if (options.json) {
    const document = {
      goal: options.goal,
      report: {
        markdown: result.report.markdown,
        claims: claims.map(({ text, citations, supported }) => ({ text, citations, supported })),
      },
      documents: documents.map(({ document: name, text, extracted, encoding }) => ({
        document: name,
        ...((extracted || encoding !== 'utf-8') && { text }),
      })),
      skipped: skipped.map(({ document: name, reason }) => ({ document: name, reason })),
      tasks: tasks.map(({ task, attempts }) => ({
        id: task.id,
        title: task.title,
        status: task.status,
        agent: task.assigned_to,
        attempts,
        depends_on: task.depends_on,
        started_at: task.started_at,
        completed_at: task.completed_at,
      })),
      messages: { sent, ...counts },
      kills,
      tool_calls: calls.map(({ key, attempts, executions }) => ({ key, attempts, executions })),
      seconds: Math.round(seconds * 100) / 100,
    }
    process.stdout.write(`${JSON.stringify(document)}\n`)
  } else out.write(`\n${result.report.markdown}\n`)
  const struck =
    result.struck > 0
      ? `oversight struck out ${result.struck} of ${result.report.claims.length} sentences`
      : `oversight checked ${result.report.claims.length} sentences and found each in its source`
  out.write(
    `${pc.dim(`${struck}; ${sent} messages, ${counts.redelivered} delivered again, ${calls.length} tool calls, ${seconds.toFixed(1)} s`)}\n`,
  )
}

function nothingToRead(folder: string, skipped: readonly { document: string; reason: string }[]): string {
  if (skipped.length === 0) return `The folder ${folder} holds no documents; put .md .txt .csv .json .html or .pdf files into it.`
  const reasons = skipped.slice(0, 5).map(({ document, reason }) => `${document}: ${reason}`)
  return `None of the files in ${folder} could be read. ${reasons.join(' ')}${skipped.length > 5 ? ` (${skipped.length - 5} more)` : ''}`
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }))
}
