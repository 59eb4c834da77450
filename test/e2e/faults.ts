/**
 * A run with faults: the program, senders and receivers in processes of their own, which are killed by plan while messages flow. Answers
 * the history that senders and receivers noted, with what the server says in the end.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import type { Agent, Message, MessageReceipt, OutputOf } from '@cadre/contract'
import { temporaryFolder } from '../../server/src/testing.ts'
import { type Fact, merge } from '../history/history.ts'
import type { ReceiverOrders } from './fault-receiver.ts'
import { type SenderOrders, contentOf, recipientsOf } from './fault-sender.ts'
import { readJournal } from './journal.ts'
import { type Running, launch } from './program.ts'

export interface FaultPlan {
  /** Over all senders. */
  messages: number
  senders: number
  receivers: number
  /** Conversations of each sender. */
  talks: number
  /** How the server ends, one life after the other: by a kill at some progress, or by itself at a place (`name:hits`). */
  serverEnds: readonly ('kill' | { failPoint: string })[]
  senderKills: number
  receiverKills: number
  random: () => number
  /** Settings for the server, beside its folder and port. */
  settings?: (folder: string) => Record<string, string>
  /** Between the end of the server and its next start. */
  afterEnd?: (folder: string) => void
  /** Milliseconds from the first message to empty inboxes. */
  limit: number
}

export interface FaultRun {
  history: Fact[]
  /** Fail points at which the server really ended. */
  reached: string[]
  kills: { server: number; sender: number; receiver: number }
  /** Milliseconds from the last fault to empty inboxes. */
  healedMs: number
  /** What their senders are told of messages of which a copy died. */
  receipts: MessageReceipt[]
}

const idBytes = 16
const pollMs = 10

export async function runWithFaults(plan: FaultPlan, cleanUp: (undo: () => Promise<void>) => void): Promise<FaultRun> {
  const data = temporaryFolder()
  const notes = temporaryFolder()
  const port = String(await freePort())
  const settings = { CADRE_DATA: data.path, CADRE_PORT: port, LOG_LEVEL: 'error', ...plan.settings?.(data.path) }
  const start = (failPoint?: string) => launch({ ...settings, ...(failPoint !== undefined && { CADRE_FAIL_POINT: failPoint }) })
  const kills = { server: 0, sender: 0, receiver: 0 }
  const reached: string[] = []
  const children = new Map<string, Child>()
  let server = await start()
  let ending = false
  cleanUp(async () => {
    ending = true
    for (const child of children.values()) await child.kill()
    await server.end('SIGKILL')
    data.remove()
    notes.remove()
  })

  const senders = Array.from({ length: plan.senders }, (_, at) => `sender-${at}`)
  const receivers = Array.from({ length: plan.receivers }, (_, at) => `receiver-${at}`)
  const url = `http://127.0.0.1:${port}`
  const file = (name: string) => join(notes.path, name)
  const each = Math.ceil(plan.messages / plan.senders)
  // Messages are let go a stretch at a time, or they would all be through before the second fault.
  const lives = plan.serverEnds.length + 1
  const open = (life: number) => writeFileSync(file('gate'), String(Math.ceil((each * (life + 1)) / lives)).padStart(9))
  open(0)
  const tokens = new Map<string, string>()
  for (const agent of [...senders, ...receivers]) {
    const { token } = await server.call<{ token: string }>('POST', '/agents/register', { name: agent })
    tokens.set(agent, token)
    const common = { url, agent, token, journal: file(`${agent}.journal`) }
    const orders: SenderOrders | ReceiverOrders = senders.includes(agent)
      ? { ...common, messages: each, talks: plan.talks, receivers, window: 2, gate: file('gate') }
      : { ...common, effects: file(`${agent}.effects`) }
    children.set(
      agent,
      keepRunning(senders.includes(agent) ? 'fault-sender.ts' : 'fault-receiver.ts', orders, () => ending),
    )
  }

  // Each effect is one line of an id, all ids of one length.
  const effects = () =>
    receivers.reduce((sum, name) => sum + (existsSync(file(`${name}.effects`)) ? statSync(file(`${name}.effects`)).size : 0), 0) /
    idBytes
  const expected = senders.reduce((sum, sender) => sum + countEffects(sender, each, plan.talks, receivers), 0)
  const deadline = performance.now() + plan.limit
  const until = async (done: () => boolean | Promise<boolean>, what: string) => {
    while (!(await done())) {
      const silent = [...children.values()].find((child) => child.failure() !== undefined)
      if (silent) throw new Error(`A process failed: ${silent.failure()}`)
      if (performance.now() > deadline)
        throw new Error(`${what} did not happen within ${plan.limit} ms; ${effects()} of ${expected} effects, ${server.said()}`)
      await new Promise((resolve) => setTimeout(resolve, pollMs))
    }
  }

  const moments = (count: number): number[] =>
    Array.from({ length: count }, () => Math.floor(plan.random() * expected * 0.9)).toSorted((a, b) => a - b)
  const killChildren = async (names: readonly string[], kind: 'sender' | 'receiver', count: number) => {
    for (const moment of moments(count)) {
      await until(() => effects() >= moment, `${moment} effects`)
      await children.get(names[Math.floor(plan.random() * names.length)] as string)?.kill()
      kills[kind] += 1
    }
  }
  const endServers = async () => {
    const stretch = expected / lives
    for (const [at, end] of plan.serverEnds.entries()) {
      const exit = once(server.child, 'exit')
      if (end === 'kill') {
        const moment = Math.floor((at + 0.8 * plan.random()) * stretch)
        await until(() => effects() >= moment, `${moment} effects`)
        server.child.kill('SIGKILL')
      } else {
        await until(() => server.child.exitCode !== null || server.child.signalCode !== null, `the end at ${end.failPoint}`)
        reached.push(end.failPoint.split(':')[0] as string)
      }
      await exitOf(server, exit)
      kills.server += 1
      plan.afterEnd?.(data.path)
      const next = plan.serverEnds[at + 1]
      server = await start(next === undefined || next === 'kill' ? undefined : next.failPoint)
      open(at + 1)
    }
  }
  const [first] = plan.serverEnds
  if (first !== undefined && first !== 'kill') throw new Error('The first life of the server ends by a kill')
  await Promise.all([
    endServers(),
    killChildren(senders, 'sender', plan.senderKills),
    killChildren(receivers, 'receiver', plan.receiverKills),
  ])

  const since = performance.now()
  const depths = async (): Promise<Record<string, number>> => {
    const { items } = await server.call<{ items: Agent[] }>('GET', '/agents?limit=100')
    return Object.fromEntries(items.map((agent) => [agent.name, agent.inbox_depth]))
  }
  const storedAll = () => senders.every((name) => countStored(file(`${name}.journal`)) >= each)
  await until(() => effects() >= expected, 'every effect')
  await until(storedAll, 'every answer to a sender')
  await until(async () => Object.values(await depths()).every((depth) => depth === 0), 'empty inboxes')
  const healedMs = performance.now() - since
  const letters = await readDeadLetters(server)
  const receipts = await readReceipts(server, letters, tokens)
  const final: Fact[] = [
    ...letters.map(({ agent, message, reason }): Fact => ({ fact: 'dead', agent, id: message.id, reason })),
    ...(await readStatuses(server, senders, tokens)),
    { fact: 'final', depths: await depths(), drained: true, told: senders },
  ]
  ending = true
  for (const child of children.values()) await child.kill()
  const parts = [...senders, ...receivers].map((name) => readJournal(file(`${name}.journal`)))
  return { history: [...withUnanswered(merge(parts)), ...final], reached, kills, healedMs, receipts }
}

interface Child {
  /** Kills it as `kill -9` does; it is started again at once, unless the run ends. */
  kill(): Promise<void>
  /** What it said when it ended by itself in an error. */
  failure(): string | undefined
}

function keepRunning(script: string, orders: object, isEnding: () => boolean): Child {
  let failed: string | undefined
  let child: ChildProcess
  const begin = () => {
    const said: string[] = []
    const path = join(import.meta.dirname, script)
    const options = ['--disable-warning=ExperimentalWarning', path, JSON.stringify(orders)]
    const started = spawn(process.execPath, options, {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { PATH: process.env['PATH'] },
    })
    child = started
    started.stderr.on('data', (chunk) => said.push(String(chunk)))
    started.once('exit', (code, signal) => {
      if (signal !== 'SIGKILL') failed = `${script} ended with ${code ?? signal}: ${said.join('')}`
      else if (!isEnding()) begin()
    })
  }
  begin()
  return {
    async kill() {
      const gone = once(child, 'exit')
      if (child.exitCode !== null || child.signalCode !== null) return
      child.kill('SIGKILL')
      await gone
    },
    failure: () => failed,
  }
}

async function exitOf({ child }: Running, exit: Promise<unknown>): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await exit
  if (child.signalCode !== 'SIGKILL') throw new Error(`The server ended by itself with ${child.exitCode ?? child.signalCode}`)
}

function countEffects(sender: string, messages: number, talks: number, receivers: readonly string[]): number {
  let count = 0
  for (let number = 0; number < messages; number++)
    if (!contentOf(sender, number).poison) count += recipientsOf(number % talks, receivers).length
  return count
}

const countStored = (path: string): number =>
  new Set(readJournal(path).flatMap(({ fact }) => (fact.fact === 'stored' ? [fact.id] : []))).size

/** A killed process did not note that no answer came. */
function withUnanswered(history: readonly Fact[]): Fact[] {
  const answered = new Set(history.flatMap((fact) => (fact.fact === 'stored' || fact.fact === 'send-failed' ? [fact.call] : [])))
  const unknown = history.flatMap((fact): Fact[] =>
    fact.fact === 'send' && !answered.has(fact.call) ? [{ fact: 'send-failed', call: fact.call, code: 'unknown' }] : [],
  )
  return [...history, ...unknown]
}

async function pages<T>(server: Running, path: string, token?: string): Promise<T[]> {
  const items: T[] = []
  let cursor = ''
  do {
    const page = await server.call<{ items: T[]; next: string | null }>('GET', `${path}${cursor}`, undefined, { token })
    items.push(...page.items)
    cursor = page.next === null ? '' : `&cursor=${encodeURIComponent(page.next)}`
  } while (cursor !== '')
  return items
}

type DeadLetter = OutputOf<'messages.dead_letters'>['items'][number]

const readDeadLetters = (server: Running): Promise<DeadLetter[]> => pages<DeadLetter>(server, '/dead-letters?limit=100')

async function readReceipts(
  server: Running,
  letters: readonly DeadLetter[],
  tokens: ReadonlyMap<string, string>,
): Promise<MessageReceipt[]> {
  const senderOf = new Map(letters.map(({ message }) => [message.id, message.sender]))
  const receipts: MessageReceipt[] = []
  for (const [id, sender] of senderOf)
    receipts.push(await server.call<MessageReceipt>('GET', `/messages/${id}/receipt`, undefined, { token: tokens.get(sender) }))
  return receipts
}

/** What each sender is told about each of its messages. */
async function readStatuses(server: Running, senders: readonly string[], tokens: ReadonlyMap<string, string>): Promise<Fact[]> {
  const all = await Promise.all(
    senders.map((sender) => pages<Message>(server, `/messages?limit=100&sender=${sender}`, tokens.get(sender))),
  )
  return all.flat().map(({ id, status }) => ({ fact: 'status', id, status }))
}

/** A port that was free a moment ago: the program comes back under the address its clients know. */
async function freePort(): Promise<number> {
  const probe = createServer()
  await once(probe.listen(0, '127.0.0.1'), 'listening')
  const { port } = probe.address() as { port: number }
  probe.close()
  await once(probe, 'close')
  return port
}
