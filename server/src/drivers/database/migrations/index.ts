/** In order; a migration that has shipped is never edited. */
import type { Dialect } from '../port.ts'
import { foundation } from './0001-foundation.ts'

export const migrations: readonly ((dialect: Dialect) => readonly string[])[] = [foundation]
