/** Tasks: create, graph, list, assign, claim, and the writes of those who hold them. */
import type { Assignment, ParsedInputOf } from '@cadre/contract'
import type { Caller, Context, WriteTx } from '../../core/context.ts'
import type { Handlers } from '../../core/invoke.ts'
import { makeApprovals } from './approvals.ts'
import type { ReadCron } from '../../drivers/cron/port.ts'
import { makeClaiming } from './claiming.ts'
import { createTask, makeCreating } from './creating.ts'
import { Engine, type EngineParts } from './engine.ts'
import { makeHistory } from './history.ts'
import { type InputParts, type Inputs, makeInputs } from './input.ts'
import { toAssignment } from './leases.ts'
import { requireDelegation } from './placement.ts'
import { makeConfiguring } from './strategy-settings.ts'
import { makeListing } from './listing.ts'
import { makePausing } from './pausing.ts'
import { makeRuns } from './runs.ts'
import { type ResultStore, makeSteps } from './steps.ts'
import { makeSchedules } from './schedules.ts'
import { fireDue } from './schedules-firing.ts'
import { heldBy } from './store.ts'
import { makeUpdating } from './updating.ts'
import { makeWorking } from './working.ts'

export interface TasksParts extends EngineParts {
  newId: (prefix: string) => string
  readCron: ReadCron
  stepResults: ResultStore
  tellAsked: InputParts['tell']
  settleCall: InputParts['settleCall']
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
  | 'assignment.get'
  | 'assignment.configure'
  | 'tasks.retry'
  | 'tasks.history'
  | keyof ReturnType<typeof makeSteps>
  | keyof ReturnType<typeof makeInputs>['handlers']
  | keyof ReturnType<typeof makeApprovals>
  | keyof ReturnType<typeof makeRuns>
  | keyof ReturnType<typeof makePausing>
  | keyof ReturnType<typeof makeSchedules>

type Created = ParsedInputOf<'tasks.create'>
export type NewTask = { [F in keyof Created]?: Created[F] | undefined }

export interface Tasks {
  handlers: Pick<Handlers, Names>
  engine: Engine
  askCallOutcome: Inputs['askCallOutcome']
  /** A task that comes with another write, in its transaction. Fields with a default may be left out. */
  createIn(tx: WriteTx, context: Context, id: string, input: NewTask): Promise<void>
  counts(tenant: number): Promise<Record<string, number>>
  /** What an agent holds under a live lease, for one that returns. */
  heldBy(caller: Caller): Promise<Assignment[]>
  close(): Promise<void>
}

export type { TaskWrite } from './engine.ts'
export type { Strategy } from './strategies.ts'

export async function makeTasks(parts: TasksParts): Promise<Tasks> {
  const engine = new Engine(parts)
  await engine.load()
  const scheduling = { engine, newId: parts.newId, readCron: parts.readCron }
  engine.onSweep((now) => fireDue(scheduling, now))
  const inputs = makeInputs(engine, { newId: parts.newId, tell: parts.tellAsked, settleCall: parts.settleCall })
  inputs.resume()
  return {
    handlers: {
      ...makeCreating(engine, parts.newId),
      ...makeListing(engine),
      ...makeUpdating(engine),
      ...makeHistory(engine),
      ...makeRuns(engine),
      ...makePausing(engine),
      ...makeSchedules(scheduling),
      ...makeClaiming(engine),
      ...makeWorking(engine),
      ...makeConfiguring(engine),
      ...makeSteps(engine, parts.stepResults, inputs),
      ...inputs.handlers,
      ...makeApprovals(engine),
    },
    engine,
    askCallOutcome: (...of: Parameters<typeof inputs.askCallOutcome>) => inputs.askCallOutcome(...of),
    createIn: async (tx, context, id, input) => {
      // Whoever gets the task, an agent that may not delegate does not hand it on by message.
      requireDelegation(engine.parts, context.caller.id)
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
    close: async () => {
      await inputs.close()
      await engine.close()
    },
  }
}
