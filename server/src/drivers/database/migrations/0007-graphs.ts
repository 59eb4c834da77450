/** Join rules, failure policies, runs, schedules and deadlines of tasks. */
import type { Dialect } from '../port.ts'

export const graphs = (_dialect: Dialect): readonly string[] => []
