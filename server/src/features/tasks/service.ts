/** Tasks: create, graph, list, assign, claim, and the writes of those who hold them. */
import type { Assignment, ParsedInputOf } from '@cadre/contract'
import type { Caller, Context, WriteTx } from '../../core/context.ts'
import type { Handlers } from '../../core/invoke.ts'
import { makeClaiming } from './claiming.ts'
import { createTask, makeCreating } from './creating.ts'
import { Engine, type EngineParts } from './engine.ts'
import { toAssignment } from './leases.ts'
import { makeListing } from './listing.ts'
import { heldBy } from './store.ts'
import { makeUpdating } from './updating.ts'
import { makeWorking } from './working.ts'

export interface TasksParts extends EngineParts {
  newId: (prefix: string) => string
}

type Names =
  | 'tasks.create'
  | 'tasks.dag'
  | 'tasks.list'
  | 'tasks.get'
  | 'tasks.status'
  | 'tasks.update'
  | 'tasks.assign'
  | 'tasks.claim'
  | 'tasks.accept'
  | 'tasks.progress'
  | 'tasks.complete'
  | 'tasks.fail'
  | 'tasks.release'
  | 'tasks.cancel'

type Created = ParsedInputOf<'tasks.create'>
export type NewTask = { [F in keyof Created]?: Created[F] | undefined }

export interface Tasks {
  handlers: Pick<Handlers, Names>
  engine: Engine
  /** A task that comes with another write, in its transaction. Fields with a default may be left out. */
  createIn(tx: WriteTx, context: Context, id: string, input: NewTask): Promise<void>
  counts(tenant: number): Promise<Record<string, number>>
  /** What an agent holds under a live lease, for one that returns. */
  heldBy(caller: Caller): Promise<Assignment[]>
  close(): Promise<void>
}

export type { TaskWrite } from './engine.ts'

export async function makeTasks(parts: TasksParts): Promise<Tasks> {
  const engine = new Engine(parts)
  await engine.load()
  return {
    handlers: {
      ...makeCreating(engine, parts.newId),
      ...makeListing(engine),
      ...makeUpdating(engine),
      ...makeClaiming(engine),
      ...makeWorking(engine),
    },
    engine,
    createIn: async (tx, context, id, input) => {
      await createTask(engine, tx, context, id, {
        ...input,
        type: input.type ?? 'task',
        max_retries: input.max_retries ?? 3,
        depends_on: input.depends_on ?? [],
      })
    },
    counts: async (tenant) => engine.counts(tenant),
    heldBy: async (caller) =>
      (await heldBy(parts.database, caller.tenant, caller.id))
        .filter((row) => row.lease_until !== null)
        .map((row) => toAssignment(engine.parts, row)),
    close: () => engine.close(),
  }
}
