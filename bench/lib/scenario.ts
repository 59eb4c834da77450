/** A scenario starts what it measures, measures it, and answers a report. */
import type { Settings } from './arguments.ts'
import type { Report } from './report.ts'
import type { Scope } from './scope.ts'

export interface Scenario {
  /** `ok` is false when a row of ours is void. */
  run(scope: Scope, settings: Settings, tell: (line: string) => void): Promise<{ report: Report; ok: boolean }>
}
