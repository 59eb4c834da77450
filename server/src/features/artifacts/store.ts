/** What is known of artifacts. The bytes themselves are the blob driver's. */
import type { Reader, Tx } from '../../drivers/database/port.ts'
import { sql } from '../../drivers/database/sql.ts'

export interface ArtifactRow {
  tenant: number
  id: string
  size: number
  media_type: string
  name: string | null
  created_by: number
  task: string | null
  created_at: number
}

export interface Before {
  created_at: number
  id: string
}

const columns = sql.raw('tenant, id, size, media_type, name, created_by, task, created_at')

export function findArtifact(reader: Reader, tenant: number, id: string): Promise<ArtifactRow | undefined> {
  return reader.get<ArtifactRow>(sql`select ${columns} from artifacts where tenant = ${tenant} and id = ${id}`)
}

/** The first upload of the same bytes stands; a later one only adds what the first left open. */
export async function saveArtifact(tx: Tx, row: ArtifactRow): Promise<void> {
  await tx.run(sql`insert into artifacts (${columns})
    values (${row.tenant}, ${row.id}, ${row.size}, ${row.media_type}, ${row.name}, ${row.created_by}, ${row.task}, ${row.created_at})
    on conflict (tenant, id) do update set name = coalesce(artifacts.name, excluded.name), task = coalesce(artifacts.task, excluded.task)`)
  if (row.task !== null) {
    await tx.run(sql`insert into artifact_tasks (tenant, task, artifact) values (${row.tenant}, ${row.task}, ${row.id})
      on conflict (tenant, task, artifact) do nothing`)
  }
}

/** Newest first. */
export function listArtifacts(
  reader: Reader,
  tenant: number,
  task: string | undefined,
  before: Before | undefined,
  limit: number,
) {
  const conditions = [
    sql`tenant = ${tenant}`,
    task === undefined ? undefined : sql`id in (select artifact from artifact_tasks where tenant = ${tenant} and task = ${task})`,
    before && sql`(created_at < ${before.created_at} or (created_at = ${before.created_at} and id < ${before.id}))`,
  ]
  return reader.all<ArtifactRow>(
    sql`select ${columns} from artifacts ${sql.where(conditions)} order by created_at desc, id desc limit ${limit}`,
  )
}
