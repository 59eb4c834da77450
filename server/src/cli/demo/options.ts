import { existsSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

export interface DemoOptions {
  docs: string
  goal: string
  json: boolean
  keep: boolean
  kill: boolean
  help: boolean
}

export class UsageError extends Error {}

export const usage = `Usage: npm run demo -- [--docs <folder>] [--goal "<text>"] [--json] [--keep] [--no-kill]
  --docs     folder of .md .txt .csv .json .html .pdf (default: the documents in examples/)
  --goal     what the team is to find out
  --json     one JSON document on standard output, everything else on standard error
  --keep     keep the data folder
  --no-kill  do not kill a worker on the way
`

const ownGoal =
  'What caused the October outage, what did it cost, how did orders develop, and how often are certificates renewed now?'
const maxGoal = 20_000

export function readOptions(args: readonly string[]): DemoOptions {
  let values: { docs?: string; goal?: string; json?: boolean; keep?: boolean; 'no-kill'?: boolean; help?: boolean }
  try {
    values = parseArgs({
      args: [...args],
      strict: true,
      allowPositionals: false,
      options: {
        docs: { type: 'string' },
        goal: { type: 'string' },
        json: { type: 'boolean' },
        keep: { type: 'boolean' },
        'no-kill': { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    }).values
  } catch (cause) {
    throw new UsageError((cause as Error).message.split('. ', 1)[0], { cause })
  }
  if (values.goal !== undefined && values.goal.trim() === '')
    throw new UsageError('The goal is empty: say what the team is to find out.')
  if (values.goal !== undefined && values.goal.length > maxGoal)
    throw new UsageError(`The goal has ${values.goal.length} characters; ${maxGoal} is the limit.`)
  if (values.docs === '') throw new UsageError('Name a folder after --docs.')
  const goal = values.goal ?? (values.docs === undefined ? ownGoal : undefined)
  if (goal === undefined) throw new UsageError('Say what the team is to find out in these documents: --goal "<text>".')
  return {
    // npm runs scripts in the project's root; the path was typed elsewhere.
    docs: values.docs === undefined ? ownDocuments() : resolve(process.env['INIT_CWD'] ?? '.', values.docs),
    goal,
    json: values.json ?? false,
    keep: values.keep ?? false,
    kill: !(values['no-kill'] ?? false),
    help: values.help ?? false,
  }
}

/** The documents of ours, found from the bundle as well as from the sources. */
function ownDocuments(): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); folder !== dirname(folder); folder = dirname(folder)) {
    const candidate = join(folder, 'examples', 'documents')
    if (existsSync(candidate)) return candidate
  }
  throw new UsageError('The documents of the demo are missing; name a folder with --docs.')
}
