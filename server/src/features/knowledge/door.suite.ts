/** A door before the handlers of one feature, over a store of its own. */
import type { OperationName, OutputOf, Role } from '@cadre/contract'
import { Access } from '../../core/access.ts'
import { ManualClock, makeIds } from '../../core/clock.ts'
import type { Caller, Context } from '../../core/context.ts'
import { Directory } from '../../core/directory.ts'
import { EventLog } from '../../core/events.ts'
import { type Handlers, makeDoor } from '../../core/invoke.ts'
import { makeLogger } from '../../core/logger.ts'
import { Secret, makeKeyring } from '../../core/secrets.ts'
import { migrate } from '../../drivers/database/migrate.ts'
import type { Database } from '../../drivers/database/port.ts'
import { sql } from '../../drivers/database/sql.ts'
import { openSqlite } from '../../drivers/database/sqlite.ts'

export interface House {
  database: Database
  directory: Directory
  clock: ManualClock
  newId: (prefix: string) => string
  operator: Caller
  engine: () => Context
  /** Registers an agent and answers it as a caller. */
  agent: (name: string) => Promise<Caller>
  invoke: <N extends OperationName>(caller: Caller, name: N, input: unknown, key?: string) => Promise<OutputOf<N>>
  serve: (handlers: Partial<Handlers>) => void
  /** Entries of the log of that type, oldest first. */
  logged: (type: string) => Promise<{ subject: string; actor: number; task: string | null; data: Record<string, unknown> }[]>
}

/** `folder` is `:memory:` unless given. The caller closes the database. */
export async function openHouse(folder = ':memory:'): Promise<House> {
  const database = openSqlite(folder)
  await migrate(database)
  const clock = new ManualClock()
  const newId = makeIds(clock)
  const directory = await Directory.open(database, clock)
  const log = await EventLog.open(database, clock)
  const keyring = makeKeyring(new Secret('0'.repeat(64)))
  const access = new Access(database, directory, keyring, clock, { mode: 'local', allowedHosts: [], tenant: 1 })
  const as = (principal: Awaited<ReturnType<Directory['ensure']>>, role: Role): Caller => ({ ...principal, role })
  const operator = as(await directory.ensure(1, 'person', 'operator', 'per_operator'), 'admin')
  let traces = 0
  let handlers: Partial<Handlers> = {}
  const door = makeDoor(
    {
      database,
      log,
      access,
      clock,
      keyring,
      logger: makeLogger('silent'),
      storeEpoch: 'epoch',
      newTrace: () => `trace${++traces}`,
      validateOutput: true,
    },
    () => handlers as Handlers,
  )
  return {
    database,
    directory,
    clock,
    newId,
    operator,
    engine: () => door.engine(operator),
    agent: async (name) => as(await directory.ensure(1, 'agent', name, `agt_${name}`), 'agent'),
    invoke: (caller, name, input, key) => door.invoke(name, input, { caller, idempotencyKey: key }),
    serve: (given) => {
      handlers = given
    },
    async logged(type) {
      const rows = await database.all<{ subject: string; actor: number; task: string | null; body: string }>(
        sql`select subject, actor, task, body from log where type = ${type} order by seq`,
      )
      return rows.map(({ body, ...row }) => ({ ...row, data: JSON.parse(body) }))
    },
  }
}
