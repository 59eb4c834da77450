/** Who may write in the name of a task, and with what proof. */
import { CadreError } from '@cadre/contract'
import type { Caller, Context } from '../../core/context.ts'
import type { Tx } from '../../drivers/database/port.ts'
import type { MoveParts } from './moves.ts'
import { type TaskRow, getTask, hasHeld } from './store.ts'
import { decodeLease, isHeld } from './view.ts'

/** A write in the name of a task. */
export interface TaskWrite {
  task: string
  lease: string | undefined
  caller: Caller
  /** The session keeps leases: an agent then names the one of a task it holds or held. */
  strict?: boolean | undefined
  /** Naming the task is no mere reference: only who holds it may. */
  mustHold?: boolean | undefined
}

type Proof = Pick<MoveParts, 'epoch' | 'clock'>

/**
 * What every write in the name of a task goes through. A lease must be the current one. Without one: operators may always; an agent
 * that never had the task only refers to it; one that has it, or had it, must name the lease when its session keeps leases (`strict`).
 * Throws `not_found`, `stale_lease`, `lease_required` or, with `mustHold`, `forbidden`.
 */
export async function checkLease(
  proof: Proof,
  tx: Tx,
  { task, lease, caller, strict = false, mustHold = false }: TaskWrite,
): Promise<void> {
  const row = await getTask(tx, caller.tenant, task)
  if (!row) throw new CadreError('not_found', { entity: 'task', id: task })
  if (lease !== undefined || mustHold) return requireLease(proof, row, lease, caller, strict)
  if (caller.role !== 'agent') return
  if (row.assignee === caller.id && isHeld(row.state)) return requireLease(proof, row, lease, caller, strict)
  if (strict && (row.assignee === caller.id || (await hasHeld(tx, caller.tenant, task, caller.id))))
    throw new CadreError('stale_lease', { id: row.id })
}

/**
 * The caller may write in the name of this attempt. With a lease: it must be the current one. Without: operators may always; an agent
 * must be the assignee and speak the plain protocol, where its single lease is implied.
 */
export function requireHolder(proof: Proof, row: TaskRow, lease: string | undefined, context: Context): void {
  requireLease(proof, row, lease, context.caller, context.session?.mode === 'leased')
}

function requireLease(proof: Proof, row: TaskRow, lease: string | undefined, caller: Caller, strict: boolean): void {
  const stale = () => new CadreError('stale_lease', { id: row.id })
  if (lease !== undefined) {
    const named = decodeLease(lease)
    if (!named || named.id !== row.id || named.epoch !== proof.epoch || named.token !== row.token || !isHeld(row.state))
      throw stale()
    if (caller.role === 'agent' && row.assignee !== caller.id) throw stale()
    if (row.lease_until !== null && row.lease_until <= proof.clock.now()) throw stale()
    return
  }
  if (caller.role !== 'agent') return
  if (row.assignee !== caller.id) throw new CadreError('forbidden', { reason: `Task ${row.id} is not assigned to you.` })
  if (!isHeld(row.state)) throw stale()
  if (strict) throw new CadreError('lease_required', { id: row.id })
}

export const holds = ({ caller }: Context, row: TaskRow): boolean => row.assignee === caller.id && isHeld(row.state)

/** Throws `forbidden`, naming what was wanted (`cancels`, `assigns`, `changes`), unless the caller may decide about the task. */
export function requireEditor(context: Context, row: TaskRow, wanted: string): void {
  if (context.caller.role !== 'agent' || row.creator === context.caller.id || holds(context, row)) return
  throw new CadreError('forbidden', { reason: `Only its creator, its assignee or an operator ${wanted} a task.` })
}

/** The same completion again: by the attempt that completed it, or by an operator. */
export function repeats(row: TaskRow, lease: string | undefined, { caller }: Context): boolean {
  if (lease === undefined) return caller.role !== 'agent' || row.assignee === caller.id
  return decodeLease(lease)?.token === row.token
}
