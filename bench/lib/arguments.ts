/** The command line of `npm run bench`. */
import { parseArgs } from 'node:util'

export interface Settings {
  rounds: number
  json: boolean
  quick: boolean
  only: RegExp | undefined
}

export const usage = 'usage: npm run bench -- <messages|tasks> [--rounds N] [--json] [--quick] [--only regex]'

/** Throws a sentence for anything it does not know. */
export function readArguments(args: readonly string[]): { scenario: string; settings: Settings } {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      rounds: { type: 'string' },
      json: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      only: { type: 'string' },
    },
  })
  const [scenario, ...more] = positionals
  if (scenario === undefined || more.length > 0) throw new Error(usage)
  const rounds = Number(values.rounds ?? (values.quick ? 1 : 5))
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > 100) throw new Error('--rounds takes a whole number from 1 to 100')
  return {
    scenario,
    settings: {
      rounds,
      json: values.json,
      quick: values.quick,
      only: values.only === undefined ? undefined : new RegExp(values.only),
    },
  }
}
