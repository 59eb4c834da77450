/** Numbered, forward-only, each in its transaction. A store written by a newer program is refused. */
import { CadreError } from '@cadre/contract'
import { migrations } from './migrations/index.ts'
import type { Database } from './port.ts'
import { sql } from './sql.ts'

export async function migrate(database: Database): Promise<number> {
  return database.transaction(async (tx) => {
    await tx.run(sql`create table if not exists schema_version (version integer not null)`)
    const current = (await tx.get<{ version: number }>(sql`select max(version) as version from schema_version`))?.version ?? 0
    const newest = migrations.length
    if (current > newest) {
      throw new CadreError('conflict', {
        reason: `The store has schema ${current}, this program knows ${newest}; start a newer Cadre on this data folder.`,
      })
    }
    for (const [index, statements] of migrations.entries()) {
      if (index + 1 <= current) continue
      for (const statement of statements(database.dialect)) await tx.run(sql.raw(statement))
      await tx.run(sql`insert into schema_version (version) values (${index + 1})`)
    }
    return newest
  })
}
