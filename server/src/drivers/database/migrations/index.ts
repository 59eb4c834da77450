/** Every migration, in order. A released one is never edited; a change is a new file. */
import type { Dialect } from '../port.ts'
import { foundation } from './0001-foundation.ts'
import { routing } from './0002-routing.ts'
import { receipts } from './0003-receipts.ts'
import { consumers } from './0004-consumers.ts'
import { brakes } from './0005-brakes.ts'
import { lane } from './0006-lane.ts'
import { graphs } from './0007-graphs.ts'
import { assignment } from './0008-assignment.ts'
import { journal } from './0009-journal.ts'

export const migrations: readonly ((dialect: Dialect) => readonly string[])[] = [
  foundation,
  routing,
  receipts,
  consumers,
  brakes,
  lane,
  graphs,
  assignment,
  journal,
]
