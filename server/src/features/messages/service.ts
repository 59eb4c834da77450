/** Messages: send, ask, reply, publish, subscribe, list, and the inbox operations. */
import type { Message } from '@cadre/contract'
import type { Clock } from '../../core/clock.ts'
import type { Caller, Context } from '../../core/context.ts'
import type { Directory } from '../../core/directory.ts'
import type { EventLog } from '../../core/events.ts'
import type { Logger } from '../../core/logger.ts'
import type { Sessions } from '../../core/sessions.ts'
import type { Database, Tx } from '../../drivers/database/port.ts'
import { type DeadLetters, makeDeadLetters } from './dead-letters.ts'
import { type Deliveries, makeDeliveries } from './delivery.ts'
import { type InboxHandlers, makeInbox } from './inbox.ts'
import { makeOwnership } from './ownership.ts'
import { type Reading, makeReading, makeViews } from './reading.ts'
import { Requests } from './requests.ts'
import { makeSender } from './sending.ts'
import { type Speaking, makeSpeaking } from './speaking.ts'
import { type MessageRow, loadSubscriptions } from './store.ts'
import { type Subscribing, makeSubscribing } from './subscribing.ts'
import { Subscriptions } from './topics.ts'

export interface MessagesParts {
  logger: Logger
  database: Database
  directory: Directory
  clock: Clock
  log: EventLog
  sessions: Sessions
  epoch: string
  random: () => number
  engine: () => Context
  /** Interned ids of the agents a broadcast reaches. */
  everyone: (tenant: number) => number[]
  checkLease: (tx: Tx, write: { task: string; lease: string | undefined; caller: Caller; strict: boolean }) => Promise<void>
}

export interface Messages {
  handlers: Speaking & Subscribing & Reading & InboxHandlers & DeadLetters
  deliveries: Deliveries
  /** The message of a log entry as clients see it. */
  view(row: MessageRow): Message
  close(): Promise<void>
}

export async function makeMessages(parts: MessagesParts): Promise<Messages> {
  const { database, directory, clock } = parts
  const requests = new Requests(clock)
  const deliveries = makeDeliveries({ ...parts, system: () => parts.engine().caller })
  await deliveries.load()
  const subscriptions = new Subscriptions()
  for (const row of await loadSubscriptions(database)) subscriptions.add(row.tenant, row.agent, row.pattern)
  const store = makeSender({ ...parts, deliveries, requests, agentName: (id) => directory.byId(id).name })
  const ownership = makeOwnership(parts)
  const views = makeViews(parts)
  const shared = { ...parts, deliveries, requests, subscriptions, ownership, views, store }
  const handlers: Messages['handlers'] = {
    ...makeSpeaking(shared),
    ...makeSubscribing(shared),
    ...makeReading(shared),
    ...makeInbox(shared),
    ...makeDeadLetters(shared),
  }
  return { handlers, deliveries, view: views.view, close: () => deliveries.close() }
}

export type { MessageRow }
