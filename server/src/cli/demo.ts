/** `cadre demo`: a team does a real job over a folder of documents, survives a kill, and answers with a report whose every sentence is cited. */
import { type DemoOptions, UsageError, readOptions, usage } from './demo/options.ts'
import { runDemo } from './demo/run.ts'

export async function demo(args: readonly string[]): Promise<number> {
  let options: DemoOptions
  try {
    options = readOptions(args)
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    process.stderr.write(`${error.message}\n${usage}`)
    return 2
  }
  if (options.help) {
    process.stdout.write(usage)
    return 0
  }
  try {
    return await runDemo(options)
  } catch (error) {
    // Whatever went wrong, a user is told in a sentence; the way it came about is for those who ask for it.
    process.stderr.write(`${error instanceof Error && error.message !== '' ? error.message : String(error)}\n`)
    if (process.env['LOG_LEVEL'] === 'debug') process.stderr.write(`${(error as Error).stack ?? ''}\n`)
    return 1
  }
}
