/** The command line of `npm run bench`. */
import { parseArgs } from 'node:util'

export interface Settings {
  rounds: number
  json: boolean
  quick: boolean
  only: RegExp | undefined
  /** Which loads; all unless given. */
  at: RegExp | undefined
  /** Folder for CPU profiles of our server, one a sample. */
  profile: string | undefined
}

export const usage = `usage: npm run bench -- <messages|tasks|drain|fanout> [--rounds N] [--json] [--quick] [--only regex] [--at regex]
                        [--profile folder]

  --rounds N        measure everything N times, interleaved (5)
  --json            the report as JSON
  --quick           one short round: to see that it works, not for figures
  --only regex      only the systems that are called so
  --at regex        only under loads that are called so: '64 in flight', 'to 1000$', idle
  --profile folder  write CPU profiles of our server there and tell where its time went; rates are lower then
                    (CADRE_BENCH_PROFILE names the folder too)`

/** Throws a sentence for anything it does not know. */
export function readArguments(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>> = {},
): { scenario: string; settings: Settings } {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      rounds: { type: 'string' },
      json: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      only: { type: 'string' },
      at: { type: 'string' },
      profile: { type: 'string' },
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
      at: values.at === undefined ? undefined : new RegExp(values.at),
      profile: values.profile ?? environment['CADRE_BENCH_PROFILE'],
    },
  }
}
