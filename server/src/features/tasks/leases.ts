/** What agents hold: leases begun, renewed, and what becomes of them when an agent returns or stops. */
import type { Assignment } from '@cadre/contract'
import type { WriteTx } from '../../core/context.ts'
import type { Database } from '../../drivers/database/port.ts'
import type { Known } from '../agents/service.ts'
import { release } from './attempts.ts'
import { type MoveParts, type WritingParts, changedMeanwhile, leaseOf } from './moves.ts'
import { type TaskRow, heldBy, renewLease, saveTask } from './store.ts'
import { decodeLease, encodeLease, toTask } from './view.ts'

export function toAssignment({ directory, epoch }: Pick<MoveParts, 'directory' | 'epoch'>, row: TaskRow): Assignment {
  return { ...toTask(row, directory), lease: encodeLease(row, epoch) }
}

/** Starts the lease of a task that its agent now takes. */
export async function take(parts: MoveParts, tx: WriteTx, row: TaskRow): Promise<TaskRow> {
  const now = parts.clock.now()
  const leaseUntil = now + leaseOf(parts, row)
  if (row.lease_until === leaseUntil && row.taken_at !== null) return row
  const after = { ...row, lease_until: leaseUntil, taken_at: row.taken_at ?? now }
  if (!(await saveTask(tx, row, after))) throw changedMeanwhile(row)
  return after
}

/** Heartbeats: renews the leases named, or all of the agent's when it speaks the plain protocol. */
export async function renew(
  parts: MoveParts & { database: Database },
  tenant: number,
  agent: number,
  leases: readonly string[] | 'all',
): Promise<{ lost: string[]; until: number | null }> {
  if (leases !== 'all' && leases.length === 0) return { lost: [], until: null }
  const now = parts.clock.now()
  return parts.database.transaction(async (tx) => {
    const held = new Map((await heldBy(tx, tenant, agent)).map((row) => [row.id, row]))
    const lost: string[] = []
    let until: number | null = null
    const extend = async (row: TaskRow): Promise<boolean> => {
      const end = now + leaseOf(parts, row)
      until = until === null ? end : Math.min(until, end)
      return renewLease(tx, tenant, row.id, row.token, agent, end)
    }
    if (leases === 'all') for (const row of held.values()) if (row.lease_until !== null) await extend(row)
    if (leases !== 'all') {
      for (const lease of leases) {
        const named = decodeLease(lease)
        const row = named && held.get(named.id)
        const current =
          row && named.token === row.token && named.epoch === parts.epoch && (row.lease_until ?? Number.POSITIVE_INFINITY) > now
        if (!current || !(await extend(row))) lost.push(lease)
      }
    }
    return { lost, until }
  })
}

/** What waited for an agent that is here again: starts its leases and sends it over. */
export async function deliverWaiting(parts: WritingParts, agent: number): Promise<void> {
  const session = parts.sessions.forAgent(agent)
  if (!session) return
  const tenant = session.caller.tenant
  await parts.engine().write(async (tx) => {
    for (const row of await heldBy(tx, tenant, agent)) {
      // A plain client keeps no leases of its own: after a reconnect it is told again what it holds.
      const again = session.mode === 'plain'
      if (row.lease_until !== null && !again) continue
      const taken = await take(parts, tx, row)
      tx.afterCommit(() => session.send(JSON.stringify({ type: 'task:assigned', data: toAssignment(parts, taken) })))
    }
    return {}
  })
}

/** An agent that stops keeps what it works on; what never reached it goes elsewhere. */
export async function takeBack(parts: WritingParts, agent: Known): Promise<void> {
  for (let left = true; left; ) {
    const { released } = await parts.engine().write(async (tx) => {
      const unseen = (await heldBy(tx, agent.tenant, agent.id)).filter((row) => row.lease_until === null || row.taken_at === null)
      for (const row of unseen) await release(parts, tx, row, `${parts.directory.nameOf(agent.id)} is ${agent.status}`)
      return { released: unseen.length }
    })
    left = released > 0
  }
}
