/** The messages feature on a store of its own, without surfaces: sessions are bare, and a transaction can be made to fail. */
import type { TestContext } from 'node:test'
import { ManualClock } from '../../core/clock.ts'
import type { Context, Principal } from '../../core/context.ts'
import { Directory } from '../../core/directory.ts'
import { EventLog } from '../../core/events.ts'
import { makeLogger } from '../../core/logger.ts'
import { type Session, Sessions } from '../../core/sessions.ts'
import { migrate } from '../../drivers/database/migrate.ts'
import type { Database } from '../../drivers/database/port.ts'
import { sql } from '../../drivers/database/sql.ts'
import { openSqlite } from '../../drivers/database/sqlite.ts'
import { allInFlight } from './lane-store.ts'
import { type MessagesParts, makeMessages } from './service.ts'

export interface BareSession extends Session {
  readonly got: { seq: number; data: { id: string; content: unknown; attempt: number; receipt: string } }[]
}

/** `left`: the store of a house that was never closed, as a killed server leaves it. */
export async function openHouse(t: TestContext, more: Partial<MessagesParts> = {}, left?: Database) {
  const clock = new ManualClock()
  const store = left ?? openSqlite(':memory:')
  await migrate(store)
  await store.transaction((tx) => tx.run(sql`insert into tenants (id, name) values (1, 'default') on conflict do nothing`))
  let failing = 0
  const database: Database = {
    ...store,
    transaction: (work) =>
      store.transaction(async (tx) => {
        const value = await work(tx)
        if (failing > 0) {
          failing -= 1
          throw new Error('the disk failed')
        }
        return value
      }),
  }
  const log = await EventLog.open(database, clock)
  const directory = await Directory.open(database, clock)
  const system = await directory.ensure(1, 'system', 'cadre', 'sys_1')
  const [ada, bob, eve] = [
    await directory.ensure(1, 'agent', 'ada', 'agt_a'),
    await directory.ensure(1, 'agent', 'bob', 'agt_b'),
    await directory.ensure(1, 'agent', 'eve', 'agt_e'),
  ]
  const context = (principal: Principal, fields: Partial<Context> = {}): Context => ({
    caller: { ...principal, role: principal.kind === 'system' ? 'admin' : 'agent' },
    tenant: 1,
    operation: 'messages.send',
    trace: '',
    signal: new AbortController().signal,
    idempotencyKey: undefined,
    session: undefined,
    upload: undefined,
    delta: undefined,
    write: () => Promise.reject(new Error('this house has no door')),
    ...fields,
  })
  const sessions = new Sessions()
  const messages = await makeMessages({
    // Some of these tests make commits fail on purpose; what becomes of the messages is what they look at.
    logger: makeLogger('silent'),
    database,
    directory,
    clock,
    log,
    sessions,
    epoch: 'e',
    random: () => 0,
    engine: () => context(system),
    newId: (prefix) => `${prefix}_1`,
    team: { everyone: () => [ada.id, bob.id, eve.id], candidates: () => [], standing: () => 'away' },
    delegate: () => Promise.reject(new Error('this house has no tasks')),
    ending: { begin: async () => false, finish: async () => {} },
    checkLease: async () => {},
    ...more,
  })
  t.after(async () => {
    // The house that opened the store closes it.
    if (left) return
    await messages.close()
    await store.close()
  })
  return {
    clock,
    database,
    sessions,
    messages,
    deliveries: messages.deliveries,
    ada,
    bob,
    eve,
    context,
    /** The next `count` transactions do their work and are rolled back. */
    fail(count: number): void {
      failing = count
    },
    session(mode: Session['mode'], credits: number): BareSession {
      const got: BareSession['got'] = []
      const session: BareSession = {
        id: 'ses',
        caller: { ...bob, role: 'agent' },
        agent: undefined,
        mode,
        credits,
        short: false,
        got,
        send: (frame) => void got.push(JSON.parse(frame) as BareSession['got'][number]),
        buffered: () => 0,
        close: () => {},
        onClose: new Set(),
      }
      sessions.open(session)
      return session
    },
    /** Makes the session speak for bob. */
    async attach(session: Session): Promise<void> {
      sessions.bind(session, bob.id)
      await messages.deliveries.attach(session, undefined)
    },
    send: (content: unknown, fields: object = {}, key?: string) =>
      messages.handlers['messages.send'](context(ada, { idempotencyKey: key }), { to: 'bob', content, ...fields }),
    /** What is unsettled: rows, and what is in flight without one. */
    inbox: async () => [
      ...(await store.all<{ state: number; attempt: number; seq: number }>(sql`select state, attempt, seq from inbox`)),
      ...(await allInFlight(store)).map(({ message: { seq } }) => ({ state: 1, attempt: 1, seq })),
    ],
    /** Everything that was begun has been committed, and what followed from it too. */
    async quiet(): Promise<void> {
      for (let round = 0; round < 10; round++) await store.transaction(async () => {})
    },
  }
}
