/** A run as clients see it. */
import { CadreError, type Run } from '@cadre/contract'
import { iso, isoOrNull } from '../../core/clock.ts'
import type { Directory } from '../../core/directory.ts'
import type { Reader } from '../../drivers/database/port.ts'
import { type RunRow, getRun } from './run-store.ts'

/** Throws `not_found`. */
export async function findRun(reader: Reader, { tenant }: { tenant: number }, id: string): Promise<RunRow> {
  const row = await getRun(reader, tenant, id)
  if (!row) throw new CadreError('not_found', { entity: 'run', id })
  return row
}

export function toRun(row: RunRow, directory: Directory): Run {
  const { total, open, completed, failed, cancelled, skipped } = row
  return {
    id: row.id,
    run_id: row.id,
    name: row.name,
    state: row.state,
    on_failure: row.on_failure,
    creator: directory.byId(row.creator).name,
    parent_id: row.parent,
    schedule_id: row.schedule,
    deadline: isoOrNull(row.deadline),
    counts: { total, open, completed, failed, cancelled, skipped },
    created_at: iso(row.created_at),
    updated_at: iso(row.updated_at),
    ended_at: isoOrNull(row.ended_at),
  }
}
