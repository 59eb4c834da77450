/** Steps of tasks that need not be done again, and questions that wait for an answer. */
import type { Dialect } from '../port.ts'

export const journal = (_dialect: Dialect): readonly string[] => []
