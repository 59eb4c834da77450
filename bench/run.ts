/** `npm run bench -- <scenario>`: measures us beside others in one run. The result stands on stdout, everything else on stderr. */
import { type Settings, readArguments, usage } from './lib/arguments.ts'
import { tellProfiles } from './lib/profile.ts'
import { toTable } from './lib/report.ts'
import type { Scenario } from './lib/scenario.ts'
import { Scope } from './lib/scope.ts'
import { drain } from './scenarios/drain.ts'
import { fanout } from './scenarios/fanout.ts'
import { messages } from './scenarios/messages.ts'
import { tasks } from './scenarios/tasks.ts'

const scenarios: Readonly<Record<string, Scenario>> = { messages, tasks, drain, fanout }
const startedAt = performance.now()
const startedOn = Date.now()
const tell = (line: string) =>
  process.stderr.write(`${((performance.now() - startedAt) / 1000).toFixed(1).padStart(6)} s  ${line}\n`)

async function main(): Promise<number> {
  let scenario: Scenario | undefined
  let settings: Settings
  try {
    const read = readArguments(process.argv.slice(2), process.env)
    settings = read.settings
    scenario = scenarios[read.scenario]
    if (!scenario) throw new Error(usage)
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    return 2
  }
  const scope = new Scope()
  let stopped: NodeJS.Signals | undefined
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (stopped) process.exit(130)
      stopped = signal
      tell(`${signal}: ending what was started`)
      void scope.close().then(() => process.exit(130))
    })
  }
  try {
    const { report, ok } = await scenario.run(scope, settings, (line) => {
      if (!stopped) tell(line)
    })
    if (stopped) return 130
    process.stdout.write(settings.json ? `${JSON.stringify(report, null, 2)}\n` : `${toTable(report)}\n`)
    if (settings.profile !== undefined) process.stderr.write(`${tellProfiles(settings.profile, startedOn)}\n`)
    return ok ? 0 : 1
  } catch (error) {
    // What was ended under our hands by a signal is no failure to tell.
    if (!stopped) tell(`failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
    return 1
  } finally {
    await scope.close()
  }
}

process.exitCode = await main()
