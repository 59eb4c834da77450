/** Text of an argument -> value of a field, as its schema says. */
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { Failure, exitCodes, usage } from './failure.ts'
import type { Field } from './plan.ts'
import type { Terminal } from './terminal.ts'

/** Files and standard input, the latter for one value only. */
export interface Sources {
  file(path: string): Promise<string>
  stdin(): Promise<string>
}

export function makeSources(terminal: Terminal): Sources {
  let taken = false
  return {
    file: async (path) => {
      try {
        return decode(await readFile(await findFile(terminal, path)), path)
      } catch (error) {
        if (error instanceof Failure) throw error
        throw unreadable(path, error)
      }
    },
    stdin: async () => {
      if (taken) throw usage('Standard input (-) can stand for one value only.')
      taken = true
      if (terminal.canAsk) terminal.stderr.write('Reading from the terminal; end with Ctrl-D.\n')
      const abort = () => terminal.stdin.destroy()
      terminal.signal.addEventListener('abort', abort, { once: true })
      try {
        return decode(await buffer(terminal.stdin), 'standard input')
      } finally {
        terminal.signal.removeEventListener('abort', abort)
      }
    },
  }
}

export function unreadable(path: string, error: unknown): Failure {
  const { code } = error as { code?: string }
  const reason = code === 'ENOENT' ? 'does not exist' : code === 'EISDIR' ? 'is a folder' : `cannot be read (${code ?? 'error'})`
  return new Failure(exitCodes.usage, `The file ${path} ${reason}.`, { cause: error })
}

/** Where the command was typed: npm runs scripts from the root of the project and keeps the place in INIT_CWD. */
export async function findFile(terminal: Terminal, path: string): Promise<string> {
  const here = resolve(path)
  const typed = resolve(terminal.env['INIT_CWD'] ?? '.', path)
  if (here === typed) return here
  const { existsSync } = await import('node:fs')
  return existsSync(here) ? here : typed
}

function decode(bytes: Uint8Array, from: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new Failure(exitCodes.usage, `${from} is not UTF-8 text; store it with \`cadre artifacts upload\`.`, { cause })
  }
}

export async function readValue(field: Field, given: readonly string[] | string | boolean, sources: Sources): Promise<unknown> {
  if (typeof given === 'boolean') return given
  const texts = typeof given === 'string' ? [given] : given
  const last = texts.at(-1) ?? ''
  switch (field.kind) {
    case 'boolean':
      if (last === 'true' || last === 'false') return last === 'true'
      throw usage(`--${field.option} is true or false, not ${last}.`)
    case 'number':
      return number(field, last)
    case 'list':
      return texts.flatMap(split)
    case 'words': {
      const words = texts.flatMap(split)
      return words.length === 1 ? words[0] : words
    }
    case 'mixed':
      return mixed(field, last)
    case 'json':
      return json(field, await source(last, sources))
    default:
      return field.fromFile ? source(last, sources) : last
  }
}

/** `@path` is a file, `@@text` the text `@text`, `-` standard input. */
async function source(text: string, sources: Sources): Promise<string> {
  if (text === '-') return sources.stdin()
  if (text.startsWith('@@')) return text.slice(1)
  return text.startsWith('@') && text.length > 1 ? sources.file(text.slice(1)) : text
}

function number(field: Field, text: string): number {
  const value = Number(text)
  if (text.trim() === '' || Number.isNaN(value)) throw usage(`--${field.option} is a number, not ${JSON.stringify(text)}.`)
  return value
}

/** A number where it reads as one, null where the field may be emptied, a word otherwise. */
function mixed(field: Field, text: string): unknown {
  const types = field.schema.anyOf?.map((option) => option.type) ?? []
  if (types.includes('null') && text === 'null') return null
  const isNumeric = (types.includes('integer') || types.includes('number')) && text.trim() !== '' && !Number.isNaN(Number(text))
  if (isNumeric) return Number(text)
  const options = field.schema.anyOf ?? []
  const words = options.flatMap((option) => option.enum ?? [])
  const isFree = options.some((option) => option.type === 'string' && option.enum === undefined)
  if (!isFree && !words.includes(text)) throw usage(`--${field.option} is a number or one of ${words.join(', ')}, not ${text}.`)
  return text
}

/** Elements are separated by commas; a JSON array may hold elements with commas. */
function split(text: string): string[] {
  if (text.startsWith('[')) {
    const parsed = parse(text)
    if (Array.isArray(parsed)) return parsed.map((element) => (typeof element === 'string' ? element : JSON.stringify(element)))
  }
  return text
    .split(',')
    .map((element) => element.trim())
    .filter((element) => element !== '')
}

/** JSON where it is JSON. Plain text is a value too, unless the field is an object or an array. */
function json(field: Field, text: string): unknown {
  const value = parse(text)
  if (value !== undefined) return value
  const { type, anyOf } = field.schema
  if (type === undefined && anyOf === undefined) return text
  throw usage(
    `--${field.option} is JSON${type === undefined ? '' : ` (an ${type})`}, and this is not: ${text.length > 60 ? `${text.slice(0, 60)}…` : text}`,
  )
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}
