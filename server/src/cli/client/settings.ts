/** What every command takes beside its own input: where to call, and how to show the answer. */
import { Command, InvalidArgumentError, Option } from 'commander'
import { usage } from './failure.ts'
import type { Connection } from './rest.ts'
import type { Terminal } from './terminal.ts'

export interface Settings {
  connection: Connection
  timeoutMs: number | undefined
  json: boolean
  jsonl: boolean
  quiet: boolean
  yes: boolean
}

const group = 'Everywhere:'

export function addSharedOptions(command: Command): void {
  const options = [
    new Option('--url <url>', 'server to call (env: CADRE_URL; default: http://localhost:8000, or CADRE_PORT)'),
    new Option('--token <key>', 'API key or agent token (env: CADRE_TOKEN)'),
    new Option('--timeout <seconds>', 'give up after this long').argParser(seconds),
    new Option('--json', "print the server's JSON, unchanged"),
    new Option('--jsonl', 'print one line of JSON per item'),
    new Option('-q, --quiet', 'print ids only, and no notes'),
    new Option('-y, --yes', 'do not ask before destructive operations'),
  ]
  for (const option of options) command.addOption(option.helpGroup(group))
}

function seconds(text: string): number {
  const value = Number(text)
  if (!(value > 0 && value <= 86_400)) throw new InvalidArgumentError('Give seconds, more than 0 and at most 86400.')
  return value
}

/** Options may stand before or after the command; the nearest wins. */
export function readSettings(command: Command, terminal: Terminal): Settings {
  const given: Record<string, unknown> = {}
  for (let at: Command | null = command; at; at = at.parent) {
    for (const [name, value] of Object.entries(at.opts())) given[name] ??= value
  }
  const { env } = terminal
  const token = (given['token'] as string | undefined) ?? env['CADRE_TOKEN']
  return {
    connection: {
      url: address(
        (given['url'] as string | undefined) ??
          (env['CADRE_URL'] || `http://localhost:${env['CADRE_PORT'] || env['PORT'] || '8000'}`),
      ),
      token: token === '' ? undefined : token,
      signal: terminal.signal,
    },
    timeoutMs: given['timeout'] === undefined ? undefined : (given['timeout'] as number) * 1_000,
    json: given['json'] === true,
    jsonl: given['jsonl'] === true,
    quiet: given['quiet'] === true,
    yes: given['yes'] === true,
  }
}

function address(text: string): URL {
  // `localhost:8000` would be read as a scheme.
  const url = URL.parse(/^[a-z][\w+.-]*:\/\//i.test(text) ? text : `http://${text}`)
  if (url === null || !/^https?:$/.test(url.protocol)) throw usage(`${text} is not an http or https URL.`)
  return url
}
