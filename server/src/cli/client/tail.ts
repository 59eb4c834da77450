/** `cadre events tail`: the log as it grows, a line an entry. */
import { Command, InvalidArgumentError, Option } from 'commander'
import type { LogEntry } from '@cadre/contract'
import { Failure, exitCodes, usage } from './failure.ts'
import { oneOfEvents } from './event-types.ts'
import { identity } from './answer.ts'
import { isEmpty, markOf, paint, toneOf } from './look.ts'
import { planFor } from './plan.ts'
import { call } from './rest.ts'
import { type Settings, addSharedOptions, readSettings } from './settings.ts'
import { follow } from './socket.ts'
import { type Terminal, write } from './terminal.ts'
import { fit, oneLine, pad, widthOf } from './text.ts'

interface Choice {
  after: number | undefined
  last: number
  types: readonly string[] | undefined
  topics: readonly string[] | undefined
  follow: boolean
}

const maxPage = 1_000

interface Fixed {
  name: string
  summary: string
  /** How many entries of the past it begins with unless told. */
  last: number
  /** The event types it shows; absent, any that are asked for. */
  types?: readonly string[]
}

export function tailCommand(terminal: Terminal, noun: string, fixed: Fixed): Command {
  const start = `cadre ${noun} ${fixed.name}`
  const command = new Command(fixed.name)
    .summary(fixed.summary)
    .description(
      `${fixed.summary}. Begins ${fixed.last > 0 ? `with the last ${fixed.last} entries` : 'with what is new'}, or after a position; goes on over a lost connection without a gap, until Ctrl-C.`,
    )
    .addOption(new Option('--after <seq>', 'begin after this position').argParser(whole))
    .addOption(new Option('-n, --last <n>', 'how many entries to begin with').argParser(whole).default(fixed.last))
    .option('--no-follow', 'end at the end of the log')
    .addHelpText('after', `\nExamples:\n  ${start}\n  ${start} --after 0 --no-follow --jsonl`)
  if (!fixed.types)
    command
      .option('--types <a,b>', 'these event types only; `task.*` stands for all of a kind')
      .option('--topics <a,b>', 'these topics only, as `cadre events topics` lists them')
  addSharedOptions(command)
  command.action(async () => {
    const settings = readSettings(command, terminal)
    const given = command.opts<{ after?: number; last: number; follow: boolean; types?: string; topics?: string }>()
    const types = fixed.types ?? (given.types === undefined ? undefined : oneOfEvents(given.types))
    const topics = given.topics?.split(',').map((topic) => topic.trim())
    await tail({ after: given.after, last: given.last, follow: given.follow, types, topics }, settings, terminal)
  })
  return command
}

function whole(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('Give a whole number.')
  return Number(text)
}

async function tail(choice: Choice, settings: Settings, terminal: Terminal): Promise<void> {
  if (settings.json) throw usage('A log has no end: use --jsonl, an entry a line.')
  const deadline = settings.timeoutMs === undefined ? undefined : AbortSignal.timeout(settings.timeoutMs)
  const connection = deadline
    ? { ...settings.connection, signal: AbortSignal.any([settings.connection.signal, deadline]) }
    : settings.connection
  const inTime: Settings = { ...settings, connection }
  const note = (text: string) => {
    if (!settings.quiet) terminal.stderr.write(`${text}\n`)
  }
  try {
    let after = await printPast(choice, inTime, terminal)
    if (!choice.follow) return
    const onState = (state: 'lost' | 'back') =>
      note(state === 'lost' ? 'The connection is lost; trying again.' : 'The connection is back.')
    for await (const entry of follow(connection, { after, types: choice.types, topics: choice.topics, onState })) {
      after = Math.max(after, entry.seq)
      await print(entry, settings, terminal)
    }
  } catch (error) {
    if (deadline?.aborted && !terminal.signal.aborted)
      throw new Failure(exitCodes.timeout, `The ${(settings.timeoutMs ?? 0) / 1000} s are over.`, { cause: error })
    throw error
  }
}

/** What is in the log already; answers the position it came to. */
async function printPast(choice: Choice, settings: Settings, terminal: Terminal): Promise<number> {
  const { operation } = planFor('events.list')
  const filter = { ...(choice.types && { types: choice.types }), ...(choice.topics && { topics: choice.topics }) }
  const page = async (after: number) =>
    (
      await call(
        settings.connection,
        operation,
        { after, limit: maxPage, ...filter },
        { timeoutMs: settings.timeoutMs ?? 30_000 },
      )
    ).body as { items: LogEntry[]; next: number; head: number }
  if (choice.after !== undefined) {
    let after = choice.after
    for (;;) {
      const { items, next, head } = await page(after)
      for (const entry of items) await print(entry, settings, terminal)
      // Never the head: it may have moved on since the entries were read.
      after = Math.max(after, next)
      if (after >= head || terminal.signal.aborted) return after
    }
  }
  // The log is read forwards only: with a filter the last few may lie further back, so the window widens.
  const { head } = (await page(Number.MAX_SAFE_INTEGER)) as { head: number }
  const wanted = Math.min(choice.last, maxPage)
  let found: LogEntry[] = []
  for (let span = Math.max(wanted, 1); wanted > 0; span = Math.min(span * 8, head)) {
    found = []
    let after = Math.max(0, head - span)
    for (;;) {
      const { items, next } = await page(after)
      found = [...found, ...items.filter((entry) => entry.seq <= head)].slice(-wanted)
      if (next >= head) break
      after = next
    }
    if (found.length >= wanted || span >= head || span >= 100_000) break
  }
  for (const entry of found) await print(entry, settings, terminal)
  return head
}

async function print(entry: LogEntry, settings: Settings, terminal: Terminal): Promise<void> {
  if (settings.jsonl) return write(terminal, `${JSON.stringify(entry)}\n`)
  if (settings.quiet) return write(terminal, `${identity({ seq: entry.seq })}\n`)
  await write(terminal, `${lineOf(entry, terminal)}\n`)
}

// Most types are shorter; the few longer ones push their line to the right.
const typeWidth = 20

function lineOf(entry: LogEntry, terminal: Terminal): string {
  const { colours } = terminal
  const time = new Date(entry.at).toTimeString().slice(0, 8)
  const seq = entry.seq === 0 ? '' : String(entry.seq)
  const type = pad(oneLine(entry.type), typeWidth)
  const start = `${time}  ${seq.padStart(6)}  ${type}  `
  const room = (terminal.size()?.columns ?? Number.POSITIVE_INFINITY) - widthOf(start)
  const told = fit(tell(entry), Math.max(20, room))
  const data = entry.data as { to?: unknown; state?: unknown } | null
  const state = String(data?.to ?? data?.state ?? '')
  return `${colours.dim(`${time}  ${seq.padStart(6)}`)}  ${colours.cyan(type)}  ${paint(colours, toneOf(state), told)}`
}

/** Ids are left out where a name stands beside them; bookkeeping is left out. */
const untold = new Set([
  'schema_version',
  'access_control',
  'attempt',
  'sender_seq',
  'status',
  'kind',
  'priority',
  'late',
  'message_type',
  'recipient_count',
  'conversation_id',
  'message_id',
])

/** An entry in words: who, what, and where it moved. */
function tell({ type, actor, data }: LogEntry): string {
  if (typeof data !== 'object' || data === null)
    return oneLine(`${actor}  ${data === null || data === undefined ? '' : JSON.stringify(data)}`)
  const fields = data as Readonly<Record<string, unknown>>
  if (type === 'message.sent') {
    const to = fields['topic'] ?? (fields['recipients'] as string[] | undefined)?.join(', ')
    return oneLine(`${String(fields['sender'])} → ${String(isEmpty(to) ? 'nobody' : to)}: ${JSON.stringify(fields['content'])}`)
  }
  const subject = ['title', 'name', 'key', 'tool', 'topic', 'document_id', 'collection']
    .map((name) => fields[name])
    .find((value) => typeof value === 'string')
  const moved = typeof fields['to'] === 'string' ? `${markOf(fields['to'])} ${fields['to']}` : ''
  const rest = Object.entries(fields)
    .filter(
      ([name, value]) =>
        !isEmpty(value) &&
        value !== false &&
        value !== subject &&
        !untold.has(name) &&
        !['from', 'to'].includes(name) &&
        !name.endsWith('_id'),
    )
    .map(([name, value]) => `${name} ${typeof value === 'object' ? JSON.stringify(value) : String(value)}`)
  return [subject ?? actor, moved, ...rest]
    .filter((part) => part !== '')
    .map(oneLine)
    .join('  ')
}
