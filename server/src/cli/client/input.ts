/** Everything given on the command line -> one validated input of the operation. */
import type { OperationName } from '@cadre/contract'
import { parseInput } from '../../core/invoke.ts'
import { fromProblem, usage } from './failure.ts'
import type { Field, Plan } from './plan.ts'
import { type Sources, readValue } from './values.ts'
import { CadreError } from '@cadre/contract'

export interface Given {
  positionals: readonly string[]
  /** By field name: text, texts of a repeated option, or a switch. */
  options: ReadonlyMap<string, string | readonly string[] | boolean>
  /** Text of `--data`: the whole input as JSON; single options win over it. */
  data: string | undefined
}

/**
 * Positionals fill, in order, what no option and no `--data` names. The answer is what goes to the server: defaults stay with it.
 * Throws a usage failure with the server's own sentences where the input cannot be valid.
 */
export async function readInput(
  plan: Plan,
  positionals: readonly Field[],
  given: Given,
  sources: Sources,
): Promise<Record<string, unknown>> {
  const input = given.data === undefined ? {} : fold(plan, await wholeInput(given.data, sources))
  for (const field of plan.fields) {
    const value = given.options.get(field.name)
    if (value !== undefined) input[field.name] = await readValue(field, value, sources)
  }
  const open = positionals.filter((field) => !Object.hasOwn(input, field.name))
  const words = [...given.positionals]
  for (const [index, field] of open.entries()) {
    if (words.length === 0) break
    const takesRest = index === open.length - 1 && (field.kind === 'list' || field.kind === 'words')
    input[field.name] = await readValue(field, takesRest ? words.splice(0) : [words.shift() as string], sources)
  }
  if (words.length > 0)
    throw usage(`There is nothing for ${words.map((word) => JSON.stringify(word)).join(' ')}; put a text in quotes.`)
  const inPath = (plan.operation.routes?.[0]?.path.match(/\{(\w+)\}/g) ?? []).map((part) => part.slice(1, -1))
  const missing = plan.fields.filter(
    (field) => (field.required || inPath.includes(field.name)) && !Object.hasOwn(input, field.name),
  )
  if (missing.length > 0)
    throw usage(
      `Missing: ${missing.map((field) => (positionals.includes(field) ? `<${field.option}>` : `--${field.option}`)).join(', ')}.`,
    )
  check(plan, input)
  return input
}

function check(plan: Plan, input: Record<string, unknown>): void {
  try {
    parseInput(plan.operation.name as OperationName, input)
  } catch (error) {
    if (!(error instanceof CadreError)) throw error
    const problem = error.toProblem()
    throw fromProblem(problem, JSON.stringify(problem))
  }
}

async function wholeInput(text: string, sources: Sources): Promise<Record<string, unknown>> {
  const raw = text === '-' ? await sources.stdin() : text.startsWith('@') ? await sources.file(text.slice(1)) : text
  let value: unknown
  try {
    value = JSON.parse(raw)
  } catch {
    throw usage('--data is the whole input as a JSON object, @file or -; this is not JSON.')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw usage('--data is a JSON object.')
  return value as Record<string, unknown>
}

/** Aliases of the contract under their fields; a field named itself wins. */
function fold(plan: Plan, raw: Record<string, unknown>): Record<string, unknown> {
  const aliases = plan.operation.aliases ?? {}
  const folded: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(raw)) {
    const field = Object.hasOwn(aliases, name) ? (aliases[name] as string) : name
    if (field === name || !Object.hasOwn(raw, field)) folded[field] = value
  }
  return folded
}
