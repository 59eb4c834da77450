/** Plan -> command: its arguments, options, help and action. */
import { Argument, Command, Help, Option } from 'commander'
import { printAnswer } from './answer.ts'
import { describe, helpFooter, optionsOf, placeOf } from './describe.ts'
import { Failure, exitCodes, usage } from './failure.ts'
import { readInput } from './input.ts'
import type { Field, Plan } from './plan.ts'
import { type Answer, call } from './rest.ts'
import { type Settings, addSharedOptions, readSettings } from './settings.ts'
import { type Terminal, confirm } from './terminal.ts'
import { download, upload } from './transfer.ts'
import { makeSources } from './values.ts'

const defaultTimeoutMs = 60_000

interface Shape {
  name?: string
  positionals?: readonly Field[]
  joinsWords?: boolean
  examples?: readonly string[]
}

export function deriveCommand(plan: Plan, terminal: Terminal, shape: Shape = {}): Command {
  const { operation } = plan
  const isUpload = operation.body === 'upload'
  const isDownload = operation.body === 'download'
  const positionals = shape.positionals ?? plan.positionals
  const command = new Command(shape.name ?? plan.verb)
  command
    .summary(operation.summary)
    .description([`${operation.summary}.`, operation.description].filter((text) => text !== undefined).join('\n'))
    .argument('[words...]')
  const places: readonly (readonly [place: string, text: string])[] = isUpload
    ? [['[file]', 'path of the file, or - for standard input']]
    : positionals.map((field, index) => [
        placeOf(field, field.required || shape.positionals !== undefined, index === positionals.length - 1),
        describe(plan, field),
      ])
  command.usage([...places.map(([place]) => place), '[options]'].join(' '))
  command.configureHelp({
    visibleArguments: () => places.map(([place, text]) => new Argument(place.replaceAll(/\.\.\./g, ''), text)),
    visibleOptions: suggestible,
    argumentTerm: (argument) => (argument.required ? `<${argument.name()}>` : `[${argument.name()}]`),
  })

  const byOption = new Map<string, Field>()
  const add = (flag: string, field: Field, isShown: boolean, text = '') => {
    for (const option of optionsOf(flag, field, text)) {
      byOption.set(option.attributeName(), field)
      command.addOption(isShown && !(option.negate && field.schema.default !== true) ? option : option.hideHelp())
    }
  }
  const inHelp = (field: Field) => !positionals.includes(field)
  for (const field of plan.fields) add(field.option, field, inHelp(field), describe(plan, field))
  for (const [option, field] of plan.hidden) add(option, field, false)
  if (isUpload) command.addOption(new Option('--file <path>', 'file to upload; - for standard input').hideHelp())
  if (isDownload) command.option('-o, --output <file>', 'where to put the bytes; standard output unless given')
  if (plan.isPage) command.option('--all', 'every page, not the first only')
  command.option('--data <json>', 'the whole input as JSON, @file or - for standard input; other options win over it')
  if (operation.kind === 'command' && !operation.idempotent && operation.routes)
    command.option('--idempotency-key <key>', 'names this request: sent twice, it is done once')
  addSharedOptions(command)
  command.addHelpText('after', () => helpFooter(plan, positionals, shape.examples))

  const act = async (words: string[]) => {
    const settings = readSettings(command, terminal)
    const options = new Map<string, string | string[] | boolean>()
    const given = command.opts<Record<string, string | string[] | boolean>>()
    // The option of the field itself comes first and wins over its other names.
    for (const [attribute, field] of byOption) {
      const value = given[attribute]
      if (value !== undefined && !options.has(field.name)) options.set(field.name, value)
    }
    const sources = makeSources(terminal)
    const file = isUpload ? ((given['file'] as string | undefined) ?? words.shift()) : undefined
    const joined =
      shape.joinsWords === true && words.length > positionals.length
        ? [...words.slice(0, positionals.length - 1), words.slice(positionals.length - 1).join(' ')]
        : words
    const data = given['data'] as string | undefined
    const input = await readInput(plan, positionals, { positionals: joined, options, data }, sources)
    if (operation.destructive && terminal.canAsk && !settings.yes) {
      const what = positionals.map((field) => input[field.name]).filter((value) => value !== undefined)
      await confirm(terminal, `${operation.summary}${what.length > 0 ? `: ${what.map(String).join(' ')}` : ''}?`)
    }
    if (file !== undefined) return upload(plan, input, file, settings, terminal)
    if (isUpload && input['content'] === undefined) throw usage('Name the file to upload, or - for standard input.')
    if (isDownload) return download(plan, input, given['output'] as string | undefined, settings, terminal)
    if (given['all'] === true) return everyPage(plan, input, settings, terminal)
    const answer = await invoke(plan, input, settings, given['idempotencyKey'] as string | undefined)
    await printAnswer(plan, answer, settings, terminal)
  }
  command.action((words: string[]) =>
    act(words).catch((error: unknown) => {
      throw error instanceof Failure ? withHint(error, command) : error
    }),
  )
  return command
}

/** `cadre tasks create`. */
export const pathOf = (command: Command): string =>
  command.parent ? `${pathOf(command.parent)} ${command.name()}` : command.name()

/** A wrong call is told where to read how it is made. */
const withHint = (failure: Failure, command: Command): Failure =>
  failure.exitCode === exitCodes.usage && failure.hint === undefined ? failure.hinting(`Try: ${pathOf(command)} --help`) : failure

/** In help the visible ones; for "did you mean", which asks without having set a width, all of them. */
function suggestible(this: Help, command: Command): Option[] {
  if (this.helpWidth === undefined) return [...command.options]
  return Help.prototype.visibleOptions.call(this, command)
}

/** Calls by REST, or by socket what has no route. */
async function invoke(plan: Plan, input: Record<string, unknown>, settings: Settings, idempotencyKey?: string): Promise<Answer> {
  const { connection } = settings
  const { sent, timeoutMs } = deadlines(plan, input, settings)
  if (plan.operation.routes) return call(connection, plan.operation, sent, { timeoutMs, idempotencyKey })
  const { callBySocket } = await import('./socket.ts')
  return callBySocket(connection, plan.operation.name, sent, timeoutMs)
}

/** Where the operation waits on the server, the server is told the deadline and answers first; its answer says more. */
function deadlines(
  plan: Plan,
  input: Readonly<Record<string, unknown>>,
  settings: Pick<Settings, 'timeoutMs'>,
): { sent: Record<string, unknown>; timeoutMs: number } {
  const sent = { ...input }
  const waits = plan.fields.find((field) => field.name === 'timeout_ms')
  if (waits && settings.timeoutMs !== undefined && sent['timeout_ms'] === undefined)
    sent['timeout_ms'] = Math.min(Math.ceil(settings.timeoutMs), waits.schema.maximum ?? Number.POSITIVE_INFINITY)
  const onServer = Number(sent['timeout_ms'] ?? waits?.schema.default ?? sent['wait_ms'] ?? 0)
  const grace = 2_000
  const timeoutMs =
    settings.timeoutMs === undefined
      ? Math.max(defaultTimeoutMs, onServer + grace)
      : waits && sent['timeout_ms'] !== input['timeout_ms']
        ? settings.timeoutMs + grace
        : settings.timeoutMs
  return { sent, timeoutMs }
}

async function everyPage(plan: Plan, input: Record<string, unknown>, settings: Settings, terminal: Terminal): Promise<void> {
  if (settings.json) throw usage('--json prints one answer of the server; with --all use --jsonl.')
  const items: unknown[] = []
  const asTable = !settings.jsonl && !settings.quiet
  let cursor = input['cursor']
  do {
    const page = { limit: 500, ...input, ...(cursor !== undefined && { cursor }) }
    const answer = await invoke(plan, page, settings)
    const body = answer.body as { items: unknown[]; next: string | null }
    // A table is aligned over all its rows; everything else streams.
    if (asTable) items.push(...body.items)
    else await printAnswer(plan, answer, settings, terminal)
    cursor = body.next ?? undefined
  } while (cursor !== undefined && !terminal.signal.aborted)
  if (asTable) await printAnswer(plan, { text: '', body: { items, next: null } }, settings, terminal)
}
