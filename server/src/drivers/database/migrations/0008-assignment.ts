/** How agents are chosen for tasks, and why. */
import type { Dialect } from '../port.ts'

export const assignment = (_dialect: Dialect): readonly string[] => []
