/** Plan -> command: its arguments, options, help and action. */
import { createReadStream, createWriteStream } from 'node:fs'
import { stat, unlink } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { Argument, Command, Help, Option } from 'commander'
import { printAnswer } from './answer.ts'
import { bytes } from './look.ts'
import { Failure, exitCodes, usage } from './failure.ts'
import { readInput } from './input.ts'
import { samples } from './names.ts'
import type { Field, Plan } from './plan.ts'
import { type Answer, call, explain, open } from './rest.ts'
import { type Settings, addSharedOptions, readSettings } from './settings.ts'
import { type Terminal, confirm, write } from './terminal.ts'
import { findFile, makeSources, unreadable } from './values.ts'

const defaultTimeoutMs = 60_000

export interface Shape {
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
export function suggestible(this: Help, command: Command): Option[] {
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
export function deadlines(
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

const mediaTypes: Readonly<Record<string, string>> = {
  txt: 'text/plain',
  md: 'text/markdown',
  csv: 'text/csv',
  json: 'application/json',
  html: 'text/html',
  pdf: 'application/pdf',
  png: 'image/png',
  jpg: 'image/jpeg',
  svg: 'image/svg+xml',
}

async function upload(
  plan: Plan,
  input: Record<string, unknown>,
  file: string,
  settings: Settings,
  terminal: Terminal,
): Promise<void> {
  let source: Readable = terminal.stdin
  const named = { ...input }
  if (file !== '-') {
    const path = await findFile(terminal, file)
    try {
      if ((await stat(path)).isDirectory()) throw Object.assign(new Error(path), { code: 'EISDIR' })
    } catch (error) {
      throw unreadable(file, error)
    }
    source = createReadStream(path)
    const name = path.replaceAll('\\', '/').split('/').at(-1) as string
    named['name'] ??= name
    const type = mediaTypes[/\.(\w+)$/.exec(name)?.[1]?.toLowerCase() ?? '']
    if (type !== undefined) named['media_type'] ??= type
  }
  try {
    const answer = await call(settings.connection, plan.operation, named, { upload: source, timeoutMs: settings.timeoutMs })
    await printAnswer(plan, answer, settings, terminal)
  } finally {
    source.destroy()
  }
}

async function download(
  plan: Plan,
  input: Record<string, unknown>,
  output: string | undefined,
  settings: Settings,
  terminal: Terminal,
): Promise<void> {
  if (output === undefined && (settings.json || settings.jsonl))
    throw usage('The answer is the bytes themselves; with --json say where to put them: --output <file>.')
  const response = await open(settings.connection, plan.operation, input, { timeoutMs: settings.timeoutMs })
  const mediaType = response.headers['content-type'] ?? 'application/octet-stream'
  if (output === undefined) {
    if (terminal.stdoutIsTty && !/^text\/|json|xml/.test(mediaType)) {
      response.destroy()
      throw usage(`This is ${mediaType}; say where to put it: --output <file>.`)
    }
    try {
      for await (const chunk of response) {
        if (!terminal.stdout.write(chunk)) await write(terminal, '')
      }
    } catch (error) {
      throw explain(settings.connection, error, settings.timeoutMs)
    }
    return
  }
  let size = 0
  response.on('data', (chunk: Buffer) => {
    size += chunk.length
  })
  try {
    await pipeline(response, createWriteStream(output, { flags: 'wx' }), { signal: terminal.signal })
  } catch (error) {
    const { code } = error as { code?: string }
    if (code === 'EEXIST')
      throw new Failure(exitCodes.conflict, `The file ${output} exists; choose another name.`, { cause: error })
    if (code === 'ENOENT' || code === 'EACCES' || code === 'EISDIR' || code === 'ENOSPC')
      throw new Failure(exitCodes.failed, `The file ${output} cannot be written (${code}).`, { cause: error })
    await unlink(output).catch(() => {})
    throw explain(settings.connection, error, settings.timeoutMs)
  }
  if (settings.json || settings.jsonl)
    await write(terminal, `${JSON.stringify({ id: input['id'], media_type: mediaType, size, output })}\n`)
  else if (!settings.quiet) await write(terminal, `${terminal.colours.green('✓')} ${output}  ${bytes(size)}  ${mediaType}\n`)
}

// ------------------------------------------------------------------------------------------------------------------------ help

function optionsOf(flag: string, field: Field, text: string): Option[] {
  if (field.kind === 'boolean') return [new Option(`--${flag}`, text), new Option(`--no-${flag}`, `not: ${text}`)]
  const option = new Option(`--${flag} ${valueName(field)}`, text)
  if (field.choices) option.choices(field.choices)
  if (field.kind === 'list' || field.kind === 'words')
    option.argParser((value: string, before: unknown) => [...((before as string[] | undefined) ?? []), value])
  return [option]
}

function valueName(field: Field): string {
  switch (field.kind) {
    case 'number':
      return field.schema.type === 'integer' || field.schema.type === undefined ? '<n>' : '<number>'
    case 'list':
    case 'words':
      return '<a,b>'
    case 'json':
      return '<json>'
    default:
      return field.schema.format === 'date-time' ? '<time>' : field.choices ? '<word>' : '<text>'
  }
}

function placeOf(field: Field, isRequired: boolean, isLast: boolean): string {
  const name = field.option + (isLast && (field.kind === 'list' || field.kind === 'words') ? '...' : '')
  return isRequired ? `<${name}>` : `[${name}]`
}

/** What the schema says of a field, in words. */
function describe(plan: Plan, field: Field): string {
  const { schema } = field
  const entity = plan.operation.refs?.[field.name]
  // `id` of what says more than what an id is.
  const said =
    entity !== undefined && entity !== 'agent' && /_id$|^id$|^depends_on$/.test(field.name)
      ? `id of a ${entity}`
      : (schema.description?.replace(/\.$/, '') ?? '')
  const range =
    schema.minimum !== undefined && schema.maximum !== undefined && Math.abs(schema.maximum) < 1e9
      ? `${schema.minimum} to ${schema.maximum}`
      : ''
  const words = schema.anyOf?.flatMap((option) => [
    ...(option.enum ?? []),
    ...(option.minimum === undefined || option.maximum === undefined ? [] : [`${option.minimum} to ${option.maximum}`]),
  ])
  const fallback = isEmptyDefault(schema.default) ? '' : `default: ${String(schema.default)}`
  return [
    said,
    words && words.length > 0 ? `one of ${words.join(', ')}` : '',
    range,
    field.fromFile ? 'also @file or -' : '',
    field.required ? 'required' : '',
    fallback,
  ]
    .filter((part) => part !== '')
    .join('; ')
}

const isEmptyDefault = (value: unknown): boolean =>
  value === undefined ||
  value === '' ||
  value === false ||
  (typeof value === 'object' && value !== null && Object.keys(value).length === 0)

export function sampleOf(plan: Plan, field: Field): string {
  if (field.choices) return field.choices[0] as string
  const entity = plan.operation.refs?.[field.name]
  return (
    (entity === undefined ? undefined : samples[entity]) ??
    samples[field.name] ??
    (field.name === 'id' || field.name === 'invocation' ? `${plan.noun.slice(0, 3)}_0123` : undefined) ??
    (field.kind === 'number' ? '0.5' : field.kind === 'json' ? `'{"a": 1}'` : 'some-text')
  )
}

function helpFooter(plan: Plan, positionals: readonly Field[], examples: readonly string[] | undefined): string {
  const { operation } = plan
  const [route] = operation.routes ?? []
  const start = `cadre ${plan.noun} ${plan.verb}`
  const line = [
    start,
    ...(operation.body === 'upload' ? ['report.pdf'] : positionals.map((field) => sampleOf(plan, field))),
  ].join(' ')
  const shown = examples ?? [line, `${line} --json`]
  return [
    '',
    'Examples:',
    ...shown.map((example) => `  ${example}`),
    '',
    `The same as ${route ? `${route.method} /api/v1${route.path}` : `the socket frame ${operation.name}`}; needs ${operation.permission === 'public' ? 'no credential' : operation.permission}.`,
  ].join('\n')
}
