// Writes docs/reference/ from the contract. `node scripts/gen-docs.ts` after a change to it; test/docs.test.ts fails until then.
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import {
  type EntityKind,
  type Lifecycle,
  type Operation,
  agentLifecycle,
  deliveryLifecycle,
  errors,
  events,
  operations,
  roleGrants,
  statusOf,
  taskLifecycle,
} from '../contract/src/index.ts'
import { nounSummaries } from '../server/src/cli/client/names.ts'
import { type Plan, plans } from '../server/src/cli/client/plan.ts'

const generated = '<!-- Written by scripts/gen-docs.ts from contract/src; edit there and run it again. -->'

const row = (cells: readonly string[]): string => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [row(head), row(head.map(() => '---')), ...rows.map(row)].join('\n')
const code = (text: string): string => `\`${text}\``
const capitalised = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1)

/** Path parameters of every route that name an entity which has to exist. */
function namedEntities({ routes = [], refs = {} }: Operation): EntityKind[] {
  const inAll = Object.entries(refs).filter(
    ([field]) => routes.length > 0 && routes.every((route) => route.path.includes(`{${field}}`)),
  )
  return [...new Set(inAll.map(([, entity]) => entity))]
}

/** What the declaration itself says can go wrong, beside what any operation answers. */
function errorsOf(plan: Plan): string[] {
  const { operation, fields } = plan
  const has = (name: string) => fields.some((field) => field.name === name)
  return [
    ...(namedEntities(operation).length > 0 ? ['not_found'] : []),
    ...(has('lease') ? ['stale_lease'] : []),
    ...(has('receipt') || has('receipts') ? ['stale_receipt'] : []),
    ...(has('if_version') ? ['version_mismatch'] : []),
    ...(operation.body === 'upload' || has('content') || has('value') ? ['too_large'] : []),
  ]
}

function command({ noun, verb, positionals, operation }: Plan): string {
  const words =
    operation.body === 'upload' ? ['<file>'] : positionals.filter((field) => field.required).map((field) => `<${field.name}>`)
  return ['cadre', noun, verb, ...words].join(' ')
}

function operationRow(plan: Plan): string[] {
  const { operation } = plan
  const frames = [...(operation.frames ?? []), ...(operation.body === undefined ? [operation.name] : [])]
  return [
    `<a id="${operation.name}"></a>${code(operation.name)}`,
    (operation.routes ?? []).map(({ method, path }) => code(`${method} ${path}`)).join('<br>') || 'socket only',
    frames.map(code).join('<br>') || 'HTTP only',
    code(operation.permission),
    code(command(plan)),
    errorsOf(plan).map(code).join(' '),
  ]
}

function operationsPage(): string {
  const nouns = [...new Set(plans.map(({ noun }) => noun))]
  const sections = nouns.map((noun) => {
    const own = plans.filter((plan) => plan.noun === noun)
    const about = own.map(({ operation }) => {
      const repeat =
        operation.kind === 'query'
          ? ''
          : operation.idempotent
            ? ' Repeating it changes nothing.'
            : operation.destructive
              ? ' Destructive.'
              : ''
      return `- ${code(operation.name)}: ${operation.summary}.${operation.description === undefined ? '' : ` ${operation.description}`}${repeat}`
    })
    const head = ['Operation', 'HTTP, under `/api/v1` and `/api`', 'Socket frame', 'Permission', 'Command line', 'Own errors']
    const subject = capitalised(nounSummaries[noun]?.replace(/^[^:]*: /, '') ?? noun)
    return `## ${capitalised(noun)}\n\n${subject}.\n\n${table(head, own.map(operationRow))}\n\n${about.join('\n')}`
  })
  return `${generated}

# Operations

${Object.keys(operations).length} operations, each declared once in \`contract/src\`. Input and output schemas are in \`/openapi.json\`,
with a page to try them at \`/docs\` of a running server. Every operation can also answer \`invalid_request\`, \`malformed\`,
\`unauthenticated\`, \`forbidden\`, \`draining\` and \`internal\`; see [errors](errors.md). Over a socket the frame type is any of the names
in the third column; an agent joins with \`agent:register\`, which registers it and starts its deliveries (see [the API](../api.md)).

${sections.join('\n\n')}

## Roles

${table(
  ['Role', 'Permissions'],
  Object.entries(roleGrants).map(([role, grants]) => [code(role), grants.map(code).join(' ')]),
)}
`
}

function diagram<S extends string>({ initial, terminal, moves, states }: Lifecycle<S>): string {
  const lines = [
    ...initial.map((state) => `  [*] --> ${state}`),
    ...states.flatMap((from) => moves[from].map((to) => `  ${from} --> ${to}`)),
    ...terminal.map((state) => `  ${state} --> [*]`),
  ]
  return `\`\`\`mermaid\nstateDiagram-v2\n${lines.join('\n')}\n\`\`\``
}

function moves<S extends string>({ moves: table_, states }: Lifecycle<S>): string {
  return table(
    ['From', 'To'],
    states.map((state) => [code(state), table_[state].map(code).join(' ') || 'final']),
  )
}

function lifecyclesPage(): string {
  const section = <S extends string>(title: string, text: string, lifecycle: Lifecycle<S>) =>
    `## ${title}\n\n${text}\n\n${diagram(lifecycle)}\n\n${moves(lifecycle)}`
  return `${generated}

# Lifecycles

One table for each entity. A move that is not in it is refused with \`illegal_transition\`, which lists the legal ones.

${section('Agent', 'The status of an agent. Presence (online, suspect, offline) is a field of its own.', agentLifecycle)}

${section('Task', 'The state of a task.', taskLifecycle)}

\`status\` is the state in six words:

${table(
  ['State', 'Status'],
  taskLifecycle.states.map((state) => [code(state), code(statusOf[state])]),
)}

${section('Delivery', "One recipient's copy of a message.", deliveryLifecycle)}
`
}

function eventsPage(): string {
  const head = ['Event', 'Meaning', 'Group', 'Pushed as', 'Version', 'Fields of `data`']
  const rows = Object.values(events).map((event) => [
    code(event.name),
    event.summary,
    code(event.topic),
    event.frame === undefined ? '' : code(event.frame),
    String(event.schema_version),
    Object.keys((event.data as unknown as { shape?: object }).shape ?? {})
      .map(code)
      .join(' '),
  ])
  return `${generated}

# Events

Entries of the log, written in the transaction of the change. Read them with \`GET /api/v1/events?after=<seq>\` or follow them over a
socket with \`events.watch\`. Each has \`seq\`, \`type\`, \`schema_version\`, \`at\`, \`actor\`, \`subject\`, \`trace\` and \`data\`. A \`seq\` of 0 marks
an entry for live views only, which is not in the log.

${table(head, rows)}
`
}

function errorsPage(): string {
  const rows = Object.entries(errors).map(([name, spec]) => [
    code(name),
    String(spec.status),
    String(spec.rpc),
    spec.retryable ? 'yes' : 'no',
    spec.title,
    spec.detail,
  ])
  return `${generated}

# Errors

One registry. Over HTTP an error is \`application/problem+json\` (RFC 9457), over a socket the \`data\` of an \`ack\` with \`ok: false\`. A
problem has \`type\`, \`title\`, \`status\`, \`detail\`, \`code\`, \`retryable\` and, where they apply, \`parameters\`, \`errors\` (JSON pointers into
the input) and \`trace_id\`. Words in braces are parameters.

${table(['Code', 'HTTP', 'JSON-RPC', 'Retryable', 'Title', 'What to do'], rows)}
`
}

/** Path from the root -> text. */
export function generateDocs(): ReadonlyMap<string, string> {
  return new Map([
    ['docs/reference/operations.md', operationsPage()],
    ['docs/reference/lifecycles.md', lifecyclesPage()],
    ['docs/reference/events.md', eventsPage()],
    ['docs/reference/errors.md', errorsPage()],
  ])
}

if (import.meta.main) {
  const root = join(import.meta.dirname, '..')
  for (const [path, text] of generateDocs()) {
    await mkdir(dirname(join(root, path)), { recursive: true })
    await writeFile(join(root, path), text)
  }
}
