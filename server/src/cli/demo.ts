/** `cadre demo`: a team does a real job over a folder of documents, survives a kill, and answers with a report whose every sentence is cited. */
import { CadreError } from '@cadre/contract'
import { FolderError } from '@cadre/agents'
import { ConfigError } from '../config.ts'
import { type DemoOptions, UsageError, readOptions, usage } from './demo/options.ts'
import { DemoFailure, runDemo } from './demo/run.ts'

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
    if (
      error instanceof DemoFailure ||
      error instanceof FolderError ||
      error instanceof ConfigError ||
      error instanceof CadreError
    ) {
      process.stderr.write(`${error.message}\n`)
      return 1
    }
    throw error
  }
}
