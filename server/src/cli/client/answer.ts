/** The answer of an operation on standard output, in the form that was asked for. */
import { brief, card, secretsIn } from './card.ts'
import type { Plan } from './plan.ts'
import type { Answer } from './rest.ts'
import type { Settings } from './settings.ts'
import { table } from './table.ts'
import { type Terminal, write } from './terminal.ts'
import { printable } from './text.ts'

type Fields = Readonly<Record<string, unknown>>

export async function printAnswer(plan: Plan, answer: Answer, settings: Settings, terminal: Terminal): Promise<void> {
  const body = answer.body as Fields
  const items = Array.isArray(body['items']) ? (body['items'] as Fields[]) : undefined
  if (settings.jsonl) {
    const lines = items ? items.map((item) => JSON.stringify(item)) : [JSON.stringify(body)]
    return write(terminal, lines.map((line) => `${line}\n`).join(''))
  }
  if (settings.json) return write(terminal, answer.text.endsWith('\n') ? answer.text : `${answer.text}\n`)
  const spoken = spokenPart(plan.operation.name, body)
  if (spoken !== undefined) return write(terminal, spokenText(spoken, terminal))
  if (settings.quiet) {
    const ids = (items ?? [body]).flatMap((each) => identity(each) ?? [])
    return write(terminal, ids.map((id) => `${printable(id)}\n`).join(''))
  }
  if (items) return printItems(plan, items, body['next'], terminal)
  if (plan.operation.kind === 'query') return write(terminal, card(body, terminal))
  await write(terminal, report(plan, body, terminal))
  noteMissed(body, terminal)
  if ((body['receipt'] as { duplicate?: boolean } | undefined)?.duplicate === true)
    terminal.stderr.write('It was done before under this idempotency key; this is the first answer.\n')
}

async function printItems(plan: Plan, items: readonly Fields[], next: unknown, terminal: Terminal): Promise<void> {
  if (items.length === 0) {
    terminal.stderr.write(plan.verb === 'search' ? 'Nothing matches.\n' : 'Nothing to show.\n')
    return
  }
  await write(terminal, table(items, terminal))
  if (plan.isPage && typeof next === 'string')
    terminal.stderr.write(terminal.errorColours.dim(`There are more: --all, or --cursor ${next}\n`))
}

/** Stored, and yet not in every inbox that was meant: who sends by hand has to see that, and why. */
function noteMissed(body: Fields, terminal: Terminal): void {
  const { unroutable_reason: why } = (body['metadata'] ?? {}) as { unroutable_reason?: unknown }
  if (body['status'] !== 'unroutable' && typeof why !== 'string') return
  const missed = body['status'] === 'unroutable' ? 'It reached nobody' : 'It did not reach everyone'
  terminal.stderr.write(`${missed}${typeof why === 'string' ? `: ${printable(why)}` : ''}.\n`)
}

/** A change on one line; what it holds beside (a new key, the tasks of a graph) below. */
function report(plan: Plan, body: Fields, terminal: Terminal): string {
  const { colours } = terminal
  const word = brief(body, terminal) || plan.operation.summary
  const secrets = secretsIn(body)
  const lists = Object.entries(body).filter(
    ([, value]) => Array.isArray(value) && value.length > 0 && typeof value[0] === 'object',
  ) as [string, Fields[]][]
  return [
    `${colours.green('✓')} ${word}\n`,
    ...secrets.map((field) => `${colours.dim(field)}  ${String(body[field])}\n`),
    ...lists.map(([, rows]) => table(rows, terminal, { indent: '  ' })),
  ].join('')
}

/** Where the answer is something said, only that is printed: a reply, a generated text, a link. */
function spokenPart(name: string, body: Fields): unknown {
  if (name === 'messages.ask') return (body['reply'] as Fields)['content']
  if (name === 'models.generate') return body['text']
  if (name === 'system.link') return body['url']
  return undefined
}

function spokenText(value: unknown, terminal: Terminal): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value, null, 2)
  const shown = terminal.stdoutIsTty ? printable(text) : text
  return shown.endsWith('\n') ? shown : `${shown}\n`
}

export function identity(item: Fields): string | undefined {
  for (const field of ['id', 'document_id', 'run_id', 'key', 'name', 'tool', 'seq', 'receipt', 'url', 'status']) {
    const value = item[field]
    if (typeof value === 'string' || typeof value === 'number') return String(value)
  }
  return undefined
}
